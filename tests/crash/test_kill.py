"""Kill -9 at random moments, and inside saves: resumed, a run ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from forked import begin_or_resume, forked, wait_for, wait_for_write
from ostinato.ensembles import store
from ostinato.training.checkpoint import CheckpointStore
from running import PLAN, config, fingerprint, newest_checkpoint, partials

pytestmark = [
    pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # forking: there are no other threads of ours
]

torch.set_num_threads(1)
SETTING = config({**PLAN, "total": "106step", "cycle": {"waveform": "cosine", "period": 13}}, train__checkpoint_every=4)


def figures_of(tmp_path: Path, kills: int) -> dict[str, int]:
    """Kill a run again and again, resume it each time, and compare its end with the uninterrupted one's."""
    begun = time.monotonic()
    assert forked(lambda: begin_or_resume(SETTING, tmp_path / "whole")).wait() == 0
    whole_s = time.monotonic() - begun
    expected = fingerprint(tmp_path / "whole")
    draws = random.Random(20240607)
    figures = {"kills": 0, "in a save": 0, "runs": 0, "resumes": 0}
    while figures["kills"] < kills:
        out = tmp_path / f"run-{figures['runs']}"
        figures["runs"] += 1
        ended, torn = False, set[str]()
        while not ended and figures["kills"] < kills:
            child = forked(lambda out=out: begin_or_resume(SETTING, out))
            if draws.random() < 0.5:
                running = wait_for_write(child, out, draws.randint(1, 25))
            else:
                running = wait_for(child, draws.uniform(0.0, 0.6 * whole_s))
            ended = not running
            if running:
                child.kill()
                figures["kills"] += 1
                figures["in a save"] += bool(set(partials(out)) - torn)  # those of earlier kills may not be cleared yet
                torn |= set(partials(out))
                figures["resumes"] += (out / "config.toml").is_file()
        if not ended:
            assert forked(lambda out=out: begin_or_resume(SETTING, out)).wait() == 0
        assert fingerprint(out) == expected
        assert partials(out) == []
    return figures


def test_killed_12_times_a_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, 12)
    assert figures["kills"] == 12
    assert figures["in a save"] >= 3


def killing(real: Callable[..., Any], at: int, *, before: bool, when: str = "") -> Callable[..., Any]:
    """Return a function that ends its process without a word around its `at`-th call with a path that ends in `when`."""
    calls = [0]

    def call(*args: Any, **options: Any) -> Any:
        calls[0] += str(args[0]).endswith(when)
        due = calls[0] == at and str(args[0]).endswith(when)
        if due and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **options)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


KILLS: dict[str, tuple[Any, str, bool, str]] = {
    "before anything of a snapshot is written": (store, "write_bytes", True, ".safetensors"),
    "before the manifest names it": (store, "write_json", True, "manifest.json"),
    "before what the manifest forgot is removed": (store, "write_json", False, "manifest.json"),
    "before the checkpoint that relies on it": (CheckpointStore, "save", True, ""),
}


KEEPING_ONE = config(train__keep=1)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert forked(lambda: begin_or_resume(KEEPING_ONE, out)).wait() == 0
    return fingerprint(out)


@pytest.mark.parametrize("where", KILLS)
def test_a_snapshot_on_its_way_when_the_process_is_killed_is_made_again(
    tmp_path: Path, uninterrupted: dict[str, Any], where: str
) -> None:
    owner, name, before, ending = KILLS[where]
    at = 4 if name == "save" else 2

    def child() -> None:
        setattr(owner, name, killing(getattr(owner, name), at, before=before, when=ending))
        begin_or_resume(KEEPING_ONE, tmp_path / "run")

    assert forked(child).wait() == -signal.SIGKILL
    assert newest_checkpoint(tmp_path / "run").name == "step-000000000015"
    assert forked(lambda: begin_or_resume(KEEPING_ONE, tmp_path / "run")).wait() == 0
    assert fingerprint(tmp_path / "run") == uninterrupted
    names = {"manifest.json", "snapshot-000000025.safetensors"}
    assert {path.name for path in (tmp_path / "run" / "snapshots").iterdir()} == names


@pytest.mark.slow
def test_killed_50_times_a_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, 50)
    print(figures)
    assert figures["kills"] == 50
    assert figures["in a save"] >= 10
