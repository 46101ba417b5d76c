"""Folding by Adam under a plan: the rate, and the noise on the gradient, on one clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.applications.folding.energy import Energy
from ostinato.core.plan import Plan
from ostinato.errors import PlanError

__all__ = ["Course", "Noise", "anneal"]

_CLIP = 10.0
"""Longest gradient that a chain is given: overlapping beads would else fill Adam's memory for thousands of steps."""
_BETAS = (0.9, 0.99)
_OFTEN = 64


@dataclass
class Noise:
    """What a plan drives as ``noise.scale``: the standard deviation of the normal noise on every gradient, in energy per radian.

    Noise that falls with time is annealing: under a rate it does what a temperature does, which a rate without noise does not.

    Source: Neelakantan et al.: Adding gradient noise improves learning for very deep networks, arXiv 1511.06807.
    """

    scale: float = 0.0


@dataclass(frozen=True, eq=False)
class Course:
    """Where an annealing led.

    Attributes:
        angles: Where every chain was at the end, (B, angles): not polished.
        lowest_angles: Where every chain had its lowest energy before an update, (B, angles).
        mean: Mean energy of the chains before each update, (steps,).
        lowest: The lowest energy of any chain up to each update, (steps,).
        reached: The first evaluation at which a chain's energy was at or below the target, counted from 1, (B,); 0 where it never was.
    """

    angles: Tensor
    lowest_angles: Tensor
    mean: NDArray[np.float64]
    lowest: NDArray[np.float64]
    reached: NDArray[np.int64]


def anneal(
    energy: Energy,
    starts: Tensor,
    plan: Plan,
    *,
    seed: int = 0,
    target: float = -np.inf,
    progress: Callable[[int, float], bool] | None = None,
) -> Course:
    """Fold chains by Adam on their angles under a plan; one evaluation of each chain a step.

    Each chain's gradient is shortened to a length of 10 where it is longer; Adam has betas 0.9 and 0.99.

    Args:
        energy: What is minimised; it counts the evaluations.
        starts: Angles, (B, angles).
        plan: Any plan over steps; its targets are ``optimizer.lr`` (and the other values of Adam) and ``noise.scale``.
        seed: Of the noise.
        target: An energy to be reached.
        progress: Is told the number of steps done and the lowest energy, now and then; where it answers True, it ends there.

    Raises:
        PlanError: The plan has no total, or does not drive the rate.
        TargetError: It drives something else.

    >>> import ostinato as ost
    >>> energy = Energy("ABBAB", "I", dim=2)
    >>> plan = ost.Plan(total=200, cycle=ost.Cycle("cosine", count=4), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> course = anneal(energy, torch.ones(8, 3, dtype=torch.float64), plan)
    >>> energy.evaluations, course.mean.shape
    (1600, (200,))
    """
    if "optimizer.lr" not in plan.bindings:
        raise PlanError(
            f"plan: got the targets {', '.join(plan.bindings) or 'none'}, expected optimizer.lr, and noise.scale if the gradients are to have noise"
        )
    steps = plan.resolve().total
    angles = starts.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([angles], lr=0.0, betas=_BETAS, fused=True)
    noise, generator = Noise(), torch.Generator().manual_seed(seed)
    roots = {"noise": noise} if any(name.startswith("noise") for name in plan.bindings) else {}
    scheduler = plan.bind(optimizer=optimizer, **roots)
    mean, lowest = np.empty(steps), np.empty(steps)
    reached = torch.zeros(len(starts), dtype=torch.int64)
    values_so_far, angles_so_far = starts.new_full((len(starts),), torch.inf), starts.clone()
    for step in range(steps):
        values, gradient = energy.with_gradient(angles.detach())
        lower = values < values_so_far
        torch.where(lower, values, values_so_far, out=values_so_far)
        torch.where(lower[:, None], angles.detach(), angles_so_far, out=angles_so_far)
        mean[step], lowest[step] = float(values.mean()), float(values_so_far.min())
        reached.masked_fill_((reached == 0) & (values <= target), step + 1)
        gradient.mul_((_CLIP / gradient.norm(dim=1, keepdim=True)).clamp_(max=1.0))
        if noise.scale:
            gradient.add_(torch.randn(gradient.shape, generator=generator, dtype=gradient.dtype), alpha=noise.scale)
        angles.grad = gradient
        optimizer.step()
        scheduler.step()
        if step % _OFTEN == _OFTEN - 1 and progress is not None and progress(step + 1, float(lowest[step])):
            steps = step + 1
            break
    return Course(angles.detach(), angles_so_far, mean[:steps], lowest[:steps], reached.numpy())
