"""Runs of several workers: what ``ostinato train --workers N --phase-shift`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from ostinato import training
from ostinato.applications.federated.averaging import PeriodicAveraging, mean_state
from ostinato.applications.federated.phases import Phases
from ostinato.core.plan import Plan
from ostinato.training import Observer, RunConfig, RunFolder
from ostinato.training.team import Team

__all__ = ["Workers", "resume", "train"]


def train(
    config: RunConfig, out: str | Path | None = None, *, observer: Observer | None = None
) -> tuple[RunFolder, dict[str, Any]]:
    """Train workers that average their models, as the ``[workers]`` table says, and return what `ostinato.training.train` returns.

    Each batch of ``[train] batch_size`` examples is divided among the workers, so that an epoch covers all data once and the clock does not
    depend on their number. Snapshots and scores are of the average of all workers' models, which is not put in their place: that happens
    every ``average_every`` updates alone. The processes are started here (the script is run again in each) or by torchrun.

    Args:
        config: What to train.
        out: The run folder.
        observer: Is told how the run goes, in every process.

    Raises:
        OstinatoError: The configuration cannot be, or training had to stop.
    """
    return training.train(config, out, observer=observer, form=Workers)


def resume(
    path: str | Path, config: RunConfig | None = None, *, observer: Observer | None = None, elastic: bool = False
) -> tuple[RunFolder, dict[str, Any]]:
    """Go on with a run of workers: bit for bit with as many, or `elastic` with another number.

    Those begin from the average of the saved models (exact but for one rounding of each weight) and of the optimizers' states, at the
    count and under the phases of their own number. What follows is another run: only with ``average_every = 1``, plain SGD, equal phases
    and nothing random in the model is it the same one up to rounding, 1e-4 of a weight in the tests.

    Args:
        path: The run folder.
        config: If given, it must say the same as the run's own, but for ``[workers] count`` and ``phases`` where `elastic`.
        observer: Is told how the run goes, in every process.
        elastic: Let the number of workers be another.

    Raises:
        StateError: The checkpoint is of another number of workers, or of another configuration.
        OstinatoError: As for `train`.
    """
    return training.resume(path, config, observer=observer, form=Workers, elastic=elastic)


class Workers(Team):
    """The workers of a run: each under the plan at its phase, and averaged every so many updates.

    Args:
        config: Of the run, with the number of workers.
        model: This worker's.
        optimizer: This worker's.
    """

    apart = True

    def __init__(self, config: RunConfig, model: nn.Module, optimizer: Optimizer) -> None:
        table, count = config.workers, config.workers.count or 1
        self.phases = Phases(count, phases=table.phases) if table.phase_shift else Phases(count, "together")
        self._averaging = PeriodicAveraging(
            model, table.average_every, phases=self.phases, normalise=table.normalise, optimizer=optimizer
        )
        self._model, self._optimizer = model, optimizer
        self._earlier: list[dict[str, int]] = []

    def plan(self, plan: Plan) -> Plan:
        return self._averaging.plan_of(plan)

    def updated(self) -> None:
        self._averaging.step()

    def common(self) -> AbstractContextManager[None]:
        return self._averaging.averaged()

    def state(self) -> dict[str, Any]:
        return {"averaging": self._averaging.state_dict(), "earlier": self._earlier}

    def load(self, state: Mapping[str, Any]) -> None:
        self._averaging.load_state_dict(state["averaging"])
        self._earlier = list(state["earlier"])

    def join(self, states: Sequence[Mapping[str, Any]], count: int) -> None:
        for name, part in (("model", self._model), ("optimizer", self._optimizer)):
            part.load_state_dict(mean_state([state[name] for state in states]))
        saved = states[0]["team"]
        self._averaging.load_state_dict(saved["averaging"], elastic=True)
        self._earlier = [*saved["earlier"], {"count": len(states), "until": count}]

    def describe(self) -> dict[str, Any]:
        """Return number, phases and rhythm, and what numbers of workers there were before, each until a count of updates."""
        return {
            "count": self.phases.clients,
            "phases": [self.phases.of(worker) for worker in range(self.phases.clients)],
            "average_every": self._averaging.every,
            "normalise": self._averaging.normalise,
            "earlier": self._earlier,
        }
