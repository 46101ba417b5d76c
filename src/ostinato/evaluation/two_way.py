"""Intervals that count both who was trained and what was tested: resampling seeds and images at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ostinato.errors import DataError
from ostinato.evaluation._resampling import LEAST_ERROR, Floats, Seed, counts_of, guarded, ranks
from ostinato.evaluation.statistics import GUARD, Interval, critical

__all__ = ["two_way_bootstrap"]

_AT_ONCE = 100


def _error(rows: Floats, columns: Floats, squares: Floats, mean: Floats, sizes: tuple[int, int]) -> Floats:
    """Return the standard error of the mean of a two-way layout, from sums of squares.

    With seeds' means' variance r, images' means' variance c and residual variance e: se² = r/S + c/N - e/(SN), and never below r/S or c/N.
    """
    S, N = sizes  # noqa: N806 - seeds and images
    r = np.maximum(rows - mean**2, 0.0) * S / (S - 1)
    c = np.maximum(columns - mean**2, 0.0) * N / (N - 1)
    e = np.maximum(squares - rows - columns + mean**2, 0.0) * S * N / ((S - 1) * (N - 1))
    error: Floats = np.sqrt(np.maximum(r / S + c / N - e / (S * N), np.maximum(r / S, c / N)))
    return error


def _moments(matrix: Floats, squared: Floats, by_row: Floats, by_column: Floats) -> tuple[Floats, Floats]:
    """Return the mean and its standard error of every resample, for weights (B, S) and (B, N) with rows summing to 1."""
    seeds = by_column @ matrix.T  # each seed's mean over the drawn images, (B, S)
    images = by_row @ matrix  # each image's mean over the drawn seeds, (B, N)
    mean = (by_row * seeds).sum(axis=1)
    squares = ((by_row @ squared) * by_column).sum(axis=1)
    rows, columns = (by_row * seeds**2).sum(axis=1), (by_column * images**2).sum(axis=1)
    return mean, _error(rows, columns, squares, mean, (matrix.shape[0], matrix.shape[1]))


def two_way_bootstrap(
    matrix: ArrayLike, *, level: float = 0.95, resamples: int = 1999, seed: Seed = 0, guard: float = GUARD
) -> Interval:
    """Return a bootstrap-t interval of the mean over seeds and images, both taken as draws.

    An interval over seeds alone is conditional on the test images. Here rows and columns are resampled independently (the pigeonhole
    bootstrap) and each resample's mean is divided by its own standard error, which takes the residual variance out that resampling both
    ways counts thrice. It is a sensitivity check beside `studentised_bootstrap`; for few seeds it is as wide or wider.

    Args:
        matrix: (S, N) differences, seeds by test images, S and N >= 2; such as correct(claimed) - correct(comparator) in {-1, 0, 1}.
        level: Coverage aimed at.
        resamples: B. About S·N·B multiplications: a second for 20 seeds, 10,000 images and 1999 resamples.
        seed: Where the resamples come from.
        guard: As in `studentised_bootstrap`, with S - 1 degrees of freedom.

    Raises:
        DataError: The matrix has fewer than two rows or columns, or a value that is not finite.

    Source: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2), arXiv 0712.1111.

    >>> generator = np.random.default_rng(0)
    >>> interval = two_way_bootstrap(generator.normal(0.5, 1.0, (8, 200)) + generator.normal(0.0, 0.2, (8, 1)))
    >>> interval.low < 0.5 < interval.high
    True
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise DataError(f"matrix: got shape {values.shape}, expected (seeds, images), at least 2 of each")
    if not np.isfinite(values).all():
        raise DataError(f"matrix: {int((~np.isfinite(values)).sum())} of {values.size} values are not finite")
    low, high = ranks(resamples, level)
    counts_of(1, 1, seed)
    generator = seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)
    S, N = values.shape  # noqa: N806 - seeds and images
    effect = float(values.mean())
    centred = values - effect
    squared = centred**2
    (_, error) = _moments(centred, squared, np.full((1, S), 1.0 / S), np.full((1, N), 1.0 / N))
    if values.max() == values.min() or error[0] == 0.0:
        return Interval(effect, effect, level)
    parts = []
    for at in range(0, resamples, _AT_ONCE):
        size = min(_AT_ONCE, resamples - at)
        mean, spread = _moments(centred, squared, counts_of(S, size, generator) / S, counts_of(N, size, generator) / N)
        parts.append(mean / np.maximum(spread, LEAST_ERROR * error))
    ordered = np.partition(np.concatenate(parts), (low, high))
    ends = guarded(np.array([ordered[high], -ordered[low]]), critical(level, S - 1), guard) * error[0]
    return Interval(effect - float(ends[0]), effect + float(ends[1]), level)
