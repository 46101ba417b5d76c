"""How a run went: its balanced error over the last cycle, and how curved and noisy the landscape was at the cycles' ends."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ostinato import evaluation
from ostinato.applications.landscapes import curvature_of, gradient_noise_of
from ostinato.core.resolved import ResolvedPlan
from ostinato.nn import FocalLoss
from ostinato.population import PopulationResult
from ostinato.studies.frame.images import Images

__all__ = ["CURVED", "SEEN_UNDER", "balanced_error", "evaluations", "landscape", "over_the_last_cycle"]

CURVED = 8
"""Of so many seeds the landscape is measured."""

SEEN_UNDER = ("constant", "cosine")
"""The schedules under which it is."""

_TOLERANCE = 0.05


def balanced_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over the classes of the share of their examples that are wrong; classes without examples do not count.

    The number is that of `ostinato.evaluation.balanced_error`, of tensors alone, so that members are scored at once.
    """
    wrong = (outputs.argmax(-1) != targets).double()
    members = F.one_hot(targets, outputs.shape[-1]).double()
    counts = members.sum(0)
    return ((wrong @ members) / counts.clamp_min(1)).sum() / (counts > 0).sum()


def evaluations(steps: int, cycles: int) -> list[int]:
    """Return when a run is scored: at every cycle's end, and at nine steps of the last cycle, its first and last among them."""
    length = steps // cycles
    ends = [length * (k + 1) - 1 for k in range(cycles)]
    last = np.linspace(steps - length, steps - 1, 9).round().astype(int).tolist()
    return sorted({*ends, *last})


def over_the_last_cycle(plan: ResolvedPlan, at: NDArray[np.int64], values: NDArray[np.float64]) -> dict[str, float]:
    """Return the balanced error over the last cycle of the clock: its mean, and the highest and lowest that was measured."""
    report = evaluation.by_phase(plan, at, values, cycles=[-1])
    inside = values[at >= plan.cycles[-1].start]
    mean = report.naive if report.cycle_mean is None else report.cycle_mean
    return {"last_cycle_mean": mean, "last_cycle_worst": float(inside.max()), "last_cycle_best": float(inside.min())}


def landscape(
    result: PopulationResult,
    k: int,
    images: Images,
    rows: NDArray[np.int64],
    *,
    batch: int,
    batches: int,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return how the landscape of one member's loss moved, seen from its weights at the cycles' ends.

    The loss is the one that the run minimises at that step, on training examples of its own, the same ones at every step.

    Args:
        result: With snapshots.
        k: The member.
        images: The data.
        rows: What the member trains on.
        batch: Examples of a batch whose gradient is taken.
        batches: How many of them; the curvature is that of the first half.

    Returns:
        ``raw_sharpening`` and ``raw_noise_growth``: the natural logarithm of how many times the largest eigenvalue of the Hessian, and the trace of
        the covariance of an example's gradient, are at the last cycle's end what they were at the first's. ``sharpening`` is that of the eigenvalue /
        loss, ``noise_growth`` that of the trace / loss^2, ``relative_sharpening`` that of the eigenvalue / norm of the gradient: none of the three
        knows a factor on the loss. And the curves behind them, with ``signal``, 1 / noise scale.
    """
    plan = result.plans[k]
    drawn = np.random.default_rng([result.seeds[k], 20_261]).choice(rows, batch * batches)
    inputs, targets = images.inputs[drawn], images.targets[drawn]
    parts = list(zip(torch.split(inputs, batch), torch.split(targets, batch), strict=True))
    half = len(targets) // 2
    curves: dict[str, list[float]] = {}
    for step in sorted(result.snapshots(k)):
        model = result.model(k, step=step)
        loss = FocalLoss(plan.values(step)["loss.gamma"])
        curved = curvature_of(model, loss, [(inputs[:half], targets[:half])], tolerance=_TOLERANCE)
        noise = gradient_noise_of(model, loss, parts)
        found = {
            "landscape_step": float(step),
            "eigenvalue": curved.sharpness,
            "relative_to_loss": curved.relative_to_loss,
            "relative_to_gradient": curved.relative_to_gradient,
            "noise": noise.trace,
            "relative_noise": noise.trace / curved.loss**2,
            "signal": noise.squared_norm / noise.trace if noise.trace else math.inf,
            "loss": curved.loss,
            "stability": curved.stability(plan.curves["optimizer.lr"].high),
        }
        for name, value in found.items():
            curves.setdefault(name, []).append(value)
    return {metric: _growth(curves[name]) for name, metric in _CURVES.items()}, curves


_CURVES: Mapping[str, str] = {
    "eigenvalue": "raw_sharpening",
    "relative_to_loss": "sharpening",
    "relative_to_gradient": "relative_sharpening",
    "noise": "raw_noise_growth",
    "relative_noise": "noise_growth",
}


def _growth(values: list[float]) -> float:
    """Return log(last / first); NaN where one of them is not above 0 or not finite."""
    first, last = values[0], values[-1]
    usable = all(math.isfinite(value) and value > 0 for value in (first, last))
    return math.log(last / first) if usable else math.nan
