from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, OstinatoWarning, PlanError, StateError, StorageError, TargetError
from ostinato.training import Observer, RunConfig, RunFolder, evaluate_run, load_config, resume, train
from running import PLAN, Crash, Crasher, config, fingerprint, newest_checkpoint, partials, tree

torch.set_num_threads(1)
PLAIN = {**PLAN, "total": 10, "bind": PLAN["bind"][:1]}
SMALL = config({**PLAN, "total": 18}, train__checkpoint_every=8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, dict[str, Any]]:
    return train(SMALL, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def run(finished: tuple[RunFolder, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return Path(shutil.copytree(finished[0].path, tmp_path / "run"))


# -- what a run leaves behind ----------------------------------------------------------------------------------


def test_the_run_folder_holds_what_the_contract_names(finished: tuple[RunFolder, dict[str, Any]]) -> None:
    names = {path.name for path in finished[0].path.iterdir()}
    assert names == {"config.toml", "metrics.jsonl", "snapshots", "checkpoint", "result.json", "report.html"}


def test_the_result_has_the_contract_s_keys(finished: tuple[RunFolder, dict[str, Any]]) -> None:
    folder, document = finished
    assert json.loads(folder.result.read_text()) == document
    keys = [
        "schema",
        "version",
        "plan_digest",
        "data",
        "seed",
        "steps",
        "cycles",
        "snapshots",
        "metrics",
        "environment",
        "wall_s",
    ]
    assert set(keys) <= set(document)
    for name in ("last", "best_member", "ensemble"):
        assert {"error", "nll", "ece"} <= set(document["metrics"][name])
    assert document["steps"] == 18
    assert document["snapshots"] == [9, 17]
    assert document["seed"] == 0
    assert document["data"]["name"] == "digits"
    resolved = Plan.from_document(load_config(folder.config).plan or {}).resolve(
        steps_per_epoch=9, samples_per_step=160
    )
    assert document["plan_digest"] == resolved.digest


def test_the_configuration_of_a_run_reproduces_it(finished: tuple[RunFolder, dict[str, Any]], tmp_path: Path) -> None:
    train(load_config(finished[0].config), tmp_path / "again")
    assert fingerprint(tmp_path / "again") == fingerprint(finished[0].path)


def test_without_a_plan_five_cycles_are_trained(tmp_path: Path) -> None:
    setting = RunConfig(plan={"total": "2ep"}).replace({"model": "linear", "train.batch_size": 160})
    _, document = train(setting, tmp_path / "run")
    assert len(document["cycles"]) == 5
    assert len(document["snapshots"]) == 5


def test_without_out_the_first_unused_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    setting = config(
        {"total": 3, "cycle": {"waveform": "cosine", "count": 1}, "bind": PLAN["bind"][:1]}, model="linear"
    )
    assert [str(train(setting)[0].path) for _ in range(2)] == ["runs/digits-1", "runs/digits-2"]


# -- folders that are taken ------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_refused(run: Path) -> None:
    before = tree(run)
    with pytest.raises(ConfigError, match=r"run: holds a run already; go on with it by --resume .*, or choose another"):
        train(SMALL, run)
    assert tree(run) == before


@pytest.mark.parametrize("name", ["snapshots", "checkpoint", "metrics.jsonl", "report.html", "result.json"])
def test_files_that_a_run_would_write_over_are_refused(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.mkdir() if "." not in name else place.write_text("mine")
    with pytest.raises(ConfigError, match=rf"{name}: is there already and would be written over; choose another --out"):
        train(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_with_other_files_is_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".config.toml.0123.ostinato-partial").write_text("torn")
    train(SMALL, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert partials(tmp_path) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ConfigError, match="run: is a file; choose another --out"):
        train(SMALL, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"run: holds no run \(no config.toml\); give the folder of a run"):
        resume(tmp_path / "run")


def test_a_folder_in_which_another_process_trains_is_refused(run: Path) -> None:
    script = "import fcntl, sys; f = open(sys.argv[1], 'rb+'); fcntl.lockf(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    command = [shutil.which("python3") or "python3", "-c", script, str(run / "config.toml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        before = tree(run)
        with pytest.raises(ConfigError, match="run: another process is training here; wait until it has ended"):
            resume(run)
        assert tree(run) == before
        evaluate_run(run)
        other.communicate("\n")
    resume(run)


def test_evaluating_leaves_what_a_writer_has_not_finished(run: Path) -> None:
    torn = run / ".metrics.0123.ostinato-partial"
    torn.write_text("being written")
    before = tree(run)
    evaluate_run(run)
    assert tree(run) == before
    resume(run)
    assert not torn.exists()


# -- nothing is written before everything fits -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"plan": {**PLAN, "bind": [{"target": "optimiser.lr", "low": 0, "high": 1}]}}, TargetError, "optimiser"),
        ({"plan": {**PLAN, "bind": [{"target": "model:Dropot.p", "low": 0, "high": 1}]}}, TargetError, "Dropout"),
        ({"plan": {**PLAN, "total": 0}}, PlanError, "total"),
        ({"plan": PLAIN, "model": {"factory": "running:narrow"}}, ConfigError, r"model: running:narrow cannot take inputs of shape \(1, 8, 8\) of digits: RuntimeError"),
        ({"plan": PLAIN, "model": {"factory": "running:wrong_classes"}}, ConfigError, r"returns a result of shape \(2, 7\) for a batch of 2, expected logits of shape \(2, 10\)"),
        ({"model": {"factory": "running:no_module"}}, ConfigError, "returned a int, expected a torch.nn.Module"),
        ({"model": {"factory": "running:broken"}}, ConfigError, r"broken raised ValueError: a broken factory \(.*running.py:\d+\)"),
        ({"model": {"factory": "running:absent"}}, ConfigError, "absent"),
        ({"train.accelerator": "cuda"}, ConfigError, r"\[train\] accelerator, devices, precision, strategy: "),
        ({"optimizer": "sgdd"}, ConfigError, "did you mean 'sgd'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    if changes.get("train.accelerator") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(error, match=words) as caught:
        train(SMALL.replace(changes), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


# -- resume with something else --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"plan": {**PLAN, "total": 26}},
            r"was begun under another plan: total was '18step', is '26step'; leave it out",
        ),
        (
            {"train.seed": 4},
            r"\[train\] seed was 0, is 4; leave it out to go on with .*run, or start another run with --out",
        ),
        ({"data": "fashion-mnist"}, r"\[data\] name was 'digits', is 'fashion-mnist'"),
        ({"model": "cnn"}, r"\[model\] name was 'mlp', is 'cnn'"),
        ({"optimizer.lr": 0.3}, r"\[optimizer\] lr was 0.1, is 0.3"),
        ({"train.clip_norm": 1.0}, r"\[train\] clip_norm was absent, is 1.0"),
    ],
)
def test_a_resume_under_another_configuration_shows_the_difference(
    run: Path, changes: dict[str, Any], words: str
) -> None:
    before = tree(run)
    with pytest.raises(StateError, match=words):
        resume(run, SMALL.replace(changes))
    assert tree(run) == before


def test_a_resume_under_the_same_configuration_written_otherwise_goes_on(run: Path) -> None:
    before = fingerprint(run)
    resume(run, SMALL.replace({"plan": {**PLAN, "total": "18step", "warmup": "2step"}}))
    assert fingerprint(run) == before


# -- damage ----------------------------------------------------------------------------------------------------


def flip(path: Path, place: int = -100) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_and_says_so(run: Path, name: str) -> None:
    expected = fingerprint(run)
    newest = newest_checkpoint(run)
    flip(newest / name)
    with pytest.warns(OstinatoWarning, match=rf"checkpoint passed over: .*{newest.name}/{name}.* is altered"):
        resume(run)
    assert fingerprint(run) == expected  # the damaged one was written again
    before = tree(run)
    resume(run)
    assert tree(run) == before


def test_with_all_checkpoints_damaged_nothing_is_touched(run: Path) -> None:
    for place in (run / "checkpoint").iterdir():
        (place / "state.json").write_text("{}")
    before = tree(run)
    with (
        pytest.warns(OstinatoWarning, match="checkpoint passed over"),
        pytest.raises(
            StorageError, match=r"checkpoint: every checkpoint is damaged; restore one from a copy, or start again"
        ),
    ):
        resume(run)
    assert tree(run) == before


def test_a_log_that_is_not_the_checkpoint_s_is_refused(run: Path) -> None:
    flip(run / "metrics.jsonl", 30)
    before = tree(run)
    with pytest.raises(
        StorageError, match=r"metrics.jsonl: is not the log that the checkpoint was saved with; restore"
    ):
        resume(run)
    assert tree(run) == before


def test_evaluate_leaves_a_damaged_snapshot_out_by_name(run: Path) -> None:
    flip(run / "snapshots" / "snapshot-000000009.safetensors")
    before = tree(run)
    with pytest.warns(OstinatoWarning, match="snapshot-000000009"):
        document = evaluate_run(run)
    assert document["snapshots"] == [17]
    assert tree(run) == before


def test_evaluate_needs_no_checkpoint_and_says_so_once(run: Path) -> None:
    expected = evaluate_run(run)
    for place in (run / "checkpoint").iterdir():
        flip(place / "state.json")
    before = tree(run)
    with pytest.warns(OstinatoWarning) as told:
        document = evaluate_run(run)
    assert [str(warning.message) for warning in told] == [
        f"{run / 'checkpoint'}: every checkpoint is damaged; what is scored are the 2 snapshots, up to step 18"
    ]
    assert document == expected
    assert tree(run) == before


def test_evaluate_without_checkpoint_and_result_and_with_one_snapshot(run: Path) -> None:
    expected = evaluate_run(run)
    for place in (run / "checkpoint").iterdir():
        (place / "state.json").unlink()
    (run / "result.json").write_text("{}")
    flip(run / "snapshots" / "snapshot-000000017.safetensors")
    with pytest.warns(OstinatoWarning) as told:
        document = evaluate_run(run)
    assert [str(warning.message).partition(":")[0] for warning in told] == [
        "snapshot left out",
        str(run / "checkpoint"),
    ]
    assert (document["steps"], document["wall_s"], document["snapshots"]) == (10, 0.0, [9])
    assert document["members"] == expected["members"][:1]


def test_evaluate_takes_the_checkpoint_before_a_damaged_one_and_says_so(run: Path) -> None:
    flip(newest_checkpoint(run) / "state.json")
    with pytest.warns(OstinatoWarning, match="checkpoint passed over") as told:
        document = evaluate_run(run)
    assert len(told) == 1
    assert document["steps"] == 16


# -- evaluate --------------------------------------------------------------------------------------------------


def test_evaluate_gives_what_training_gave(finished: tuple[RunFolder, dict[str, Any]], run: Path) -> None:
    document = evaluate_run(run)
    expected = {**finished[1], "metrics": {**finished[1]["metrics"], "final": None}}
    assert document == expected


def test_evaluate_averages_and_recalibrates(run: Path) -> None:
    plain = evaluate_run(run)
    assert evaluate_run(run, average="logits")["metrics"]["ensemble"] != plain["metrics"]["ensemble"]
    assert len(evaluate_run(run, last=1)["members"]) == 1
    before = tree(run)
    assert evaluate_run(run, recalibrate=True)["metrics"]["last"] != plain["metrics"]["last"]
    assert tree(run) == before


def test_evaluate_of_a_run_without_snapshots(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(SMALL, tmp_path / "run", observer=Crasher("updated", 3))
    with pytest.raises(
        ConfigError, match=r"run: holds no snapshot yet; the first is taken at the end of the first cycle"
    ):
        evaluate_run(tmp_path / "run")


# -- full disks ------------------------------------------------------------------------------------------------

CALLS = ("write", "fsync", "replace", "rename", "mkdir")


class FullDisk:
    """Lets the k-th of the system calls that write fail, and every one after it until `free`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int | None) -> None:
        self.calls = 0
        self.fail_at = fail_at
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name)))

    def _wrapped(self, real: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.fail_at is not None and self.calls >= self.fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **options)

        return call

    def free(self) -> None:
        self.fail_at = None


TINY = config(
    {"total": 2, "cycle": {"waveform": "cosine", "count": 1}, "bind": PLAN["bind"][:1]},
    model="linear",
    train__checkpoint_every=1,
)


def calls_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    with monkeypatch.context() as patch:
        disk = FullDisk(patch, None)
        train(TINY, tmp_path / "whole")
    return disk.calls


def test_a_disk_full_at_any_call_ends_in_one_line_and_a_folder_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = calls_of(tmp_path, monkeypatch)
    expected = fingerprint(tmp_path / "whole")
    assert calls > 30
    for fail_at in range(1, calls + 1):
        out = tmp_path / str(fail_at)
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, fail_at)
            with pytest.raises(StorageError) as caught:
                train(TINY, out)
        message = str(caught.value)
        assert "\n" not in message
        assert "full" in message or "No space left" in message, (fail_at, message)
        assert disk.calls >= fail_at
        resume(out) if (out / "config.toml").exists() else train(TINY, out)
        assert fingerprint(out) == expected, fail_at
        assert partials(out) == [], fail_at


class Full(Observer):
    """Allows files of this process to grow to so many bytes only, as a full disk or quota would."""

    def begun(self, session: Any, count: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("limits")
def test_a_file_that_may_not_grow_ends_in_one_line_and_a_folder_that_resumes(
    tmp_path: Path, finished: tuple[RunFolder, dict[str, Any]]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(StorageError, match=r"cannot (be written|write).*; (free some space|see)"):
        train(SMALL, tmp_path / "run", observer=Full())
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resume(tmp_path / "run")
    assert fingerprint(tmp_path / "run") == fingerprint(finished[0].path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], check=False, capture_output=True)
    if made.returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


def test_a_disk_that_is_full_ends_in_one_line_and_a_folder_that_resumes(
    small_disk: Path, finished: tuple[RunFolder, dict[str, Any]]
) -> None:
    with pytest.raises(StorageError, match=r"the disk is full; free some space|No space left"):
        train(SMALL, small_disk / "run")
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    resume(small_disk / "run")
    assert fingerprint(small_disk / "run") == fingerprint(finished[0].path)
