"""When replay happens: a probability that a plan drives, drawn so that its count is exact."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, PlanError, suggest

__all__ = ["PROBABILITY", "Replay", "Spread", "replay_times"]

PROBABILITY, COUNT = "replay.probability", "replay.count"

Spread = Literal["random", "even"]
_TIMES = 8  # a stream of the seed
_EXACT = 9  # decimals of a sum of probabilities; beyond them is rounding


@dataclass
class Replay:
    """What a plan drives of replay, under the root ``replay``.

    Attributes:
        probability: That old examples join an update, in [0, 1]: ``replay.probability``.
        count: How many join then, rounded to a whole number: ``replay.count``. None: as many as there are new ones.

    Raises:
        ConfigError: It is no probability, or the count is below 0.

    >>> Replay(0.25).probability
    0.25
    """

    probability: float = 0.5
    count: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ConfigError(f"probability: got {self.probability!r}, expected a number in [0, 1]")
        if self.count is not None and not self.count >= 0:
            raise ConfigError(
                f"count: got {self.count!r}, expected a number of at least 0, or None for as many as there are new examples"
            )


def replay_times(
    plan: ResolvedPlan, *, default: float = 0.5, seed: int = 0, spread: Spread = "random"
) -> NDArray[np.bool_]:
    """Return at which updates old examples join: update t with probability p_t, and exactly sum p of them, bool (total,).

    Let q be the steps in the order of drawing and C_j = p_q1 + ... + p_qj. With one number u in [0, 1) for the seed, step q_j is drawn where
    floor(C_j + u) > floor(C_(j-1) + u): each with its own probability, and floor(sum p + u) in all. That holds at the end of every cycle too, so that
    plans of equal sums replay equally often in every cycle, whatever their shape: what comparing them takes.

    Args:
        plan: Its binding of ``replay.probability`` says p.
        default: p where it has none.
        seed: Of u and of the order.
        spread: ``"random"``: within each cycle the steps are drawn in random order. ``"even"``: in the order of time, which spreads equal probabilities
            evenly, such as over every other update.

    Raises:
        ConfigError: `spread` is neither.
        PlanError: The plan counts in another unit than steps.

    Source: randomised systematic sampling, W. Madow, Annals of Mathematical Statistics 20, 1949; H. Hartley, J. Rao, ibid. 33, 1962.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=8, cycle=ost.Cycle("square", count=2), bindings={"replay.probability": ost.wave(0.0, 1.0)})
    >>> replay_times(plan.resolve()).astype(int).tolist()
    [1, 1, 0, 0, 1, 1, 0, 0]
    >>> replay_times(ost.Plan(total=8).resolve(), spread="even").astype(int).tolist()
    [0, 1, 0, 1, 0, 1, 0, 1]
    """
    if spread not in ("random", "even"):
        raise ConfigError(f"spread: got {spread!r}{suggest(spread, ('random', 'even'))}")
    if plan.plan.unit != "step":
        raise PlanError(f"unit: replay is drawn for updates, the plan counts in {plan.plan.unit!r}; leave unit out")
    p = plan.table()[PROBABILITY] if PROBABILITY in plan.targets else np.full(plan.total, float(default))
    order = np.arange(plan.total)
    if spread == "random":
        order = np.concatenate(
            [
                first + np.random.default_rng((_TIMES, seed, first)).permutation(end - first)
                for first, end in _spans(plan)
            ]
        )
    u = float(np.random.default_rng((_TIMES, seed)).random())
    passed = np.floor(np.round(np.cumsum(p[order]), _EXACT) + u)
    times = np.zeros(plan.total, np.bool_)
    times[order] = np.diff(passed, prepend=0.0) > 0
    return times


def _spans(plan: ResolvedPlan) -> list[tuple[int, int]]:
    """Return the cycles, and what lies before and after them, as (first, end)."""
    ends = [0, plan.warmup, *(min(span.end, plan.total) for span in plan.cycles), plan.total]
    return [(first, end) for first, end in pairwise(ends) if end > first]
