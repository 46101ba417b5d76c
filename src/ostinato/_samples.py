"""Which steps of a long run to draw, so that no jump is smoothed over."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato.core.clock import Cycles
from ostinato.core.schedules import Wave
from ostinato.core.waveforms import FloatArray, IntArray

if TYPE_CHECKING:
    from ostinato.core.resolved import ResolvedPlan

__all__ = ["chosen", "extent", "sample_steps"]

_SAMPLES = 4000
_MOST_CYCLES = 2000


def sample_steps(resolved: ResolvedPlan, target: str, *, most: int = _SAMPLES) -> IntArray:
    """Return the steps at which a value is drawn: evenly about `most`, and both sides of every jump and turn of its waves.

    A run of at most `most` steps is drawn whole. Of more than 2000 cycles, every so many-th has its jumps.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=10**6, cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> steps = sample_steps(plan.resolve(), "optimizer.lr")
    >>> 200_000 in steps and 199_999 in steps
    True
    """
    total = resolved.total
    if total <= most:
        return np.arange(total, dtype=np.int64)
    marks = [np.linspace(0, total - 1, most).round().astype(np.int64)]
    marks.append(np.array([resolved.warmup - 1, resolved.warmup], dtype=np.int64))
    marks.append(_turns(resolved, 0.0))
    for shift, wave in _waves(resolved.plan.bound[target].schedule):
        shape = wave.cycle or resolved.plan.cycle
        inner = [] if shape is None else [value for name, value in shape.parameters.items() if name != "ratio"]
        marks.extend(_turns(resolved, (shift + part) % 1.0) for part in (0.0, *inner))
    if not isinstance(resolved.plan.bound[target].schedule, Wave) or _own_cycle(resolved, target):
        marks.append(_found_jumps(resolved, target, marks[0]))
    steps = np.unique(np.concatenate(marks))
    return steps[(steps >= 0) & (steps < total)]


def extent(resolved: ResolvedPlan, target: str, values: FloatArray) -> tuple[float, float]:
    """Return lowest and highest value: what a wave declares, else those among `values`."""
    binding = resolved.plan.bound[target]
    low, high = float(values.min()), float(values.max())
    if isinstance(binding.schedule, Wave) and not binding.effective:
        return min(low, binding.schedule.low), max(high, binding.schedule.high)
    return low, high


def _own_cycle(resolved: ResolvedPlan, target: str) -> bool:
    return any(wave.cycle is not None for _, wave in _waves(resolved.plan.bound[target].schedule))


def _waves(schedule: Any) -> Iterator[tuple[float, Wave]]:
    """Yield the waves inside a schedule with their shift."""
    if isinstance(schedule, Wave):
        yield schedule.shift, schedule
    of = getattr(schedule, "of", ())
    for part in of if isinstance(of, list | tuple) else (of,):
        yield from _waves(part)


def chosen(cycles: Cycles, most: int) -> list[int]:
    """Return at most about `most` indices of cycles, evenly."""
    return list(range(0, len(cycles), max(1, math.ceil(len(cycles) / most))))


def _turns(resolved: ResolvedPlan, phase: float) -> IntArray:
    """Return the steps on both sides of a phase in the shared cycles."""
    rhythm = resolved.clock.rhythm
    if rhythm is None:
        return np.empty(0, dtype=np.int64)
    places = []
    for k in chosen(resolved.cycles, _MOST_CYCLES):
        start, end = resolved.warmup + rhythm.end(k - 1), resolved.warmup + rhythm.end(k)
        places += [start + math.ceil(round((end - start) * phase, 6)), end]
    return np.array([step for place in places for step in (place - 1, place)], dtype=np.int64)


def _found_jumps(resolved: ResolvedPlan, target: str, grid: IntArray) -> IntArray:
    """Return the steps on both sides of the largest change inside every gap of the grid, by halving the gaps."""
    function = resolved.curves[target].function
    low, high = grid[:-1].copy(), grid[1:].copy()
    while int((high - low).max()) > 1:
        middle = (low + high) // 2
        values = [function(steps) for steps in (low, middle, high)]
        left = np.abs(values[1] - values[0]) >= np.abs(values[2] - values[1])
        wide = high - low > 1
        high = np.where(wide & left, middle, high)
        low = np.where(wide & ~left, middle, low)
    return np.concatenate([low, high])
