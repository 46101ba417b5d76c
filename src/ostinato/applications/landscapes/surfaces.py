"""Surfaces with a known minimum: quadratics of a given condition number, fixed or moving, Rosenbrock's valley, saddles and plateaus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from ostinato.applications.landscapes.problem import (
    Count,
    Problem,
    log_uniform,
    making,
    rotations,
    starting,
    turned,
)
from ostinato.errors import ConfigError

__all__ = ["MovingQuadratic", "Plateau", "Quadratic", "Rosenbrock", "Saddle"]

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class _Turned(Problem):
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


def _axes(seed: int, count: int, dimension: int, condition: float | Range) -> tuple[Tensor, Tensor]:
    """Return curvatures from 1/condition to 1, evenly apart on a logarithmic scale, and random rotations."""
    if dimension < 2:
        raise ConfigError(f"dimension: got {dimension}, expected at least 2")
    bounds = (condition, condition) if isinstance(condition, int | float) else condition
    if bounds[0] < 1.0:
        raise ConfigError(f"condition: got {condition!r}, expected at least 1")
    rng = making(seed)
    numbers = log_uniform(rng, bounds, count)
    curvatures = torch.from_numpy(numbers[:, None] ** -np.linspace(0.0, 1.0, dimension))
    return curvatures, rotations(rng, count, dimension)


@dataclass(frozen=True, eq=False)
class Quadratic(_Turned):
    """f(x) = 1/2 z·(c z), z = R x: minimum 0 at 0, condition number max c / min c.

    >>> problem = Quadratic.draw(seed=0, count=3, dimension=4, condition=100.0)
    >>> problem.instances, problem.curvatures[0].numpy().round(6).tolist()[::3]
    (3, [1.0, 0.01])
    """

    @classmethod
    def draw(
        cls, seed: int, count: int = 1, *, dimension: int = 10, condition: float | Range = 100.0, noise: float = 0.0
    ) -> Self:
        """Return instances with rotations, and where `condition` is a range also condition numbers, of their own.

        Raises:
            ConfigError: `dimension` is below 2, `condition` below 1 or `noise` below 0.
        """
        return cls(*_axes(seed, count, dimension, condition), noise=noise)

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        return 0.5 * (self.curvatures * self._along(x) ** 2).sum(-1)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        return self._back(self.curvatures * self._along(x))


@dataclass(frozen=True, eq=False)
class MovingQuadratic(_Turned):
    """A quadratic whose curvature and noise grow with the step: f_t(x) = 1/2 growth^(t/total) z·(c z).

    The noise of the gradient has the standard deviation noise·noise_growth^(t/total). Its largest curvature is known at every step
    (`curvature`), which is what a rate in inverse proportion to it needs.

    Attributes:
        total: Steps over which both grow.
        growth: Of the curvature, > 0; 1 leaves it as it is.
        noise_growth: Of the noise, > 0.

    >>> moving = MovingQuadratic.draw(seed=0, total=100, growth=10.0)
    >>> moving.curvature(0).tolist(), moving.curvature(100).tolist()
    ([1.0], [10.0])
    """

    total: int
    growth: float = 10.0
    noise_growth: float = 1.0

    @classmethod
    def draw(
        cls,
        seed: int,
        count: int = 1,
        *,
        total: int,
        growth: float = 10.0,
        noise_growth: float = 1.0,
        dimension: int = 10,
        condition: float | Range = 100.0,
        noise: float = 0.0,
    ) -> Self:
        """Return instances drawn as `Quadratic.draw` does.

        Raises:
            ConfigError: As there, or `total`, `growth` or `noise_growth` are not above 0.
        """
        if total < 1 or not growth > 0.0 or not noise_growth > 0.0:
            raise ConfigError(f"moving: got total={total}, growth={growth}, noise_growth={noise_growth}, expected > 0")
        return cls(*_axes(seed, count, dimension, condition), total, growth, noise_growth, noise=noise)

    def _factor(self, step: Count) -> Count | float:
        return self.growth ** (step / self.total)

    def curvature(self, step: int) -> Tensor:
        """Return the largest curvature before update `step`, (instances,)."""
        return self.curvatures.amax(-1) * self._factor(step)

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        return 0.5 * self._factor(step) * (self.curvatures * self._along(x) ** 2).sum(-1)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        return self._factor(step) * self._back(self.curvatures * self._along(x))

    def seen(self, x: Tensor, step: Count, draw: Tensor | None) -> Tensor:
        exact = self.gradient(x, step)
        return exact if draw is None else exact + draw * self.noise_growth ** (step / self.total)


@dataclass(frozen=True, eq=False)
class Rosenbrock(Problem):
    """f(x) = sum over i of b (x_{i+1} - x_i²)² + (1 - x_i)²: a curved valley of steepness b, minimum 0 at (1, ..., 1).

    Starts are uniform over [-2, 2]^D. H. Rosenbrock, The Computer Journal 3, 1960, with b = 100.

    Attributes:
        steepness: b, (instances,), > 0.
        dimension: D, at least 2.

    >>> x = torch.tensor([[1.0, 1.0], [-1.0, 2.0]], dtype=torch.float64)
    >>> Rosenbrock.draw(seed=0).value(x).numpy().round(6).tolist()
    [0.0, 104.0]
    """

    steepness: Tensor
    dimension: int = 2

    @classmethod
    def draw(
        cls, seed: int, count: int = 1, *, dimension: int = 2, steepness: float | Range = 100.0, noise: float = 0.0
    ) -> Self:
        """Return instances, of steepnesses of their own where `steepness` is a range.

        Raises:
            ConfigError: `dimension` is below 2, `steepness` not above 0 or `noise` below 0.
        """
        if dimension < 2:
            raise ConfigError(f"dimension: got {dimension}, expected at least 2")
        bounds = (steepness, steepness) if isinstance(steepness, int | float) else steepness
        return cls(torch.from_numpy(log_uniform(making(seed), bounds, count)), dimension, noise=noise)

    @property
    def instances(self) -> int:
        """Number of instances."""
        return len(self.steepness)

    @property
    def least(self) -> Tensor:
        """0 for every instance."""
        return torch.zeros_like(self.steepness)

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        off = x[..., 1:] - x[..., :-1] ** 2
        return self.steepness * (off**2).sum(-1) + ((1.0 - x[..., :-1]) ** 2).sum(-1)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        before = x[..., :-1]
        pull = 2.0 * self.steepness[:, None] * (x[..., 1:] - before**2)
        found = torch.zeros_like(x)
        found[..., :-1] = -2.0 * before * pull - 2.0 * (1.0 - before)
        found[..., 1:] += pull
        return found

    def starts(self, seed: int, count: int) -> Tensor:
        return torch.from_numpy(starting(seed).uniform(-2.0, 2.0, (count, self.dimension)))


@dataclass(frozen=True, eq=False)
class Saddle(_Turned):
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
        return cls(*_axes(seed, count, dimension, condition), widths, noise=noise)

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
class Plateau(_Turned):
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
        return cls(*_axes(seed, count, dimension, condition), noise=noise)

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
