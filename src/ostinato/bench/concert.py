"""What the whole concert costs a training run: six scheduled targets against a plain rate schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ostinato.bench.harness import Row, interleaved
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.training import RunConfig
from ostinato.training.session import Session
from ostinato.training.signals import StopRequest
from ostinato.training.updates import make_update

__all__ = ["RATE", "SIX", "measure"]

_REACH = 1.03
_EPOCHS, _CYCLES = 1000, 100
_DECAY, _DROPOUT, _MOMENTUM, _SMOOTHING, _STRENGTH = 1e-3, 0.1, 0.1, 0.05, 0.5

RATE: Mapping[str, Binding] = {"optimizer.lr": wave(1e-3, 0.05)}
"""The peer's plan."""

SIX: Mapping[str, Binding] = {
    **RATE,
    "optimizer[*].weight_decay": wave(0.5 * _DECAY, 1.5 * _DECAY, shift=0.25),
    "model:Dropout.p": mirror(0.5 * _DROPOUT, 1.5 * _DROPOUT),
    "model:BatchNorm.momentum": mirror(0.5 * _MOMENTUM, 1.5 * _MOMENTUM),
    "loss.label_smoothing": mirror(0.5 * _SMOOTHING, 1.5 * _SMOOTHING),
    "augment.strength": mirror(0.5 * _STRENGTH, 1.5 * _STRENGTH),
}
"""Ours: five more targets around the very values that the peer holds."""


class _Run:
    """A run of the small network on the digits, one update a call; batches are made and augmented in this process."""

    def __init__(self, bindings: Mapping[str, Binding]) -> None:
        plan = Plan(total=f"{_EPOCHS}ep", cycle=Cycle("cosine", count=_CYCLES), bindings=bindings)
        tables = {
            "plan": plan.to_document(),
            "model": {"name": "cnn", "args": {"dropout": _DROPOUT}},
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": _DECAY},
            "augment": {"ops": ["shift", "flip", "cutout"], "strength": _STRENGTH},
        }
        self.session = Session.build(RunConfig().replace(tables))
        if "loss.label_smoothing" not in bindings:
            self.session.criterion.label_smoothing = _SMOOTHING  # type: ignore[assignment]  # a plain number of torch's module
        self._groups: Any = self.session.groups(0, self.session.scheduler.resolved.total)
        self._stop = StopRequest()

    def update(self) -> None:
        """Make one update."""
        make_update(self.session, next(self._groups), self._stop)


def measure(*, calls: int = 5, rounds: int = 161) -> Row:
    """Measure an update of ``ostinato train`` with six scheduled targets against one with a plain rate schedule.

    The peer does the same work (augmentation, dropout, smoothing, decay) at the values around which ours move, so that the ratio is what
    scheduling costs.
    """
    with torch.random.fork_rng(devices=[]):
        ours, peer = _Run(SIX), _Run(RATE)
        timing = interleaved(ours.update, peer.update, calls=calls, rounds=rounds)
    detail = {
        "peer": "a plain rate schedule with the same augmentation (shift, flip, cutout) at constant strength, digits, cnn 16-32, batch 64, SGD",
        "ours_us": timing.ours * 1e6,
        "peer_us": timing.peer * 1e6,
        "targets": ", ".join(SIX),
        "threads": torch.get_num_threads(),
    }
    return Row("concert", timing.ratio, timing.spread, _REACH, 1.0, detail=detail)
