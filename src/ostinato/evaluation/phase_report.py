"""A score by phase: at the trough, at the peak, over the whole cycle, and what a fixed interval would have made of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ostinato.core.clock import Span
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import DataError
from ostinato.evaluation.phases import largest_gap, locate, steps_every, whole_cycles

__all__ = ["PhaseReport", "by_phase"]

_HIGHEST = 3
_CONDITION = 0.01  # smallest over largest singular value of the fit's columns: below, noise would be blown up
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class PhaseReport:
    """A score by phase over complete cycles.

    Attributes:
        how: ``"dense"``: it was measured after every step; ``"fitted"``: what lies between is fitted; ``"unknown"``: too few phases were seen.
        cycles: How many cycles it covers.
        measured: How many values were measured in them.
        naive: The plain mean of these.
        cycle_mean: The mean over all steps of the cycles, measured or fitted; None where unknown.
        trough, peak: The mean over the cycles of the value at their trough (last minimum), peak (first maximum): what was measured there, else
            what is fitted; None where neither, and for a waveform that has none.
        harmonics: Order of the fit; 0 where nothing was fitted.
        residual: Root mean square of what the fit leaves, in the score's unit; 0 where dense, None where unknown.
        reason: Why it is unknown; empty where it is known.
    """

    how: str
    cycles: int
    measured: int
    naive: float
    cycle_mean: float | None
    trough: float | None
    peak: float | None
    harmonics: int
    residual: float | None
    reason: str
    _steps: IntArray = field(repr=False)
    _curve: FloatArray | None = field(repr=False)

    @property
    def bias(self) -> float | None:
        """The plain mean of the measured values less the cycle mean; None where that is unknown."""
        return None if self.cycle_mean is None else self.naive - self.cycle_mean

    def bias_of(self, evaluate: int | Iterable[int] | IntArray, offset: int = 0) -> float | None:
        """Return what the mean at an interval, or at given steps, would differ from the cycle mean by, on the measured or fitted curve.

        None where the cycle mean is unknown.

        Raises:
            DataError: The steps or the interval cannot be, or none of them lies in the cycles.
        """
        if self._curve is None or self.cycle_mean is None:
            return None
        first, stop = int(self._steps[0]), int(self._steps[-1]) + 1
        if isinstance(evaluate, int | np.integer):
            steps = steps_every(stop, int(evaluate), offset)
        else:
            steps = np.asarray(evaluate if isinstance(evaluate, np.ndarray) else list(evaluate), dtype=np.int64)
        chosen = np.isin(self._steps, steps)
        if not chosen.any():
            raise DataError(f"steps: none lies in the cycles, which cover the steps {first} to {stop - 1}")
        return float(self._curve[chosen].mean()) - self.cycle_mean

    def worst_bias(self, interval: int) -> float | None:
        """Return the bias of largest size among all offsets of an interval; None where the cycle mean is unknown.

        Raises:
            DataError: The interval is no whole number >= 1, or longer than the cycles.
        """
        found = [self.bias_of(interval, offset) for offset in range(interval)]
        known = [bias for bias in found if bias is not None]
        return max(known, key=abs) if known else None

    @property
    def sentence(self) -> str:
        """The report in one plain sentence."""
        if self.cycle_mean is None or self.bias is None:
            return f"The mean over the cycle is not known: {self.reason}; the plain mean of {self.measured} values is {self.naive:.4g}."
        ends = [
            f"{value:.4g} at the {name}"
            for name, value in (("trough", self.trough), ("peak", self.peak))
            if value is not None
        ]
        where = f" ({', '.join(ends)})" if ends else ""
        known = "measured" if self.how == "dense" else f"estimated from {self.measured} values"
        return f"Mean over {self.cycles} cycles {self.cycle_mean:.4g}{where}, {known}; the plain mean is {self.naive:.4g}, off by {self.bias:+.2g}."


def by_phase(
    resolved: ResolvedPlan, steps: ArrayLike, values: ArrayLike, *, cycles: Sequence[int] | None = None
) -> PhaseReport:
    """Return a score by phase, from values after every step or after some.

    Where every step of the cycles was measured, all is read off. Else value = trend + sum_h (a_h cos 2πhφ + b_h sin 2πhφ) is fitted by least
    squares and filled in: the trend is a level for each cycle, or, where that cannot be told from the shape (as where a cycle has one value), a
    polynomial in time (degree 1, and 2 from 8 values on); the order is the highest up to 3 with a largest gap between phases below 1/(2h), the density that makes it well posed,
    and a value to spare. Where evaluations are locked to fewer phases than that, no fit can tell the cycle's shape from its level, and the
    report says so. A low order smooths a steep restart: take trough and peak among the steps where they matter.

    Args:
        resolved: The plan of the run.
        steps: (E,), steps after which was measured, rising, as `PopulationResult.curve` gives them. Those outside the cycles are left out.
        values: (E,), the score at each, finite.
        cycles: Which of the complete cycles; negative from the last; by default all of them. Early ones are steep: take the last few.

    Raises:
        PlanError: The plan has no cycle.
        DataError: No cycle is complete, steps and values do not match, or no value lies in the cycles.

    Source: Gröchenig 1992, "Reconstruction algorithms in irregular sampling", Mathematics of Computation 59 (the gap).

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle("sine", period=10)).resolve()
    >>> score = lambda t: 1.0 - 0.5 * np.cos(2 * np.pi * t / 10)
    >>> dense = by_phase(plan, np.arange(100), score(np.arange(100)))
    >>> round(dense.cycle_mean, 6), round(dense.bias_of(10), 3), round(abs(dense.bias_of(3)), 3)
    (1.0, -0.405, 0.006)
    >>> by_phase(plan, np.arange(2, 100, 3), score(np.arange(2, 100, 3))).how, by_phase(plan, np.arange(9, 100, 10), np.ones(10)).how
    ('fitted', 'unknown')
    """
    taken, measured = _checked(steps, values)
    spans = _chosen(resolved, cycles)
    covered = np.concatenate([np.arange(span.start, span.end, dtype=np.int64) for span in spans])
    inside = np.isin(taken, covered)
    if not inside.any():
        raise DataError(f"steps: none of {len(taken)} lies in the {len(spans)} complete cycles asked for")
    taken, measured = taken[inside], measured[inside]
    fit = _Fit(measured, 0, 0.0, "") if len(taken) == len(covered) else _fitted(resolved, taken, measured, covered)
    known = fit.curve if fit.curve is not None else np.full(len(covered), np.nan)
    filled = known.copy()
    filled[np.searchsorted(covered, taken)] = measured
    how = "unknown" if fit.curve is None else "fitted" if fit.harmonics else "dense"
    return PhaseReport(
        how, len(spans), len(taken), float(measured.mean()), None if fit.curve is None else float(fit.curve.mean()),
        _at(spans, "trough", covered, filled), _at(spans, "peak", covered, filled), fit.harmonics, fit.residual, fit.reason, covered, fit.curve,
    )  # fmt: skip


def _checked(steps: ArrayLike, values: ArrayLike) -> tuple[IntArray, FloatArray]:
    taken, measured = np.asarray(steps), np.asarray(values, dtype=np.float64)
    if taken.ndim != 1 or taken.shape != measured.shape or taken.dtype.kind not in "iu" or not len(taken):
        raise DataError(
            f"values: expected one for each of some whole steps, got shapes {taken.shape} and {measured.shape}"
        )
    if (np.diff(taken) <= 0).any():
        raise DataError("steps: expected them to rise; sort them, and the values with them")
    if not np.isfinite(measured).all():
        raise DataError(
            f"values: {int((~np.isfinite(measured)).sum())} of {len(measured)} are not finite; leave them out"
        )
    return taken.astype(np.int64), measured


def _chosen(resolved: ResolvedPlan, cycles: Sequence[int] | None) -> list[Span]:
    found = list(whole_cycles(resolved))
    if not found[0].complete:
        raise DataError(f"cycles: the run of {resolved.total} steps ends inside its first cycle; none is complete")
    if cycles is None:
        return found
    if not len(cycles) or any(not -len(found) <= k < len(found) for k in cycles):
        raise DataError(f"cycles: got {list(cycles)}, expected some of 0 to {len(found) - 1}, the complete ones")
    return [found[k] for k in sorted({k % len(found) for k in cycles})]


def _at(spans: list[Span], name: str, covered: IntArray, values: FloatArray) -> float | None:
    """Return the mean over cycles at an event; where not all are known, over those that are."""
    events = [step for span in spans if (step := getattr(span, name)) is not None]
    found = values[np.searchsorted(covered, np.array(events, dtype=np.int64))] if events else np.empty(0)
    found = found[~np.isnan(found)]
    return float(found.mean()) if len(found) else None


@dataclass(frozen=True, eq=False)
class _Fit:
    curve: FloatArray | None
    harmonics: int
    residual: float | None
    reason: str


def _fitted(resolved: ResolvedPlan, taken: IntArray, measured: FloatArray, covered: IntArray) -> _Fit:
    """Fit trend and harmonics, and return the curve at every covered step."""
    cycle, offset, length = locate(resolved, taken)
    gap = largest_gap(offset / length)
    highest = min(_HIGHEST, math.ceil(1.0 / (2.0 * gap) - _ROUNDING) - 1)
    if highest < 1:
        return _unknown(f"they leave {100 * gap:.0f} % of the cycle unseen in one piece")
    for degree, columns in _trends(cycle, len(np.unique(locate(resolved, covered)[0]))):
        order = min(highest, (len(taken) - columns - 1) // 2)
        if order < 1:
            continue
        design, everywhere = (_design(resolved, steps, covered, degree, order) for steps in (taken, covered))
        norms = np.linalg.norm(design, axis=0)
        scale = np.where(norms > 0.0, norms, 1.0)
        coefficients, _, rank, _ = np.linalg.lstsq(design / scale, measured, rcond=_CONDITION)
        if rank == design.shape[1]:
            left = design @ (coefficients / scale) - measured
            return _Fit(everywhere @ (coefficients / scale), order, float(np.sqrt(np.mean(left**2))), "")
    return _unknown(f"{len(taken)} values are too few to tell the cycle's shape from the trend")


def _unknown(reason: str) -> _Fit:
    return _Fit(None, 0, None, f"{reason}; evaluate at low_discrepancy(n) or coprime(interval)")


def _trends(cycle: IntArray, cycles: int) -> Iterator[tuple[int, int]]:
    """Yield trends to try: degree of a polynomial, -1 for a level for each cycle, and its number of columns."""
    seen, counts = np.unique(cycle, return_counts=True)
    if len(seen) == cycles and counts.min() >= 2:
        yield -1, cycles
    degree = 2 if len(cycle) >= 8 else 1
    yield degree, degree + 1


def _design(resolved: ResolvedPlan, steps: IntArray, covered: IntArray, trend: int, order: int) -> FloatArray:
    """Return the columns of the fit at some steps, (E, columns)."""
    cycle, offset, length = locate(resolved, steps)
    if trend < 0:
        known = np.unique(locate(resolved, covered)[0])
        columns = [(cycle[:, None] == known[None]).astype(np.float64)]
    else:
        time = 2.0 * (steps - covered[0]) / max(int(covered[-1] - covered[0]), 1) - 1.0
        columns = [np.polynomial.legendre.legvander(time, trend)]
    angles = 2.0 * np.pi * (offset / length)[:, None] * np.arange(1, order + 1)
    return np.concatenate([*columns, np.cos(angles), np.sin(angles)], axis=1)
