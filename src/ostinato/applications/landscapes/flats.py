"""Surfaces where the gradient all but vanishes far from the minimum: saddles and plateaus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ostinato.applications.landscapes.problem import Count, log_uniform, starting
from ostinato.applications.landscapes.rotated import Range, Rotated, axes

__all__ = ["Plateau", "Saddle"]


@dataclass(frozen=True, eq=False)
class Saddle(Rotated):
    """f(x) = 1/2 z·(c z) over all but the first axis + ((z_1/w)² - 1)², z = R x: a saddle of height 1 at 0 between minima of 0 at z_1 = ±w.

    The curvature across the saddle is -4/w²: the wider, the flatter. Starts lie near it: z_1 of the order of 1e-3 w, the rest standard normal.

    Attributes:
        widths: w, (instances,), > 0.

    >>> problem = Saddle.draw(seed=0, count=2, dimension=3)
    >>> problem.value(torch.zeros(2, 3, dtype=torch.float64)).tolist()
    [1.0, 1.0]
    """

    widths: Tensor

    @classmethod
    def draw(
        cls,
        seed: int,
        count: int = 1,
        *,
        dimension: int = 10,
        condition: float | Range = 100.0,
        width: float | Range = (1.0, 10.0),
        noise: float = 0.0,
    ) -> Self:
        """Return instances with rotations and widths of their own.

        Raises:
            ConfigError: `dimension` is below 2, `condition` below 1, `width` not above 0 or `noise` below 0.
        """
        bounds = (width, width) if isinstance(width, int | float) else width
        widths = torch.from_numpy(log_uniform(np.random.default_rng([seed, 20_274]), bounds, count))
        return cls(*axes(seed, count, dimension, condition), widths, noise=noise)

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        z = self._along(x)
        across = ((z[..., 0] / self.widths) ** 2 - 1.0) ** 2
        return across + 0.5 * (self.curvatures[:, 1:] * z[..., 1:] ** 2).sum(-1)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        z = self._along(x)
        slope = self.curvatures * z
        share = z[..., 0] / self.widths
        slope[..., 0] = 4.0 * share * (share**2 - 1.0) / self.widths
        return self._back(slope)

    def starts(self, seed: int, count: int) -> Tensor:
        z = starting(seed).standard_normal((count, self.dimension))
        z[:, 0] *= 1e-3 * self.widths.numpy()
        return self._back(torch.from_numpy(z))


@dataclass(frozen=True, eq=False)
class Plateau(Rotated):
    """f(x) = q/(1 + q), q = 1/2 z·(c z), z = R x: minimum 0 at 0 in a plane that flattens out to 1, where the gradient falls as 1/|x|³.

    Starts lie on it, at q = 30.

    >>> problem = Plateau.draw(seed=0)
    >>> problem.value(problem.starts(seed=0, count=2)).numpy().round(4).tolist()
    [0.9677, 0.9677]
    """

    @classmethod
    def draw(
        cls, seed: int, count: int = 1, *, dimension: int = 10, condition: float | Range = 10.0, noise: float = 0.0
    ) -> Self:
        """Return instances drawn as `Quadratic.draw` does.

        Raises:
            ConfigError: As there.
        """
        return cls(*axes(seed, count, dimension, condition), noise=noise)

    def _bowl(self, z: Tensor) -> Tensor:
        return 0.5 * (self.curvatures * z**2).sum(-1)

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        q = self._bowl(self._along(x))
        return q / (1.0 + q)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        z = self._along(x)
        return self._back(self.curvatures * z / (1.0 + self._bowl(z))[..., None] ** 2)

    def starts(self, seed: int, count: int) -> Tensor:
        z = torch.from_numpy(starting(seed).standard_normal((count, self.dimension)))
        return self._back(z * (30.0 / self._bowl(z))[:, None] ** 0.5)
