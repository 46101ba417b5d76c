"""Scores class by class, where some classes are rare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.errors import DataError
from ostinato.evaluation.metrics import average_precision, balanced_error, checked, error

__all__ = ["ClassReport", "class_report"]


@dataclass(frozen=True, eq=False)
class ClassReport:
    """How each class fares; as text, a table with the classes from the most frequent to the rarest.

    Attributes:
        names: Of the classes, (C,).
        support: Examples of each class, (C,).
        recall: Share of a class's examples that are found, (C,); NaN for a class without examples.
        precision: Share of what is called a class that is of it, (C,); NaN where nothing is called so.
        average_precision: Area under the curve of precision over recall, (C,); guessing scores the class's share. NaN without examples.
        error: Share of wrong predictions.
        balanced_error: 1 - mean recall of the classes that have examples.
        mean_average_precision: That of class 1 of two, else the mean over the classes that have examples; NaN where class 1 of two has none.
    """

    names: tuple[str, ...]
    support: NDArray[np.int64]
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: NDArray[np.float64]
    error: float
    balanced_error: float
    mean_average_precision: float

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document; None for what is not known."""
        rows = zip(self.names, self.support, self.recall, self.precision, self.average_precision, strict=True)
        return {
            "error": self.error,
            "balanced_error": self.balanced_error,
            "average_precision": _plain(self.mean_average_precision),
            "classes": [
                {
                    "name": name,
                    "support": int(support),
                    "recall": _plain(recall),
                    "precision": _plain(precision),
                    "average_precision": _plain(area),
                }
                for name, support, recall, precision, area in rows
            ],
        }

    def __str__(self) -> str:
        width = max(5, *(len(name) for name in self.names))
        head = f"{'class':<{width}} {'support':>9} {'recall':>8} {'precision':>10} {'AUPRC':>8}"
        lines = [
            f"{self.names[k]:<{width}} {self.support[k]:>9,} {_percent(self.recall[k]):>8} {_percent(self.precision[k]):>10}"
            f" {_percent(self.average_precision[k]):>8}"
            for k in np.argsort(-self.support, kind="stable")
        ]
        whole = [
            f"error {_percent(self.error)}",
            f"balanced error {_percent(self.balanced_error)}",
            f"AUPRC {_percent(self.mean_average_precision)}",
        ]
        return "\n".join([head, *lines, ", ".join(whole)])


def class_report(probabilities: ArrayLike, labels: ArrayLike, names: Sequence[str] | None = None) -> ClassReport:
    """Return scores class by class; the predicted class is the one of highest probability.

    Args:
        probabilities: (N, C).
        labels: (N,).
        names: Of the classes; by default their numbers.

    Raises:
        DataError: There are not as many names as classes; or as `error`.

    >>> print(class_report([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]], [0, 0, 1, 0], ["well", "ill"]))
    class   support   recall  precision    AUPRC
    well          3    66.7%     100.0%   100.0%
    ill           1   100.0%      50.0%   100.0%
    error 25.0%, balanced error 16.7%, AUPRC 100.0%
    """
    from sklearn.metrics import precision_recall_fscore_support

    p, y = checked(probabilities, labels)
    classes = np.arange(p.shape[1])
    called = tuple(str(one) for one in (classes if names is None else names))
    if len(called) != len(classes):
        raise DataError(f"names: got {len(called)} for {len(classes)} classes, expected one for each")
    predicted = p.argmax(axis=1)
    precision, recall, _, support = precision_recall_fscore_support(y, predicted, labels=classes, zero_division=np.nan)
    areas = np.array([average_precision(p, y, positive=int(k)) if support[k] else np.nan for k in classes])
    whole = areas[1] if len(classes) == 2 else float(np.mean(areas[support > 0]))
    return ClassReport(
        called,
        np.asarray(support, np.int64),
        np.where(support > 0, recall, np.nan),
        precision,
        areas,
        error(p, y),
        balanced_error(p, y),
        float(whole),
    )


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}%"
