"""Training the arms of study ``replay-phase``: the arms of some seeds as one population, each member on its own stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato import population
from ostinato.applications.continual import (
    Stream,
    average_accuracy,
    backward_transfer,
    new_task_accuracy,
    replay_times,
)
from ostinato.applications.continual.replay import PROBABILITY
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import RunInterruptedError
from ostinato.population import PopulationResult
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage, pack_bits
from ostinato.studies.frame.images import Images, load_images, small_mlp
from ostinato.studies.frame.perceptrons import by_seeds
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of
from ostinato.studies.replay_phase.plans import plan_of, spread_of
from ostinato.studies.replay_phase.streams import Rows, stream_of

__all__ = ["PHASES", "Member", "measure", "members_of", "together"]

PHASES = 8
_AT_ONCE = 8
_PHASE_IMAGES = 200
_OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}
_NO_TARGET = -100  # what torch's cross entropy leaves out of its mean


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of eight seeds are trained at once; on trial, half of the cells."""
    return by_seeds(stage, cells, _AT_ONCE)


@dataclass(frozen=True, eq=False)
class Member:
    """One cell as a member of a population.

    Attributes:
        cell: The cell.
        plan: With its probability of replay.
        times: When old examples join, bool (total,).
        rows: The examples of its updates in the population's data.
        stream: Of its seed.
    """

    cell: Cell
    plan: ResolvedPlan
    times: NDArray[np.bool_]
    rows: NDArray[np.int32]
    stream: Stream


def measure(request: Request) -> Iterator[Measurement]:
    """Train all cells of a request as one population and measure them."""
    regime, parameters = regime_of(request), request.parameters
    images = load_images(regime.data, regime.sha256, parameters["pool"], parameters.get("judged_on"))
    confirming = request.stage == "confirming"
    judged = images.test if confirming else images.validation
    members, data = members_of(request.cells, images, parameters, judged)
    steps = members[0].plan.total
    marks = _marks(parameters, steps) if confirming else [steps - 1]
    result = population.train(
        small_mlp(images), [_trained(member.plan) for member in members], data, optimizer="sgd", optimizer_options=_OPTIONS,
        seeds=[member.cell.seed for member in members], batches=np.stack([member.rows for member in members]), evaluate="last", snapshots=marks,
    )  # fmt: skip
    for reason in result.failures.values():
        raise RunInterruptedError(f"{request.study}: a run was lost: {reason}; what was finished is kept, run it again")
    for seed in dict.fromkeys(cell.seed for cell in request.cells):
        own = [k for k, member in enumerate(members) if member.cell.seed == seed]
        yield from _measured(images, judged, result, members, own, confirming=confirming)


def members_of(
    cells: Sequence[Cell], images: Images, parameters: Mapping[str, Any], judged: tuple[Tensor, Tensor]
) -> tuple[list[Member], tuple[Tensor, Tensor]]:
    """Return the members for some cells, and the data that their rows are places in: the streams of all seeds, and one blank example."""
    streams = {seed: stream_of(images, parameters, seed, judged) for seed in dict.fromkeys(cell.seed for cell in cells)}
    rows = {seed: Rows.of(stream, parameters, seed) for seed, stream in streams.items()}
    firsts = dict(zip(streams, np.cumsum([0, *(own.blank for own in rows.values())]).tolist(), strict=False))
    blank = sum(own.blank for own in rows.values())
    members = []
    for cell in cells:
        own = rows[cell.seed]
        plan = plan_of(
            cell.arm, cell.settings["peak"], steps=len(own.new), cycles=parameters["cycles"], tasks=parameters["tasks"]
        ).resolve()
        times = replay_times(plan, seed=cell.seed, spread=spread_of(cell.arm))
        times[: own.ends[0]] = False  # nothing is old yet
        if cell.arm == "gdumb":
            times[:] = False
        places = own.remembered() if cell.arm == "gdumb" else own.rehearsed(times)
        found = np.where(places == own.blank, blank, places + firsts[cell.seed]).astype(np.int32)
        members.append(Member(cell, plan, times, found, streams[cell.seed]))
    tasks = [task for stream in streams.values() for task in stream.tasks]
    inputs = torch.cat([*(task.inputs for task in tasks), torch.zeros_like(tasks[0].inputs[:1])])
    targets = torch.cat([*(task.targets for task in tasks), torch.tensor([_NO_TARGET])])
    return members, (inputs, targets)


def _trained(plan: ResolvedPlan) -> ResolvedPlan:
    """Return what a population can follow of a plan: the probability is in the batches already."""
    return plan.plan.replace({PROBABILITY: None}).resolve()


def _marks(parameters: Mapping[str, Any], steps: int) -> list[int]:
    """Return after which updates weights are kept: the tasks' last ones, and the last cycle's phases, from its peak to its trough."""
    tasks, period = parameters["tasks"], steps // parameters["cycles"]
    phases = {steps - period + place * (period - 1) // (PHASES - 1) for place in range(PHASES)}
    return sorted({(place + 1) * steps // tasks - 1 for place in range(tasks)} | phases)


def _measured(
    images: Images,
    judged: tuple[Tensor, Tensor],
    result: PopulationResult,
    members: Sequence[Member],
    own: Sequence[int],
    *,
    confirming: bool,
) -> Iterator[Measurement]:
    """Measure the members of one seed."""
    wall = result.wall_s / len(members)
    alive = [k for k in own if result.status[k] == "done"]
    first = members[own[0]]
    looks = _Looks(images, first.stream, first.plan.cycles[0].end, {k: result.snapshots(k) for k in alive})
    found = dict(zip(alive, looks.confirmed(judged[1]) if confirming else looks.final(), strict=True))
    for k in own:
        member = members[k]
        origin: dict[str, Any] = {"plans": (member.plan.digest,), "chunks": result.chunks, "wall_s": wall}
        if k not in found:
            yield Measurement(member.cell, {}, status="diverged", **origin)
            continue
        metrics, curves, correct = found[k]
        if confirming:
            metrics = metrics | _replays(member)
        if member.cell.arm == "gdumb":  # it was trained after the stream had passed
            metrics = {name: value for name, value in metrics.items() if name not in ("new_error", "forgotten")}
        yield Measurement(member.cell, metrics, curves=curves, correct=correct, **origin)


def _replays(member: Member) -> dict[str, float]:
    rates = member.plan.table()["optimizer.lr"][member.times]
    return {"replays": float(member.times.sum()), "replay_rate": float(rates.sum())}


Found = tuple[dict[str, float], dict[str, list[float]], str]


@dataclass
class _Looks:
    """The members of one seed, and what their weights at some updates say of the tasks."""

    images: Images
    stream: Stream
    period: int
    kept: Mapping[int, Mapping[int, Mapping[str, Tensor]]]

    def __post_init__(self) -> None:
        self.steps = sorted(next(iter(self.kept.values()))) if self.kept else []

    def final(self) -> list[Found]:
        """Return the error after the last update, member by member."""
        if not self.kept:
            return []
        last = [self._right(self.steps[-1], *task.test).mean(1) for task in self.stream.tasks]
        return [({"validation_error": 1.0 - float(value)}, {}, "") for value in np.mean(last, axis=0)]

    def confirmed(self, labels: Tensor) -> list[Found]:
        """Return all that is reported, member by member."""
        if not self.kept:
            return []
        tasks, total = len(self.stream), self.steps[-1] + 1
        matrix = np.full((len(self.kept), tasks, tasks), np.nan)
        last: list[NDArray[np.bool_]] = []
        for i in range(tasks):
            for j in range(tasks) if i == tasks - 1 else (i,):
                right = self._right((i + 1) * total // tasks - 1, *self.stream.tasks[j].test)
                matrix[:, i, j] = right.mean(1)
                last += [right] if i == tasks - 1 else []
        few = [tuple(part[:_PHASE_IMAGES] for part in task.test) for task in self.stream.tasks]
        phases = [step for step in self.steps if step >= total - self.period]
        errors = np.array(
            [1.0 - np.mean([self._right(step, *test).mean(1) for test in few], axis=0) for step in phases]
        )
        return [
            self._found(own, errors[:, k].tolist(), np.concatenate([part[k] for part in last]), labels)
            for k, own in enumerate(matrix)
        ]

    def _found(
        self, matrix: NDArray[np.float64], phases: list[float], right: NDArray[np.bool_], labels: Tensor
    ) -> Found:
        lower = np.nan_to_num(matrix)
        metrics = {
            "error": 1.0 - average_accuracy(lower),
            "new_error": 1.0 - new_task_accuracy(lower),
            "forgotten": -backward_transfer(lower),
            "peak_error": phases[0],
            "cycle_error": float(np.mean(phases)),
            "trough_error": phases[-1],
        }
        curves = {"phase_error": phases, "learnt": np.diag(matrix).tolist(), "kept": matrix[-1].tolist()}
        return metrics, curves, pack_bits(right[self._order(labels)])

    def _order(self, labels: Tensor) -> NDArray[np.int64]:
        """Return the judged images in their own order, so that seeds whose tasks have other classes can be laid beside each other."""
        if all(len(task.test[1]) == len(labels) for task in self.stream.tasks):
            return np.arange(len(labels) * len(self.stream))
        places = [torch.isin(labels, torch.unique(task.test[1])).nonzero()[:, 0] for task in self.stream.tasks]
        return np.argsort(torch.cat(places).numpy())

    def _right(self, step: int, inputs: Tensor, targets: Tensor) -> NDArray[np.bool_]:
        """Return which examples each member has right after an update, (members, N)."""
        states = [kept[step] for kept in self.kept.values()]
        stacked = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        outputs = population.predict(small_mlp(self.images), stacked, inputs)
        found: NDArray[np.bool_] = (outputs.argmax(-1) == targets).numpy()
        return found
