"""What a simulated federation hands back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ostinato.applications.federated.merging import Arrays, Update
from ostinato.errors import StateError, suggest

__all__ = ["Course", "SimulationResult", "spread_of"]

Floats = NDArray[np.float64]
How = Literal["stacked", "compiled", "alone"]


@dataclass
class Course:
    """What one federation went through; filled in round by round.

    Attributes:
        weights: The common model.
        metrics: By name, by round; NaN where it was not scored.
        drift: Mean over the clients of |w_i - w|, by round.
        spread: Mean over the clients of |w_i - mean of w_i|^2, by round.
        progress: How far each client went, (rounds, n); NaN where it did not take part.
        diverged: The round in which a client's training was not finite, or -1.
    """

    weights: dict[str, NDArray[np.generic]]
    metrics: dict[str, Floats]
    drift: Floats
    spread: Floats
    progress: Floats
    diverged: int = -1

    @classmethod
    def empty(cls, weights: dict[str, NDArray[np.generic]], rounds: int, clients: int) -> Course:
        """Return the course of a federation that has not begun."""
        nothing = np.full((rounds, clients), np.nan)
        return cls(weights, {}, nothing[:, 0].copy(), nothing[:, 0].copy(), nothing)

    def note(self, round: int, updates: Sequence[Update], trained: Sequence[str]) -> None:
        """Write down what the clients of a round sent, before it is merged."""
        self.drift[round - 1], self.spread[round - 1] = spread_of(self.weights, updates, trained)
        for update in updates:
            self.progress[round - 1, update.client] = update.progress

    def score(self, round: int, scores: Mapping[str, float]) -> None:
        """Write down the scores after a round."""
        for name, value in scores.items():
            self.metrics.setdefault(name, np.full(len(self.drift), np.nan))[round - 1] = value


def spread_of(before: Arrays, updates: Sequence[Update], names: Sequence[str]) -> tuple[float, float]:
    """Return the mean of |w_i - w| over the clients, and of |w_i - mean of w_i|^2, over the arrays of these names together.

    >>> w = {"a": np.zeros(2)}
    >>> spread_of(w, [Update(0, {"a": np.array([3.0, 4.0])}, 1), Update(1, {"a": np.array([-3.0, -4.0])}, 1)], ["a"])
    (5.0, 25.0)
    """
    squares, within = np.zeros(len(updates)), 0.0
    for name in names:
        start = np.asarray(before[name], np.float64).ravel()
        ways = np.stack([np.asarray(update.arrays[name], np.float64).ravel() - start for update in updates])
        squares += np.einsum("ij,ij->i", ways, ways)
        ways -= ways.mean(axis=0)
        within += float(np.einsum("ij,ij->", ways, ways)) / len(updates)
    return float(np.sqrt(squares).mean()), within


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """F federations after R rounds.

    Attributes:
        metrics: Scores of the common model by name, float64 (F, R): column r - 1 is after round r. NaN where it was not scored or had diverged.
        drift: How far the clients went, float64 (F, R): the mean over those that took part of |w_i - w|, over all trained parameters.
        spread: The variance of what they sent, float64 (F, R): the mean of |w_i - mean of w_i|^2.
        progress: `LocalRound.progress` of every client, float64 (F, R, n); NaN where it did not take part.
        diverged: The round in which a client's loss or gradient was not finite, -1 for none, int64 (F,). The common model stays what it was.
        weights: The common models, stacked: (F, ...), by the names that the model gives.
        how: ``"stacked"``, ``"compiled"`` (stacked and compiled) or ``"alone"`` (client by client).
        reason: Why the clients could not be trained at once; empty where they were.
        chunks: Numbers of clients that were trained at once, one after another.
        wall_s: Seconds.
    """

    metrics: Mapping[str, Floats]
    drift: Floats
    spread: Floats
    progress: Floats
    diverged: NDArray[np.int64]
    weights: Mapping[str, Tensor]
    how: How
    reason: str
    chunks: tuple[int, ...]
    wall_s: float

    def __len__(self) -> int:
        """Return the number of federations."""
        return len(self.diverged)

    @property
    def rounds(self) -> int:
        """Rounds that were simulated."""
        return int(self.drift.shape[1])

    def common(self, f: int) -> dict[str, Tensor]:
        """Return the common model of federation `f`: a state_dict; copies."""
        if not 0 <= f < len(self):
            raise StateError(f"federation: got {f}, expected 0 to {len(self) - 1}")
        return {name: tensor[f].clone() for name, tensor in self.weights.items()}

    def last(self, metric: str) -> Floats:
        """Return each federation's value after its last round, float64 (F,); NaN where it had diverged."""
        return np.asarray(self._of(metric)[:, -1])

    def rounds_to(self, metric: str, target: float) -> Floats:
        """Return after how many rounds a metric was first at or below a target, float64 (F,); infinity where it never was.

        Infinity is kept, so that a median counts those that never came there; a mean would have to drop them.
        """
        reached = self._of(metric) <= target
        first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)
        return np.asarray(first)

    def _of(self, metric: str) -> Floats:
        if metric not in self.metrics:
            raise StateError(f"metric: got {metric!r}{suggest(metric, self.metrics)}")
        return self.metrics[metric]
