"""Returns of several seeds and tasks in one number that few outliers cannot move, with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import DataError
from ostinato.evaluation import Interval

__all__ = ["interquartile_mean", "stratified_bootstrap"]

Floats = NDArray[np.float64]


def interquartile_mean(scores: ArrayLike) -> float:
    """Return the mean of the middle half of all scores: a quarter of them, rounded down, is left out at each end.

    Args:
        scores: Of any shape, runs and tasks pooled, at least one.

    Raises:
        DataError: There are none, or one is not finite.

    Source: R. Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021, arXiv 2108.13264; as in
    their rliable, which is ``scipy.stats.trim_mean`` with 0.25.

    >>> interquartile_mean([0.0, 1.0, 2.0, 100.0])
    1.5
    """
    return float(_middle(_checked(scores).reshape(1, -1))[0])


def stratified_bootstrap(scores: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Return the percentile interval of the interquartile mean, runs resampled within each task.

    Args:
        scores: Runs by tasks, (R, T), R >= 2: the n-th row is an independent run, the columns are the tasks (such as levels of difficulty).
        level: Coverage aimed at. The percentile bootstrap is too narrow for few runs: use it to look, and `ostinato.evaluation.decide` to decide.
        resamples: How many.
        seed: Of the resamples.

    Raises:
        DataError: The scores are no table of at least two finite runs.

    Source: as `interquartile_mean`, section 4.

    >>> stratified_bootstrap([[1.0, 5.0], [1.0, 5.0], [1.0, 5.0]])
    Interval(low=3.0, high=3.0, level=0.95)
    """
    table = _checked(scores)
    if table.ndim != 2 or len(table) < 2:
        raise DataError(f"scores: got the shape {table.shape}, expected (runs, tasks) with at least 2 runs")
    runs, tasks = table.shape
    drawn = np.random.default_rng(seed).integers(runs, size=(resamples, runs, tasks))
    found = _middle(table[drawn, np.arange(tasks)].reshape(resamples, -1))
    low, high = np.quantile(found, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Interval(float(low), float(high), level)


def _checked(scores: ArrayLike) -> Floats:
    table = np.asarray(scores, dtype=np.float64)
    if table.size == 0 or not np.isfinite(table).all():
        raise DataError(f"scores: got {table.size} numbers, expected at least one and all finite")
    return table


def _middle(rows: Floats) -> Floats:
    """Return the mean of the middle half of every row."""
    ordered, count = np.sort(rows, axis=-1), rows.shape[-1]
    cut = count // 4
    found: Floats = ordered[:, cut : count - cut].mean(axis=-1)
    return found
