"""Schedules: immutable pure functions of a count, declared with units and resolved to `Curve`.

Counts start at 0 after the plan's warm-up. Inside a `Join` each part counts from its own beginning, except a wave on the
shared cycle, which stays on the clock.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, ClassVar, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from ostinato.core.curves import Curve
from ostinato.core.cycles import Cycle, Harmonic, Rhythm, Timeline
from ostinato.core.memory import Remembered
from ostinato.core.rotation import Rotation
from ostinato.core.units import Duration, DurationLike, Rates, exact, finite
from ostinato.core.units import whole as whole_counts
from ostinato.core.waveforms import FloatArray, IntArray, waveform
from ostinato.errors import PlanError

__all__ = ["Context", "Hold", "Linear", "OneCycle", "Schedule", "Wave", "Write", "as_schedule", "located"]

Write = Callable[[Duration, str], int | str]
Scale = Literal["linear", "geometric"]
Result = TypeVar("Result")


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put `where` before the message of a PlanError raised inside."""
    try:
        yield
    except PlanError as error:
        raise type(error)(f"{where}{error}") from None


@dataclass(frozen=True, slots=True)
class Context:
    """What a schedule needs to know to become a curve: the plan's unit and rates, its span after the warm-up, its rhythm."""

    unit: str = "step"
    rates: Rates = field(default_factory=Rates)
    span: int | None = None
    cycle: Cycle | None = None
    rhythm: Rhythm | None = None
    origin: int = 0
    _shared: dict[Any, Remembered[Any]] = field(default_factory=dict, repr=False, compare=False)

    def remembered(self, key: Hashable, function: Callable[[IntArray], Result]) -> Remembered[Result]:
        """Return `function` with a memory that all parts of the plan which ask for the same key share."""
        return self._shared.setdefault(key, Remembered(function))

    def counts(self, duration: DurationLike, what: str) -> Fraction:
        """Return a duration in counts, exactly; ``1dur`` is the total less the warm-up."""
        return self.rates.counts(Duration.parse(duration, what), self.unit, what, self.span)

    def whole(self, duration: DurationLike, what: str) -> int:
        """Return a duration in counts, rounded to whole ones."""
        return whole_counts(self.counts(duration, what), what)

    def starting(self, count: int) -> Context:
        """Return the context of a part that begins `count` counts later."""
        return replace(self, origin=self.origin + count)

    def write(self, duration: Duration, what: str) -> str:
        """Return a duration as exact counts, for the canonical text of a resolved plan."""
        if duration.unit == "cycle":
            return str(duration)
        return str(self.counts(str(duration), what))


class Schedule(ABC):
    """A pure function of a count. Combine with ``*`` and ``+``; both commute, whatever the order of writing.

    A schedule whose durations are all in steps can be called directly; one in epochs must be resolved in a plan first.
    """

    kind: ClassVar[str]

    @abstractmethod
    def resolve(self, context: Context) -> Curve:
        """Return the curve over counts after the warm-up."""

    @abstractmethod
    def to_document(self, write: Write) -> dict[str, Any]:
        """Return a JSON document in which `write` has written the durations."""

    def shifted(self, by: Fraction) -> Schedule:
        """Return the schedule with its waves rotated; one without waves has nothing to rotate."""
        return self

    def within(self, unit: str) -> Schedule:
        """Return the schedule with `unit` filled in where a duration is a bare number."""
        return self

    @overload
    def __call__(self, count: int) -> float: ...
    @overload
    def __call__(self, count: NDArray[np.integer]) -> FloatArray: ...
    def __call__(self, count: int | NDArray[np.integer]) -> float | FloatArray:
        return self.resolve(Context())(count)

    def __mul__(self, other: object) -> Schedule:
        from ostinato.core.algebra import Product

        return Product((self, as_schedule(other)))

    def __add__(self, other: object) -> Schedule:
        from ostinato.core.algebra import Sum

        return Sum((self, as_schedule(other)))

    __rmul__ = __mul__
    __radd__ = __add__


def as_schedule(value: object) -> Schedule:
    """Return `value` as a schedule: itself, the schedule of a plain binding, or a constant.

    Raises:
        PlanError: It is neither; a bare function could not be saved, so it must be registered first.
    """
    if isinstance(value, Schedule):
        return value
    inner = getattr(value, "as_schedule", None)
    if inner is not None:
        schedule: Schedule = inner()
        return schedule
    if callable(value):
        raise PlanError(
            f"got the function {getattr(value, '__name__', value)!r}; name it with @ost.schedule('name', version=1) so that it can be saved"
        )
    return Hold(finite(value, "schedule"))


def interpolate(level: FloatArray, low: float, high: float, scale: Scale) -> FloatArray:
    """Return low + (high - low)·g, or low·(high/low)^g: exactly `low` at 0, exactly `high` at 1, never outside."""
    if scale == "geometric":
        values = np.power(low, 1.0 - level) * np.power(high, level)
    else:
        values = low * (1.0 - level) + high * level
    clipped: FloatArray = np.clip(values, low, high)
    return clipped


@dataclass(frozen=True)
class Wave(Schedule):
    """A value that follows a cycle between `low` and `high`; `mirrored` follows its complement."""

    low: float
    high: float
    shift: float = 0.0
    scale: Scale = "linear"
    mirrored: bool = False
    cycle: Cycle | None = None
    kind: ClassVar[str] = "wave"

    def __post_init__(self) -> None:
        low, high = finite(self.low, "low"), finite(self.high, "high")
        if high < low:
            raise PlanError(
                f"high: got {self.high!r}, which is below low = {self.low!r}; swap them, or use mirror for the complement"
            )
        if self.scale not in ("linear", "geometric"):
            raise PlanError(f"scale: got {self.scale!r}, expected 'linear' or 'geometric'")
        if self.scale == "geometric" and low <= 0:
            raise PlanError(f"low: got {self.low!r}, expected more than 0 for scale='geometric'")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        object.__setattr__(self, "shift", float(exact(self.shift, "shift") % 1) % 1.0)  # the first may round up to 1

    def timeline(self, context: Context) -> tuple[Timeline, Cycle, int]:
        """Return where the wave reads its phase, the cycle that shapes it, and the count at which it begins."""
        if self.cycle is None:
            if context.cycle is None or context.rhythm is None:
                raise PlanError(
                    "a wave needs a cycle; write Plan(cycle=Cycle('cosine', count=5), ...) or wave(..., cycle=...)"
                )
            return context.rhythm, context.cycle, 0
        duration = self.cycle.duration
        if duration is not None and duration.unit == "cycle":
            if context.rhythm is None:
                raise PlanError(
                    f"period: {duration} is a ratio of the shared cycle, which the plan does not have; write Plan(cycle=...)"
                )
            if exact(self.cycle.mult) != 1:
                raise PlanError(f"mult: a cycle of {duration} stretches with the shared one; leave mult out")
            return Harmonic(context.rhythm, duration.value), self.cycle, 0
        span = None if context.span is None else context.span - context.origin
        if duration is None and span is None:
            raise PlanError(f"count: {self.cycle.count} cycles need a total; write Plan(total=...)")
        period = None if duration is None else context.counts(str(duration), "period")
        return Rhythm.of(self.cycle, period, _UNBOUNDED if span is None else span), self.cycle, context.origin

    def resolve(self, context: Context) -> Curve:
        timeline, cycle, origin = self.timeline(context)
        shape, decay, parameters = waveform(cycle.waveform), cycle.amplitude_decay, cycle.parameters
        rotation = Rotation.by(self.shift)
        key = (self.cycle, origin)
        position = context.remembered(
            ("position", *key), lambda count: timeline.position(count - origin if origin else count)
        )

        def level_at(count: IntArray) -> FloatArray:
            index, done, whole = position(count)
            level = shape(rotation(done, whole), **parameters)
            return level if decay == 1.0 else np.power(decay, index) * level

        level_of = context.remembered(("level", *key, self.shift), level_at)

        def value(count: IntArray) -> FloatArray:
            level = level_of(count)
            return interpolate(1.0 - level if self.mirrored else level, self.low, self.high, self.scale)

        return Curve(value, self.low, self.high)

    def shifted(self, by: Fraction) -> Wave:
        return replace(self, shift=float((exact(self.shift) + by) % 1))

    def within(self, unit: str) -> Wave:
        return self if self.cycle is None else replace(self, cycle=self.cycle.within(unit))

    def to_document(self, write: Write) -> dict[str, Any]:
        relation = "mirror" if self.mirrored else "wave"
        own: dict[str, Any] = {"low": self.low, "high": self.high, "shift": self.shift, "scale": self.scale}
        if self.cycle is not None:
            own["cycle"] = self.cycle.to_document()
            if self.cycle.duration is not None:
                own["cycle"]["period"] = write(self.cycle.duration, "cycle.period")
        return {"kind": relation, **own}


_UNBOUNDED = 1 << 40


@dataclass(frozen=True)
class Hold(Schedule):
    """One value for ever.

    >>> Hold(0.1)(12345)
    0.1
    """

    value: float
    kind: ClassVar[str] = "hold"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", finite(self.value, "value"))

    def resolve(self, context: Context) -> Curve:
        return Curve(lambda count: np.full(count.shape, self.value), self.value, self.value)

    def to_document(self, write: Write) -> dict[str, Any]:
        return {"kind": self.kind, "value": self.value}


@dataclass(frozen=True)
class Linear(Schedule):
    """start + (end - start)·min(t / over, 1): a straight line that then holds (torch's ``LinearLR`` as values).

    >>> Linear(0.0, 1.0, over=4)(np.arange(6))
    array([0.  , 0.25, 0.5 , 0.75, 1.  , 1.  ])
    """

    start: float
    end: float
    over: DurationLike = "1dur"
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", finite(self.start, "start"))
        object.__setattr__(self, "end", finite(self.end, "end"))
        object.__setattr__(self, "over", _positive(self.over, "over"))

    def resolve(self, context: Context) -> Curve:
        over, origin = float(context.counts(self.over, "over")), context.origin
        low, high = min(self.start, self.end), max(self.start, self.end)

        def value(count: IntArray) -> FloatArray:
            done = np.minimum((count - origin) / over, 1.0)
            clipped: FloatArray = np.clip(self.start * (1.0 - done) + self.end * done, low, high)
            return clipped

        return Curve(value, low, high)

    def within(self, unit: str) -> Linear:
        return replace(self, over=str(Duration.parse(self.over).within(unit)))

    def to_document(self, write: Write) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "start": self.start,
            "end": self.end,
            "over": write(Duration.parse(self.over), "over"),
        }


def _positive(duration: DurationLike, what: str) -> str:
    parsed = Duration.parse(duration, what)
    if parsed.value == 0:
        raise PlanError(f"{what}: got {duration!r}, expected more than 0")
    return str(parsed)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """The one-cycle policy, with torch's ``OneCycleLR`` values (Smith & Topin 2017, arXiv 1708.07120).

    From high/div_factor up to high at pct_start of the way, then down to high/div_factor/final_div_factor at the last count.
    `three_phase` first comes down as it went up. `over` is the length, by default all that follows the warm-up; past it the last value holds.

    >>> OneCycle(1.0, over=100, div_factor=10.0)(np.array([0, 29, 99])).round(6)
    array([1.e-01, 1.e+00, 1.e-05])
    """

    high: float
    over: DurationLike = "1dur"
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal_strategy: Literal["cos", "linear"] = "cos"
    three_phase: bool = False
    kind: ClassVar[str] = "one_cycle"

    def __post_init__(self) -> None:
        for name in ("high", "pct_start", "div_factor", "final_div_factor"):
            object.__setattr__(self, name, finite(getattr(self, name), name))
        if not 0.0 <= self.pct_start <= 1.0:
            raise PlanError(f"pct_start: got {self.pct_start!r}, expected a share in [0, 1]")
        if self.high <= 0 or self.div_factor <= 0 or self.final_div_factor <= 0:
            raise PlanError(
                f"high, div_factor, final_div_factor: got {self.high}, {self.div_factor}, {self.final_div_factor}, expected more than 0"
            )
        if self.anneal_strategy not in ("cos", "linear"):
            raise PlanError(f"anneal_strategy: got {self.anneal_strategy!r}, expected 'cos' or 'linear'")
        if not isinstance(self.three_phase, bool):
            raise PlanError(f"three_phase: got {self.three_phase!r}, expected true or false")
        object.__setattr__(self, "over", _positive(self.over, "over"))

    def phases(self, total: int) -> list[tuple[float, float, float]]:
        """Return (last count, first value, last value) of each phase, for `total` counts."""
        first = self.high / self.div_factor
        last = first / self.final_div_factor
        peak = self.pct_start * total - 1
        if self.three_phase:
            return [
                (peak, first, self.high),
                (2 * self.pct_start * total - 2, self.high, first),
                (total - 1, first, last),
            ]
        return [(peak, first, self.high), (total - 1, self.high, last)]

    def resolve(self, context: Context) -> Curve:
        total, origin = max(context.whole(self.over, "over"), 1), context.origin
        phases = self.phases(total)
        knots = [value for _, *ends in phases for value in ends]

        def value(count: IntArray) -> FloatArray:
            own = np.minimum(count - origin, total - 1).astype(np.float64)
            values, begin = np.empty(own.shape), 0.0
            remaining = np.ones(own.shape, dtype=bool)
            for place, (end, start_value, end_value) in enumerate(phases):
                here = remaining & (own <= end) if place < len(phases) - 1 else remaining
                done = (own[here] - begin) / (end - begin) if end != begin else np.ones(int(here.sum()))
                values[here] = self._anneal(start_value, end_value, done)
                remaining, begin = remaining & ~here, end
            return values

        return Curve(value, min(knots), max(knots))

    def _anneal(self, start: float, end: float, done: FloatArray) -> FloatArray:
        if self.anneal_strategy == "linear":
            values = (end - start) * done + start
        else:
            values = end + (start - end) / 2.0 * (1.0 + np.cos(math.pi * done))
        clipped: FloatArray = np.clip(values, min(start, end), max(start, end))
        return clipped

    def within(self, unit: str) -> OneCycle:
        return replace(self, over=str(Duration.parse(self.over).within(unit)))

    def to_document(self, write: Write) -> dict[str, Any]:
        names = ("high", "pct_start", "div_factor", "final_div_factor", "anneal_strategy", "three_phase")
        return {
            "kind": self.kind,
            "over": write(Duration.parse(self.over), "over"),
            **{name: getattr(self, name) for name in names},
        }
