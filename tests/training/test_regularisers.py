"""Dropout, label smoothing, stochastic depth and batch-norm momentum as targets of a whole run: what the plan says is what trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.core.clock import Tick
from ostinato.nn import StochasticDepth
from ostinato.training import Observer, train
from ostinato.training.session import Session
from running import config, fingerprint, interrupted_run

BINDINGS: dict[str, Any] = {
    "optimizer.lr": ost.wave(0.001, 0.05),
    "model:Dropout.p": ost.mirror(0.05, 0.3),
    "model:StochasticDepth.p": ost.mirror(0.0, 2.0, relative=True),
    "model:BatchNorm.momentum": ost.mirror(0.01, 0.3),
    "loss.label_smoothing": ost.mirror(0.0, 0.1),
}
PLAN = ost.Plan(total=12, cycle=ost.Cycle("cosine", count=2), bindings=BINDINGS)
RESNET = {"name": "resnet", "args": {"width": 4, "depth": 1, "stochastic_depth": 0.2}}


class Looker(Observer):
    """Reads the live values at every update."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def begun(self, session: Session, count: int) -> None:
        self.session = session
        self.model = session.model

    def updated(self, tick: Tick, loss: float) -> None:
        modules = list(self.model.modules())
        drops = [float(module.p) for module in modules if isinstance(module, StochasticDepth)]
        self.seen.append({
            "dropout": next(module.p for module in modules if isinstance(module, nn.Dropout)),
            "momentum": next(module.momentum or 0.0 for module in modules if isinstance(module, nn.BatchNorm2d)),
            "smoothing": float(self.session.criterion.label_smoothing),
            "first": drops[0], "last": drops[-1],
        })  # fmt: skip


def test_each_is_one_binding_and_trains_as_the_plan_says(tmp_path: Path) -> None:
    looker = Looker()
    setting = config(PLAN.to_document(), model=RESNET)
    _, document = train(setting, tmp_path / "run", observer=looker)
    table = PLAN.table()
    assert len(looker.seen) == 12
    for step, seen in enumerate(looker.seen[:-1], 1):  # after update t the values of t + 1 are in force
        assert seen["dropout"] == table["model:Dropout.p"][step]
        assert seen["momentum"] == table["model:BatchNorm.momentum"][step]
        assert seen["smoothing"] == table["loss.label_smoothing"][step]
        factor = table["model:StochasticDepth.p"][step]
        assert (seen["first"], seen["last"]) == pytest.approx((0.1 * factor, 0.2 * factor), rel=1e-6)
    assert len(document["snapshots"]) == 2


def test_a_run_with_stochastic_depth_resumes_bit_for_bit(tmp_path: Path) -> None:
    setting = config(PLAN.to_document(), model=RESNET)
    train(setting, tmp_path / "whole")
    interrupted_run(setting, tmp_path / "parts", [4, 9])
    assert fingerprint(tmp_path / "parts") == fingerprint(tmp_path / "whole")


def test_stochastic_depth_drops_whole_branches_in_training_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(StochasticDepth(0.5))
    rows = model(torch.ones(200, 3))
    kept = rows[:, 0] == 2.0
    assert torch.equal(rows[kept], torch.full((int(kept.sum()), 3), 2.0))
    assert torch.equal(rows[~kept], torch.zeros(int((~kept).sum()), 3))
    assert 60 < int(kept.sum()) < 140
    assert torch.equal(model.eval()(torch.ones(2, 3)), torch.ones(2, 3))
