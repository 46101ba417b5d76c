"""When to evaluate: timings that see the whole cycle, or mean one phase of it.

Each timing is a function of a resolved plan that returns steps (int64, rising), which is what ``evaluate=`` of `ostinato.population.train` takes:
``evaluate=evaluation.low_discrepancy(16)``, ``evaluate=evaluation.at_troughs``. Those that spread over the cycle use the complete cycles only (or the
one cycle of a run that ends inside its first), so that a cut one does not weigh its beginning more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral

import numpy as np

from ostinato.checks import whole
from ostinato.core.clock import Span
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.waveforms import IntArray
from ostinato.errors import DataError, PlanError
from ostinato.evaluation.phases import examine, steps_every, whole_cycles

__all__ = [
    "Timing",
    "at_ends",
    "at_peaks",
    "at_phases",
    "at_troughs",
    "coprime",
    "every",
    "jittered",
    "low_discrepancy",
]

Timing = Callable[[ResolvedPlan], IntArray]

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0

_whole = partial(whole, of=Integral, error=DataError)


def every(interval: int, offset: int = 0) -> Timing:
    """Return the timing of every `interval` steps, late by `offset`: what locks if it shares a divisor with the period.

    Raises:
        DataError: The interval is no whole number >= 1, or the offset none.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=20, cycle=ost.Cycle(period=10)).resolve()
    >>> every(5)(plan).tolist()
    [4, 9, 14, 19]
    """
    _whole("interval", interval)
    _whole("offset", offset, None)
    return lambda resolved: steps_every(resolved.total, interval, offset)


def coprime(interval: int) -> Timing:
    """Return the timing of every N steps, N the nearest to `interval` that sees the whole cycle.

    N has no divisor in common with the period (for a period of p/q steps: with p, after which its pattern repeats; cycles of unequal length
    have no period, there only the next counts), and this run's evaluations leave no quarter of the cycle unseen: 999 is coprime with 1000, but
    creeps. Of two equally near the smaller one is taken. N = 1 always will do.

    Raises:
        DataError: The interval is no whole number >= 1.
        PlanError: When called: the plan has no cycle.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=200, cycle=ost.Cycle(period=10)).resolve()
    >>> [int(np.diff(coprime(interval)(plan))[0]) for interval in (10, 5, 3)]
    [9, 3, 3]
    """
    _whole("interval", interval)

    def steps(resolved: ResolvedPlan) -> IntArray:
        rhythm = resolved.clock.rhythm
        whole_cycles(resolved)
        period = rhythm.period.numerator if rhythm is not None and rhythm.mult == 1 else 1
        for candidate in _outwards(interval):
            if math.gcd(candidate, period) == 1:
                found = steps_every(resolved.total, candidate)
                if candidate == 1 or not examine(resolved, found, warn=False).locked:
                    return found
        raise AssertionError("evaluation after every step is the last resort")

    return steps


def _outwards(middle: int) -> Iterator[int]:
    """Yield the whole numbers from 1 to 2·middle, the nearest first and the smaller of two first."""
    yield middle
    for distance in range(1, middle):
        yield middle - distance
        yield middle + distance


def jittered(n: int, seed: int = 0, *, last: int | None = None) -> Timing:
    """Return the timing of `n` evaluations, one at random in each of n equal parts of the cycles.

    Every phase is equally likely, so that the mean of the values is an unbiased estimate of the mean over the cycles. With `last`, only the last
    so many cycles are looked at.

    Raises:
        DataError: `n` is no whole number >= 1, or the seed none >= 0; when called: the cycles have fewer than n steps.
        PlanError: When called: the plan has no cycle.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=40, cycle=ost.Cycle(period=10)).resolve()
    >>> steps = jittered(4, seed=1)(plan)
    >>> (steps // 10).tolist(), len(np.unique(steps % 10)) > 1
    ([0, 1, 2, 3], True)
    """
    _whole("n", n)
    _whole("seed", seed, 0)

    def steps(resolved: ResolvedPlan) -> IntArray:
        cycles = _last(whole_cycles(resolved), last)
        first, stop = cycles[0].start, cycles[-1].end
        _fits(n, stop - first)
        edges = first + np.arange(n + 1, dtype=np.int64) * (stop - first) // n
        return np.random.default_rng(seed).integers(edges[:-1], edges[1:])

    return steps


def _fits(n: int, steps: int) -> None:
    if n > steps:
        raise DataError(f"n: got {n} evaluations for cycles of {steps} steps in all, expected at most as many")


def _last(cycles: Sequence[Span], count: int | None) -> Sequence[Span]:
    return cycles if count is None else cycles[max(len(cycles) - _whole("last", count), 0) :]


def low_discrepancy(n: int, *, last: int | None = None) -> Timing:
    """Return the timing of `n` evaluations, the cycles served alike and their phases apart by the golden ratio.

    Evaluation j has the phase (1/2 + j (√5 - 1)/2) mod 1, the next free step where it is taken; the j-th evaluations go to the cycles in order,
    n / cycles to each. Any run of evaluations is spread over the cycle nearly evenly, so that few of them estimate its mean. With `last`, only the
    last so many cycles are looked at.

    Raises:
        DataError: `n` is no whole number >= 1; when called: the cycles have fewer than n steps.
        PlanError: When called: the plan has no cycle.

    Source: Kuipers & Niederreiter 1974, "Uniform Distribution of Sequences", chapter 2, section 3.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=80, cycle=ost.Cycle(period=10)).resolve()
    >>> (low_discrepancy(8)(plan) % 10).tolist()
    [5, 1, 7, 3, 9, 5, 2, 8]
    """
    _whole("n", n)

    def steps(resolved: ResolvedPlan) -> IntArray:
        cycles = _last(whole_cycles(resolved), last)
        _fits(n, cycles[-1].end - cycles[0].start)
        served = range(len(cycles)) if len(cycles) <= n else ((2 * j + 1) * len(cycles) // (2 * n) for j in range(n))
        spans = [cycles[k] for k in served]
        shares = _shares(n, np.array([span.end - span.start for span in spans], dtype=np.int64))
        chosen: list[int] = []
        for span, share in zip(spans, shares.tolist(), strict=True):
            chosen += _spread(span.start, span.end - span.start, range(len(chosen), len(chosen) + share))
        return np.array(chosen, dtype=np.int64)

    return steps


def _shares(n: int, lengths: IntArray) -> IntArray:
    """Return how many of `n` each cycle gets: equally many, as long as it has the steps."""
    shares = np.diff(np.arange(len(lengths) + 1, dtype=np.int64) * n // len(lengths))
    while (over := np.maximum(shares - lengths, 0)).any():
        shares -= over
        free = np.flatnonzero(shares < lengths)
        shares[free] += np.diff(np.arange(len(free) + 1, dtype=np.int64) * int(over.sum()) // len(free))
    return shares


def _spread(start: int, length: int, places: range) -> list[int]:
    """Return the steps of one cycle that evaluations `places` fall on, rising."""
    taken: set[int] = set()
    for j in places:
        offset = min(int((0.5 + j * _GOLDEN) % 1.0 * length), length - 1)
        while offset in taken:
            offset = (offset + 1) % length
        taken.add(offset)
    return [start + offset for offset in sorted(taken)]


def _events(resolved: ResolvedPlan, name: str) -> IntArray:
    whole_cycles(resolved)
    found = [getattr(span, name) for span in resolved.cycles]
    if found[0] is None:
        raise PlanError(f"cycle: waveform 'constant' has no {name}; evaluate at_ends, or choose another waveform")
    steps = np.array(found, dtype=np.int64)
    return steps[steps < resolved.total]


def at_troughs(resolved: ResolvedPlan) -> IntArray:
    """Return the steps of the cycles' troughs (last minimum), where a snapshot of `cosine` is taken: one phase, on purpose.

    Raises:
        PlanError: The plan has no cycle, or its waveform no trough.

    >>> import ostinato as ost
    >>> at_troughs(ost.Plan(total=30, cycle=ost.Cycle("cosine", period=10)).resolve()).tolist()
    [9, 19, 29]
    """
    return _events(resolved, "trough")


def at_peaks(resolved: ResolvedPlan) -> IntArray:
    """Return the steps of the cycles' peaks (first maximum): one phase, on purpose.

    Raises:
        PlanError: The plan has no cycle, or its waveform no peak.

    >>> import ostinato as ost
    >>> at_peaks(ost.Plan(total=30, cycle=ost.Cycle("triangular", period=10)).resolve()).tolist()
    [5, 15, 25]
    """
    return _events(resolved, "peak")


def at_ends(resolved: ResolvedPlan) -> IntArray:
    """Return the last steps of the complete cycles, after which snapshots are taken.

    Raises:
        PlanError: The plan has no cycle.

    >>> import ostinato as ost
    >>> at_ends(ost.Plan(total=35, cycle=ost.Cycle("sine", period=10)).resolve()).tolist()
    [9, 19, 29]
    """
    whole_cycles(resolved)
    return np.array(resolved.snapshots, dtype=np.int64)


def at_phases(n: int) -> Timing:
    """Return the timing of `n` evenly spaced phases of each complete cycle, the last one its end: 1/n, 2/n, ... 1 of it, rounded up.

    In a cycle of fewer than n steps those that fall on one step are one.

    Raises:
        DataError: `n` is no whole number >= 1.
        PlanError: When called: the plan has no cycle.

    >>> import ostinato as ost
    >>> at_phases(4)(ost.Plan(total=20, cycle=ost.Cycle("cosine", period=10)).resolve()).tolist()
    [2, 4, 7, 9, 12, 14, 17, 19]
    """
    _whole("n", n)
    return lambda resolved: np.unique(
        np.concatenate([evenly(span.start, span.end, n) for span in whole_cycles(resolved)])
    )


def evenly(start: int, end: int, n: int) -> IntArray:
    """Return `n` evenly spaced steps of those from `start` to `end` - 1, which is the last of them."""
    return start - (-(end - start) * np.arange(1, n + 1, dtype=np.int64) // n) - 1
