"""What a matrix of accuracies says: R[i, j] is the accuracy on task j after learning task i."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import DataError

__all__ = ["average_accuracy", "backward_transfer", "forgetting", "new_task_accuracy"]

Matrix = NDArray[np.float64]


def average_accuracy(matrix: ArrayLike) -> float:
    """Return the mean accuracy on all T tasks after the last one: ACC = (1/T) sum_j R[T-1, j].

    Args:
        matrix: (T, T).

    Raises:
        DataError: It is not square, or has fewer than two tasks.

    Source: D. Lopez-Paz, M. Ranzato, Gradient Episodic Memory, NeurIPS 2017.

    >>> average_accuracy([[0.9, 0.0], [0.5, 0.8]])
    0.65
    """
    return float(_square(matrix)[-1].mean())


def backward_transfer(matrix: ArrayLike) -> float:
    """Return what learning the later tasks did to the earlier ones: BWT = mean over j < T-1 of R[T-1, j] - R[j, j]. Below 0 is forgetting.

    >>> round(backward_transfer([[0.9, 0.0], [0.5, 0.8]]), 12)
    -0.4
    """
    found = _square(matrix)
    return float((found[-1] - np.diag(found))[:-1].mean())


def new_task_accuracy(matrix: ArrayLike) -> float:
    """Return the mean accuracy on the task just learnt, after each but the first: mean over j > 0 of R[j, j]. Replay may cost it.

    >>> new_task_accuracy([[0.9, 0.0], [0.5, 0.8]])
    0.8
    """
    return float(np.diag(_square(matrix))[1:].mean())


def forgetting(matrix: ArrayLike) -> Matrix:
    """Return the forgetting matrix: F[i, j] = max over j <= l <= i of R[l, j], less R[i, j], for j <= i; NaN above the diagonal.

    It is 0 where a task was never known better than now. The mean of its last row but the diagonal is the average forgetting.

    Source: A. Chaudhry et al., Riemannian Walk for Incremental Learning, ECCV 2018.

    >>> forgetting([[0.9, 0.0], [0.5, 0.8]]).round(2).tolist()
    [[0.0, nan], [0.4, 0.0]]
    """
    found = _square(matrix)
    seen = np.tril(np.ones(found.shape, np.bool_))
    best = np.maximum.accumulate(np.where(seen, found, -np.inf), axis=0)
    return np.where(seen, best - np.where(seen, found, 0.0), np.nan)


def _square(matrix: ArrayLike) -> Matrix:
    found = np.asarray(matrix, np.float64)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or len(found) < 2:
        raise DataError(
            f"matrix: got shape {found.shape}, expected one row and one column for each of at least 2 tasks"
        )
    return found
