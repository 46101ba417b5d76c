"""The honest baselines: descents from many starts, and basin hopping, for many chains at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.applications.folding.descent import Descent
from ostinato.applications.folding.energy import Energy

__all__ = ["BasinHopping", "Found", "Multistart", "Rule", "random_angles", "search"]

_TOLERANCE = 0.03
"""A descent of a search ends where no gradient is larger: soft angles take hundreds of evaluations for gains that the last polish makes anyway."""
_OFTEN = 64


def random_angles(energy: Energy, chains: int, generator: torch.Generator) -> Tensor:
    """Return angles, (chains, angles).

    In space every bond's direction is uniform on the sphere. In the plane bends are uniform in [-pi/2, pi/2]: wider ones tie chains in knots that
    no descent undoes there.
    """
    uniform = 2.0 * torch.rand(chains, energy.angles, generator=generator, dtype=torch.float64) - 1.0
    if energy.dim == 2:
        return uniform.mul_(math.pi / 2)
    turns = len(energy.sequence) - 2
    uniform[:, :turns] *= math.pi
    uniform[:, turns:] = uniform[:, turns:].asin()
    return uniform


class Rule(Protocol):
    """What a chain does when its descent has ended."""

    def next_starts(self, energy: Energy, which: Tensor, angles: Tensor, values: Tensor) -> Tensor:
        """Return where the chains of some places go on, (number of them, angles).

        Args:
            energy: What is minimised.
            which: Their places.
            angles: Their minima.
            values: Energies of those.
        """
        ...


class Multistart:
    """Begin anew at random."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def next_starts(self, energy: Energy, which: Tensor, angles: Tensor, values: Tensor) -> Tensor:
        """Return random angles."""
        return random_angles(energy, len(which), self._generator)


class BasinHopping:
    """Accept the new minimum as Metropolis does, then displace every angle of the accepted one by up to `size`.

    Args:
        chains: How many.
        generator: Of displacements and acceptances.
        size: Radians.
        temperature: In units of energy.

    Source: D. Wales, J. Doye, J. Phys. Chem. A 101, 5111, 1997; `scipy.optimize.basinhopping` does the same for one chain.
    """

    def __init__(self, chains: int, generator: torch.Generator, *, size: float = 0.5, temperature: float = 0.5) -> None:
        self._generator, self._size, self._temperature = generator, size, temperature
        self._values = torch.full((chains,), torch.inf, dtype=torch.float64)
        self._angles: Tensor | None = None

    def next_starts(self, energy: Energy, which: Tensor, angles: Tensor, values: Tensor) -> Tensor:
        """Return the accepted minima, displaced."""
        if self._angles is None:
            self._angles = angles.new_zeros(len(self._values), energy.angles)
        drawn = torch.rand(len(which), generator=self._generator, dtype=torch.float64)
        accepted = drawn < torch.exp((self._values[which] - values) / self._temperature)
        self._angles[which[accepted]], self._values[which[accepted]] = angles[accepted], values[accepted]
        moves = 2.0 * torch.rand(angles.shape, generator=self._generator, dtype=torch.float64) - 1.0
        return self._angles[which] + self._size * moves


@dataclass(frozen=True, eq=False)
class Found:
    """What a search came to.

    Attributes:
        values: The lowest energy that each chain met, (B,).
        angles: Where, (B, angles).
        minima: How many descents each chain ended, (B,).
        mean: Mean over the chains of the lowest energy met up to each evaluation of a chain, (evaluations,).
        lowest: The lowest of any chain, (evaluations,).
        reached: The first evaluation at which a chain met the target, counted from 1, (B,); 0 where it never did.
    """

    values: Tensor
    angles: Tensor
    minima: NDArray[np.int64]
    mean: NDArray[np.float64]
    lowest: NDArray[np.float64]
    reached: NDArray[np.int64]


def search(
    energy: Energy,
    starts: Tensor,
    rule: Rule,
    evaluations: int,
    *,
    target: float = -math.inf,
    progress: Callable[[int, float], bool] | None = None,
) -> Found:
    """Let every chain descend and go on by a rule until it has used its evaluations.

    Args:
        energy: What is minimised; it counts the evaluations.
        starts: Angles, (B, angles).
        rule: `Multistart` or `BasinHopping`.
        evaluations: Of each chain.
        target: An energy to be reached.
        progress: Is told the number of evaluations of a chain and the lowest energy, now and then; where it answers True, it ends there.

    >>> energy = Energy("ABBAB", "I", dim=2)
    >>> generator = torch.Generator().manual_seed(0)
    >>> found = search(energy, random_angles(energy, 8, generator), Multistart(generator), 200)
    >>> energy.evaluations, bool((found.minima > 1).all())
    (1600, True)
    """
    descent = Descent(energy, starts, tolerance=_TOLERANCE)
    best, where = descent.values.clone(), starts.clone()
    minima = torch.zeros(len(starts), dtype=torch.int64)
    reached = torch.zeros(len(starts), dtype=torch.int64)
    mean, lowest = np.empty(evaluations), np.empty(evaluations)
    for count in range(evaluations):
        descent.step()
        better = descent.values < best
        torch.where(better, descent.values, best, out=best)
        torch.where(better[:, None], descent.angles, where, out=where)
        reached.masked_fill_((reached == 0) & (best <= target), count + 1)
        mean[count], lowest[count] = float(best.mean()), float(best.min())
        if bool(descent.finished.any()):
            ended = descent.finished.nonzero()[:, 0]
            minima[ended] += 1
            descent.restart(ended, rule.next_starts(energy, ended, descent.angles[ended], descent.values[ended]))
        if count % _OFTEN == _OFTEN - 1 and progress is not None and progress(count + 1, float(lowest[count])):
            evaluations = count + 1
            break
    return Found(best, where, minima.numpy(), mean[:evaluations], lowest[:evaluations], reached.numpy())
