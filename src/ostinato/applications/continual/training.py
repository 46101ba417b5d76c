"""Learning a stream under a plan: a plain loop, which resumes to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.applications.continual.buffers import Buffer
from ostinato.applications.continual.feed import Feed
from ostinato.applications.continual.measures import Matrix
from ostinato.applications.continual.replay import COUNT, PROBABILITY, Replay, Spread, replay_times
from ostinato.applications.continual.streams import Stream
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, PlanError, StateError
from ostinato.scheduler import Scheduler
from ostinato.training import optimizers
from ostinato.training.checkpoint import Checkpoint, CheckpointStore
from ostinato.training.randomness import random_states, restore_random_states, seed_everything

__all__ = ["StreamResult", "accuracy", "fitting", "train_stream"]

_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class StreamResult:
    """A stream after it was learnt.

    Attributes:
        matrix: R[i, j], the accuracy on task j's test examples after learning task i, with all classes to choose from, (T, T).
        replayed: Old examples that joined each update, int64 (total,).
        plan: What was followed.
        ends: Updates up to the end of each task.
        model: As it is now.
    """

    matrix: Matrix
    replayed: NDArray[np.int64]
    plan: ResolvedPlan
    ends: tuple[int, ...]
    model: nn.Module = field(repr=False)

    @property
    def summed_rate(self) -> float:
        """Sum of the learning rate over the updates with replay; 0 where the plan drives no ``optimizer.lr``."""
        if "optimizer.lr" not in self.plan.targets:
            return 0.0
        return float(self.plan.table()["optimizer.lr"][self.replayed > 0].sum())


def train_stream(
    make_model: Callable[[], nn.Module],
    stream: Stream,
    plan: Plan,
    *,
    buffer: Buffer | None = None,
    replay: Replay | None = None,
    spread: Spread = "random",
    loss: Callable[[Any, Any], Tensor] = F.cross_entropy,
    optimizer: str = "sgd",
    optimizer_options: Mapping[str, Any] | None = None,
    epochs: int = 1,
    batch_size: int = 32,
    seed: int = 0,
    folder: str | Path | None = None,
    every: int = 100,
) -> StreamResult:
    """Learn the tasks of a stream one after another, with replay where the plan has it, and score all tasks after each.

    An update minimises the mean loss over its new and old examples together. All tasks have to end at the same phase: every task's end must be the
    end of a cycle, such as with ``Cycle(count=k * len(stream))`` and tasks of one size. A task that ends hot is forgotten, or seems to be, for that
    reason alone.

    With `folder` a checkpoint is written every so many updates and at the end. Called again with the same arguments after whatever ended the process, it goes
    on from there, to the bits of never having stopped.

    Args:
        make_model: Makes a model with ``stream.classes`` outputs, under the seed.
        stream: The tasks.
        plan: Its total, if it has one, must be the stream's updates. Drives ``optimizer``, ``model``, and ``replay``: ``replay.probability``, ``replay.count``.
        buffer: Where old examples come from, empty; None: no replay.
        replay: Values that the plan does not drive; a copy is made.
        spread: How the times of replay are drawn, see `replay_times`.
        loss: Of (outputs, targets).
        optimizer: Of ``torch.optim``, by name.
        optimizer_options: What its class accepts.
        epochs: Passes over each task.
        batch_size: New examples of an update.
        seed: Of the model, the order and the times of replay.
        folder: Where checkpoints are.
        every: Updates from one to the next.

    Raises:
        ConfigError: A task ends inside a cycle, or an argument cannot be.
        DomainError: A value is out of its domain, such as a probability above 1.
        PlanError: The plan's total is not the stream's.
        StateError: The folder has a checkpoint of other settings or other data.

    >>> import ostinato as ost
    >>> from ostinato.applications.continual import Reservoir, average_accuracy, split
    >>> data = torch.eye(4).repeat(8, 1), torch.arange(4).repeat(8)
    >>> plan = ost.Plan(cycle=ost.Cycle(count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.5), "replay.probability": ost.wave(0.0, 1.0)})
    >>> result = train_stream(lambda: nn.Linear(4, 4), split(data, data, 2), plan, buffer=Reservoir(8), epochs=10, batch_size=4)
    >>> average_accuracy(result.matrix)
    1.0
    """
    if every < 1:
        raise ConfigError(f"every: got {every}, expected a whole number of updates > 0")
    values = replace(replay or Replay())
    values.count = float(batch_size) if values.count is None else float(values.count)
    resolved = fitting(plan, Feed(stream, None, None, epochs=epochs, batch_size=batch_size, seed=seed))
    times = replay_times(resolved, default=values.probability, seed=seed, spread=spread)
    counts = _counts(resolved, values.count)
    feed = Feed(stream, times, buffer, counts=counts, epochs=epochs, batch_size=batch_size, seed=seed)
    seed_everything(seed)
    model = make_model()
    made = optimizers.build(optimizer, model, **dict(optimizer_options or {}))
    values.probability = float(values.probability)
    roots = {"optimizer": made, "model": model, "replay": values, "loss": loss}
    driven = {target.split(".")[0].split("[")[0].split(":")[0] for target in resolved.targets}
    scheduler = Scheduler(resolved, {name: root for name, root in roots.items() if name in driven})
    settings = {
        "stream": stream.digest, "epochs": epochs, "batch_size": batch_size, "seed": seed, "spread": spread, "probability": None if PROBABILITY in resolved.targets else values.probability,
    }  # fmt: skip
    run = _Run(feed, model, made, scheduler, loss, settings)
    if folder is not None:
        run.keep(CheckpointStore(Path(folder)), every)
    return run.finished()


def fitting(plan: Plan, feed: Feed) -> ResolvedPlan:
    """Return a plan resolved for a stream, after checking that its cycles end with the tasks.

    Raises:
        ConfigError: A task ends inside a cycle.
        PlanError: The plan's total is not the stream's.
    """
    total = feed.total
    full = plan.replace({"total": total}) if plan.total is None else plan
    per_epoch = feed.ends[0] // feed.epochs
    resolved = full.resolve(steps_per_epoch=per_epoch, samples_per_step=feed.batch_size)
    if resolved.total != total:
        raise PlanError(
            f"total: the plan has {resolved.total} updates, the stream {total}; leave total out, or change epochs"
        )
    ends = {span.end for span in resolved.cycles if span.complete}
    for place, end in enumerate(feed.ends):
        if resolved.plan.cycle is not None and end not in ends:
            raise ConfigError(
                f"plan: task {place} ends after update {end}, inside a cycle, so that tasks would end at unequal phases;"
                f" write Cycle(count={len(feed.ends)}) or a multiple of it, without a warm-up, and give the tasks one size"
            )
    return resolved


def accuracy(model: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Return the share of examples whose highest output is their class; the model's mode is as before afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.no_grad():
        parts = zip(torch.split(inputs, _CHUNK), torch.split(targets, _CHUNK), strict=True)
        right = math.fsum(float((model(x).argmax(1) == y).sum()) for x, y in parts)
    for module, mode in modes.items():
        module.training = mode
    return right / len(targets)


def _counts(resolved: ResolvedPlan, default: float) -> NDArray[np.int64]:
    given = resolved.table()[COUNT] if COUNT in resolved.targets else np.full(resolved.total, default)
    if given.min() < 0:
        step = int(np.argmin(given))
        raise ConfigError(
            f"{COUNT}: {given[step]:g} at step {step}, expected a number of at least 0; change low and high"
        )
    counts: NDArray[np.int64] = np.rint(given).astype(np.int64)
    return counts


@dataclass(eq=False)
class _Run:
    """The loop, and what a checkpoint holds of it; `settings` must be the same where one goes on."""

    _feed: Feed
    _model: nn.Module
    _optimizer: torch.optim.Optimizer
    _scheduler: Scheduler
    _loss: Callable[[Any, Any], Tensor]
    _settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        tasks = len(self._feed.ends)
        self._count = 0
        self._matrix = np.full((tasks, tasks), np.nan)
        self._replayed = np.zeros(self._feed.total, np.int64)
        self._store: CheckpointStore | None = None
        self._every = 0

    def keep(self, store: CheckpointStore, every: int) -> None:
        """Write checkpoints from now on, after going on from the newest that is there."""
        self._store, self._every = store, every
        found = store.latest()
        if found is not None:
            self._load(found.state)
            self._count = found.count

    def finished(self) -> StreamResult:
        """Make the updates that are missing."""
        self._model.train()
        while self._count < self._feed.total:
            self._update(self._count)
            self._count += 1
            if self._count in self._feed.ends:
                self._end(self._feed.ends.index(self._count))
            if self._store is not None and (self._count % self._every == 0 or self._count == self._feed.total):
                self._store.save(Checkpoint(self._count, self._state(), 0.0))
        return StreamResult(self._matrix, self._replayed, self._scheduler.resolved, self._feed.ends, self._model)

    def _update(self, step: int) -> None:
        batch = self._feed.batch(step)
        self._replayed[step] = batch.replayed
        self._optimizer.zero_grad()
        self._loss(self._model(batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
        self._optimizer.step()
        self._scheduler.step()

    def _end(self, place: int) -> None:
        self._matrix[place] = [accuracy(self._model, *task.test) for task in self._feed.stream.tasks]
        self._feed.close(place)

    def _state(self) -> dict[str, Any]:
        return {
            "settings": dict(self._settings),
            "model": dict(self._model.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "buffer": None if self._feed.buffer is None else self._feed.buffer.state_dict(),
            "random": random_states(),
            "matrix": self._matrix,
            "replayed": self._replayed,
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        for name, value in self._settings.items():
            if state["settings"].get(name) != value:
                raise StateError(
                    f"{name}: the checkpoint has {state['settings'].get(name)!r}, now it is {value!r}; call train_stream as then, or with another folder"
                )
        buffer = self._feed.buffer
        if (buffer is None) != (state["buffer"] is None):
            raise StateError(
                "buffer: the checkpoint is of a run with and this one without, or the other way round; pass it as then"
            )
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        if buffer is not None:
            buffer.load_state_dict(state["buffer"])
        restore_random_states(state["random"])
        self._matrix, self._replayed = state["matrix"], state["replayed"]
