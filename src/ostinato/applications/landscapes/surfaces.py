"""Surfaces with a known minimum: quadratics of a given condition number, fixed or moving, and Rosenbrock's valley."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from ostinato.applications.landscapes.problem import Count, Problem, log_uniform, making, starting
from ostinato.applications.landscapes.rotated import Range, Rotated, axes
from ostinato.errors import ConfigError

__all__ = ["MovingQuadratic", "Quadratic", "Rosenbrock"]


@dataclass(frozen=True, eq=False)
class Quadratic(Rotated):
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
        return cls(*axes(seed, count, dimension, condition), noise=noise)

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        return 0.5 * (self.curvatures * self._along(x) ** 2).sum(-1)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        return self._back(self.curvatures * self._along(x))


@dataclass(frozen=True, eq=False)
class MovingQuadratic(Rotated):
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
        return cls(*axes(seed, count, dimension, condition), total, growth, noise_growth, noise=noise)

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
