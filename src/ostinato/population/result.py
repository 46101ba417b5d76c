"""What a population hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ostinato.errors import StateError, suggest

__all__ = ["How", "PopulationResult"]

Status = Literal["done", "diverged"]
How = Literal["stacked", "compiled", "processes", "alone"]


@dataclass(frozen=True, eq=False)
class PopulationResult:
    """K members after training.

    Attributes:
        steps: Steps after which any member was scored, int64 (E,), ascending; after step s means with the weights of update s.
        metrics: By name, float64 (K, E); NaN where a member was not scored, or had diverged. ``train_loss`` is the mean training loss since
            the step before at which the member was scored.
        weights: Parameters and buffers by name, stacked: (K, ...). A diverged member has those of its last finite state.
        diverged: The step at which a member's loss or gradient was not finite, -1 for none, int64 (K,).
        totals: Updates that each member was to make, int64 (K,).
        seeds: Each member's seed.
        how: ``"stacked"``, ``"compiled"`` (stacked and compiled) or ``"processes"`` (one by one), ``"alone"`` (`single`).
        reason: Why the members could not be trained at once; empty where they were.
        chunks: Numbers of members that were trained at once, one after another.
        wall_s: Seconds.
    """

    steps: NDArray[np.int64]
    metrics: Mapping[str, NDArray[np.float64]]
    weights: Mapping[str, Tensor]
    diverged: NDArray[np.int64]
    totals: NDArray[np.int64]
    seeds: tuple[int, ...]
    how: How
    reason: str
    chunks: tuple[int, ...]
    wall_s: float
    _saved: Mapping[int, Mapping[int, Mapping[str, Tensor]]] = field(repr=False)
    _names: Mapping[str, str] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.seeds)

    @property
    def status(self) -> tuple[Status, ...]:
        """For every member ``"done"`` or ``"diverged"``."""
        return tuple("done" if step < 0 else "diverged" for step in self.diverged.tolist())

    def member(self, k: int) -> dict[str, Tensor]:
        """Return member `k`'s state_dict for what make_model makes; copies."""
        self._check(k)
        return {name: self.weights[known][k].clone() for name, known in self._names.items()}

    def curve(self, k: int, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return (steps, values) of one metric of member `k`, only where it was scored."""
        self._check(k)
        if metric not in self.metrics:
            raise StateError(f"metric: got {metric!r}{suggest(metric, self.metrics)}")
        values = self.metrics[metric][k]
        scored = ~np.isnan(values)
        return self.steps[scored], values[scored]

    def last(self, metric: str) -> NDArray[np.float64]:
        """Return each member's value after its last update, float64 (K,); NaN where it had diverged."""
        if metric not in self.metrics:
            raise StateError(f"metric: got {metric!r}{suggest(metric, self.metrics)}")
        return self.metrics[metric][np.arange(len(self)), np.searchsorted(self.steps, self.totals - 1)]

    def snapshots(self, k: int) -> dict[int, dict[str, Tensor]]:
        """Return member `k`'s snapshots: the last step of each cycle to a state_dict. Empty unless they were asked for."""
        self._check(k)
        kept = self._saved.get(k, {})
        return {
            step: {name: tensors[known].clone() for name, known in self._names.items()}
            for step, tensors in kept.items()
        }

    def _check(self, k: int) -> None:
        if not 0 <= k < len(self):
            raise StateError(f"member: got {k}, expected 0 to {len(self) - 1}")
