"""Kill -9 at random moments, and inside saves: resumed, a run ends as if nothing had happened."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
import torch

from forked import begin_or_resume, forked, wait_for, wait_for_write
from running import PLAN, config, fingerprint, partials

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


@pytest.mark.slow
def test_killed_50_times_a_run_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    figures = figures_of(tmp_path, 50)
    print(figures)
    assert figures["kills"] == 50
    assert figures["in a save"] >= 10
