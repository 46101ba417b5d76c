"""Several processes that share every update: equal on every rank, at every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ostinato.training import datasets, resume, train
from ranks import Recorder, digest_of, launched, returned
from running import config, fingerprint

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # forking: there are no other threads of ours
]
SETTING = config(train__devices=2, train__accumulate=2)
datasets.load(SETTING.data)  # imported before forking


def recorded(out: Path, action: Any, folder: Path) -> list[Any]:
    def child(rank: int) -> Any:
        recorder = Recorder()
        action(recorder)
        return recorder.told()

    return returned(2, child, folder)


def test_weights_and_values_are_the_same_bits_on_every_rank_at_every_step_also_after_kill_9(tmp_path: Path) -> None:
    """With dropout, which each rank draws for itself, so that equal weights are the gradients' averaging."""
    first, second = recorded(
        tmp_path, lambda recorder: train(SETTING, tmp_path / "whole", observer=recorder), tmp_path / "told"
    )
    assert [step["weights"] for step in first["steps"]] == [step["weights"] for step in second["steps"]]
    for name in ("used", "held", "loss"):
        assert [step[name] for step in first["steps"]] == [step[name] for step in second["steps"]]
    assert len({step["weights"] for step in first["steps"]}) == 26  # the check can fail: every update changes them
    assert len({tuple(step["used"].values()) for step in first["steps"]}) > 8

    out = tmp_path / "run"
    children = launched(2, lambda rank: train(SETTING, out, observer=Recorder(13)))
    assert [child.wait() for child in children] == [-9, -9]
    again = recorded(tmp_path, lambda recorder: resume(out, observer=recorder), tmp_path / "again")
    assert fingerprint(out) == fingerprint(tmp_path / "whole")
    for each in again:
        assert each["steps"] == first["steps"][10:]
        learnt = {name: tensor for name, tensor in each["left"].items() if "running" not in name}
        assert digest_of(learnt) == digest_of({name: first["left"][name] for name in learnt})
