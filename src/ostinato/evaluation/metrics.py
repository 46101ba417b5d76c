"""Metrics of classification, computed in float64 from probabilities and integer labels.

Everywhere: ``probabilities`` has shape (N, C) with C >= 2 and rows that sum to 1 within 0.001 (they are divided by
their sum, so that rounding in float32 does not count); ``labels`` has shape (N,) with integers in [0, C). The predicted
class is the first one of highest probability. Anything else raises `ostinato.errors.DataError`, a ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.checks import whole
from ostinato.errors import DataError

__all__ = [
    "CalibrationCurve", "average_precision", "balanced_error", "brier", "calibration_curve", "disagreement", "ece", "error", "nll", "summarise",
]  # fmt: skip

_SUM_TOLERANCE = 1e-3


def _probabilities(values: ArrayLike, axes: int = 2) -> NDArray[np.float64]:
    """Check probabilities of shape (N, C) or (M, N, C); return them in float64, rows summing to 1."""
    array = np.asarray(values)
    shape = "(N, C)" if axes == 2 else "(M, N, C)"
    if array.dtype.kind not in "fiu":
        raise DataError(f"probabilities must be real numbers, got dtype {array.dtype}")
    if array.ndim != axes or 0 in array.shape:
        raise DataError(f"probabilities must have shape {shape} and not be empty, got {array.shape}")
    if array.shape[-1] < 2:
        raise DataError("probabilities have one column; give both classes, as in np.stack([1 - p, p], axis=-1)")
    result: NDArray[np.float64] = array.astype(np.float64)
    if not np.isfinite(result).all():
        raise DataError(f"probabilities must be finite, got {int((~np.isfinite(result)).sum())} values that are not")
    if result.min() < 0 or result.max() > 1 + _SUM_TOLERANCE:
        raise DataError(
            f"probabilities must lie in [0, 1], got {result.min():.4g} to {result.max():.4g}; "
            "logits need a softmax first"
        )
    sums = result.sum(axis=-1, keepdims=True)
    if np.abs(sums - 1).max() > _SUM_TOLERANCE:
        worst = float(sums.flat[np.abs(sums - 1).argmax()])
        raise DataError(f"each row of probabilities must sum to 1, got a row that sums to {worst:.4g}")
    result /= sums
    return result


def checked(probabilities: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities (N, C), rows summing to 1, and labels (N,), or raise `DataError`."""
    p = _probabilities(probabilities)
    y = np.asarray(labels)
    if y.dtype.kind not in "iu":
        raise DataError(f"labels must be integers, got dtype {y.dtype}; use labels.astype(int)")
    if y.shape != p.shape[:1]:
        raise DataError(f"labels must have shape ({len(p)},) like the rows of probabilities, got {y.shape}")
    if y.min() < 0 or y.max() >= p.shape[1]:
        raise DataError(f"labels must lie in [0, {p.shape[1]}), got {y.min()} to {y.max()}")
    return p, y.astype(np.int64)


def error(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the share of wrong predictions, 1 - accuracy, in [0, 1].

    >>> error([[0.9, 0.1], [0.6, 0.4]], [0, 1])
    0.5
    """
    from sklearn.metrics import accuracy_score

    p, y = checked(probabilities, labels)
    return 1.0 - float(accuracy_score(y, p.argmax(axis=1)))


def balanced_error(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return 1 - the mean recall of the classes that occur among the labels, in [0, 1]: every class counts the same, however rare.

    Source: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution".

    >>> balanced_error([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], [0, 0, 0, 1])
    0.5
    """
    from sklearn.metrics import recall_score

    p, y = checked(probabilities, labels)
    return 1.0 - float(recall_score(y, p.argmax(axis=1), labels=np.unique(y), average="macro", zero_division=0.0))


def average_precision(probabilities: ArrayLike, labels: ArrayLike, positive: int | None = None) -> float:
    """Return the average precision, sum_n (R_n - R_(n-1)) P_n over the thresholds of a class's probability, in [0, 1].

    Guessing scores the class's share of the examples, so that it says more than the area under the ROC curve where a class is rare.

    Args:
        probabilities: (N, C).
        labels: (N,).
        positive: The class that counts as positive; by default 1 of two classes, and of more the mean over those that occur.

    Raises:
        DataError: `positive` is no class, or no label has it.

    >>> round(average_precision([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]], [0, 1, 0, 1]), 4)
    0.5833
    """
    from sklearn.metrics import average_precision_score

    p, y = checked(probabilities, labels)
    if positive is None and p.shape[1] == 2:
        positive = 1
    if positive is not None and positive not in y:
        raise DataError(f"positive: no label is {positive!r}; the labels have {np.unique(y).tolist()}")
    classes = np.unique(y) if positive is None else [positive]
    return float(np.mean([average_precision_score(y == c, p[:, c]) for c in classes]))


def nll(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean negative log likelihood, -mean(log p[label]), in nats per example.

    scikit-learn's ``log_loss``. Probabilities are clipped to [eps, 1 - eps] with eps = 2.2e-16 (that of float64), so
    that one certain mistake costs 36.04 nats, never infinity. Classes that no label has are allowed.

    >>> round(nll([[0.5, 0.5], [0.25, 0.75]], [0, 1]), 6)
    0.490415
    """
    from sklearn.metrics import log_loss

    p, y = checked(probabilities, labels)
    return float(log_loss(y, p, labels=np.arange(p.shape[1])))


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Return the Brier score of all classes, mean over examples of sum_k (p_k - [k = label])^2, in [0, 2].

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".

    >>> brier([[1.0, 0.0], [0.5, 0.5]], [0, 1])
    0.25
    """
    p, y = checked(probabilities, labels)
    target = np.zeros_like(p)
    target[np.arange(len(y)), y] = 1.0
    return float(((p - target) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class CalibrationCurve:
    """How confidence and accuracy agree, bin by bin; bin b is (b / bins, (b + 1) / bins], the first one with its 0.

    Attributes:
        confidence: mean highest probability of each bin, shape (bins,), NaN where the bin is empty.
        accuracy: share of right predictions of each bin, shape (bins,), NaN where the bin is empty.
        count: examples in each bin, shape (bins,).
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def ece(self) -> float:
        """The expected calibration error, sum_b count_b / N * |accuracy_b - confidence_b|."""
        gaps = np.abs(self.accuracy - self.confidence)
        full = self.count > 0
        return float((self.count[full] * gaps[full]).sum() / self.count.sum())

    def to_document(self) -> dict[str, Any]:
        """Return lists for JSON, None for an empty bin."""

        def plain(values: NDArray[np.float64]) -> list[float | None]:
            return [None if np.isnan(value) else float(value) for value in values]

        return {
            "confidence": plain(self.confidence),
            "accuracy": plain(self.accuracy),
            "count": [int(n) for n in self.count],
        }


def calibration_curve(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> CalibrationCurve:
    """Return confidence, accuracy and count in ``bins`` equal-width bins of the highest probability.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599.

    >>> calibration_curve([[0.9, 0.1], [0.6, 0.4]], [0, 1], bins=2).count
    array([0, 2])
    """
    whole("bins", bins, error=DataError)
    p, y = checked(probabilities, labels)
    confidence = p.max(axis=1)
    right = (p.argmax(axis=1) == y).astype(np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins).astype(np.int64)
    safe = np.where(count > 0, count, 1)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(count > 0, np.bincount(index, weights=values, minlength=bins) / safe, np.nan)

    return CalibrationCurve(mean(confidence), mean(right), count)


def ece(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error of the predicted class, in [0, 1], with equal-width bins.

    ECE = sum_b n_b / N * |accuracy_b - confidence_b|. It depends on ``bins`` and is biased upwards for small N.
    Source: Guo et al. 2017, arXiv 1706.04599.

    >>> round(ece([[0.9, 0.1], [0.6, 0.4]], [0, 1]), 6)
    0.35
    """
    return calibration_curve(probabilities, labels, bins).ece


def disagreement(members: ArrayLike) -> NDArray[np.float64]:
    """Return the share of examples on which each pair of members predicts different classes.

    Args:
        members: probabilities of shape (M, N, C).

    Returns:
        Symmetric matrix of shape (M, M) with a zero diagonal, values in [0, 1].

    >>> disagreement([[[0.9, 0.1], [0.6, 0.4]], [[0.8, 0.2], [0.3, 0.7]]])
    array([[0. , 0.5],
           [0.5, 0. ]])
    """
    predicted = _probabilities(members, axes=3).argmax(axis=2)
    return np.stack([(row != predicted).mean(axis=1) for row in predicted])


def summarise(probabilities: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Return ``{"error", "nll", "ece"}``, the three numbers of a result file.

    >>> sorted(summarise([[0.9, 0.1], [0.6, 0.4]], [0, 1]))
    ['ece', 'error', 'nll']
    """
    return {
        "error": error(probabilities, labels),
        "nll": nll(probabilities, labels),
        "ece": ece(probabilities, labels),
    }
