"""The configurations that study ``phase-lock`` searches among: peaks by periods, and the stretch of each run that is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.documents import digest
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.evaluation.phases import steps_every

__all__ = ["Layout", "Stretch"]


@dataclass(frozen=True, eq=False)
class Stretch:
    """The last whole cycles of a run, which every evaluation and the truth read.

    Attributes:
        first: Step of the run with which it begins.
        stop: The step after its last, which is the run's end.
        cycles: A plan of these cycles alone, whose step 0 is `first`: what a timing is asked about.
    """

    first: int
    stop: int
    cycles: ResolvedPlan

    @property
    def length(self) -> int:
        """Steps."""
        return self.stop - self.first


@dataclass(frozen=True, eq=False)
class Layout:
    """A grid of configurations: the peak of the rate by the period of its cosine cycles.

    A run of period P ends with its last whole cycle, after P·floor(steps / P) updates. Judged are its last round(steps / 2P) cycles: about the
    second half.

    Attributes:
        highs: Peaks, rising, evenly apart on a logarithmic scale, (A,).
        periods: Periods in steps, rising, (P,).
        interval: Steps from one validation to the next.
        steps: The longest that a run may be.
    """

    highs: tuple[float, ...]
    periods: tuple[int, ...]
    interval: int
    steps: int

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Layout:
        """Return the layout that a regime's parameters describe."""
        low, high = parameters["highs"]
        interval = parameters["interval"]
        periods = sorted([*(interval * m for m in parameters["multiples"]), *parameters["others"]])
        highs = np.geomspace(low, high, parameters["amplitudes"])
        return cls(tuple(highs.tolist()), tuple(periods), interval, parameters["steps"])

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of peaks and periods."""
        return len(self.highs), len(self.periods)

    @cached_property
    def multiples(self) -> NDArray[np.int64]:
        """Places of the periods that are multiples of the interval, which a grid over whole intervals consists of."""
        return np.flatnonzero(np.array(self.periods) % self.interval == 0)

    def plan(self, high: float, period: int) -> Plan:
        """Return the plan of one configuration: cosine cycles from its peak to 0."""
        total = period * (self.steps // period)
        return Plan(total=total, cycle=Cycle("cosine", period=period), bindings={"optimizer.lr": wave(0.0, high)})

    @cached_property
    def plans(self) -> tuple[Plan, ...]:
        """Every configuration's plan, the periods of the first peak first."""
        return tuple(self.plan(high, period) for high in self.highs for period in self.periods)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the digests of all plans."""
        return digest([plan.resolve().digest for plan in self.plans])

    def stretch(self, period: int) -> Stretch:
        """Return what is judged of a run of this period."""
        whole = self.steps // period
        judged = max(1, min(whole, round(self.steps / (2 * period))))
        cycles = Plan(
            total=judged * period, cycle=Cycle("cosine", period=period), bindings={"optimizer.lr": wave(0.0, 1.0)}
        )
        return Stretch((whole - judged) * period, whole * period, cycles.resolve())

    @cached_property
    def stretches(self) -> tuple[Stretch, ...]:
        """What is judged, by period."""
        return tuple(self.stretch(period) for period in self.periods)

    @cached_property
    def stand_ins(self) -> NDArray[np.int64]:
        """Places of the periods whose runs stand for each whole period from the smallest to the largest: the nearest ones."""
        every = np.log(np.arange(self.periods[0], self.periods[-1] + 1))
        nearest: NDArray[np.int64] = np.argmin(np.abs(every[:, None] - np.log(self.periods)), axis=1)
        return nearest

    def met(self, offset: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield, for every whole period, its stand-in's place and where in that one's stretch validation at the interval meets it, (readings,).

        The phases are those at which it meets the period itself, so that a period that is no multiple of the interval but near one is as nearly
        locked as it would be.

        Args:
            offset: Steps by which validation is late.
        """
        for place, first, standing in self._standing:
            yield place, standing[steps_every(len(standing), self.interval, offset - first)]

    @cached_property
    def _standing(self) -> list[tuple[int, int, NDArray[np.int64]]]:
        """For every whole period its stand-in's place, the first step of its own stretch, and the same phase in the other's for each step of it."""
        found = []
        for period, place in enumerate(self.stand_ins.tolist(), self.periods[0]):
            own, other = self.stretch(period), self.stretches[place]
            cycle, step = np.divmod(np.arange(own.length), period)
            cycles = own.length // period, other.length // self.periods[place]
            standing = cycle * cycles[1] // cycles[0] * self.periods[place] + step * self.periods[place] // period
            found.append((place, own.first, standing))
        return found

    @property
    def start(self) -> int:
        """The first step that is judged in any run."""
        return min(stretch.first for stretch in self.stretches)
