"""Which phases of a cycle evaluations see, and a warning where they are too few.

A score that breathes with the cycle, read every `interval` steps, shows period / gcd(period, interval) phases. One or two of them say nothing about the
cycle's mean: whoever compares plans that way compares phases. The phase of a step is that of its `Tick`: steps since its cycle began, divided by
the cycle's length. "Every N steps" means after every N updates: steps N - 1, 2N - 1, ..., as `ostinato.population.train` counts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from numbers import Integral

import numpy as np

from ostinato.checks import whole
from ostinato.core.clock import Span
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import DataError, PhaseLockWarning, PlanError

__all__ = [
    "LARGEST_GAP",
    "Sampling",
    "examine",
    "largest_gap",
    "locate",
    "phases_seen",
    "steps_every",
    "whole_cycles",
]

LARGEST_GAP = 0.25
"""Evaluations that leave out more than this share of the cycle in one piece are phase-locked."""

_ROUNDING = 1e-9
_NO_CYCLE = "cycle: the plan has none, so that there are no phases; write Plan(cycle=ost.Cycle(...), ...)"


def phases_seen(period: int, interval: int, offset: int = 0) -> IntArray:
    """Return the positions inside a cycle that evaluation every `interval` steps sees, (period / gcd(period, interval),), rising.

    Args:
        period: Steps of a cycle, all cycles alike.
        interval: Steps from evaluation to evaluation.
        offset: Steps by which they are late: steps congruent to offset - 1 modulo the interval.

    Raises:
        DataError: A number is not whole, or period or interval is below 1.

    >>> [len(phases_seen(10, interval)) for interval in (10, 5, 3)]
    [1, 2, 10]
    >>> phases_seen(10, 5).tolist(), phases_seen(10, 5, offset=2).tolist()
    ([4, 9], [1, 6])
    """
    period, interval = _whole("period", period), _whole("interval", interval)
    common = math.gcd(period, interval)
    first = (_whole("offset", offset, None) - 1) % common
    return np.arange(first, period, common, dtype=np.int64)


_whole = partial(whole, of=Integral, error=DataError)


def steps_every(total: int, interval: int, offset: int = 0) -> IntArray:
    """Return the steps below `total` after which evaluation every `interval` steps happens.

    >>> steps_every(20, 5).tolist(), steps_every(20, 5, offset=2).tolist()
    ([4, 9, 14, 19], [1, 6, 11, 16])
    """
    interval = _whole("interval", interval)
    first = (_whole("offset", offset, None) - 1) % interval
    return np.arange(first, total, interval, dtype=np.int64)


def locate(resolved: ResolvedPlan, steps: Iterable[int] | IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return each step's cycle (-1 outside all cycles), its offset inside it and the cycle's length, all (E,).

    Raises:
        PlanError: The plan has no cycle.
        DataError: A step is not a whole number.
    """
    rhythm = resolved.clock.rhythm
    if rhythm is None:
        raise PlanError(_NO_CYCLE)
    found = np.asarray(steps if isinstance(steps, np.ndarray) else list(steps))
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise DataError(f"steps: expected whole numbers in one row, got {found.dtype} of shape {found.shape}")
    found = found.astype(np.int64)
    inside = (found >= resolved.warmup) & (found < resolved.total)
    cycle, offset, length = rhythm.position(np.where(inside, found - resolved.warmup, 0))
    return np.where(inside, cycle, -1), offset, length


def largest_gap(phases: FloatArray) -> float:
    """Return the largest part of the circle between two phases that are next to each other; 1 for a single phase, and for none.

    >>> largest_gap(np.array([0.0, 0.25, 0.5]))
    0.5
    """
    if not len(phases):
        return 1.0
    ordered = np.sort(phases)
    return float(np.diff(ordered, append=ordered[0] + 1.0).max())


@dataclass(frozen=True, eq=False)
class Sampling:
    """What evaluations see of a plan's cycles.

    Attributes:
        steps: The steps inside the cycles after which is evaluated, rising, (E,).
        cycle: The cycle of each, (E,).
        phase: The phase of each, in [0, 1), (E,).
        cycles: Cycles of the run.
        distinct: Different phases, all cycles taken together; exact fractions are compared.
        gap: The largest piece of the cycle without a phase, in (0, 1]; 1 / D for D phases evenly apart.
        finest: The gap that evaluation after every step of the longest cycle would leave.
    """

    steps: IntArray
    cycle: IntArray
    phase: FloatArray
    cycles: int
    distinct: int
    gap: float
    finest: float

    @property
    def locked(self) -> bool:
        """Whether more than a quarter of the cycle is never seen, in one piece, although its steps would show it."""
        return self.gap > max(LARGEST_GAP, self.finest) + _ROUNDING

    @cached_property
    def per_cycle(self) -> IntArray:
        """Evaluations in each cycle, (cycles,)."""
        return np.bincount(self.cycle, minlength=self.cycles).astype(np.int64)

    def phases_of(self, cycle: int) -> FloatArray:
        """Return the phases seen of one cycle, rising.

        Raises:
            DataError: There is no such cycle.
        """
        if not 0 <= cycle < self.cycles:
            raise DataError(f"cycle: got {cycle}, expected 0 to {self.cycles - 1}")
        found: FloatArray = self.phase[self.cycle == cycle]
        return found

    @property
    def sentence(self) -> str:
        """What is seen, in one plain sentence."""
        seen = f"{len(self.steps)} evaluations see {self.distinct} {'phase' if self.distinct == 1 else 'phases'} of the cycle"
        if not self.locked:
            return f"{seen}; the largest part without one is {100 * self.gap:.0f} %."
        return (
            f"{seen} and never {100 * self.gap:.0f} % of it in one piece: their mean is no mean over the cycle; "
            "use evaluation.coprime(interval), low_discrepancy(n) or jittered(n), or mean it and say at_troughs"
        )


def examine(
    resolved: ResolvedPlan, evaluate: int | Iterable[int] | IntArray, offset: int = 0, *, warn: bool = True
) -> Sampling:
    """Return which phases of a plan's cycles evaluations see, from the actual steps: unequal and cut cycles and warm-up included.

    Args:
        resolved: A resolved plan with a cycle.
        evaluate: Every so many steps, or the steps themselves; steps outside the cycles are left out.
        offset: With an interval, by how many steps it is late.
        warn: Whether to warn where it is locked.

    Raises:
        PlanError: The plan has no cycle.
        DataError: An interval or step is not a whole number.

    Warns:
        PhaseLockWarning: More than a quarter of the cycle is never seen.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle("cosine", period=10), bindings={"optimizer.lr": ost.wave(0.0, 0.1)}).resolve()
    >>> examine(plan, 3).distinct, examine(plan, 5, warn=False).locked, examine(plan, 10, warn=False).phase[:2].tolist()
    (10, True, [0.9, 0.9])
    """
    if isinstance(evaluate, int | np.integer):
        steps = steps_every(resolved.total, int(evaluate), offset)
    else:
        steps = np.unique(np.asarray(evaluate if isinstance(evaluate, np.ndarray) else list(evaluate)))
    cycle, place, length = locate(resolved, steps)
    inside = cycle >= 0
    steps, cycle, place, length = steps[inside].astype(np.int64), cycle[inside], place[inside], length[inside]
    phase = place / length
    common = np.gcd(place, length)
    distinct = len(set(zip((place // common).tolist(), (length // common).tolist(), strict=True)))
    found = Sampling(steps, cycle, phase, len(resolved.cycles), distinct, largest_gap(phase), _finest(resolved))
    if warn and found.locked:
        warnings.warn(found.sentence, PhaseLockWarning, stacklevel=2)
    return found


def whole_cycles(resolved: ResolvedPlan) -> Sequence[Span]:
    """Return the complete cycles; or the one cycle of a run that ends inside its first; they follow each other without a gap.

    Raises:
        PlanError: The plan has no cycle.
    """
    cycles = resolved.cycles
    if not len(cycles):
        raise PlanError(_NO_CYCLE)
    return cycles[:-1] if len(cycles) > 1 and resolved.truncated else cycles


def _finest(resolved: ResolvedPlan) -> float:
    """Return the largest gap that evaluation after every step leaves."""
    cycles, rhythm = whole_cycles(resolved), resolved.clock.rhythm
    longest = max(span.end - span.start for span in (cycles[0], cycles[-1]))
    if rhythm is None or cycles[0].complete:
        return 1.0 / longest
    return max(1.0, rhythm.end(0) - longest + 1.0) / rhythm.end(0)
