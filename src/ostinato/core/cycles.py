"""Cycles: the rhythm as it is declared (`Cycle`) and as exact integer boundaries (`Rhythm`).

Cycle k covers the counts from end_(k-1) to end_k - 1, where end_k = floor(P · Σ_{i<=k} mult^i + 1/2) in exact rationals.
No logarithm and no running float is involved, so that there is no drift, however long the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from ostinato.checks import whole
from ostinato.core.units import (
    MOST_COUNTS,
    Duration,
    DurationLike,
    Number,
    exact,
    finite,
    key_text,
    number_text,
    rounded,
)
from ostinato.core.units import plain_number as plain
from ostinato.core.waveforms import IntArray, waveform
from ostinato.errors import PlanError, suggest

__all__ = ["Cycle", "Harmonic", "Rhythm", "Timeline"]

MOST_UNEQUAL_CYCLES = 10_000
_INT64_SAFE = 2**62


@dataclass(frozen=True)
class Cycle:
    """A waveform repeated.

    Args:
        waveform: `cosine`, `triangular`, `sine`, `sawtooth`, `square`, `exponential` or `constant`.
        period: Length of the first cycle, such as ``"10ep"``. Either this or `count`.
        count: How many whole cycles fill what follows the warm-up.
        mult: Each cycle is this many times as long as the one before.
        amplitude_decay: Each cycle's level is this many times that of the one before, in (0, 1].
        up: Share of a `triangular` cycle that rises (default 0.5).
        duty: Share of a `square` cycle at the high level (default 0.5).
        ratio: First over last value of an `exponential` cycle (default 100).

    Inside a binding the period may be a ratio of the shared cycle: ``period="2cycle"`` lasts two shared cycles, ``"1/3cycle"`` a third of one.

    Raises:
        PlanError: A field is missing, unknown or out of range.

    >>> Cycle("cosine", period="10epochs") == Cycle(period="10ep")
    True
    """

    waveform: str = "cosine"
    period: DurationLike | None = None
    count: int | None = None
    mult: Number = 1
    amplitude_decay: float = 1.0
    up: float | None = None
    duty: float | None = None
    ratio: float | None = None
    _parameters: Mapping[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("up", "duty", "ratio") if getattr(self, name) is not None}
        parameters = waveform(self.waveform).complete(given)
        decay = finite(self.amplitude_decay, "amplitude_decay")
        if not 0.0 < decay <= 1.0:
            raise PlanError(f"amplitude_decay: got {self.amplitude_decay!r}, expected a number in (0, 1]")
        mult = exact(self.mult, "mult")
        if mult <= 0:
            raise PlanError(f"mult: got {self.mult!r}, expected a number above 0")
        for name, value in parameters.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "amplitude_decay", decay)
        object.__setattr__(self, "mult", plain(mult))
        object.__setattr__(self, "_parameters", parameters)
        self._check_length()

    def _check_length(self) -> None:
        if (self.period is None) == (self.count is None):
            raise PlanError("period: give a cycle its period, such as '10ep', or else its count, such as count = 5")
        if self.count is not None:
            object.__setattr__(self, "count", whole("count", self.count, of=Integral, error=PlanError))
            return
        duration = Duration.parse(self.period or 0, "period")
        if duration.value == 0:
            raise PlanError(f"period: got {self.period!r}, expected more than 0")
        object.__setattr__(self, "period", str(duration))

    @property
    def parameters(self) -> Mapping[str, float]:
        """The waveform's own parameters, defaults filled in."""
        return self._parameters

    @property
    def duration(self) -> Duration | None:
        """The period, parsed; None where the cycle is given by its count."""
        return None if self.period is None else Duration.parse(self.period)

    def within(self, unit: str) -> Cycle:
        """Return the cycle with `unit` filled in where its period is a bare number."""
        return self if self.period is None else _replaced(self, period=str(Duration.parse(self.period).within(unit)))

    def to_document(self) -> dict[str, Any]:
        """Return the cycle as a JSON document, defaults filled in."""
        length = {"period": self.period} if self.period is not None else {"count": self.count}
        shape = {"mult": self.mult, "amplitude_decay": self.amplitude_decay}
        return {"waveform": self.waveform, **length, **shape, **self.parameters}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Cycle:
        """Return the cycle that a document describes, refusing unknown keys."""
        known = [entry.name for entry in fields(cls) if entry.init]
        for key in document:
            if key not in known:
                raise PlanError(f"{key_text(key)}: unknown key of a cycle{suggest(str(key), known)}")
        return cls(**document)


def _replaced(cycle: Cycle, **changes: Any) -> Cycle:
    values = {entry.name: getattr(cycle, entry.name) for entry in fields(cycle) if entry.init}
    return Cycle(**{**values, **changes})


class Timeline(Protocol):
    """Where a count stands: which cycle, and how far into it."""

    def position(self, count: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return, for each count >= 0, the cycle's index and the phase as an exact fraction: done < whole."""
        ...


@dataclass(frozen=True)
class Rhythm:
    """Exact boundaries of the cycles that cover the counts 0 to `span` - 1.

    Raises:
        PlanError: The period is shorter than a step, or cycles shrink below one step inside the span, or are too many to list.

    >>> rhythm = Rhythm(period=Fraction(15, 2), mult=Fraction(1), span=30)
    >>> [rhythm.end(k) for k in range(4)]
    [8, 15, 23, 30]
    """

    period: Fraction
    mult: Fraction
    span: int
    _ends: IntArray | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.period < 1:
            raise PlanError(f"period: {number_text(self.period)} steps are less than one; a cycle needs at least one")
        if self.period > MOST_COUNTS:
            raise PlanError(f"period: about {float(self.period):.3g} steps are more than 2^53; choose a shorter one")
        if self.mult != 1:
            object.__setattr__(
                self, "_ends", np.array(_unequal_ends(self.period, self.mult, self.span), dtype=np.int64)
            )

    @classmethod
    def of(cls, cycle: Cycle, period: Fraction | None, span: int) -> Rhythm:
        """Return the rhythm of `cycle`, given its period in counts (None: by its count of cycles)."""
        mult = exact(cycle.mult)
        if period is None:
            count = cycle.count or 1
            if span < count:
                raise PlanError(f"count: {count} cycles do not fit into {span} steps; each needs at least one")
            lengths = Fraction(count) if mult == 1 else (mult**count - 1) / (mult - 1)
            period = span / lengths
            if period < 1:
                raise PlanError(
                    f"count: {count} cycles of mult {plain(mult)} in {span} steps begin below one step each"
                )
            rhythm = cls(period, mult, span)
            if len(rhythm) != count:
                raise PlanError(f"count: {count} cycles of mult {plain(mult)} in {span} steps end below one step each")
            return rhythm
        return cls(period, mult, span)

    def __len__(self) -> int:
        """Return how many cycles begin inside the span."""
        return self.index(self.span - 1) + 1 if self.span > 0 else 0

    def end(self, k: int) -> int:
        """Return the first count after cycle `k`."""
        if k < 0:
            return 0
        return rounded(self.period * (k + 1)) if self._ends is None else int(self._ends[k])

    def index(self, count: int) -> int:
        """Return the cycle that `count` falls into."""
        if self._ends is not None:
            return int(np.searchsorted(self._ends, count, side="right"))
        p, q = self.period.numerator, self.period.denominator
        return ((2 * count + 1) * q - 1) // (2 * p)

    @property
    def shortest(self) -> Fraction:
        """The length of the shortest cycle."""
        return self.period if self._ends is None else Fraction(int(np.diff(self._ends, prepend=0).min()))

    def position(self, count: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return cycle index, counts since its beginning, and its length.

        Cycles of unequal length are listed up to the end of the span; past the last one, its last count holds.
        """
        if self._ends is not None:
            count = np.minimum(count, self._ends[-1] - 1)
            index = np.searchsorted(self._ends, count, side="right").astype(np.int64)
            start = np.where(index > 0, self._ends[np.maximum(index - 1, 0)], 0)
            return index, count - start, self._ends[index] - start
        p, q = self.period.numerator, self.period.denominator
        largest = (2 * (int(count.max()) if count.size else 0) + 2 * p + 2) * max(q, 2)
        whole: Any = count if largest < _INT64_SAFE else count.astype(object)
        index = ((2 * whole + 1) * q - 1) // (2 * p)
        start = (2 * p * index + q) // (2 * q)
        end = (2 * p * (index + 1) + q) // (2 * q)
        return index.astype(np.int64), (whole - start).astype(np.int64), (end - start).astype(np.int64)


def _unequal_ends(period: Fraction, mult: Fraction, span: int) -> list[int]:
    """Return the ends of all cycles up to the first at or past `span`, in integers throughout."""
    p, q, a, b = period.numerator, period.denominator, mult.numerator, mult.denominator
    ends: list[int] = []
    total, power_a, power_b = 0, 1, 1  # Σ mult^i = total / power_b with power_b = b^k, after cycle k
    while not ends or ends[-1] < span:
        total = total + power_a if not ends else total * b + power_a
        end = (2 * p * total + q * power_b) // (2 * q * power_b)
        if end <= (ends[-1] if ends else 0):
            raise PlanError(
                f"mult: {plain(mult)} shrinks cycle {len(ends)} below one step, {span - ends[-1]} steps before the end;"
                f" choose a larger mult or period, or a total of {ends[-1]} steps after the warm-up"
            )
        if end > 2 * MOST_COUNTS:
            raise PlanError(
                f"mult: {plain(mult)} makes cycle {len(ends)} longer than 2^53 steps; choose a smaller mult"
            )
        if len(ends) >= MOST_UNEQUAL_CYCLES:
            raise PlanError(
                f"mult: more than {MOST_UNEQUAL_CYCLES} cycles of unequal length; choose mult = 1 or a longer period"
            )
        ends.append(end)
        power_a, power_b = power_a * a, power_b * b
    return ends


@dataclass(frozen=True, slots=True)
class Harmonic:
    """A binding's cycle that lasts `ratio` shared cycles; its phase follows from the shared one exactly.

    Raises:
        PlanError: It is shorter than a step.
    """

    base: Rhythm
    ratio: Fraction

    def __post_init__(self) -> None:
        if self.base.shortest * self.ratio < 1:
            raise PlanError(
                f"period: {number_text(self.ratio)}cycle of a shared cycle of {number_text(self.base.shortest)} steps is less than one step"
            )

    def position(self, count: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Return cycle index and phase, where the position in own cycles is (k + φ) / ratio."""
        index, offset, length = self.base.position(count)
        p, q = self.ratio.numerator, self.ratio.denominator
        largest = (int(index.max()) + 2) * (int(length.max()) + 1) * max(p, q) if count.size else 0
        wide: Any = np.int64 if largest < _INT64_SAFE else object
        done = (index.astype(wide) * length + offset) * q
        whole = length.astype(wide) * p
        own = done // whole
        return own.astype(np.int64), done - own * whole, whole
