"""Rotation: a phase as an exact fraction, turned by a shift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ostinato.core.waveforms import FloatArray, IntArray

__all__ = ["Rotation"]

_SIMPLE = 10**6
_FLOAT_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class Rotation:
    """The phase (done / whole - shift) mod 1, always below 1.

    Where the shift is a simple fraction it is computed in integers and rounded once, so that the edges of a shifted square wave fall on
    the right step: the shares of clients that take turns neither overlap nor leave a gap.
    """

    shift: float
    turn: Fraction | None

    @classmethod
    def by(cls, shift: float) -> Rotation:
        """Return the rotation by a shift in [0, 1)."""
        turn = Fraction(shift).limit_denominator(_SIMPLE)
        return cls(shift, turn if float(turn) == shift else None)

    def __call__(self, done: IntArray, whole: IntArray) -> FloatArray:
        if self.shift == 0.0:
            return _quotient(done, whole)
        if self.turn is None:
            return self._rounded(done, whole)
        p, q = self.turn.numerator, self.turn.denominator
        small = whole < _FLOAT_EXACT // q
        parts, of = np.where(small, done, 0), np.where(small, whole, 1)
        phase = _quotient((parts * q - of * p) % (of * q), of * q)
        return phase if small.all() else np.where(small, phase, self._rounded(done, whole))

    def _rounded(self, done: IntArray, whole: IntArray) -> FloatArray:
        return np.minimum(np.mod(_quotient(done, whole) - self.shift, 1.0), math.nextafter(1.0, 0.0))


def _quotient(done: IntArray, whole: IntArray) -> FloatArray:
    quotient: FloatArray = done.astype(np.float64) / whole.astype(np.float64)
    return quotient
