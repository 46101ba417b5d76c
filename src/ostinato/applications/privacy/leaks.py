"""What an attack found out: the area under its curve, and how many members it names at few false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.applications.privacy.scores import Bools, Floats
from ostinato.errors import DataError

__all__ = ["FALSE_ALARMS", "Leak", "auc", "leak", "matched", "threshold"]

FALSE_ALARMS = 10
"""A true-positive rate is told only where its false-positive rate means so many false alarms."""


@dataclass(frozen=True, slots=True)
class Leak:
    """One attack on one model.

    Attributes:
        auc: The chance that a member has the higher score of a member and a non-member; 0.5 is no leak.
        tpr: From false-positive rate to the share of members that are named at it; None where the non-members are too few to tell.
        least_rate: The smallest false-positive rate that they can tell: 10 false alarms.
        members: How many.
        non_members: How many.
        p: One-sided p value of the Mann-Whitney test of no leak from this model; points count as independent.
    """

    auc: float
    tpr: Mapping[float, float | None]
    least_rate: float
    members: int
    non_members: int
    p: float

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "auc": self.auc,
            "tpr": {f"{rate:g}": value for rate, value in self.tpr.items()},
            "least_rate": self.least_rate,
            "members": self.members,
            "non_members": self.non_members,
            "p": self.p,
        }


def leak(scores: ArrayLike, members: ArrayLike, *, rates: Sequence[float] = (0.01, 0.001)) -> Leak:
    """Return what scores tell about membership.

    The true-positive rate at a false-positive rate f is the share of members above the (floor(f n) + 1)-th highest of n non-members, so that at
    most f n of those lie above it.

    Args:
        scores: (N,), the higher the likelier a member.
        members: Whether each is one, (N,).
        rates: False-positive rates, each in (0, 1).

    Raises:
        DataError: Shapes do not fit, a score is NaN, or one side is empty.

    >>> found = leak([3.0, 2.0, 1.0, 0.0], [True, True, False, False])
    >>> found.auc, found.tpr, found.least_rate
    (1.0, {0.01: None, 0.001: None}, 5.0)
    """
    from scipy.stats import mannwhitneyu

    values, among = _checked(scores, members)
    own, others = values[among], values[~among]
    area = float(auc(values, among))
    test = mannwhitneyu(own, others, alternative="greater", method="asymptotic")
    least = FALSE_ALARMS / len(others)
    found: dict[float, float | None] = {}
    for rate in rates:
        if not 0.0 < rate < 1.0:
            raise DataError(f"rates: got {rate!r}, expected numbers between 0 and 1, such as 0.01")
        found[rate] = float((own > threshold(others, rate)).mean()) if rate >= least else None
    return Leak(area, found, least, len(own), len(others), float(test.pvalue))


def threshold(others: Floats, rate: float) -> float:
    """Return the score above which at most a share `rate` of non-members lies: the (floor(rate * n) + 1)-th highest of n."""
    return float(np.sort(others)[::-1][int(rate * len(others) + 1e-9)])


def auc(scores: ArrayLike, members: ArrayLike) -> Any:
    """Return the area under the attack's curve, along the last axis: (R - n(n + 1) / 2) / (n m), with R the members' ranks, ties shared.

    Args:
        scores: (..., N).
        members: (..., N) or (N,), n of them True and m False.

    >>> auc([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]], [True, False, False]).tolist()
    [1.0, 0.0]
    """
    from scipy.stats import rankdata

    values = np.asarray(scores, dtype=np.float64)
    among = np.broadcast_to(np.asarray(members, dtype=np.bool_), values.shape)
    n = among.sum(axis=-1)
    m = values.shape[-1] - n
    if np.min(n) < 1 or np.min(m) < 1:
        raise DataError("members: expected at least one member and one non-member; an attack tells one from the other")
    ranks = np.where(among, rankdata(values, axis=-1), 0.0).sum(axis=-1)
    return (ranks - n * (n + 1) / 2) / (n * m)


def matched(accuracy: ArrayLike, values: ArrayLike, wanted: ArrayLike) -> tuple[Floats, Bools]:
    """Return the values of a run where its accuracy first reaches that of another run: what an early-stopped model of equal accuracy leaks.

    Up to its best evaluation a run's accuracy is taken as rising: the least-squares rising course (isotonic regression) through the evaluations,
    so that no lucky one counts as the first to reach a level. Both courses are linear between evaluations. Where the run never reaches an accuracy, its
    best evaluation stands in, and it is said; where it begins above, its first.

    Args:
        accuracy: Of the run at its evaluations, in order, (E,).
        values: What it leaks there, (E,).
        wanted: Accuracies, (W,).

    Returns:
        Values (W,), and whether each accuracy was reached (W,).

    Raises:
        DataError: There is no evaluation, or there are not as many accuracies as values.

    >>> values, reached = matched([0.5, 0.7, 0.6, 0.8, 0.7], [0.50, 0.54, 0.56, 0.60, 0.70], [0.6, 0.72, 0.9])
    >>> values.round(4).tolist(), reached.tolist()
    ([0.5267, 0.5787, 0.6], [True, True, False])
    """
    from sklearn.isotonic import isotonic_regression

    course, leaks = np.asarray(accuracy, dtype=np.float64), np.asarray(values, dtype=np.float64)
    levels = np.atleast_1d(np.asarray(wanted, dtype=np.float64))
    if course.shape != leaks.shape or course.ndim != 1 or not len(course):
        raise DataError(
            f"accuracy, values: got shapes {course.shape} and {leaks.shape}, expected (E,) and (E,), E >= 1"
        )
    rising = isotonic_regression(course[: int(course.argmax()) + 1])
    found = np.empty(len(levels))
    for place, level in enumerate(levels):
        k = int(np.searchsorted(rising, level))
        if k == 0 or k == len(rising):
            found[place] = leaks[min(k, len(rising) - 1)]
        else:
            share = (level - rising[k - 1]) / (rising[k] - rising[k - 1])
            found[place] = leaks[k - 1] + share * (leaks[k] - leaks[k - 1])
    return found, levels <= rising[-1]


def _checked(scores: ArrayLike, members: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, among = np.asarray(scores, dtype=np.float64), np.asarray(members)
    if values.ndim != 1 or among.shape != values.shape:
        raise DataError(f"scores, members: got shapes {values.shape} and {among.shape}, expected (N,) and (N,)")
    if np.isnan(values).any():
        raise DataError("scores: some are no numbers")
    return values, among.astype(np.bool_)
