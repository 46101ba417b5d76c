"""Waveforms: pure functions of phase φ in [0, 1) to a level in [0, 1], elementwise in float64.

=============  ==========================================  ======================================
name           formula                                     parameter
=============  ==========================================  ======================================
`cosine`       (1 + cos πφ) / 2                            (annealing with restarts, SGDR)
`triangular`   φ / up, then (1 - φ) / (1 - up)             ``up=0.5`` share of the cycle that rises
`sine`         (1 - cos 2πφ) / 2
`sawtooth`     1 - φ
`square`       1, then 0                                   ``duty=0.5`` share of the cycle at 1
`exponential`  (r^-φ - r^-1) / (1 - r^-1)                  ``ratio=100`` first over last value
`constant`     1
=============  ==========================================  ======================================

Sources: cosine, Loshchilov & Hutter 2017 (arXiv 1608.03983); triangular, Smith 2017 (arXiv 1506.01186).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ostinato.core.units import exact, finite
from ostinato.errors import PlanError, suggest

__all__ = [
    "WAVEFORMS", "FloatArray", "IntArray", "Waveform",
    "constant", "cosine", "exponential", "sawtooth", "sine", "square", "triangular", "waveform",
]  # fmt: skip

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Extremes = tuple[int, int] | None


def cosine(phase: FloatArray) -> FloatArray:
    """Return (1 + cos πφ) / 2: 1 at the start, falling towards 0."""
    level: FloatArray = (1.0 + np.cos(np.pi * phase)) / 2.0
    return level


def triangular(phase: FloatArray, up: float = 0.5) -> FloatArray:
    """Return φ/up while φ < up, then (1 - φ)/(1 - up)."""
    falling = (1.0 - phase) / (1.0 - up) if up < 1.0 else np.ones_like(phase)
    rising = phase / up if up > 0.0 else np.zeros_like(phase)
    return np.where(phase < up, rising, falling)


def sine(phase: FloatArray) -> FloatArray:
    """Return (1 - cos 2πφ) / 2: 0 at the start, 1 in the middle."""
    level: FloatArray = (1.0 - np.cos(2.0 * np.pi * phase)) / 2.0
    return level


def sawtooth(phase: FloatArray) -> FloatArray:
    """Return 1 - φ."""
    return 1.0 - phase


def square(phase: FloatArray, duty: float = 0.5) -> FloatArray:
    """Return 1 while φ < duty, then 0."""
    return (phase < duty).astype(np.float64)


def exponential(phase: FloatArray, ratio: float = 100.0) -> FloatArray:
    """Return (r^-φ - r^-1) / (1 - r^-1) with r = `ratio`."""
    last = 1.0 / ratio
    level: FloatArray = (np.power(ratio, -phase) - last) / (1.0 - last)
    return level


def constant(phase: FloatArray) -> FloatArray:
    """Return 1."""
    return np.ones_like(phase)


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A waveform's parameter: its default and the values that it may have."""

    default: float
    low: float
    high: float
    low_allowed: bool = True

    def check(self, name: str, value: float) -> float:
        number = finite(value, name)
        if not (self.low <= number <= self.high) or (number == self.low and not self.low_allowed):
            opening = "[" if self.low_allowed else "("
            raise PlanError(f"{name}: got {value!r}, expected a number in {opening}{self.low:g}, {self.high:g}]")
        return number


@dataclass(frozen=True, slots=True)
class Waveform:
    """A named waveform with its parameters and, in closed form, where a cycle of `length` steps peaks and bottoms out.

    `extremes(length, **parameters)` is (offset of the first maximum, offset of the last minimum), or None where there are none.
    """

    name: str
    function: Callable[..., FloatArray]
    extremes: Callable[..., Extremes]
    parameters: Mapping[str, _Parameter] = field(default_factory=dict)

    def __call__(self, phase: FloatArray, **parameters: float) -> FloatArray:
        """Return the level at each phase."""
        return self.function(phase, **parameters)

    def complete(self, given: Mapping[str, float]) -> dict[str, float]:
        """Return all parameters, checked, defaults filled in.

        Raises:
            PlanError: A parameter that this waveform does not have, or a value outside its range.
        """
        for name in given:
            if name not in self.parameters:
                has = ", ".join(self.parameters) or "no parameters"
                raise PlanError(f"{name}: waveform {self.name!r} does not take it (it has: {has})")
        return {name: spec.check(name, given.get(name, spec.default)) for name, spec in self.parameters.items()}


def _falling(length: int) -> Extremes:
    return 0, length - 1


def _sine_extremes(length: int) -> Extremes:
    return length // 2, 0


def _triangular_extremes(length: int, up: float) -> Extremes:
    rise = exact(up)
    if rise == 0:
        return 0, length - 1
    below = min(math.floor(rise * length), length - 1)
    above = min(below + 1, length - 1)

    def level(offset: int) -> Fraction:
        phase = Fraction(offset, length)
        return phase / rise if phase < rise else (1 - phase) / (1 - rise)

    return (above if level(above) > level(below) else below), 0


def _no_extremes(length: int) -> Extremes:
    return None


WAVEFORMS: Mapping[str, Waveform] = {
    wave.name: wave
    for wave in (
        Waveform("cosine", cosine, _falling),
        Waveform("triangular", triangular, _triangular_extremes, {"up": _Parameter(0.5, 0.0, 1.0)}),
        Waveform("sine", sine, _sine_extremes),
        Waveform("sawtooth", sawtooth, _falling),
        Waveform("square", square, lambda length, duty: _falling(length), {"duty": _Parameter(0.5, 0.0, 1.0)}),
        Waveform(
            "exponential",
            exponential,
            lambda length, ratio: _falling(length),
            {"ratio": _Parameter(100.0, 1.0, 1e12, low_allowed=False)},
        ),
        Waveform("constant", constant, _no_extremes),
    )
}


def waveform(name: str) -> Waveform:
    """Return the waveform of that name.

    Raises:
        PlanError: There is none; near misses are named.

    >>> waveform("sine").extremes(10)
    (5, 0)
    """
    if not isinstance(name, str) or name not in WAVEFORMS:
        raise PlanError(f"waveform: got {name!r}{suggest(str(name), WAVEFORMS)}")
    return WAVEFORMS[name]
