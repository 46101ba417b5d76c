from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ostinato.ensembles import Member, SnapshotEnsemble
from ostinato.ensembles.background import PENDING
from ostinato.errors import StorageError


@dataclass(frozen=True)
class Tick:
    step: int
    cycle: int = 0
    values: dict[str, float] = field(default_factory=dict)


class Odd(nn.Module):
    """Tied weights, a strided parameter, an empty and a whole-number buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.strided = nn.Parameter(torch.randn(6, 3).t())
        self.register_buffer("empty", torch.zeros(0, 2))
        self.register_buffer("also_empty", torch.zeros(0, 2))
        self.norm = nn.BatchNorm1d(4)


def change(model: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.get_buffer("norm.num_batches_tracked").add_(1)


def contents(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def test_the_folder_is_byte_for_byte_that_of_synchronous_captures(tmp_path: Path) -> None:
    model = Odd()
    synchronous = SnapshotEnsemble(model, tmp_path / "a", keep=3)
    with SnapshotEnsemble(model, tmp_path / "b", keep=3, background=True) as background:
        for step in range(6):
            change(model, step)
            tick = Tick(step, step, {"optimizer.lr": 0.1 / (step + 1)})
            expected = synchronous.capture(tick)
            found = background.capture(tick)
            assert isinstance(found, Member)
            assert (found.step, found.cycle, found.values) == (expected.step, expected.cycle, expected.values)
            assert found.file == expected.file
            assert found == expected
            assert hash(found) == hash(expected)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert [member.step for member in background] == [3, 4, 5]


def held(snapshots: SnapshotEnsemble, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let the writer wait in front of every write until the event is set."""
    gate, real = threading.Event(), os.replace

    def replace(*args: Any, **kwargs: Any) -> None:
        gate.wait()
        real(*args, **kwargs)

    monkeypatch.setattr(os, "replace", replace)
    return gate


def test_capturing_returns_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Odd()
    with SnapshotEnsemble(model, tmp_path / "s", background=True) as snapshots:
        gate = held(snapshots, monkeypatch)
        saved = model.a.weight.detach().clone()
        member = snapshots.capture(Tick(9))
        change(model, 1)
        assert not (tmp_path / "s" / "manifest.json").exists()
        assert "done=False" in repr(member)
        gate.set()
        assert len(snapshots) == 1  # reading waits
        loaded = snapshots._store.load(snapshots.members[0])
        assert loaded is not None
        assert torch.equal(loaded["a.weight"], saved)
        assert "done=True" in repr(member)


def test_a_third_copy_waits_for_one_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Odd()
    with SnapshotEnsemble(model, tmp_path, background=True) as snapshots:
        gate = held(snapshots, monkeypatch)
        for step in range(PENDING):
            snapshots.capture(Tick(step))
        further = threading.Thread(target=lambda: snapshots.capture(Tick(PENDING)))
        further.start()
        further.join(0.3)
        assert further.is_alive()
        gate.set()
        further.join()
        assert [member.step for member in snapshots] == [0, 1, 2]


def test_copies_use_the_same_memory_again(tmp_path: Path) -> None:
    model = Odd()
    places = set()
    with SnapshotEnsemble(model, tmp_path, background=True) as snapshots:
        for step in range(8):
            change(model, step)
            member = snapshots.capture(Tick(step))
            places.add(member.__dict__["_job"].buffer.tensors["a.weight"].data_ptr())
    assert len(places) <= PENDING


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("ask", ["capture", "flush", "close", "with"])
def test_an_error_is_raised_once_and_names_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str) -> None:
    model, message = Odd(), r"step 19 was not saved.*disk is full"
    snapshots = SnapshotEnsemble(model, tmp_path, background=True)
    snapshots.capture(Tick(9))
    snapshots.flush()
    change(model, 1)
    with monkeypatch.context() as patch:
        failing(patch)
        member = snapshots.capture(Tick(19))
        assert len(snapshots) == 1  # reading raises nothing and shows what is committed
        with pytest.raises(StorageError, match=message):
            _ = member.file
    if ask == "with":
        with pytest.raises(StorageError, match=message), snapshots:
            pass
    else:
        with pytest.raises(StorageError, match=message):
            snapshots.capture(Tick(29)) if ask == "capture" else getattr(snapshots, ask)()
    snapshots.flush()
    snapshots.close()
    snapshots.capture(Tick(29))  # where capture raised, it was queued nevertheless, and this changes nothing
    snapshots.close()
    assert [member.step for member in SnapshotEnsemble(model, tmp_path)] == [9, 29]


def test_several_errors_are_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = SnapshotEnsemble(Odd(), tmp_path, background=True)
    failing(monkeypatch)
    gate = threading.Event()
    real = snapshots._store.add
    monkeypatch.setattr(snapshots._store, "add", lambda *args: (gate.wait(), real(*args))[1])
    snapshots.capture(Tick(1))
    snapshots.capture(Tick(2))
    gate.set()
    with pytest.raises(StorageError, match=r"step 1 was not saved.*; the snapshot of step 2 was not saved"):
        snapshots.flush()


def test_an_error_inside_a_with_block_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch)

    def work() -> None:
        with SnapshotEnsemble(Odd(), tmp_path, background=True) as snapshots:
            snapshots.capture(Tick(1))
            raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        work()
    assert "step 1 was not saved" in caught.value.__notes__[0]


def test_other_weights_for_a_step_are_refused_as_without_a_thread(tmp_path: Path) -> None:
    model = Odd()
    snapshots = SnapshotEnsemble(model, tmp_path, background=True)
    snapshots.capture(Tick(9))
    change(model, 1)
    snapshots.capture(Tick(9))
    with pytest.raises(StorageError, match=r"step 9 was not saved: step 9 was captured before.*rewind\(9\)"):
        snapshots.flush()


def test_what_cannot_be_stored_is_refused_at_once(tmp_path: Path) -> None:
    model = Odd()
    snapshots = SnapshotEnsemble(model, tmp_path, background=True)
    with pytest.raises(StorageError, match="finite"):
        snapshots.capture(Tick(1, 0, {"optimizer.lr": float("nan")}))
    model.register_buffer("wide", torch.zeros(2, dtype=torch.complex128))
    with pytest.raises(StorageError, match="'wide' cannot be stored"):
        snapshots.capture(Tick(1))
    snapshots.close()
    assert list(tmp_path.iterdir()) == []


def test_rewinding_and_predicting_see_what_was_captured(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    with SnapshotEnsemble(model, tmp_path, background=True) as snapshots:
        x = torch.rand(3, 2)
        snapshots.capture(Tick(9))
        assert torch.equal(snapshots.member_outputs(x)[0], model(x))
        snapshots.capture(Tick(19))
        assert snapshots.rewind(10) == 1
        nn.init.ones_(model.weight)
        snapshots.capture(Tick(19))
        assert torch.equal(snapshots.member_outputs(x)[1], model(x))
    snapshots.capture(Tick(29))  # after the end of the block too
    assert len(snapshots) == 3
    snapshots.close()
    snapshots.close()


def test_without_a_thread_flush_and_close_do_nothing(tmp_path: Path) -> None:
    with SnapshotEnsemble(Odd(), tmp_path) as snapshots:
        snapshots.capture(Tick(1))
        snapshots.flush()
    snapshots.close()
    assert len(snapshots) == 1


def test_an_object_that_is_forgotten_finishes_its_work(tmp_path: Path) -> None:
    model = Odd()
    snapshots = SnapshotEnsemble(model, tmp_path, background=True)
    snapshots.capture(Tick(9))
    del snapshots
    gc.collect()
    assert len(SnapshotEnsemble(model, tmp_path)) == 1


PROGRAM = """
import os, signal, sys, torch
from types import SimpleNamespace
from torch import nn
from ostinato.ensembles import SnapshotEnsemble
torch.set_num_threads(1)  # OpenMP does not survive a fork
tick = lambda step: SimpleNamespace(step=step, cycle=0, values={})
model = nn.Linear(700, 700)
snapshots = SnapshotEnsemble(model, sys.argv[1], background=True)
snapshots.capture(tick(9)); snapshots.flush()
nn.init.zeros_(model.weight)
"""
ENDINGS = {
    "exit": "snapshots.capture(tick(19))",
    "exception": "snapshots.capture(tick(19)); raise SystemExit(0)",
    "error": """
def replace(*args):
    raise OSError(28, "full")
os.replace = replace
snapshots.capture(tick(19))
""",
    "multiprocessing": """
import multiprocessing
def child():
    snapshots = SnapshotEnsemble(model, sys.argv[1], background=True)
    snapshots.capture(tick(19))
    globals()["keep"] = snapshots
process = multiprocessing.get_context("fork").Process(target=child)
process.start(); process.join()
assert process.exitcode == 0
""",
}


def ended(folder: Path, ending: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + ending, str(folder)], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("ending", ["exit", "exception", "multiprocessing"])
def test_a_process_that_ends_without_close_loses_nothing(tmp_path: Path, ending: str) -> None:
    result = ended(tmp_path, ENDINGS[ending])
    assert (result.returncode, result.stderr) == (0, "")
    assert [member.step for member in SnapshotEnsemble(nn.Linear(700, 700), tmp_path)] == [9, 19]


def test_a_process_that_ends_with_an_error_unseen_says_it(tmp_path: Path) -> None:
    result = ended(tmp_path, ENDINGS["error"])
    assert "ostinato: the snapshot of step 19 was not saved" in result.stderr
    assert [member.step for member in SnapshotEnsemble(nn.Linear(700, 700), tmp_path)] == [9]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("call", ["write", "fsync", "replace", "second replace"])
def test_killed_in_the_middle_of_a_write_the_old_manifest_is_valid(tmp_path: Path, call: str) -> None:
    name, at = call.rsplit(maxsplit=1)[-1], 2 if "second" in call else 1
    ending = f"""
real, count = os.{name}, [0]
def kill(*args):
    count[0] += 1
    if count[0] == {at}:
        if "{name}" == "write":
            real(args[0], args[1][:1000])
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
os.{name} = kill
snapshots.capture(tick(19))
snapshots.flush()
"""
    assert ended(tmp_path, ending).returncode == -signal.SIGKILL
    model = nn.Linear(700, 700)
    opened = SnapshotEnsemble(model, tmp_path)  # without a warning
    assert [member.step for member in opened] == [9]
    assert opened.member_outputs(torch.rand(1, 700)).shape == (1, 1, 700)
    opened.capture(Tick(19))  # and going on works
    assert [member.step for member in SnapshotEnsemble(model, tmp_path)] == [9, 19]
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_neither_hangs_nor_writes_for_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Odd()
    snapshots = SnapshotEnsemble(model, tmp_path / "s", background=True)
    gate = held(snapshots, monkeypatch)
    member = snapshots.capture(Tick(9))
    child = os.fork()
    if not child:  # the thread is not here
        code = 1
        try:
            signal.alarm(30)
            snapshots.flush()
            try:
                _ = member.file
            except StorageError as error:
                code = 0 if "left to the process that captured it" in str(error) else 2
            code = code or (3 if (tmp_path / "s" / "manifest.json").exists() else 0)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.set()
    snapshots.close()
    assert [entry.step for entry in SnapshotEnsemble(model, tmp_path / "s")] == [9]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_the_copy_is_pinned_and_of_the_moment_of_capture(tmp_path: Path) -> None:
    model = nn.Linear(2000, 2000).cuda()
    x = torch.rand(4096, 2000, device="cuda")
    with SnapshotEnsemble(model, tmp_path, background=True) as snapshots:
        for step in range(4):
            for _ in range(20):
                x = torch.tanh(x @ model.weight)  # work that the copy has to wait for
            with torch.no_grad():
                model.weight.fill_(float(step))
            member = snapshots.capture(Tick(step))
            with torch.no_grad():
                model.weight.fill_(-1.0)
            assert member.__dict__["_job"].buffer.tensors["weight"].is_pinned()
        for step, member in enumerate(snapshots.members):
            loaded = snapshots._store.load(member)
            assert loaded is not None
            assert bool((loaded["weight"] == step).all())
