"""Scores that no class can hide from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ostinato.errors import ConfigError
from ostinato.evaluation import ClassReport, class_report
from ostinato.training.imbalanced import EXTRA

__all__ = ["ImbalanceReport", "report"]


@dataclass(frozen=True, eq=False)
class ImbalanceReport:
    """How each class fares, and what that comes to; as text, a table.

    Attributes:
        classes: Support, recall, precision and area under the precision-recall curve class by class, error, balanced error and AUPRC.
        geometric_mean: C-th root of the product of the recalls of the classes that have examples: 0 where one class is never found.
    """

    classes: ClassReport
    geometric_mean: float

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {**self.classes.to_document(), "geometric_mean": self.geometric_mean}

    def __str__(self) -> str:
        return f"{self.classes}, geometric mean {100 * self.geometric_mean:.1f}%"


def report(probabilities: ArrayLike, labels: ArrayLike, names: Sequence[str] | None = None) -> ImbalanceReport:
    r"""Return a report of predictions on examples whose classes are known.

    .. math:: \text{balanced error} = 1 - \frac{1}{C} \sum_k r_k, \qquad \text{geometric mean} = \Big(\prod_k r_k\Big)^{1/C}

    for recalls r_k. The area under the precision-recall curve depends on how rare a class is in the examples: compare it on one test set only.

    Args:
        probabilities: (N, C).
        labels: (N,).
        names: Of the classes; by default their numbers.

    Raises:
        ConfigError: imbalanced-learn is not installed.
        DataError: Probabilities, labels or names cannot be.

    Source: Kubat and Matwin 1997 (geometric mean), by imbalanced-learn's ``geometric_mean_score``; Davis and Goadrich 2006 (precision and recall).

    >>> print(report([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.8, 0.2]], [0, 0, 1, 0], ["well", "ill"]))
    class   support   recall  precision    AUPRC
    well          3    66.7%     100.0%   100.0%
    ill           1   100.0%      50.0%   100.0%
    error 25.0%, balanced error 16.7%, AUPRC 100.0%, geometric mean 81.6%
    """
    try:
        from imblearn.metrics import geometric_mean_score
    except ImportError as error:
        raise ConfigError(f"geometric mean: imbalanced-learn is not installed; type: {EXTRA}") from error
    classes = class_report(probabilities, labels, names)
    predicted = np.asarray(probabilities).argmax(axis=1)
    present = np.flatnonzero(classes.support)
    mean = geometric_mean_score(np.asarray(labels), predicted, labels=present, average="multiclass")
    return ImbalanceReport(classes, float(mean))
