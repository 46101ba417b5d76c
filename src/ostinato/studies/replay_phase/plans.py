"""The plans of study ``replay-phase``: cosine cycles of the rate, and when old examples join."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from ostinato.applications.continual import decayed
from ostinato.applications.continual.replay import PROBABILITY, Spread
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.schedules import hold

__all__ = ["ARMS", "plan_of", "spread_of"]

ARMS: Mapping[str, str] = {
    "high": "replay at every update in the half of each cycle where the rate is high, at none in the other",
    "random": "as many updates of each cycle with replay, at random; the peak of high",
    "dose": "at random, more often: with the summed rate that the updates with replay of high have",
    "thrift": "where the rate is highest, less often: with the summed rate that those of random have",
    "tuned": "random with a peak of its own",
    "low": "in the half where the rate is low",
    "uniform": "at every other update",
    "wave": "with a probability in step with the rate, as often as high",
    "decay": "random, and the rate 0.4 times as high from task to task; a peak of its own",
    "gdumb": "trained on a class-balanced buffer of the same size alone, after all tasks, by batches of twice the size; a peak of its own",
    "none": "no replay",
}
"""From arm to description."""

_RATE = "optimizer.lr"


def spread_of(arm: str) -> Spread:
    """Return how the times of replay are drawn."""
    return "even" if arm == "uniform" else "random"


@cache
def plan_of(arm: str, peak: float, *, steps: int, cycles: int, tasks: int) -> Plan:
    """Return an arm's plan, with its probability of replay.

    Args:
        arm: One of `ARMS`.
        peak: Highest rate.
        steps: Updates of the whole stream.
        cycles: As many in each task, which so ends at a trough.
        tasks: How many.
    """

    def bound(probability: Binding) -> Plan:
        return Plan(
            total=steps,
            cycle=Cycle("cosine", count=cycles),
            bindings={_RATE: wave(0.0, peak), PROBABILITY: probability},
        )

    def gate(duty: float = 0.5) -> Binding:
        return wave(0.0, 1.0, cycle=Cycle("square", count=cycles, duty=duty))

    half = Binding(hold(0.5))
    plans = {
        "high": lambda: bound(gate()),
        "dose": lambda: bound(Binding(hold(_summed(bound(gate())) / _summed(bound(Binding(hold(1.0))))))),
        "thrift": lambda: bound(gate(_duty(bound(half), steps // cycles))),
        "low": lambda: bound(mirror(0.0, 1.0, cycle=Cycle("square", count=cycles))),
        "wave": lambda: bound(wave(0.0, 0.5 / bound(wave(0.0, 1.0)).resolve().mean(PROBABILITY))),
        "decay": lambda: decayed(bound(half), tasks),
        "none": lambda: bound(Binding(hold(0.0))),
    }
    return plans.get(arm, lambda: bound(half))()


def _summed(plan: Plan) -> float:
    """Return the rate that updates with replay have together, in expectation."""
    table = plan.table()
    return float((table[_RATE] * table[PROBABILITY]).sum())


def _duty(plan: Plan, period: int) -> float:
    """Return the share of a cycle, from its beginning, whose rate sums to what the replay of a plan has in a cycle."""
    rate = plan.table()[_RATE][:period]
    passed = np.cumsum(rate) / period
    wanted = _summed(plan) / len(plan.table())
    return float(np.argmin(np.abs(passed - wanted)) + 1) / period
