"""What came out of a descent: excess at the end, at trough and peak and over the cycle; time to a target; shares with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from ostinato.applications.arms import place_of
from ostinato.core.clock import Span
from ostinato.errors import DataError

__all__ = ["Descent", "Share", "Times", "share"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A share of runs.

    Attributes:
        value: Between 0 and 1.
        low, high: Wilson's 95 % interval for the probability behind it.
        n: Runs.
    """

    value: float
    low: float
    high: float
    n: int


def share(hits: NDArray[np.bool_]) -> Share:
    """Return the share of True, with Wilson's 95 % interval (E. Wilson, JASA 22, 1927).

    Runs from the same start are no independent draws: count one for each start.

    Raises:
        DataError: There is nothing to count.

    >>> found = share(np.array([True] * 3 + [False] * 7))
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.3, 0.108, 0.603)
    """
    if hits.size == 0:
        raise DataError("share: got no runs, expected at least one")
    found = binomtest(int(hits.sum()), hits.size)
    interval = found.proportion_ci(method="wilson")
    return Share(float(hits.mean()), float(interval.low), float(interval.high), hits.size)


@dataclass(frozen=True, eq=False)
class Times:
    """When runs first reached a target.

    Attributes:
        steps: Updates made when the target was first read as reached; the total where it never was, int64 (A, N).
        reached: False where the time is censored: the run is longer than the total, and must not be left out, bool (A, N).
    """

    steps: NDArray[np.int64]
    reached: NDArray[np.bool_]

    @property
    def median(self) -> Floats:
        """Median over the starts, (A,): infinite where at least half of the runs are censored."""
        found: Floats = np.median(np.where(self.reached, self.steps, np.inf), axis=-1)
        return found


@dataclass(frozen=True, eq=False)
class Descent:
    """Runs of A arms from N starts, read after R of the updates.

    Attributes:
        arms: Their names.
        steps: The updates that were read after, rising, int64 (R,).
        values: f without noise; infinite from where a run diverged, (R, A, N).
        positions: Where the runs ended; a diverged one where it last was finite, (A, N, D).
        diverged: The update that was not finite any more; -1 for none, int64 (A, N).
        least: The smallest value of each instance, (1,) or (N,); NaN where it is not known.
        spans: Each arm's last complete cycle; None where its plan has none.
        windows: Steps of that cycle at even distances, all of them or 50: what its mean is taken over.
        digests: Of the resolved plans.
    """

    arms: tuple[str, ...]
    steps: NDArray[np.int64]
    values: Floats
    positions: Floats
    diverged: NDArray[np.int64]
    least: Floats
    spans: tuple[Span | None, ...]
    windows: tuple[tuple[int, ...], ...]
    digests: tuple[str, ...]

    def place(self, arm: str) -> int:
        """Return the place of an arm.

        Raises:
            ConfigError: There is none of that name.
        """
        return place_of(arm, self.arms)

    @cached_property
    def excesses(self) -> Floats:
        """Values less the minimum, (R, A, N), not below 0.

        Raises:
            DataError: The minimum of the problem is not known.
        """
        if np.isnan(self.least).any():
            raise DataError("excess: the problem does not know its minimum; use values, or give it a property least")
        found: Floats = np.maximum(self.values - self.least, 0.0)
        return found

    @property
    def excess(self) -> Floats:
        """Excess after the last update, (A, N)."""
        last: Floats = self.excesses[-1]
        return last

    @property
    def trough(self) -> Floats:
        """Excess after the update at the trough of the last complete cycle, (A, N); NaN where an arm's clock has none."""
        return self._at([None if span is None else span.trough for span in self.spans])

    @property
    def peak(self) -> Floats:
        """Excess after the update at its peak, (A, N)."""
        return self._at([None if span is None else span.peak for span in self.spans])

    @property
    def cycle_mean(self) -> Floats:
        """Mean excess over the last complete cycle, (A, N): of all its steps, or of 50 at even distances."""
        found = np.full(self.excess.shape, np.nan)
        for arm, window in enumerate(self.windows):
            if window:
                found[arm] = self.excesses[np.searchsorted(self.steps, window), arm].mean(axis=0)
        return found

    def _at(self, steps: list[int | None]) -> Floats:
        found = np.full(self.excess.shape, np.nan)
        for arm, step in enumerate(steps):
            if step is not None:
                found[arm] = self.excesses[np.searchsorted(self.steps, step), arm]
        return found

    def times(self, target: float | Floats) -> Times:
        """Return when each run's excess was first read at or below a target, or one for each start, (N,).

        What was read every so many steps is exact to so many.
        """
        below = np.asarray(self.excesses <= target)
        reached: NDArray[np.bool_] = np.any(below, axis=0)
        first = self.steps[below.argmax(axis=0)] + 1
        return Times(np.where(reached, first, self.steps[-1] + 1), reached)

    def hits(self, target: float) -> dict[str, Share]:
        """Return for each arm the share of the starts that end at or below an excess, with its interval."""
        return {arm: share(self.excess[place] <= target) for place, arm in enumerate(self.arms)}
