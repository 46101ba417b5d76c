"""Schedules made of schedules: warm-up, join, product, sum, clip.

Product and sum keep their factors in one canonical order and flatten nested ones of the same kind, so that ``a * b`` and ``b * a``
have the same values to the last bit, and the same digest.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from itertools import pairwise, product
from typing import Any, ClassVar

import numpy as np

from ostinato.core.curves import Curve, hull
from ostinato.core.schedules import Context, Schedule, Write, as_schedule
from ostinato.core.units import Duration, DurationLike, finite
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import PlanError

__all__ = ["Clip", "Join", "Product", "Sum", "Warmup"]


def _as_written(duration: Duration, what: str) -> str:
    return str(duration)


@dataclass(frozen=True)
class Warmup(Schedule):
    """A climb of `over` counts to the first value of another schedule, which then begins.

    Count t < w has start + (first - start)·(t + 1)/(w + 1).

    >>> from ostinato.core.schedules import Hold
    >>> Warmup(Hold(1.0), over=3)(np.arange(5))
    array([0.25, 0.5 , 0.75, 1.  , 1.  ])
    """

    of: Schedule
    over: DurationLike
    start: float = 0.0
    kind: ClassVar[str] = "warmup"

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", as_schedule(self.of))
        object.__setattr__(self, "over", str(Duration.parse(self.over, "over")))
        object.__setattr__(self, "start", finite(self.start, "start"))

    def resolve(self, context: Context) -> Curve:
        over, origin = context.whole(self.over, "over"), context.origin
        inner = self.of.resolve(context.starting(over))
        first = inner(origin + over)

        def value(count: IntArray) -> FloatArray:
            own = count - origin
            return np.where(
                own < over, ramp(own, over, self.start, first), inner.function(np.maximum(count, origin + over))
            )

        return Curve(value, min(self.start, inner.low), max(self.start, inner.high))

    def shifted(self, by: Fraction) -> Warmup:
        return replace(self, of=self.of.shifted(by))

    def within(self, unit: str) -> Warmup:
        return replace(self, of=self.of.within(unit), over=str(Duration.parse(self.over).within(unit)))

    def to_document(self, write: Write) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "of": [self.of.to_document(write)],
            "over": write(Duration.parse(self.over), "over"),
            "start": self.start,
        }


def ramp(count: IntArray, over: int, start: float, first: float) -> FloatArray:
    """Return start + (first - start)·(t + 1)/(over + 1)."""
    values: FloatArray = start + (first - start) * ((count + 1) / (over + 1))
    return values


@dataclass(frozen=True)
class Join(Schedule):
    """One schedule after another: the first until `at[0]`, the second until `at[1]`, and so on.

    Each part counts from its own beginning, except waves on the shared cycle, which stay on the clock.

    >>> from ostinato.core.schedules import Hold, Linear
    >>> Join((Linear(0.0, 1.0, over=2), Hold(1.0), Linear(1.0, 0.0, over=2)), at=(2, 4))(np.arange(7))
    array([0. , 0.5, 1. , 1. , 1. , 0.5, 0. ])
    """

    of: Sequence[Schedule]
    at: Sequence[DurationLike]
    kind: ClassVar[str] = "join"

    def __post_init__(self) -> None:
        parts = tuple(as_schedule(part) for part in self.of)
        if isinstance(self.at, str) or not isinstance(self.at, Sequence):
            raise PlanError(
                f"at: got {self.at!r}, expected a list of places where the next schedule begins, such as ['10ep']"
            )
        if len(parts) < 2 or len(self.at) != len(parts) - 1:
            raise PlanError(
                f"at: {len(parts)} schedules need {max(len(parts) - 1, 1)} places where the next one begins, got {len(self.at)}"
            )
        object.__setattr__(self, "of", parts)
        object.__setattr__(self, "at", tuple(str(Duration.parse(place, "at")) for place in self.at))

    def resolve(self, context: Context) -> Curve:
        starts = [0, *(context.whole(place, f"at.{i}") for i, place in enumerate(self.at))]
        for before, after in pairwise(starts):
            if after <= before:
                raise PlanError(f"at: the next schedule begins at {after}, not after {before}; write growing places")
        curves = [part.resolve(context.starting(start)) for part, start in zip(self.of, starts, strict=True)]
        edges = np.array(starts[1:], dtype=np.int64) + context.origin

        def value(count: IntArray) -> FloatArray:
            part = np.searchsorted(edges, count, side="right")
            values = np.empty(count.shape)
            for place, curve in enumerate(curves):
                here = part == place
                if here.any():
                    values[here] = curve.function(count[here])
            return values

        return Curve(value, *hull(*curves))

    def shifted(self, by: Fraction) -> Join:
        return replace(self, of=tuple(part.shifted(by) for part in self.of))

    def within(self, unit: str) -> Join:
        places = tuple(str(Duration.parse(place).within(unit)) for place in self.at)
        return replace(self, of=tuple(part.within(unit) for part in self.of), at=places)

    def to_document(self, write: Write) -> dict[str, Any]:
        places = [write(Duration.parse(place), f"at.{i}") for i, place in enumerate(self.at)]
        return {"kind": self.kind, "of": [part.to_document(write) for part in self.of], "at": places}


@dataclass(frozen=True)
class _Commutative(Schedule):
    """Schedules combined by an operation whose order does not matter."""

    of: Sequence[Schedule]

    def __post_init__(self) -> None:
        parts: list[Schedule] = []
        for part in map(as_schedule, self.of):
            parts.extend(part.of if isinstance(part, type(self)) else [part])
        if not parts:
            raise PlanError(f"of: a {self.kind} of nothing; give it at least one schedule")
        parts.sort(key=lambda part: json.dumps(part.to_document(_as_written), sort_keys=True))
        object.__setattr__(self, "of", tuple(parts))

    def shifted(self, by: Fraction) -> Schedule:
        return type(self)(tuple(part.shifted(by) for part in self.of))

    def within(self, unit: str) -> Schedule:
        return type(self)(tuple(part.within(unit) for part in self.of))

    def to_document(self, write: Write) -> dict[str, Any]:
        return {"kind": self.kind, "of": [part.to_document(write) for part in self.of]}


@dataclass(frozen=True)
class Product(_Commutative):
    """The product of its schedules.

    >>> from ostinato.core.schedules import Hold, Linear
    >>> (Hold(0.5) * Linear(0.0, 1.0, over=4))(2)
    0.25
    """

    kind: ClassVar[str] = "product"

    def resolve(self, context: Context) -> Curve:
        curves = [part.resolve(context) for part in self.of]

        def value(count: IntArray) -> FloatArray:
            return reduce(np.multiply, (curve.function(count) for curve in curves))

        corners = [math.prod(corner) for corner in product(*((curve.low, curve.high) for curve in curves))]
        known = not any(math.isinf(bound) or math.isnan(bound) for bound in corners)
        return Curve(value, min(corners), max(corners)) if known else Curve(value)


@dataclass(frozen=True)
class Sum(_Commutative):
    """The sum of its schedules.

    >>> from ostinato.core.schedules import Hold, Linear
    >>> (Linear(0.0, 1.0, over=4) + 0.5)(2)
    1.0
    """

    kind: ClassVar[str] = "sum"

    def resolve(self, context: Context) -> Curve:
        curves = [part.resolve(context) for part in self.of]

        def value(count: IntArray) -> FloatArray:
            return reduce(np.add, (curve.function(count) for curve in curves))

        # added one by one as the values are: the built-in sum compensates from Python 3.12 on, and would round otherwise
        low, high = (reduce(operator.add, bounds) for bounds in zip(*((c.low, c.high) for c in curves), strict=True))
        return Curve(value, low, high)


@dataclass(frozen=True)
class Clip(Schedule):
    """A schedule held between `low` and `high`."""

    of: Schedule
    low: float
    high: float
    kind: ClassVar[str] = "clip"

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", as_schedule(self.of))
        object.__setattr__(self, "low", finite(self.low, "low"))
        object.__setattr__(self, "high", finite(self.high, "high"))
        if self.high < self.low:
            raise PlanError(f"high: got {self.high!r}, which is below low = {self.low!r}; swap them")

    def resolve(self, context: Context) -> Curve:
        inner = self.of.resolve(context)

        def value(count: IntArray) -> FloatArray:
            clipped: FloatArray = np.clip(inner.function(count), self.low, self.high)
            return clipped

        return Curve(value, min(max(inner.low, self.low), self.high), max(min(inner.high, self.high), self.low))

    def shifted(self, by: Fraction) -> Clip:
        return replace(self, of=self.of.shifted(by))

    def within(self, unit: str) -> Clip:
        return replace(self, of=self.of.within(unit))

    def to_document(self, write: Write) -> dict[str, Any]:
        return {"kind": self.kind, "of": [self.of.to_document(write)], "low": self.low, "high": self.high}
