"""A population's members as records: scores at the end, along the run, and of the ensemble of the cycles' ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.comparison.endpoints import ENSEMBLE
from ostinato.comparison.setup import Material
from ostinato.ensembles.prediction import average_outputs, to_probabilities
from ostinato.errors import RunInterruptedError
from ostinato.evaluation import area_under_error, summarise
from ostinato.population import PopulationResult, predict

__all__ = ["scores_of"]

_CURVES = ("error", "nll")


def scores_of(material: Material, result: PopulationResult) -> list[dict[str, Any]]:
    """Return for every member its ``status``, ``metrics``, ``curve`` and ``diverged_at``.

    A member that diverged, or whose outputs were once not finite, has no metrics; its curve is what there is of it.

    Raises:
        RunInterruptedError: A member's process died, which says nothing about its plan: the block is not recorded.
    """
    for k, reason in result.failures.items():
        raise RunInterruptedError(
            f"member {k} of the block was lost: {reason}; finished blocks are kept, go on with: ostinato compare --resume FOLDER"
        )
    targets = material.data.test.targets.numpy()  # type: ignore[attr-defined]  # a population has trained on it, so it is in memory
    curves = [_curve(result, k) for k in range(len(result))]
    whole = [
        k for k, step in enumerate(result.diverged.tolist()) if step < 0 and len(curves[k][0]) == len(result.steps)
    ]
    metrics = _last(material, result, whole, targets)
    for k, found in _ensembles(material, result, list(metrics), targets).items():
        metrics[k] |= found
    for k, found in metrics.items():
        steps, curve = curves[k]
        area = area_under_error(steps, curve["error"]) if len(steps) > 1 else curve["error"][0]
        found |= {"area": area, **_at_ends(material, steps, curve)}
    return [
        {
            "status": "done" if k in metrics else "diverged",
            "diverged_at": None if k in metrics else _last_good(result, k, curves[k][0]),
            "metrics": metrics.get(k),
            "curve": {"steps": curves[k][0], **curves[k][1]},
        }
        for k in range(len(result))
    ]


def _last_good(result: PopulationResult, k: int, steps: Sequence[int]) -> int:
    """Return the step at which a member's loss was not finite, or else the last one at which its outputs were."""
    step = int(result.diverged[k])
    return step if step >= 0 else steps[-1] if steps else 0


def _last(
    material: Material, result: PopulationResult, alive: Sequence[int], targets: NDArray[np.int64]
) -> dict[int, dict[str, float]]:
    """Return error, NLL and ECE after the last update of every member whose outputs are finite."""
    if not alive:
        return {}
    chosen = torch.tensor(alive)
    outputs = _outputs(material, {name: tensor[chosen] for name, tensor in result.weights.items()})
    return {
        k: summarise(to_probabilities(own).double().numpy(), targets)
        for k, own in zip(alive, outputs, strict=True)
        if bool(torch.isfinite(own).all())
    }


def _ensembles(
    material: Material, result: PopulationResult, members: Sequence[int], targets: NDArray[np.int64]
) -> dict[int, dict[str, float]]:
    """Return the ensemble's error and NLL of members that ended well; the steps are the plan's cycle ends in every arm."""
    train = material.config.train
    ends = material.ends[-train.keep :] if train.keep else material.ends
    if not ends or not members:
        return {}
    saved = {k: result.snapshots(k) for k in members}
    stacks = [
        {name: torch.stack([saved[k][step][name] for k in members]) for name in saved[members[0]][step]}
        for step in ends
    ]
    outputs = torch.stack([_outputs(material, stack) for stack in stacks])
    found = {}
    for place, k in enumerate(members):
        scores = summarise(average_outputs(outputs[:, place], train.average).double().numpy(), targets)
        found[k] = {ENSEMBLE + name: scores[name] for name in _CURVES}
    return found


def _outputs(material: Material, weights: Mapping[str, Tensor]) -> Tensor:
    inputs: Tensor = material.data.test.inputs  # type: ignore[attr-defined]  # as above
    return predict(material.make_model, weights, inputs)


def _curve(result: PopulationResult, k: int) -> tuple[list[int], dict[str, list[float]]]:
    """Return the steps at which a member had finite scores, and these."""
    values = {name: result.metrics[name][k] for name in _CURVES}
    finite = np.isfinite(np.stack(list(values.values()))).all(axis=0)
    return result.steps[finite].tolist(), {name: value[finite].tolist() for name, value in values.items()}


def _at_ends(material: Material, steps: Sequence[int], curve: Mapping[str, Sequence[float]]) -> dict[str, float]:
    places = {step: place for place, step in enumerate(steps)}
    return {
        f"{name}@{cycle}": curve[name][places[end]] for cycle, end in enumerate(material.ends, 1) for name in _CURVES
    }
