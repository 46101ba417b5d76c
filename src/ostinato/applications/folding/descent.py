"""Many minimisations at once by L-BFGS, one evaluation of each chain at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ostinato.applications.folding.energy import Energy

__all__ = ["Descent", "polish"]

_MEMORY = 8
_DECREASE = 1e-4
"""Share of the slope that a step must gain (Armijo)."""
_LONGEST = 0.5
"""Radians that a step may change any angle by."""
_SHORTEST = 1e-12
"""Radians below which a step is no step: the descent is over."""


class Descent:
    """L-BFGS with backtracking for every chain by itself, in lockstep.

    Each call of `step` evaluates one trial point of each chain that is not finished. A chain whose trial point gains enough moves there and
    gets a new direction; another shortens its step. A chain is finished where no gradient is larger than `tolerance`, or no step gains anything
    any more. `restart` gives chains new starts while the others go on. Libraries minimise one function at a time; thousands of chains at once is
    what makes equal budgets affordable.

    Args:
        energy: What is minimised; it counts the evaluations.
        angles: Starts, (B, angles).
        tolerance: Largest gradient of a finished chain, in energy per radian.

    Attributes:
        angles: Where each chain is, (B, angles).
        values: Its energy there, (B,); infinite before its start was evaluated.
        finished: Which chains are, (B,).

    Source: J. Nocedal, S. Wright: Numerical Optimization, 2nd ed., algorithms 7.4 and 3.1.
    """

    def __init__(self, energy: Energy, angles: Tensor, *, tolerance: float = 1e-6) -> None:
        chains = len(angles)
        self._energy, self._tolerance = energy, tolerance
        self.angles = angles.clone()
        self._trial = angles.clone()
        self.values = angles.new_full((chains,), torch.inf)
        self.finished = torch.zeros(chains, dtype=torch.bool)
        self._fresh = torch.ones(chains, dtype=torch.bool)
        self._gradient, self._direction = torch.zeros_like(angles), torch.zeros_like(angles)
        self._length, self._slope = angles.new_ones(chains), angles.new_zeros(chains)
        self._moves = angles.new_zeros(_MEMORY, *angles.shape)
        self._turns = angles.new_zeros(_MEMORY, *angles.shape)
        self._inverse = angles.new_zeros(_MEMORY, chains)
        self._scale = angles.new_ones(chains)
        self._slot = 0

    def restart(self, which: Tensor, angles: Tensor) -> None:
        """Let some chains begin anew.

        Args:
            which: Which ones, (B,) boolean.
            angles: Their starts, (number of them, angles).
        """
        self.angles[which], self._trial[which] = angles, angles
        self.values[which] = torch.inf
        self.finished[which], self._fresh[which] = False, True

    def step(self) -> None:
        """Evaluate the next point of every chain that is not finished."""
        if bool(self.finished.all()):
            return
        if bool(self.finished.any()):
            going = ~self.finished
            values, gradient = self.values.clone(), self._gradient.clone()
            values[going], gradient[going] = self._energy.with_gradient(self._trial[going])
        else:
            going = torch.ones_like(self.finished)
            values, gradient = self._energy.with_gradient(self._trial)
        enough = values <= self.values + _DECREASE * self._length * self._slope
        moved = going & (self._fresh | enough)
        self._remember(moved, gradient)
        self._shorten(going & ~moved, values)
        torch.where(moved[:, None], self._trial, self.angles, out=self.angles)
        torch.where(moved[:, None], gradient, self._gradient, out=self._gradient)
        torch.where(moved, values, self.values, out=self.values)
        self._turn(moved)
        self._fresh &= ~moved
        longest = self._length * self._direction.abs().amax(dim=1)
        self.finished |= (self._gradient.abs().amax(dim=1) <= self._tolerance) | (going & (longest < _SHORTEST))
        torch.addcmul(self.angles, self._length[:, None], self._direction, out=self._trial)

    def _remember(self, moved: Tensor, gradient: Tensor) -> None:
        """Write the last move and how it turned the gradient into the memory; chains that did not move forget the oldest all the same."""
        move, turn = self._moves[self._slot], self._turns[self._slot]
        torch.sub(self._trial, self.angles, out=move)
        torch.sub(gradient, self._gradient, out=turn)
        product, square = torch.linalg.vecdot(move, turn), torch.linalg.vecdot(turn, turn)
        curved = moved & ~self._fresh & (product > 1e-10 * square) & (square > 0)
        self._inverse[self._slot] = torch.where(curved, 1.0 / product, 0.0)
        torch.where(curved, product / square, self._scale, out=self._scale)
        self._inverse.masked_fill_(self._fresh & moved, 0.0)
        self._slot = (self._slot + 1) % _MEMORY

    def _shorten(self, failed: Tensor, values: Tensor) -> None:
        """Shorten the steps that gained too little: to the minimum of the parabola, within a tenth to a half."""
        curvature = values - self.values - self._length * self._slope
        best = -0.5 * self._slope * self._length / curvature
        share = torch.nan_to_num(best, nan=0.5).clamp(0.1, 0.5)
        torch.where(failed, self._length * share, self._length, out=self._length)

    def _turn(self, moved: Tensor) -> None:
        """Give the chains that moved a new direction and its first length."""
        q, shares = self._gradient.clone(), []
        newest_first = [(self._slot - 1 - k) % _MEMORY for k in range(_MEMORY)]
        for slot in newest_first:
            share = self._inverse[slot] * torch.linalg.vecdot(self._moves[slot], q)
            q.addcmul_(share[:, None], self._turns[slot], value=-1.0)
            shares.append(share)
        known = (self._inverse > 0).any(dim=0)
        q.mul_(torch.where(known, self._scale, 1.0)[:, None])
        for slot, share in zip(reversed(newest_first), reversed(shares), strict=True):
            back = self._inverse[slot] * torch.linalg.vecdot(self._turns[slot], q)
            q.addcmul_((share - back)[:, None], self._moves[slot])
        q.neg_()
        slope = torch.linalg.vecdot(self._gradient, q)
        uphill = ~(slope < 0)
        torch.where(uphill[:, None], -self._gradient, q, out=q)
        torch.where(uphill, -self._gradient.square().sum(dim=1), slope, out=slope)
        first = torch.where(known & ~uphill, 1.0, (1.0 / self._gradient.norm(dim=1)).clamp(max=1.0))
        length = torch.minimum(first, _LONGEST / q.abs().amax(dim=1))
        torch.where(moved[:, None], q, self._direction, out=self._direction)
        torch.where(moved, slope, self._slope, out=self._slope)
        torch.where(moved, length, self._length, out=self._length)


def polish(energy: Energy, angles: Tensor, evaluations: int, *, tolerance: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Return the energies, (B,), and the angles, (B, angles), of the minima below some chains.

    Args:
        energy: What is minimised; it counts the evaluations.
        angles: Starts.
        evaluations: The most that any chain is given; one that needs fewer leaves the rest.
        tolerance: As for `Descent`.

    >>> from ostinato.applications.folding import Energy
    >>> energy = Energy("AAA", "I", dim=2)
    >>> values, angles = polish(energy, torch.full((1, 1), 2.0, dtype=torch.float64), 100)
    >>> round(values.item(), 6), round(abs(angles.item()), 4), energy.evaluations < 20
    (-0.658205, 1.9436, True)
    """
    descent = Descent(energy, angles, tolerance=tolerance)
    for _ in range(evaluations):
        if bool(descent.finished.all()):
            break
        descent.step()
    return descent.values, descent.angles
