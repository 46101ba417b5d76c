"""The norm of the weights that decay, logged by a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ostinato.core.clock import Tick
from ostinato.training import Observer, train
from ostinato.training.log import read_metrics
from ostinato.training.session import Session
from running import config


class Weights(Observer):
    """Computes the norm anew after every update, from the layers themselves."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def begun(self, session: Session, count: int) -> None:
        self.model = session.model

    def updated(self, tick: Tick, loss: float) -> None:
        squares = [
            module.weight.detach().double().square().sum()
            for module in self.model.modules()
            if isinstance(module, nn.Linear)
        ]
        self.norms.append(math.sqrt(float(torch.stack(squares).sum())))


def logged(folder: Path) -> dict[int, float]:
    return {
        record["step"]: record["weight_norm"]
        for record in read_metrics(folder / "metrics.jsonl")
        if "weight_norm" in record
    }


def test_the_log_has_the_norm_of_the_decayed_weights(tmp_path: Path) -> None:
    weights = Weights()
    train(config(), tmp_path / "run", observer=weights)
    found = logged(tmp_path / "run")
    assert list(found) == list(range(26))
    assert list(found.values()) == pytest.approx(weights.norms, rel=1e-5)
    assert "weight norm" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(("log_every", "stride"), [(1, 3), (7, 7)])
def test_a_long_run_logs_it_about_two_hundred_times_and_at_cycle_ends(
    tmp_path: Path, log_every: int, stride: int
) -> None:
    plan: dict[str, Any] = {
        "total": 500,
        "cycle": {"count": 4},
        "bind": [{"target": "optimizer.lr", "low": 0.001, "high": 0.01}],
    }
    setting = config(
        plan, model="linear", train__log_every=log_every, train__batch_size=720, train__checkpoint_every=500
    )
    train(setting, tmp_path / "run")
    ends = {124, 249, 374, 499}
    assert set(logged(tmp_path / "run")) == {step for step in range(500) if step % stride == 0} | ends


def no_decay(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LayerNorm(math.prod(shape)), _Fixed(math.prod(shape), classes))


class _Fixed(nn.Module):
    """Sums of the inputs, without a weight that decays."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("share", torch.randn(classes, inputs))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs @ self.share.T


def test_a_model_without_decayed_weights_logs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ostinato_plain_model.py").write_text(Path(__file__).read_text())
    monkeypatch.chdir(tmp_path)
    train(
        config(
            model="ostinato_plain_model:no_decay",
            plan={"total": 4, "bind": [{"target": "optimizer.lr", "low": 0.01, "high": 0.1}], "cycle": {"count": 2}},
        ),
        tmp_path / "run",
    )
    assert logged(tmp_path / "run") == {}
    assert "weight norm" not in (tmp_path / "run" / "report.html").read_text()
