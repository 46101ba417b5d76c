"""The energy of a chain in the AB off-lattice model and its gradient over the angles, for thousands of chains at once."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from ostinato.applications.folding.geometry import Geometry, Plane, Space, angle_count, beads_of
from ostinato.applications.folding.sequences import checked
from ostinato.errors import ConfigError, DataError, suggest

__all__ = ["MODELS", "Energy", "Model"]

Model = Literal["I", "II", "azimuth"]
MODELS: tuple[Model, ...] = get_args(Model)

_FLOOR = 0.25
"""Squared distance below which the pair energy goes on as its tangent. There a pair has about 16,000, thousands of times any fold's gain."""
_BLOCK = 24_000
"""Pairs of beads that are worked on at once: what they need stays in the processor's cache."""


class Energy:
    """The energy of an AB chain as a function of its angles, with a count of how often it was asked.

    Beads i = 1..N at unit distance along the chain; r_ij their distances, b_k the bonds, the pairs all i, j with j >= i + 2. With
    ``C = 1`` for a pair AA, ``1/2`` for BB and ``-1/2`` for AB in model I (``1`` for AA, ``1/2`` for all else in model II):

    =============  ====================================================================================================
    model          energy
    =============  ====================================================================================================
    ``I``          1/4 sum (1 - cos t_i) + 4 sum (r^-12 - C r^-6), t_i the angle between bonds i and i + 1; 2D or 3D
    ``II``         sum b_k·b_{k+1} - 1/2 sum b_k·b_{k+2} + 4 sum C (r^-12 - r^-6); 3D
    ``azimuth``    as I, but t_i is the azimuth of bond i + 1, its elevation does not count; 3D
    =============  ====================================================================================================

    The three are different functions: their energies cannot be compared. ``azimuth`` is what the papers on differential evolution report.

    Angles are float64, (B, angles), in radians: in 2D the N - 2 bends from bond to bond, in 3D N - 2 azimuths and N - 3 elevations of the bonds
    (`geometry.Space`). Where beads overlap, r^-12 would overflow: below r = 1/2 a pair's energy goes on as its tangent in r^2, so that energy and
    gradient stay finite and the gradient pushes the beads apart. No chain without such a pair is changed by that, not by a bit.

    Args:
        sequence: Beads, A and B, at least 3.
        model: One of `MODELS`.
        dim: 2 or 3.

    Attributes:
        evaluations: How many chains' energies or gradients were computed: the cost of every method of this package.

    Raises:
        DataError: The sequence is none, or the angles have another shape.
        ConfigError: There is no such model, or not in this dimension.

    Sources: model I, Stillinger, Head-Gordon, Hirshfeld, Phys. Rev. E 48, 1469, 1993; model II, Irbäck, Peterson, Potthast, Sommelius, J. Chem. Phys.
    107, 273, 1997; azimuth, Bošković, Brest: Differential evolution for protein folding optimization based on a three-dimensional AB off-lattice
    model, J. Mol. Model. 22, 252, 2016.

    >>> energy = Energy("ABA", "I", dim=2)
    >>> angles = torch.zeros(1, 1, dtype=torch.float64)             # stretched: one pair AA at distance 2
    >>> energy(angles).item() == 4 * (2**-12 - 2**-6)
    True
    >>> value, gradient = energy.with_gradient(angles)
    >>> gradient.shape, energy.evaluations
    (torch.Size([1, 1]), 2)
    """

    def __init__(self, sequence: str, model: str = "I", dim: int = 3) -> None:
        self.sequence = checked(sequence)
        self.model, self.dim = _known(model, dim)
        self.evaluations = 0
        beads = len(self.sequence)
        self.angles = angle_count(beads, dim)
        self._geometry: Geometry = Plane(beads) if dim == 2 else Space(beads)
        first, second = torch.triu_indices(beads, beads, offset=2)
        bond = torch.arange(beads - 1)[:, None]
        self._spans = ((first <= bond) & (bond < second)).double()
        self._repulsion, self._attraction = _strengths(self.sequence, first, second, model)
        self._stiffness, self._offset = _stiffness(beads, model)

    def __call__(self, angles: Tensor) -> Tensor:
        """Return the energies, (B,)."""
        return self._blocks(angles, None)

    def with_gradient(self, angles: Tensor) -> tuple[Tensor, Tensor]:
        """Return the energies, (B,), and their gradients, (B, angles)."""
        gradient = torch.empty_like(angles)
        return self._blocks(angles, gradient), gradient

    def coordinates(self, angles: Tensor) -> Tensor:
        """Return where the beads lie, (B, N, dim); the first at the origin."""
        return beads_of(self._geometry.pose(self._checked(angles)).bonds)

    def _checked(self, angles: Tensor) -> Tensor:
        if angles.ndim != 2 or angles.shape[1] != self.angles or angles.dtype != torch.float64:
            raise DataError(
                f"angles: got {tuple(angles.shape)} {angles.dtype}, expected (chains, {self.angles}) torch.float64 for {len(self.sequence)} beads in"
                f" {self.dim}D"
            )
        return angles

    @torch.no_grad()
    def _blocks(self, angles: Tensor, gradient: Tensor | None) -> Tensor:
        values = torch.empty(len(self._checked(angles)), dtype=torch.float64)
        size = max(1, _BLOCK // self._spans.shape[1])
        for start in range(0, len(angles), size):
            block = slice(start, start + size)
            self._block(angles[block], values[block], None if gradient is None else gradient[block])
        self.evaluations += len(angles)
        return values

    def _block(self, angles: Tensor, values: Tensor, gradient: Tensor | None) -> None:
        pose = self._geometry.pose(angles)
        apart = pose.bonds @ self._spans
        squared = apart[0] * apart[0]
        for axis in apart[1:]:
            squared.addcmul_(axis, axis)
        floored = squared.clamp(min=_FLOOR)
        inverse = floored.reciprocal()
        sixth = inverse * inverse
        sixth.mul_(inverse)
        slope = torch.addcmul(self._attraction, self._repulsion, sixth, value=-2.0).mul_(sixth).mul_(inverse).mul_(3.0)
        pairs = torch.addcmul(-self._attraction, self._repulsion, sixth).mul_(sixth)
        pairs.addcmul_(squared.sub_(floored), slope)
        torch.sum(pairs, dim=-1, out=values)
        bend = self._bend(pose.bonds, pose.cosine, values)
        if gradient is not None:
            pull = apart.mul_(slope.mul_(2.0)) @ self._spans.T
            azimuthal = 0.25 * pose.sine if self.model == "azimuth" else None
            gradient.copy_(self._geometry.pull_back(pose, pull if bend is None else pull.add_(bend), azimuthal))

    def _bend(self, bonds: Tensor, cosine: Tensor, values: Tensor) -> Tensor | None:
        """Add the energy of the bends to the values; return its gradient over the bonds, None where it has none."""
        values.add_(self._offset)
        if self.model == "azimuth":
            values.sub_(cosine[:, 1:].sum(dim=-1), alpha=0.25)
            return None
        bend = bonds @ self._stiffness
        values.add_(torch.einsum("dbk,dbk->b", bonds, bend), alpha=0.5)
        return bend


def _known(model: str, dim: int) -> tuple[Model, int]:
    for known in MODELS:
        if model == known:
            if dim not in (2, 3):
                raise ConfigError(f"dim: got {dim}, expected 2 or 3")
            if dim == 2 and known != "I":
                raise ConfigError(f"dim: got 2 with model {model}, which is defined in space alone; type 3, or model I")
            return known, dim
    raise ConfigError(f"model: got {model!r}{suggest(model, MODELS)}")


def _strengths(sequence: str, first: Tensor, second: Tensor, model: str) -> tuple[Tensor, Tensor]:
    """Return what multiplies r^-12 and -r^-6, by pair."""
    hydrophobic = torch.tensor([bead == "A" for bead in sequence])
    one, other = hydrophobic[first], hydrophobic[second]
    unlike = 0.5 if model == "II" else -0.5
    strength = torch.where(one & other, 1.0, torch.where(one ^ other, unlike, 0.5)).double()
    return 4.0 * (strength if model == "II" else torch.ones_like(strength)), 4.0 * strength


def _stiffness(beads: int, model: str) -> tuple[Tensor, float]:
    """Return S and c of the energy 1/2 sum_kl S_kl b_k·b_l + c of the bonds alone."""
    weights = {"I": (-0.25, 0.0), "II": (1.0, -0.5), "azimuth": (0.0, 0.0)}[model]
    stiffness = torch.zeros(beads - 1, beads - 1, dtype=torch.float64)
    for apart, weight in enumerate(weights, 1):
        beside = torch.full((max(beads - 1 - apart, 0),), weight, dtype=torch.float64)
        stiffness += torch.diag(beside, apart) + torch.diag(beside, -apart) if len(beside) else 0.0
    return stiffness, 0.0 if model == "II" else 0.25 * (beads - 2)
