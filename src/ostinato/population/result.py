"""What a population hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.core.clock import Tick
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import StateError, suggest
from ostinato.population.instances import instance

__all__ = ["How", "PopulationResult"]

Status = Literal["done", "diverged", "failed"]
How = Literal["stacked", "compiled", "processes", "alone"]


@dataclass(frozen=True, eq=False)
class PopulationResult:
    """K members after training.

    Attributes:
        steps: Steps after which any member was scored, int64 (E,), ascending; after step s means with the weights of update s.
        metrics: By name, float64 (K, E); NaN where a member was not scored, or had diverged. ``train_loss`` is the mean training loss since
            the step before at which the member was scored.
        weights: Parameters and buffers by name, stacked: (K, ...). A diverged member has those from before the update that was not made; a
            failed one has NaN (0 where the tensor holds whole numbers).
        diverged: The step at which a member's loss or gradient was not finite (its last one, where only the weights after it are not), -1 for
            none, int64 (K,).
        totals: Updates that each member was to make, int64 (K,).
        seeds: Each member's seed.
        how: ``"stacked"``, ``"compiled"`` (stacked and compiled) or ``"processes"`` (one by one), ``"alone"`` (`single`).
        reason: Why the members could not be trained at once; empty where they were.
        chunks: Numbers of members that were trained at once, one after another.
        wall_s: Seconds.
        failures: For every member whose process ended without a result, why.
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
    _plans: tuple[ResolvedPlan, ...] = field(repr=False)
    _make_model: Callable[[], nn.Module] | None = field(repr=False)
    failures: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.seeds)

    @property
    def status(self) -> tuple[Status, ...]:
        """For every member ``"done"``, ``"diverged"``, or ``"failed"`` where there is nothing of it."""
        return tuple(
            "failed" if k in self.failures else "done" if step < 0 else "diverged"
            for k, step in enumerate(self.diverged.tolist())
        )

    @property
    def plans(self) -> tuple[ResolvedPlan, ...]:
        """Each member's resolved plan."""
        return self._plans

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
        """Return member `k`'s snapshots: from step (the last ones of its cycles, unless others were asked for) to state_dict; empty without."""
        self._check(k)
        kept = self._saved.get(k, {})
        return {
            step: {name: tensors[known].clone() for name, known in self._names.items()}
            for step, tensors in kept.items()
        }

    def model(self, k: int, *, step: int | None = None, make_model: Callable[[], nn.Module] | None = None) -> nn.Module:
        """Return member `k` as a live module in evaluation mode, a new one at every call.

        It has the member's weights and buffers, and the values that the member's plan drives in the model as the last update used them.
        The global random states stay as they were.

        Args:
            k: The member.
            step: One of its snapshots; by default its end.
            make_model: What makes a model, needed where the result was pickled: that leaves it behind.

        Raises:
            StateError: There is no such member or snapshot, or no `make_model`.

        >>> import ostinato as ost, torch
        >>> data = torch.randn(16, 3), torch.arange(16) % 2
        >>> result = ost.population.train(lambda: nn.Linear(3, 2), [ost.Plan(total=4)] * 3, (data, data), batch_size=8)
        >>> result.model(2)(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
        """
        self._check(k)
        make = make_model or self._make_model
        if make is None:
            raise StateError(
                f"model: the result was pickled without make_model; write result.model({k}, make_model=...)"
            )
        if step is None:
            state = {name: tensor[k] for name, tensor in self.weights.items()}
            stopped = int(self.diverged[k])
            step = max((stopped if stopped >= 0 else int(self.totals[k])) - 1, 0)
        elif step in self._saved.get(k, {}):
            state = dict(self._saved[k][step])
        else:
            raise StateError(f"step: member {k} has no snapshot of step {step}; it has: {list(self._saved.get(k, {}))}")
        return instance(make, self.seeds[k], state, self._plans[k], step)

    @cached_property
    def cycle(self) -> NDArray[np.int64]:
        """The cycle of its own plan in which a member was scored, int64 (K, E); -1 where it was not, or where there is no cycle."""
        return self._placed[0]

    @cached_property
    def phase(self) -> NDArray[np.float64]:
        """The phase in that cycle, in [0, 1), float64 (K, E); NaN where `cycle` is -1. The cycle's last update has 1 - 1/length.

        ``result.metrics["error"][k][result.phase[k] > 0.9]`` are a member's errors near the ends of its cycles.
        """
        return self._placed[1]

    @cached_property
    def _placed(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        shape = len(self), len(self.steps)
        cycle, phase = np.full(shape, -1, np.int64), np.full(shape, np.nan)
        scored = ~np.isnan(np.stack(list(self.metrics.values()))).all(axis=0)
        for k, place in zip(*np.nonzero(scored), strict=True):
            tick = Tick(self._plans[k].clock, _no_values, int(self.steps[place]))
            if tick.cycle >= 0:
                cycle[k, place], phase[k, place] = tick.cycle, tick.phase
        return cycle, phase

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but `make_model`, which may be a function that cannot be."""
        return {**self.__dict__, "_make_model": None}

    def _check(self, k: int) -> None:
        if not 0 <= k < len(self):
            raise StateError(f"member: got {k}, expected 0 to {len(self) - 1}")
        if k in self.failures:
            raise StateError(f"member: there is nothing of member {k}: {self.failures[k]}")


def _no_values(step: int) -> dict[str, float]:
    return {}
