"""Scores class by class, of runs on data whose classes are unequal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from ostinato.ensembles import SnapshotEnsemble
from ostinato.evaluation import ClassReport, average_precision, balanced_error, class_report
from ostinato.training.datasets import Data, targets_of
from ostinato.training.session import Session

__all__ = ["class_reports", "class_scores", "unequal"]

_RATIO = 2.0


def unequal(data: Data) -> bool:
    """Return whether the largest training class has at least twice as many examples as the smallest.

    False where the targets are not at hand.

    >>> from ostinato.training import datasets, parse_config
    >>> unequal(datasets.load(parse_config({}).data))
    False
    """
    targets = targets_of(data.train)
    if targets is None or not len(targets):
        return False
    counts = np.bincount(targets, minlength=data.classes)
    return bool(counts.max() >= _RATIO * counts.min())


def class_scores(probabilities: Any, labels: Any) -> dict[str, float]:
    """Return balanced error and average precision (AUPRC); of two classes that of class 1, left out where no label has it.

    >>> class_scores([[0.9, 0.1], [0.2, 0.8]], [0, 1])
    {'balanced_error': 0.0, 'average_precision': 1.0}
    """
    scores = {"balanced_error": balanced_error(probabilities, labels)}
    if np.shape(probabilities)[-1] != 2 or 1 in np.asarray(labels):
        scores["average_precision"] = average_precision(probabilities, labels)
    return scores


def class_reports(
    session: Session, snapshots: SnapshotEnsemble, last: int | None, average: Literal["probabilities", "logits"]
) -> Mapping[str, ClassReport]:
    """Return reports of the last snapshot and of the ensemble on the test data; none where classes are equal or nothing was saved.

    Args:
        session: The run.
        snapshots: Its snapshots.
        last: Only the last so many, for the ensemble.
        average: What the ensemble averages.
    """
    if not len(snapshots) or not unequal(session.data):
        return {}
    found: dict[str, list[torch.Tensor]] = {"last": [], "ensemble": []}
    labels = []
    with session.evaluating():
        for inputs, targets in session.test_batches():
            labels.append(targets.cpu())
            found["last"].append(snapshots.predict(inputs, last=1, average=average).float().cpu())
            found["ensemble"].append(snapshots.predict(inputs, last=last, average=average).float().cpu())
    known = torch.cat(labels).numpy()
    return {who: class_report(torch.cat(parts).numpy(), known, session.data.labels) for who, parts in found.items()}
