"""What every test problem gives: values and exact gradients of a whole batch, random numbers counted by the step, the minimum where it is known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import ConfigError

__all__ = ["BLOCK", "Count", "Problem"]

BLOCK = 256
"""Steps whose random numbers are drawn together: those of a step follow from seed and step alone."""

Count = int | Tensor


@dataclass(frozen=True, eq=False)
class Problem(ABC):
    """A batch of functions f: R^D -> R, in float64.

    Positions are (..., N, D): any arms, N starts, D coordinates. A problem holds one instance for all starts, or N instances, the n-th for
    the n-th start. A problem of one's own gives `dimension` and `value`, and `instances` if it has several; its gradient is then taken by ``torch.func``.

    Attributes:
        noise: Standard deviation of independent normal noise in every coordinate of the gradient that an optimizer sees; >= 0.

    >>> @dataclass(frozen=True, eq=False)
    ... class Bowl(Problem):
    ...     dimension = 2
    ...     def value(self, x, step=0):
    ...         return (x**4).sum(-1)
    >>> x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    >>> Bowl().value(x).tolist(), Bowl().gradient(x).tolist()
    ([17.0], [[4.0, 32.0]])
    """

    noise: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        if not self.noise >= 0.0:
            raise ConfigError(f"noise: got {self.noise!r}, expected a standard deviation >= 0")

    @property
    @abstractmethod
    def dimension(self) -> int:
        """D, the number of coordinates."""

    @property
    def instances(self) -> int:
        """How many functions there are: 1, or one for each start."""
        return 1

    @property
    def least(self) -> Tensor | None:
        """The smallest value of each instance, (instances,); None where it is not known."""
        return None

    @abstractmethod
    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        """Return f at positions (..., N, D) before update `step`, (..., N), without noise."""

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        """Return the exact gradient at positions (..., N, D), of the same shape."""
        found: Tensor = torch.func.grad(lambda at: self.value(at, step).sum())(x)
        return found

    def draws(self, seed: int, block: int, starts: int) -> Tensor | None:
        """Return the random numbers of the `BLOCK` steps of a block, (BLOCK, ...), the same for all arms; None where nothing is random."""
        if self.noise == 0.0:
            return None
        numbers = counted(seed, block).standard_normal((BLOCK, starts, self.dimension))
        return torch.from_numpy(self.noise * numbers)

    def seen(self, x: Tensor, step: Count, draw: Tensor | None) -> Tensor:
        """Return the gradient that the optimizer sees: the exact one, or with what was drawn for this step."""
        exact = self.gradient(x, step)
        return exact if draw is None else exact + draw

    def starts(self, seed: int, count: int) -> Tensor:
        """Return `count` positions to start from, drawn with a seed, (count, D): standard normal unless the problem says otherwise."""
        return torch.from_numpy(starting(seed).standard_normal((count, self.dimension)))

    def demand_starts(self, starts: Tensor) -> None:
        """Check positions to start from.

        Raises:
            ConfigError: They have another shape than (N, D), or N is not the number of instances.
        """
        shape = tuple(starts.shape)
        if len(shape) != 2 or shape[1] != self.dimension or self.instances not in (1, shape[0]):
            rows = "N" if self.instances == 1 else str(self.instances)
            raise ConfigError(f"starts: got the shape {shape}, expected ({rows}, {self.dimension})")


def counted(seed: int, block: int) -> np.random.Generator:
    """Return the generator of a block of steps."""
    return np.random.default_rng([seed, 20_271, block])


def starting(seed: int) -> np.random.Generator:
    """Return the generator of positions to start from."""
    return np.random.default_rng([seed, 20_272])


def making(seed: int) -> np.random.Generator:
    """Return the generator of a problem's instances."""
    return np.random.default_rng([seed, 20_273])


def log_uniform(
    rng: np.random.Generator, bounds: tuple[float, float], size: int | tuple[int, ...]
) -> NDArray[np.float64]:
    """Return numbers whose logarithm is uniform between the bounds.

    Raises:
        ConfigError: The bounds are not positive and rising.
    """
    low, high = bounds
    if not 0.0 < low <= high:
        raise ConfigError(f"range: got {bounds!r}, expected two positive numbers, the smaller first")
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def rotations(rng: np.random.Generator, count: int, dimension: int) -> Tensor:
    """Return random rotations (or reflections), uniform over the orthogonal group, (count, D, D)."""
    q, r = np.linalg.qr(rng.standard_normal((count, dimension, dimension)))
    return torch.from_numpy(q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :])


def turned(x: Tensor, matrices: Tensor) -> Tensor:
    """Return the n-th matrix times the n-th position, (..., N, D); a single matrix turns them all."""
    if len(matrices) == 1:
        return x @ matrices[0].T
    return torch.einsum("nij,...nj->...ni", matrices, x)
