"""Numbers behind the pictures: fewer points with the same outline, smoothing, axes and ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.training.report.model import Series

__all__ = [
    "Axis",
    "Floats",
    "Ints",
    "at",
    "axis_for",
    "downsample",
    "from_zero",
    "label_stride",
    "nice_ticks",
    "reach",
    "smooth",
    "thin",
    "tidy",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOG_RATIO = 50.0


def tidy(series: Series) -> tuple[Ints, Floats]:
    """Return steps in order, each once (the last wins), and values with infinities as NaN."""
    steps = np.asarray(series.steps, dtype=np.int64).ravel()
    values = np.asarray(series.values, dtype=np.float64).ravel()
    if (np.diff(steps) > 0).all():
        return steps, np.where(np.isfinite(values), values, np.nan)
    unique, back = np.unique(steps[::-1], return_index=True)
    chosen = values[::-1][back]
    return unique, np.where(np.isfinite(chosen), chosen, np.nan)


def downsample(steps: Ints, values: Floats, limit: int = 1500) -> tuple[Ints, Floats]:
    """Keep at most ``limit`` points: of each bucket its first, least, greatest and last value, and one NaN if any.

    The outline at screen resolution does not change (the M4 aggregation of Jugel et al., VLDB 2014), global extremes
    and the two sides of a restart stay, and a gap stays a gap.

    >>> s, v = downsample(np.arange(10_000), np.sin(np.arange(10_000.0)), 100)
    >>> len(s) <= 100, float(v.max()) == float(np.sin(np.arange(10_000.0)).max())
    (True, True)
    """
    n = len(steps)
    if n <= limit:
        return steps, values
    missing = np.isnan(values)
    edges = np.linspace(0, n, max(1, limit // (5 if missing.any() else 4)) + 1).astype(np.int64)
    keep: set[int] = set()
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part, gap = values[a:b], missing[a:b]
        if gap.any():
            keep.add(a + int(np.argmax(gap)))
        present = np.flatnonzero(~gap)
        if len(present):
            inside = part[present]
            for i in (0, int(inside.argmin()), int(inside.argmax()), len(inside) - 1):
                keep.add(a + int(present[i]))
    index = np.array(sorted(keep), dtype=np.int64)
    return steps[index], values[index]


def smooth(steps: Ints, values: Floats, window: int) -> tuple[Ints, Floats]:
    """Average over a centred window of ``window`` points, cut off at both ends; NaN does not count and stays NaN.

    More than 4000 points are averaged in equal blocks first, so that the cost stays linear and one huge value
    reaches only its own window (a running sum would carry its rounding to the end).
    """
    n = len(values)
    block = max(1, math.ceil(n / 4000))
    width = max(1, window // block) | 1
    if n == 0 or (block == 1 and width == 1):
        return steps, values
    starts = np.arange(0, n, block)
    present = np.isfinite(values)
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.add.reduceat(np.where(present, values, 0.0), starts)
        count = np.add.reduceat(present.astype(np.float64), starts)
        here = count > 0
        if width <= len(starts):
            total, count = (np.convolve(part, np.ones(width), mode="same") for part in (total, count))
        mean = np.where(here, total / np.where(count > 0, count, 1.0), np.nan)
    middle = np.minimum(starts + block // 2, n - 1)
    return steps[middle], np.where(np.isfinite(mean), mean, np.nan)


@dataclass(frozen=True)
class Axis:
    """A range of values, linear or logarithmic.

    >>> Axis(1e-4, 1e-2, log=True).place(np.array([1e-4, 1e-3, 0.0])).round(9).tolist()
    [0.0, 0.5, nan]
    """

    low: float
    high: float
    log: bool = False

    def place(self, values: Floats) -> Floats:
        """Map values to 0 (bottom) .. 1 (top); NaN where a logarithm has no value."""
        if not self.log:
            # halves first: a range from -1e308 to 1e308 must not overflow
            result: Floats = (values / 2 - self.low / 2) / (self.high / 2 - self.low / 2)
            return result
        safe = np.log(np.where(values > 0, values, np.nan))
        span = math.log(self.high) - math.log(self.low)
        placed: Floats = (safe - math.log(self.low)) / span
        return np.clip(placed, 0.0, None)


def axis_for(values: Floats, low: float | None = None, high: float | None = None, *, linear: bool = False) -> Axis:
    """Choose an axis: declared bounds first, widened by the data; logarithmic if high/low > 50 and low > 0, unless `linear`."""
    present = values[np.isfinite(values)]
    lo = low if low is not None and math.isfinite(low) else (float(present.min()) if len(present) else 0.0)
    hi = high if high is not None and math.isfinite(high) else (float(present.max()) if len(present) else 1.0)
    if not linear and lo > 0 and hi / lo > _LOG_RATIO:
        positive = present[present > 0]
        floor = float(positive.min()) if len(positive) else lo
        return Axis(min(lo, max(floor, lo / 10)), max(hi, float(present.max()) if len(present) else hi), log=True)
    if len(present):
        lo, hi = min(lo, float(present.min())), max(hi, float(present.max()))
    if hi / 2 - lo / 2 <= max(abs(hi) * 1e-12, 1e-305):
        pad = abs(hi) / 2 or 0.5
        return Axis(lo - pad, hi + pad)
    return Axis(lo, hi)


def from_zero(axis: Axis) -> Axis:
    """Start a linear axis at zero when its low end is near it, as fits quantities that cannot be negative."""
    return Axis(0.0, axis.high) if not axis.log and 0 < axis.low < 0.4 * axis.high else axis


def nice_ticks(axis: Axis, count: int = 4) -> list[float]:
    """Return about ``count`` round values inside the axis: 1, 2, 5 times powers of ten; decades when logarithmic."""
    if axis.log:
        first, last = math.ceil(math.log10(axis.low) - 1e-9), math.floor(math.log10(axis.high) + 1e-9)
        return [float(f"1e{e}") for e in range(first, last + 1, max(1, math.ceil((last - first + 1) / count)))]
    step = _nice_step((axis.high / 2 - axis.low / 2) * 2 / max(1, count))
    if math.isfinite(step) and math.floor(axis.high / step) - math.ceil(axis.low / step) < 2:
        step = _nice_step(step / 2.5)
    if not math.isfinite(step) or step <= 0:
        return [axis.low, axis.high]
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    if last - first > 4 * count:
        return [axis.low, axis.high]
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _nice_step(raw: float) -> float:
    if not (math.isfinite(raw) and raw > 0):
        return math.nan
    power = 10.0 ** math.floor(math.log10(raw))
    return next((m * power for m in (1, 2, 5) if raw <= m * power * (1 + 1e-9)), 10 * power)


def thin(positions: list[float], gap: float) -> list[bool]:
    """Say greedily, from the left, which positions stand at least ``gap`` behind the last one kept.

    >>> thin([0, 1, 5, 6, 12], 5)
    [True, False, True, False, True]
    """
    kept: list[bool] = []
    last = -math.inf
    for position in positions:
        kept.append(position - last >= gap)
        last = position if kept[-1] else last
    return kept


def label_stride(count: int, most: int) -> int:
    """Return 1, 2, 5, 10, ... so that every such label of ``count`` leaves at most ``most``.

    >>> label_stride(5, 24), label_stride(500, 24)
    (1, 50)
    """
    power = 1
    while True:
        for stride in (power, 2 * power, 5 * power):
            if count <= most * stride:
                return stride
        power *= 10


def at(steps: Ints, values: Floats, step: int, *, hold: bool = True) -> float:
    """Value at a step: of the last point at or before it, NaN before the first.

    ``hold=False`` gives NaN past the last point too, one usual distance between points later.

    >>> at(np.array([0, 2]), np.array([5.0, 7.0]), 3), at(np.array([0, 2]), np.array([5.0, 7.0]), 9, hold=False)
    (7.0, nan)
    """
    index = int(np.searchsorted(steps, step, side="right")) - 1
    if index < 0 or (not hold and step > reach(steps)):
        return math.nan
    return float(values[index])


def reach(steps: Ints) -> int:
    """Last step that a dense curve speaks for: its last point and one usual distance more, less one."""
    n = len(steps)
    return int(steps[-1]) + (-(-int(steps[-1] - steps[0]) // (n - 1)) - 1 if n > 1 else 0) if n else -1
