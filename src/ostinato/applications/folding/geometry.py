"""From angles to bonds to beads, and gradients the way back, for many chains at once."""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Geometry", "Plane", "Pose", "Space", "angle_count", "beads_of"]


def angle_count(beads: int, dim: int) -> int:
    """Return how many angles fix a chain but for where it lies and how it is turned: N - 2 in the plane, 2N - 5 in space.

    >>> angle_count(13, 2), angle_count(13, 3)
    (11, 21)
    """
    return beads - 2 if dim == 2 else 2 * beads - 5


class Pose(NamedTuple):
    """Chains as their bonds, with the functions of the angles that made them.

    Attributes:
        bonds: Unit vectors, (dim, B, N-1).
        cosine: Cosine of each bond's azimuth, (B, N-1).
        sine: Its sine.
        level: Cosine of each bond's elevation; None in the plane.
    """

    bonds: Tensor
    cosine: Tensor
    sine: Tensor
    level: Tensor | None


class Geometry(Protocol):
    """What angles mean."""

    dim: int

    def pose(self, angles: Tensor) -> Pose:
        """Return the chains of angles, (B, angles)."""
        ...

    def pull_back(self, pose: Pose, slope: Tensor, azimuthal: Tensor | None) -> Tensor:
        """Return the gradient over the angles of a gradient over the bonds, (dim, B, N-1), and one over the azimuths, (B, N-1)."""
        ...


class Plane:
    """Bonds in the plane: the azimuth of bond k is the sum of the first k bends, and the first bond lies along x. N - 2 angles."""

    dim = 2

    def __init__(self, beads: int) -> None:
        self._sums = torch.triu(torch.ones(beads - 2, beads - 1, dtype=torch.float64), diagonal=1)

    def pose(self, angles: Tensor) -> Pose:
        azimuth = angles @ self._sums
        bonds = torch.stack((azimuth.cos(), azimuth.sin()))
        return Pose(bonds, bonds[0], bonds[1], None)

    def pull_back(self, pose: Pose, slope: Tensor, azimuthal: Tensor | None) -> Tensor:
        turn = slope[1] * pose.cosine
        turn.addcmul_(slope[0], pose.sine, value=-1.0)
        return (turn if azimuthal is None else turn.add_(azimuthal)) @ self._sums.T


class Space:
    """Bonds in space: each is (cos a cos e, sin a cos e, sin e) of its own azimuth a and elevation e.

    The first bond lies along y and the second in the plane of x and y, which leaves N - 2 azimuths, then N - 3 elevations.
    """

    dim = 3

    def __init__(self, beads: int) -> None:
        self._beads = beads

    def pose(self, angles: Tensor) -> Pose:
        azimuth = pad(angles[:, : self._beads - 2], (1, 0), value=math.pi / 2)
        elevation = pad(angles[:, self._beads - 2 :], (2, 0))
        cosine, sine, level = azimuth.cos(), azimuth.sin(), elevation.cos()
        bonds = angles.new_empty(3, len(angles), self._beads - 1)
        torch.mul(cosine, level, out=bonds[0])
        torch.mul(sine, level, out=bonds[1])
        torch.sin(elevation, out=bonds[2])
        return Pose(bonds, cosine, sine, level)

    def pull_back(self, pose: Pose, slope: Tensor, azimuthal: Tensor | None) -> Tensor:
        assert pose.level is not None
        turn = slope[1] * pose.bonds[0]
        turn.addcmul_(slope[0], pose.bonds[1], value=-1.0)
        if azimuthal is not None:
            turn.add_(azimuthal)
        lift = slope[0] * pose.cosine
        lift.addcmul_(slope[1], pose.sine).mul_(pose.bonds[2]).neg_().addcmul_(slope[2], pose.level)
        return torch.cat((turn[:, 1:], lift[:, 2:]), dim=1)


def beads_of(bonds: Tensor) -> Tensor:
    """Return where the beads lie, (B, N, dim), of bonds (dim, B, N-1); the first at the origin."""
    return pad(bonds.cumsum(dim=-1), (1, 0)).permute(1, 2, 0).contiguous()
