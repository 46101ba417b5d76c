"""Kill -9 in the middle of a run with augmentation in workers: the batches after the resume are those of never having stopped."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from forked import forked
from ostinato.training import resume, train
from running import fingerprint
from seen import Seen, lines_by_update, six

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # forking: there are no other threads of ours
]

torch.set_num_threads(1)


def wait_for_update(place: Path, count: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if place.exists() and f"\n{count} inputs" in place.read_text():
            return
        time.sleep(0.001)
    raise AssertionError(f"update {count} was not reached")


def test_killed_in_the_middle_the_same_batches_come_as_without_interruption(tmp_path: Path) -> None:
    setting = six(train__workers=2)
    train(setting, tmp_path / "whole", observer=Seen(tmp_path / "whole.seen"))
    expected = lines_by_update(tmp_path / "whole.seen")
    assert len(expected) == 2 * 26
    assert all(len(digests) == 1 for digests in expected.values())

    out, seen = tmp_path / "run", tmp_path / "run.seen"
    child = forked(lambda: train(setting, out, observer=Seen(seen)))
    wait_for_update(seen, 12)
    child.kill()
    assert not (out / "result.json").exists()
    before = lines_by_update(seen)
    assert ("12", "inputs") in before
    assert forked(lambda: resume(out, observer=Seen(seen))).wait() == 0
    made_again = seen.read_text().splitlines()
    assert len(made_again) > len(before)
    assert lines_by_update(seen) == expected
    assert fingerprint(out) == fingerprint(tmp_path / "whole")
