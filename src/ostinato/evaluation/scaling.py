"""Temperature scaling: the one number that makes probabilities neither too sure nor too unsure, fitted on validation data."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import DataError
from ostinato.evaluation.metrics import checked, nll

__all__ = ["at_temperature", "nll_at_temperature", "temperature"]

Floats = NDArray[np.float64]

_LARGEST = 100.0
_LEAST_PROBABILITY = 2.0**-52


def _logits(scores: ArrayLike, logits: bool, labels: ArrayLike | None = None) -> tuple[Floats, NDArray[np.int64]]:
    """Return scores as logits (N, C), their row's largest 0, and the labels."""
    array = np.asarray(scores)
    rows = array.shape[0] if array.ndim == 2 else 0
    given = np.zeros(rows, dtype=np.int64) if labels is None else labels
    if not logits:
        p, y = checked(array, given)
        values = np.log(np.maximum(p, _LEAST_PROBABILITY))
    else:
        if array.ndim != 2 or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(
                f"logits: expected finite numbers of shape (N, C), got {array.dtype} of shape {array.shape}"
            )
        uniform = np.full(array.shape, 1.0 / max(array.shape[1], 1))
        values, y = array.astype(np.float64), checked(uniform, given)[1]
    return values - values.max(axis=1, keepdims=True), y


def _softmax(values: Floats) -> Floats:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    scaled: Floats = raised / raised.sum(axis=1, keepdims=True)
    return scaled


def temperature(scores: ArrayLike, labels: ArrayLike, *, logits: bool = False) -> float:
    """Return the temperature T that gives softmax(z / T) the smallest mean negative log likelihood.

    The likelihood is convex in 1/T, so that the one root of its derivative, mean(E[z] - z_label), is the answer; it is found to 1e-12. Fit
    it on validation data, apply it to test data.

    Args:
        scores: Probabilities (N, C), whose logarithms (clipped at 2^-52) are the logits z; or the logits themselves.
        labels: (N,), integers.
        logits: Whether `scores` are logits.

    Returns:
        T in [0.01, 100]; above 1 where the scores are too sure. An end of the range stands for an infimum there: 0.01 where all predictions
        are right, 100 where the scores say less than nothing.

    Raises:
        DataError: Scores or labels cannot be.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599, section 4.2.

    >>> T = temperature([[0.99, 0.01], [0.01, 0.99], [0.99, 0.01], [0.01, 0.99]], [0, 1, 1, 1])
    >>> round(T, 3), at_temperature([[0.99, 0.01]], T).round(3).tolist()
    (4.183, [[0.75, 0.25]])
    """
    from scipy.optimize import brentq

    values, y = _logits(scores, logits, labels)
    chosen = values[np.arange(len(y)), y].mean()

    def slope(inverse: float) -> float:
        return float((_softmax(values * inverse) * values).sum(axis=1).mean() - chosen)

    low, high = 1.0 / _LARGEST, _LARGEST
    if slope(high) <= 0.0:
        return 1.0 if not values.any() else 1.0 / high
    if slope(low) >= 0.0:
        return 1.0 / low
    return 1.0 / float(brentq(slope, low, high, xtol=1e-12, rtol=1e-12))


def at_temperature(scores: ArrayLike, T: float, *, logits: bool = False) -> Floats:  # noqa: N803 - its name in every formula
    """Return softmax(z / T), probabilities of shape (N, C); the predicted class stays.

    Raises:
        DataError: The scores cannot be, or the temperature is not a finite number above 0.

    >>> at_temperature([[0.0, 2.0]], 2.0, logits=True).round(3).tolist()
    [[0.269, 0.731]]
    """
    if not math.isfinite(T) or T <= 0.0:
        raise DataError(f"T: got {T!r}, expected a finite temperature above 0")
    return _softmax(_logits(scores, logits)[0] / T)


def nll_at_temperature(scores: ArrayLike, labels: ArrayLike, T: float, *, logits: bool = False) -> float:  # noqa: N803 - its name in every formula
    """Return the mean negative log likelihood of softmax(z / T) in nats per example: NLL after temperature scaling.

    >>> round(nll_at_temperature([[0.99, 0.01], [0.01, 0.99]], [0, 0], 4.0), 3)
    0.85
    """
    return nll(at_temperature(scores, T, logits=logits), labels)
