"""Problems in coordinates of their own, turned at random, with given curvatures along the axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ostinato.applications.landscapes.problem import Problem, log_uniform, making, rotations, turned
from ostinato.errors import ConfigError

__all__ = ["Range", "Rotated", "axes"]

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Rotated(Problem):
    """A problem in coordinates z = R x, whose axes carry the curvatures c.

    Attributes:
        curvatures: c, (instances, D), > 0.
        rotation: R, orthogonal, (instances, D, D).
    """

    curvatures: Tensor
    rotation: Tensor

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return self.curvatures.shape[1]

    @property
    def instances(self) -> int:
        """Number of instances."""
        return len(self.curvatures)

    @property
    def least(self) -> Tensor:
        """0 for every instance."""
        return torch.zeros(self.instances, dtype=torch.float64)

    def _along(self, x: Tensor) -> Tensor:
        return turned(x, self.rotation)

    def _back(self, z: Tensor) -> Tensor:
        return turned(z, self.rotation.mT)


def axes(seed: int, count: int, dimension: int, condition: float | Range) -> tuple[Tensor, Tensor]:
    """Return curvatures from 1/condition to 1, evenly apart on a logarithmic scale, and random rotations.

    Raises:
        ConfigError: `dimension` is below 2, or `condition` below 1.
    """
    if dimension < 2:
        raise ConfigError(f"dimension: got {dimension}, expected at least 2")
    bounds = (condition, condition) if isinstance(condition, int | float) else condition
    if bounds[0] < 1.0:
        raise ConfigError(f"condition: got {condition!r}, expected at least 1")
    rng = making(seed)
    numbers = log_uniform(rng, bounds, count)
    curvatures = torch.from_numpy(numbers[:, None] ** -np.linspace(0.0, 1.0, dimension))
    return curvatures, rotations(rng, count, dimension)
