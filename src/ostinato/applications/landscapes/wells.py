"""Double wells in one dimension, of stated places and depths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor

from ostinato.applications.landscapes.problem import Count, Problem, making, starting

__all__ = ["DoubleWells"]

Range = tuple[float, float]
Deeper = Literal["either", "inner", "outer"]


@dataclass(frozen=True, eq=False)
class DoubleWells(Problem):
    """f(x) = h_s ((z² - 1)² - 1), z = (x - m)/w_s, with the side s = left for x <= m, else right.

    A barrier of height 0 at m; on each side one minimum, at m - w_left and m + w_right, of the depths h: value -h. Places and depths are
    free of each other, so that a deep well need not be a wide one. f and its slope are continuous; the second derivative is not at m.

    Attributes:
        barrier: m, (instances,).
        widths: w of both sides, left first, (instances, 2), > 0.
        depths: h of both sides, (instances, 2), > 0.

    >>> wells = DoubleWells.draw(seed=0, count=3)
    >>> torch.equal(wells.value(wells.deep), wells.least), bool(wells.in_deep(wells.shallow).any())
    (True, False)
    """

    barrier: Tensor
    widths: Tensor
    depths: Tensor
    dimension: int = 1

    @classmethod
    def draw(
        cls,
        seed: int,
        count: int,
        *,
        barrier: Range = (-4.0, 4.0),
        width: Range = (0.5, 1.5),
        shallow: Range = (0.3, 0.7),
        deeper: Deeper = "either",
        noise: float = 0.0,
    ) -> Self:
        """Return wells whose barrier, widths and depths are drawn independently, all uniform.

        Args:
            seed: Of the draw.
            count: Number of instances.
            barrier: Range of m. One that is symmetric about 0 makes the whole distribution so: where 0 lies says nothing about the deeper side.
            width: Range of either width.
            shallow: Range of the shallower depth; the deeper is 1.
            deeper: ``"inner"``: on the side of the barrier where 0 lies; ``"outer"``: on the other; ``"either"``: drawn, too.
            noise: Standard deviation of the gradient's noise.
        """
        rng = making(seed)
        place, widths = rng.uniform(*barrier, count), rng.uniform(*width, (count, 2))
        depths = np.stack([np.ones(count), rng.uniform(*shallow, count)], axis=1)
        right = {"either": rng.random(count) < 0.5, "inner": place < 0.0, "outer": place >= 0.0}[deeper]
        depths[right] = depths[right][:, ::-1]
        return cls(torch.from_numpy(place), torch.from_numpy(widths), torch.from_numpy(depths), noise=noise)

    @property
    def instances(self) -> int:
        """Number of instances."""
        return len(self.barrier)

    @property
    def least(self) -> Tensor:
        """The value of the deeper minimum, (instances,)."""
        return -self.depths.amax(-1)

    @property
    def places(self) -> Tensor:
        """Where both minima lie, (instances, 2)."""
        return torch.stack([self.barrier - self.widths[:, 0], self.barrier + self.widths[:, 1]], -1)

    @property
    def deep(self) -> Tensor:
        """Where the deeper minimum lies, (instances, 1)."""
        return self.places.gather(-1, self.depths.argmax(-1, keepdim=True))

    @property
    def shallow(self) -> Tensor:
        """Where the shallower minimum lies, (instances, 1)."""
        return self.places.gather(-1, self.depths.argmin(-1, keepdim=True))

    def in_deep(self, x: Tensor) -> Tensor:
        """Return whether positions (..., N, 1) lie on the deeper well's side of the barrier, (..., N)."""
        return (x[..., 0] > self.barrier) == (self.deep[:, 0] > self.barrier)

    def _local(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return z, width and depth of the side that each position is on."""
        off = x[..., 0] - self.barrier
        right = off > 0.0
        width = torch.where(right, self.widths[:, 1], self.widths[:, 0])
        depth = torch.where(right, self.depths[:, 1], self.depths[:, 0])
        return off / width, width, depth

    def value(self, x: Tensor, step: Count = 0) -> Tensor:
        z, _, depth = self._local(x)
        return depth * ((z**2 - 1.0) ** 2 - 1.0)

    def gradient(self, x: Tensor, step: Count = 0) -> Tensor:
        z, width, depth = self._local(x)
        return (4.0 * depth / width * z * (z**2 - 1.0))[..., None]

    def starts(self, seed: int, count: int) -> Tensor:
        """Return positions within a tenth of the width round the shallower minimum, (count, 1); `count` is the number of instances."""
        inside = self.widths.gather(-1, self.depths.argmin(-1, keepdim=True))
        return self.shallow + inside * torch.from_numpy(starting(seed).uniform(-0.1, 0.1, (count, 1)))

    def mirrored(self) -> Self:
        """Return each instance mirrored at its own barrier: what was on the side of 0 now lies beyond."""
        return replace(self, widths=self.widths.flip(-1), depths=self.depths.flip(-1))

    def shifted(self, by: float | Tensor) -> Self:
        """Return the instances moved to the right by a number, or by one each, (instances,)."""
        return replace(self, barrier=self.barrier + by)
