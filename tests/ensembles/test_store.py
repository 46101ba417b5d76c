from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ostinato.ensembles import SnapshotEnsemble
from ostinato.errors import DamagedSnapshotWarning, StorageError
from ostinato.storage import load_tensors, write_json


@dataclass(frozen=True)
class Tick:
    step: int
    cycle: int = 0
    values: dict[str, float] = field(default_factory=dict)


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def train_a_little(model: nn.Module) -> None:
    model.train()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter))
    model(torch.randn(8, 3))


def three(folder: Path, **options: Any) -> tuple[nn.Module, SnapshotEnsemble, list[dict[str, Tensor]]]:
    model = net()
    snapshots = SnapshotEnsemble(model, folder, **options)
    states = []
    for cycle, step in enumerate((9, 19, 29)):
        train_a_little(model)
        snapshots.capture(Tick(step, cycle, {"optimizer.lr": 0.1 / (cycle + 1)}))
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    return model, snapshots, states


def stored(snapshots: SnapshotEnsemble, index: int) -> dict[str, Tensor]:
    file = snapshots.members[index].file
    return load_tensors(snapshots.directory / file.name, file)


def steps(snapshots: SnapshotEnsemble) -> list[int]:
    return [member.step for member in snapshots]


def seal(folder: Path, body: dict[str, Any]) -> None:
    """Write a manifest whose own digest is right, so that the other checks are reached."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    write_json(folder / "manifest.json", {**body, "sha256": hashlib.sha256(text).hexdigest()})


def body_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    del document["sha256"]
    return document


def test_a_round_trip_gives_every_bit_and_buffer(tmp_path: Path) -> None:
    model, _, states = three(tmp_path / "s")
    opened = SnapshotEnsemble(model, tmp_path / "s")
    assert len(opened) == 3
    for index, state in enumerate(states):
        loaded = stored(opened, index)
        assert list(loaded) == sorted(state)
        for name, value in state.items():
            assert loaded[name].dtype == value.dtype
            assert torch.equal(loaded[name], value)
        assert loaded["1.num_batches_tracked"] == index + 1
    member = opened.members[1]
    assert (member.step, member.cycle, member.values) == (19, 1, {"optimizer.lr": 0.05})


def test_the_folder_has_one_manifest_and_a_file_for_each_member(tmp_path: Path) -> None:
    three(tmp_path / "a" / "s")
    names = sorted(entry.name for entry in (tmp_path / "a" / "s").iterdir())
    assert names == ["manifest.json", *(f"snapshot-{step:09d}.safetensors" for step in (9, 19, 29))]
    document = json.loads((tmp_path / "a" / "s" / "manifest.json").read_text())
    assert document["schema"] == "ostinato.snapshots"
    assert document["version"] == 1
    assert isinstance(document["ostinato"], str)


def test_nothing_is_made_before_the_first_capture(tmp_path: Path) -> None:
    snapshots = SnapshotEnsemble(net(), tmp_path / "s")
    assert (len(snapshots), snapshots.members, list(tmp_path.iterdir())) == (0, (), [])


def test_tied_weights_are_stored_once(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(50, 50, bias=False), nn.Linear(50, 50, bias=False))
    model[1].weight = model[0].weight
    snapshots = SnapshotEnsemble(model, tmp_path)
    member = snapshots.capture(Tick(0))
    assert member.file.aliases == {"1.weight": "0.weight"}
    assert member.file.bytes < 2 * 50 * 50 * 4
    x = torch.randn(3, 50)
    assert torch.equal(snapshots.member_outputs(x)[0], model(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    model = net().to(dtype)
    snapshots = SnapshotEnsemble(model, tmp_path)
    snapshots.capture(Tick(0))
    for name, value in model.state_dict().items():
        assert stored(snapshots, 0)[name].dtype == value.dtype
        assert torch.equal(stored(snapshots, 0)[name], value)
    x = torch.randn(5, 3, dtype=dtype)
    assert torch.equal(snapshots.member_outputs(x)[0], model.eval()(x))
    assert snapshots.predict(x).dtype == torch.float32


def test_capturing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    model, snapshots, _ = three(tmp_path)
    before = {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in tmp_path.iterdir()}
    snapshots.capture(Tick(29, 2, {"optimizer.lr": 0.1 / 3}))
    SnapshotEnsemble(model, tmp_path).capture(Tick(29, 2))
    assert {entry.name: (entry.stat().st_mtime_ns, entry.read_bytes()) for entry in tmp_path.iterdir()} == before


def test_capturing_a_step_again_with_other_weights_is_refused(tmp_path: Path) -> None:
    model, snapshots, states = three(tmp_path)
    train_a_little(model)
    with pytest.raises(StorageError, match=r"step 29 was captured before with other weights.*rewind\(29\)"):
        snapshots.capture(Tick(29))
    assert torch.equal(stored(snapshots, 2)["0.weight"], states[2]["0.weight"])


def test_rewind_forgets_the_step_and_what_follows(tmp_path: Path) -> None:
    model, snapshots, _ = three(tmp_path)
    assert snapshots.rewind(19) == 2
    assert steps(snapshots) == steps(SnapshotEnsemble(model, tmp_path)) == [9]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["manifest.json", "snapshot-000000009.safetensors"]
    assert snapshots.rewind(19) == 0
    train_a_little(model)
    snapshots.capture(Tick(19))
    assert steps(snapshots) == [9, 19]
    assert snapshots.rewind(0) == 2
    assert len(SnapshotEnsemble(model, tmp_path)) == 0


def test_keep_drops_the_oldest(tmp_path: Path) -> None:
    model, snapshots, states = three(tmp_path, keep=2)
    assert steps(snapshots) == steps(SnapshotEnsemble(model, tmp_path)) == [19, 29]
    assert not (tmp_path / "snapshot-000000009.safetensors").exists()
    assert torch.equal(stored(snapshots, 0)["0.weight"], states[1]["0.weight"])


@pytest.mark.parametrize("keep", [0, -1, 1.5, True])
def test_a_keep_that_keeps_nothing_is_refused(tmp_path: Path, keep: Any) -> None:
    with pytest.raises(ValueError, match="keep must be"):
        SnapshotEnsemble(net(), tmp_path, keep=keep)


def test_a_member_captured_late_is_put_in_its_place(tmp_path: Path) -> None:
    model, snapshots, _ = three(tmp_path)
    snapshots.capture(Tick(14))
    assert steps(SnapshotEnsemble(model, tmp_path)) == [9, 14, 19, 29]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(StorageError, match=r"'optimizer.lr' is (nan|inf)"):
        SnapshotEnsemble(net(), tmp_path).capture(Tick(0, 0, {"optimizer.lr": value}))
    assert list(tmp_path.iterdir()) == []


def test_one_flipped_bit_anywhere_in_a_member_leaves_it_out(tmp_path: Path) -> None:
    model, _, states = three(tmp_path)
    path = tmp_path / "snapshot-000000019.safetensors"
    data = path.read_bytes()
    generator = random.Random(0)
    for bit in generator.sample(range(8 * len(data)), 150):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.warns(DamagedSnapshotWarning, match="snapshot-000000019.*altered"):
            opened = SnapshotEnsemble(model, tmp_path)
        assert steps(opened) == [9, 29]
    assert torch.equal(stored(opened, 1)["0.weight"], states[2]["0.weight"])


def test_truncation_at_any_place_leaves_the_member_out(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path)
    path = tmp_path / "snapshot-000000009.safetensors"
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.warns(DamagedSnapshotWarning, match="truncated"):
            assert steps(SnapshotEnsemble(model, tmp_path)) == [19, 29]


def test_a_missing_member_is_left_out_with_one_warning(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path)
    (tmp_path / "snapshot-000000029.safetensors").unlink()
    with pytest.warns(DamagedSnapshotWarning) as caught:
        opened = SnapshotEnsemble(model, tmp_path)
    assert len(caught) == 1
    opened.predict(torch.randn(2, 3))
    assert opened.members[-1].step == 19


def test_a_member_damaged_after_opening_is_left_out_when_it_is_used(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path)
    opened = SnapshotEnsemble(model, tmp_path)
    x = torch.randn(2, 3)
    expected = opened.member_outputs(x)[:2]
    opened = SnapshotEnsemble(model, tmp_path)
    (tmp_path / "snapshot-000000029.safetensors").write_bytes(b"torn")
    with pytest.warns(DamagedSnapshotWarning) as caught:
        outputs = opened.member_outputs(x, last=2)
    assert len(caught) == 1
    assert torch.equal(outputs, expected)  # the last two of those that can be used
    assert len(opened) == 2


def test_no_member_left_is_an_error(tmp_path: Path) -> None:
    model, snapshots, _ = three(tmp_path)
    for step in (9, 19, 29):
        (tmp_path / f"snapshot-{step:09d}.safetensors").write_bytes(b"")
    with pytest.warns(DamagedSnapshotWarning), pytest.raises(StorageError, match="none of the 3 snapshots"):
        SnapshotEnsemble(model, tmp_path)
    with pytest.warns(DamagedSnapshotWarning), pytest.raises(StorageError, match="no usable snapshot"):
        snapshots.predict(torch.randn(2, 3))


def test_a_damaged_member_stays_listed_and_can_be_captured_again(tmp_path: Path) -> None:
    model, _, states = three(tmp_path)
    (tmp_path / "snapshot-000000019.safetensors").write_bytes(b"torn")
    with pytest.warns(DamagedSnapshotWarning):
        opened = SnapshotEnsemble(model, tmp_path)
    train_a_little(model)
    opened.capture(Tick(39))
    assert steps(opened) == [9, 29, 39]
    with pytest.warns(DamagedSnapshotWarning, match="000000019"):
        opened = SnapshotEnsemble(model, tmp_path)
    model.load_state_dict(states[1])
    opened.capture(Tick(19, 1, {"optimizer.lr": 0.05}))
    assert steps(opened) == steps(SnapshotEnsemble(model, tmp_path)) == [9, 19, 29, 39]
    assert torch.equal(stored(opened, 1)["0.weight"], states[1]["0.weight"])


def test_a_member_whose_file_was_torn_behind_our_back_is_written_again(tmp_path: Path) -> None:
    model, snapshots, states = three(tmp_path)
    (tmp_path / "snapshot-000000029.safetensors").write_bytes(b"torn")
    snapshots.capture(Tick(29, 2))
    assert torch.equal(stored(SnapshotEnsemble(model, tmp_path), 2)["0.weight"], states[2]["0.weight"])


def test_every_flipped_bit_of_the_manifest_is_noticed(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path, keep=1)
    path = tmp_path / "manifest.json"
    data = path.read_bytes()
    noticed = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            opened = SnapshotEnsemble(model, tmp_path)
        except StorageError as error:
            noticed += "restore it from a copy, or move the folder away" in str(error)
        else:  # the same content, written otherwise: the newline became another white space, 1e-5 became 1E-5
            assert json.loads(damaged) == json.loads(data)
            assert steps(opened) == [29]
    assert noticed >= 8 * len(data) - 20


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"schema": "x"}', pickle.dumps({}), b"\xff\xfe"])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"manifest.*cannot be used"):
        SnapshotEnsemble(net(), tmp_path)


def test_a_manifest_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    three(tmp_path)
    seal(tmp_path, {**body_of(tmp_path), "version": 2})
    with pytest.raises(StorageError, match="its version is 2, this Ostinato reads 1"):
        SnapshotEnsemble(net(), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors",
        "/etc/passwd",
        "..",
        "sub/snapshot-000000009.safetensors",
        "..\\snapshot-000000009.safetensors",
        "snapshot-000000019.safetensors",
        "snapshot-000000009.safetensors\0",
        "snapshot-000000009.safetensors\n",
        "//host/share/snapshot-000000009.safetensors",
        "",
    ],
)
def test_a_manifest_that_points_elsewhere_is_refused_and_nothing_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    model, _, _ = three(folder)
    shutil.copy(folder / "snapshot-000000009.safetensors", tmp_path / "secret.safetensors")
    body = body_of(folder)
    body["members"][0]["file"]["name"] = name
    seal(folder, body)
    opened: list[Path] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: (opened.append(Path(path)), real(path, *rest))[1])
    with pytest.raises(StorageError, match="manifest"):
        SnapshotEnsemble(model, folder)
    assert opened == [folder / "manifest.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": True},
        {"step": "9"},
        {"cycle": None},
        {"values": []},
        {"values": {"lr": "0.1"}},
        {"file": None},
        {"extra": 1},
    ],
)
def test_a_manifest_with_a_wrong_field_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    three(tmp_path)
    body = body_of(tmp_path)
    body["members"][0].update(change)
    seal(tmp_path, body)
    with pytest.raises(StorageError, match="manifest"):
        SnapshotEnsemble(net(), tmp_path)


def test_members_twice_or_out_of_order_are_refused(tmp_path: Path) -> None:
    three(tmp_path)
    body = body_of(tmp_path)
    for members in (body["members"][::-1], body["members"][:1] * 2):
        seal(tmp_path, {**body, "members": members})
        with pytest.raises(StorageError, match="ascending"):
            SnapshotEnsemble(net(), tmp_path)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    model, _, _ = three(folder)
    path = folder / "snapshot-000000009.safetensors"
    path.rename(tmp_path / "outside")
    path.symlink_to(tmp_path / "outside")
    with pytest.warns(DamagedSnapshotWarning, match="not a regular file"):
        assert steps(SnapshotEnsemble(model, folder)) == [19, 29]
    (folder / "manifest.json").rename(tmp_path / "manifest")
    (folder / "manifest.json").symlink_to(tmp_path / "manifest")
    with pytest.raises(StorageError, match="not a regular file"):
        SnapshotEnsemble(model, folder)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="not a regular file"):
        SnapshotEnsemble(model, folder)


class Canary:
    fired = False

    def __reduce__(self) -> tuple[Any, ...]:
        return setattr, (Canary, "fired", True)


def test_a_pickle_under_a_members_name_is_never_run(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path)
    data = pickle.dumps(Canary())
    (tmp_path / "snapshot-000000009.safetensors").write_bytes(data)
    body = body_of(tmp_path)
    body["members"][0]["file"].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), aliases={})
    seal(tmp_path, body)
    opened = SnapshotEnsemble(model, tmp_path)
    with pytest.warns(DamagedSnapshotWarning, match="not a safetensors file"):
        assert len(opened.member_outputs(torch.randn(2, 3))) == 2
    assert not Canary.fired


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"")
    with pytest.raises(StorageError, match="is a file; give the path of a folder"):
        SnapshotEnsemble(net(), tmp_path / "s")
    with pytest.raises(StorageError, match="cannot make the folder"):
        SnapshotEnsemble(net(), tmp_path / "s" / "t").capture(Tick(0))


class ExtraState(nn.Linear):
    def get_extra_state(self) -> Any:
        return {"note": "no tensor"}

    def set_extra_state(self, state: Any) -> None:
        raise AssertionError(state)


def test_extra_state_is_refused_by_name(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), ExtraState(2, 2))
    with pytest.raises(StorageError, match=r"'1._extra_state' \(dict\)"):
        SnapshotEnsemble(model, tmp_path).capture(Tick(0))
    assert list(tmp_path.iterdir()) == []


class Faults:
    """Let the k-th system call of a capture fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int) -> None:
        self.count = 0
        for name in ("open", "write", "fsync", "replace", "unlink"):
            monkeypatch.setattr(os, name, self._wrap(getattr(os, name), fail_at))

    def _wrap(self, real: Any, fail_at: int) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count == fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call


def outcome(action: Callable[[], object]) -> str:
    """The message of the StorageError, or nothing."""
    try:
        action()
    except StorageError as error:
        return str(error)
    return ""


def check_whole(folder: Path, allowed: list[list[int]], states: dict[int, dict[str, Tensor]]) -> list[int]:
    """Open without a warning: exactly one of the allowed member lists, each member as it was captured."""
    opened = SnapshotEnsemble(net(), folder)
    assert steps(opened) in allowed
    for index, member in enumerate(opened):
        for name, value in states[member.step].items():
            assert torch.equal(stored(opened, index)[name], value)
    assert not [entry for entry in folder.iterdir() if entry.name.startswith(".")]
    return steps(opened)


def test_a_fault_at_every_system_call_of_a_capture_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, states = three(tmp_path / "start", keep=3)
    train_a_little(model)
    known = dict(zip((9, 19, 29), states, strict=True))
    known[39] = {name: value.clone() for name, value in model.state_dict().items()}
    old, new = [9, 19, 29], [19, 29, 39]
    outcomes = []
    for fail_at in range(1, 100):
        folder = tmp_path / str(fail_at)
        shutil.copytree(tmp_path / "start", folder)
        snapshots = SnapshotEnsemble(model, folder, keep=3)
        with monkeypatch.context() as patch:
            faults = Faults(patch, fail_at)
            message = outcome(lambda: snapshots.capture(Tick(39)))  # noqa: B023 - called at once
        found = check_whole(folder, [old, new], known)
        assert message or found == new
        if message:
            assert "disk is full" in message
            outcomes.append(found)
        snapshots.capture(Tick(39))  # trying again is enough, with the same object ...
        assert check_whole(folder, [new], known) == steps(snapshots)
        again = SnapshotEnsemble(model, folder, keep=3)  # ... and with another one
        again.capture(Tick(39))
        assert steps(again) == new
        if faults.count < fail_at:
            break
    else:
        pytest.fail("the capture never ended")
    # old up to the rename of the manifest; new where its folder or the dropped file fails after that
    assert outcomes == [old] * 10 + [new] * 3


def test_a_fault_at_every_system_call_of_a_rewind_leaves_the_old_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _, states = three(tmp_path / "start")
    known = dict(zip((9, 19, 29), states, strict=True))
    seen = []
    for fail_at in range(1, 50):
        folder = tmp_path / str(fail_at)
        shutil.copytree(tmp_path / "start", folder)
        snapshots = SnapshotEnsemble(model, folder)
        with monkeypatch.context() as patch:
            faults = Faults(patch, fail_at)
            message = outcome(lambda: snapshots.rewind(19))  # noqa: B023 - called at once
        assert not message or "disk is full" in message
        seen.append(check_whole(folder, [[9, 19, 29], [9]], known))
        if faults.count < fail_at:
            break
    assert seen[0] == [9, 19, 29]
    assert seen[-1] == [9]


def test_temporaries_of_a_killed_writer_go_at_the_next_capture(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path)
    left = tmp_path / ".snapshot-000000039.safetensors.0123456789ab.ostinato-partial"
    left.write_bytes(b"half")
    opened = SnapshotEnsemble(model, tmp_path)
    assert left.exists()  # a reader removes nothing
    opened.capture(Tick(39))
    assert not left.exists()


class Killed(BaseException):
    """Stands for a kill: nothing of the program runs after it."""


def killed_before_removing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """Leave a folder whose manifest has forgotten the first of four snapshots, while its file is still there."""
    model, snapshots, _ = three(folder, keep=3)

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("ostinato.ensembles.store.remove_file", kill)
        with pytest.raises(Killed):
            snapshots.capture(Tick(39))
    assert [member["step"] for member in body_of(folder)["members"]] == [19, 29, 39]
    assert (folder / "snapshot-000000009.safetensors").exists()
    return model


@pytest.mark.parametrize(
    ("write", "left"),
    [
        (lambda snapshots: snapshots.capture(Tick(49)), [29, 39, 49]),
        (lambda snapshots: snapshots.rewind(29), [19]),
        (lambda snapshots: snapshots.rewind(40), [19, 29, 39]),
    ],
)
def test_what_a_kill_left_unlisted_is_removed_by_the_next_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[SnapshotEnsemble], object], left: list[int]
) -> None:
    model = killed_before_removing(tmp_path, monkeypatch)
    foreign = {
        "snapshot-9.safetensors",
        "snapshot-0000000009.safetensors",
        "snapshot-000000009.safetensors.bak",
        "mine.safetensors",
        "notes.txt",
    }
    for name in foreign:
        (tmp_path / name).write_text("mine")
    (tmp_path / "snapshot-000000111.safetensors").symlink_to(tmp_path / "notes.txt")
    (tmp_path / "snapshot-000000112.safetensors").mkdir()
    opened = SnapshotEnsemble(model, tmp_path, keep=3)
    assert steps(opened) == [19, 29, 39]
    assert (tmp_path / "snapshot-000000009.safetensors").exists()  # a reader removes nothing
    write(opened)
    kept = {"snapshot-000000111.safetensors", "snapshot-000000112.safetensors", "manifest.json"} | foreign
    assert {path.name for path in tmp_path.iterdir()} - kept == {f"snapshot-{step:09d}.safetensors" for step in left}


def test_files_stay_where_no_manifest_says_which_are_listed(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path)
    (tmp_path / "manifest.json").unlink()
    SnapshotEnsemble(model, tmp_path).capture(Tick(59))
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        f"snapshot-{step:09d}.safetensors" for step in (9, 19, 29, 59)
    }


def test_a_snapshot_that_another_object_has_listed_meanwhile_stays(tmp_path: Path) -> None:
    model, _, _ = three(tmp_path)
    first, second = SnapshotEnsemble(model, tmp_path), SnapshotEnsemble(model, tmp_path)
    first.capture(Tick(39))
    second.rewind(100)
    assert (tmp_path / "snapshot-000000039.safetensors").exists()
