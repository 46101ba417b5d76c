"""Schedules to build courses from: pure functions of a count that combine with ``*`` and ``+``.

>>> import numpy as np
>>> from ostinato import schedules
>>> stable_decay = schedules.join(schedules.hold(0.1), schedules.linear(0.1, 0.0, over=4), at=[2])
>>> schedules.warmup(stable_decay, over=1)(np.arange(8))
array([0.05 , 0.1  , 0.1  , 0.1  , 0.075, 0.05 , 0.025, 0.   ])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ostinato.core.algebra import Clip, Join, Product, Sum, Warmup
from ostinato.core.bindings import Binding
from ostinato.core.schedules import Hold, Linear, OneCycle, Schedule, as_schedule
from ostinato.core.units import DurationLike

__all__ = ["Schedule", "clip", "hold", "join", "linear", "one_cycle", "product", "sum", "warmup"]

Part = Schedule | Binding | float


def hold(value: float) -> Schedule:
    """Return the schedule that has one value for ever."""
    return Hold(value)


def linear(start: float, end: float, *, over: DurationLike = "1dur") -> Schedule:
    """Return start + (end - start)·min(t / over, 1)."""
    return Linear(start, end, over)


def one_cycle(
    high: float,
    *,
    over: DurationLike = "1dur",
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    three_phase: bool = False,
) -> Schedule:
    """Return the one-cycle policy, with torch's ``OneCycleLR`` values (Smith & Topin 2017, arXiv 1708.07120).

    Args:
        high: Highest value.
        over: Length; by default all that follows the plan's warm-up. Past it the last value holds.
        pct_start: Share of the length that climbs.
        div_factor: The first value is high / div_factor.
        final_div_factor: The last value is the first / final_div_factor.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        three_phase: Come down as it went up, then fall to the last value.

    Raises:
        PlanError: A value is out of range.

    >>> round(one_cycle(1.0, over=100)(0), 6)
    0.04
    """
    return OneCycle(high, over, pct_start, div_factor, final_div_factor, anneal_strategy, three_phase)


def warmup(of: Part, *, over: DurationLike, start: float = 0.0) -> Schedule:
    """Return a climb of `over` counts from `start` to the first value of `of`, which then begins."""
    return Warmup(as_schedule(of), over, start)


def join(*of: Part, at: Sequence[DurationLike]) -> Schedule:
    """Return one schedule after another; the next begins at each place of `at`.

    Each counts from its own beginning, except waves on the shared cycle, which stay on the clock.
    """
    return Join(tuple(as_schedule(part) for part in of), tuple(at))


def product(*of: Part) -> Schedule:
    """Return the product of schedules, whatever their order."""
    return Product(tuple(as_schedule(part) for part in of))


def sum(*of: Part) -> Schedule:
    """Return the sum of schedules, whatever their order."""
    return Sum(tuple(as_schedule(part) for part in of))


def clip(of: Part, low: float, high: float) -> Schedule:
    """Return a schedule held between `low` and `high`."""
    return Clip(as_schedule(of), low, high)
