"""What an evaluation of an ensemble found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import DataError
from ostinato.evaluation.metrics import CalibrationCurve, calibration_curve, disagreement, summarise

__all__ = ["Evaluation", "columns", "plain_labels", "score"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of an ensemble and of its members on one data set.

    ``best_member`` is the member of lowest error, then lowest nll, then earliest step, **chosen on the data that it is
    scored on**: its score is optimistic. Choose on other data before you compare it with the ensemble.

    Attributes:
        steps: step of each member, ascending.
        members: {error, nll, ece} of each member.
        ensemble: {error, nll, ece} of the averaged prediction.
        last: {error, nll, ece} of the last member.
        best_member: {error, nll, ece} of the best member.
        best_step: its step.
        disagreement: share of differing predictions of each pair, shape (M, M).
        calibration: of the ensemble.
        last_calibration: of the last member.
        examples: how many examples were scored.
        average: how the members were averaged.
    """

    steps: tuple[int, ...]
    members: tuple[dict[str, float], ...]
    ensemble: dict[str, float]
    last: dict[str, float]
    best_member: dict[str, float]
    best_step: int
    disagreement: NDArray[np.float64]
    calibration: CalibrationCurve
    last_calibration: CalibrationCurve
    examples: int
    average: str

    def to_document(self) -> dict[str, Any]:
        """Return everything as a JSON document."""
        return {
            "steps": list(self.steps),
            "members": [dict(member) for member in self.members],
            "ensemble": dict(self.ensemble),
            "last": dict(self.last),
            "best_member": dict(self.best_member),
            "best_step": self.best_step,
            "disagreement": self.disagreement.tolist(),
            "calibration": self.calibration.to_document(),
            "last_calibration": self.last_calibration.to_document(),
            "examples": self.examples,
            "average": self.average,
        }


def columns(probabilities: Tensor) -> NDArray[np.float32]:
    """Return (M, N, C) on the CPU from (M, ..., C): the middle axes become N, one column becomes the two classes."""
    if probabilities.shape[-1] == 1:
        probabilities = torch.cat([1 - probabilities, probabilities], dim=-1)
    array: NDArray[np.float32] = probabilities.flatten(1, -2).cpu().numpy()
    return array


def plain_labels(target: Any, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return labels of ``shape`` (or with one more axis of length 1) as integers of shape (N,)."""
    array = target.detach().cpu().numpy() if isinstance(target, Tensor) else np.asarray(target)
    if array.shape == (*shape, 1):
        array = array[..., 0]
    if array.shape != shape:
        raise DataError(f"labels must have shape {shape} like the outputs without their last axis, got {array.shape}")
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and (array == np.floor(array)).all()):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DataError(f"labels must be whole numbers, got dtype {array.dtype} with fractions")
    return array.reshape(-1).astype(np.int64)


def score(
    steps: tuple[int, ...], members: NDArray[Any], ensemble: NDArray[Any], labels: NDArray[Any], average: str
) -> Evaluation:
    """Score members (M, N, C) and their average (N, C) against labels (N,)."""
    scores = tuple(summarise(member, labels) for member in members)
    best = min(range(len(scores)), key=lambda index: (scores[index]["error"], scores[index]["nll"], steps[index]))
    return Evaluation(
        steps=steps,
        members=scores,
        ensemble=summarise(ensemble, labels),
        last=scores[-1],
        best_member=scores[best],
        best_step=steps[best],
        disagreement=disagreement(members),
        calibration=calibration_curve(ensemble, labels),
        last_calibration=calibration_curve(members[-1], labels),
        examples=len(labels),
        average=average,
    )
