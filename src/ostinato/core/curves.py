"""Curves: what a schedule becomes once its durations are known, an elementwise function of int64 counts to float64 values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ostinato.core.memory import frozen
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import PlanError

__all__ = ["BLOCK", "Curve", "blocks", "hull"]

BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Curve:
    """A pure function of the count with bounds that its values never leave (infinite where nothing is known).

    Scalars take the same elementwise float64 path as arrays, so that a value does not depend on how it is asked for. `before` is what stands
    before count 0, and what a warm-up climbs to; None means the value at count 0.

    >>> double = Curve(lambda t: 2.0 * t, 0.0, float("inf"))
    >>> double(3), double(np.array([1, 2]))
    (6.0, array([2., 4.]))
    """

    function: Callable[[IntArray], FloatArray]
    low: float = -math.inf
    high: float = math.inf
    before: float | None = None

    @overload
    def __call__(self, count: int) -> float: ...
    @overload
    def __call__(self, count: NDArray[np.integer]) -> FloatArray: ...
    def __call__(self, count: int | NDArray[np.integer]) -> float | FloatArray:
        counts = np.atleast_1d(np.asarray(count))
        if counts.dtype.kind not in "iu":
            raise PlanError(f"count: got {count!r}, expected a whole number or an array of them")
        if counts.size and int(counts.min()) < 0:
            raise PlanError(f"count: got {int(counts.min())}, expected at least 0")
        values = self.function(np.array(counts, dtype=np.int64))
        return float(values[0]) if np.ndim(count) == 0 else values


def blocks(start: int, stop: int, size: int = BLOCK) -> Iterator[IntArray]:
    """Yield the counts from `start` to `stop` - 1 in int64 arrays of at most `size`."""
    for first in range(start, stop, size):
        yield frozen(np.arange(first, min(first + size, stop), dtype=np.int64))


def hull(*curves: Curve) -> tuple[float, float]:
    """Return the smallest interval that holds the bounds of all curves."""
    return min(curve.low for curve in curves), max(curve.high for curve in curves)
