"""Bootstrap by counts: how often each value is drawn, so that many studies are resampled by one matrix product."""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from ostinato.checks import is_whole
from ostinato.errors import DataError

__all__ = ["LEAST_ERROR", "Floats", "Seed", "counts_of", "guarded", "percentile_ends", "pivots", "ranks", "spread_of", "studentised_ends"]  # fmt: skip

Floats = NDArray[np.float64]
Seed = int | np.random.Generator

LEAST_ERROR = 0.1
"""A resample's standard error counts as at least this share of the sample's, so that one that drew a single value is far out, not infinitely far."""


@lru_cache(maxsize=16)
def _known_counts(n: int, resamples: int, seed: int) -> Floats:
    counts = _drawn(n, resamples, np.random.default_rng(seed))
    counts.setflags(write=False)
    return counts


def _drawn(n: int, resamples: int, generator: np.random.Generator) -> Floats:
    chosen = generator.integers(0, n, (resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(chosen.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)


def counts_of(n: int, resamples: int, seed: Seed) -> Floats:
    """Return how often each of `n` values is drawn in each resample, (resamples, n), rows summing to n; read-only for a whole seed.

    Raises:
        DataError: The seed is neither a whole number >= 0 nor a generator.
    """
    if isinstance(seed, np.random.Generator):
        return _drawn(n, resamples, seed)
    if not is_whole(seed, 0, of=Integral):
        raise DataError(f"seed: got {seed!r}, expected a whole number >= 0 or a numpy Generator")
    return _known_counts(n, resamples, int(seed))


def ranks(resamples: int, level: float) -> tuple[int, int]:
    """Return the places, from 0, of both quantiles among sorted resamples: the ((B + 1)(1 - level) / 2)-th from either side.

    Raises:
        DataError: There are too few resamples for this level, or the level is not in (0, 1).

    >>> ranks(9999, 0.95)
    (249, 9749)
    """
    if not 0.0 < level < 1.0:
        raise DataError(f"level: got {level!r}, expected a number between 0 and 1, such as 0.95")
    if not is_whole(resamples, of=Integral):
        raise DataError(f"resamples: got {resamples!r}, expected a whole number such as 9999")
    least = math.ceil(2.0 / (1.0 - level) - 1e-9) - 1
    if resamples < least:
        raise DataError(f"resamples: got {resamples}, expected at least {least} for a level of {level:g}")
    place = math.floor((resamples + 1) * (1.0 - level) / 2.0 + 1e-9)
    return place - 1, int(resamples) - place


def spread_of(values: Floats) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (divisor n - 1) of each of K samples (K, n); exactly 0 where all values are equal."""
    mean = values.mean(axis=1)
    deviation = np.sqrt(((values - mean[:, None]) ** 2).sum(axis=1) / (values.shape[1] - 1))
    fixed = values.max(axis=1) == values.min(axis=1)
    return np.where(fixed, values[:, 0], mean), np.where(fixed, 0.0, deviation)


def _scaled(values: Floats) -> Floats:
    mean, deviation = spread_of(values)
    return (values - mean[:, None]) / np.where(deviation > 0.0, deviation, 1.0)[:, None]


def pivots(values: Floats, counts: Floats) -> Floats:
    """Return t* = (mean* - mean) / max(se*, se / 10) of every resample, (K, B), for K samples (K, n) and counts (B, n)."""
    n, scaled = values.shape[1], _scaled(values)
    mean = scaled @ counts.T / n
    variance = (scaled**2 @ counts.T / n - mean**2) / (n - 1)
    pivot: Floats = mean / np.sqrt(np.maximum(variance, LEAST_ERROR**2 / n))
    return pivot


def guarded(pivot: Floats, student: float | Floats, guard: float) -> Floats:
    """Return the critical values: `pivot`, or (1 - guard) * pivot + guard * student where that is further out; all of them > 0.

    Raises:
        DataError: The guard is not in [0, 1].
    """
    if not 0.0 <= guard <= 1.0:
        raise DataError(f"guard: got {guard!r}, expected a number from 0 (the bootstrap alone) to 1")
    return np.maximum(pivot, (1.0 - guard) * pivot + guard * np.asarray(student))


def studentised_ends(
    values: Floats, counts: Floats, level: float, student: float, guard: float
) -> tuple[Floats, Floats]:
    """Return the ends of the bootstrap-t interval of each of K samples (K, n)."""
    low, high = ranks(len(counts), level)
    ordered = np.partition(pivots(values, counts), (low, high), axis=1)
    mean, deviation = spread_of(values)
    error = deviation / math.sqrt(values.shape[1])
    below, above = (guarded(pivot, student, guard) * error for pivot in (ordered[:, high], -ordered[:, low]))
    return mean - below, mean + above


def percentile_ends(values: Floats, counts: Floats, level: float) -> tuple[Floats, Floats]:
    """Return the ends of the percentile bootstrap's interval of each of K samples (K, n); it is too narrow for few values."""
    low, high = ranks(len(counts), level)
    ordered = np.partition(values @ counts.T / values.shape[1], (low, high), axis=1)
    return ordered[:, low], ordered[:, high]
