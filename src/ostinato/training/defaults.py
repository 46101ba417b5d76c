"""The plan of a run that brings none: five cosine cycles, whatever the total."""

from __future__ import annotations

import torch

from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan

__all__ = ["DEFAULT_TOTAL", "default_plan"]

DEFAULT_TOTAL = "30ep"
_RANGE = 100.0


def default_plan(optimizer: torch.optim.Optimizer) -> Plan:
    """Return five cosine cycles of the learning rate, from the optimizer's own down to a hundredth of it (arXiv 1704.00109).

    >>> from ostinato.training import optimizers
    >>> plan = default_plan(optimizers.build("sgd", torch.nn.Linear(2, 2), lr=0.2))
    >>> plan.cycle.count, plan.bindings["optimizer.lr"].schedule.high
    (5, 0.2)
    """
    rate = float(optimizer.param_groups[0]["lr"])
    return Plan(cycle=Cycle("cosine", count=5), bindings={"optimizer.lr": wave(rate / _RANGE, rate)})
