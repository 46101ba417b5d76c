"""The training loop: updates, cycle ends, checkpoints, and going on from one of them bit for bit."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ostinato.core.clock import Tick
from ostinato.ensembles import Member, SnapshotEnsemble
from ostinato.errors import NonFiniteError, RunInterruptedError, StateError
from ostinato.evaluation import error as error_rate
from ostinato.evaluation import nll
from ostinato.training.changes import plan_difference, table_difference, tables
from ostinato.training.checkpoint import Checkpoint, CheckpointStore
from ostinato.training.folder import RunFolder
from ostinato.training.log import MetricsLog
from ostinato.training.randomness import random_states, restore_random_states
from ostinato.training.session import Session
from ostinato.training.signals import StopRequest

__all__ = ["Observer", "TrainingLoop"]

_EVALUATIONS = 50
_SMALLEST_SCALE = 2.0**-10


class Observer:
    """What a run tells while it goes on; override what is of interest."""

    def begun(self, session: Session, count: int) -> None:
        """Say that training goes on after `count` updates."""

    def updated(self, tick: Tick, loss: float) -> None:
        """Say that an update was made."""

    def evaluated(self, step: int, metrics: dict[str, float]) -> None:
        """Say that the model was scored on the test data."""

    def captured(self, member: Member) -> None:
        """Say that a snapshot was taken; it is written in the background, and asking for ``member.file`` waits for it."""

    def saved(self, count: int) -> None:
        """Say that a checkpoint was written."""


@dataclass
class TrainingLoop:
    """The updates of one run, from its last checkpoint (or the beginning) to its total.

    Everything that an update depends on is a pure function of the count of updates, or part of the checkpoint. Snapshots are written in the
    background; a checkpoint is saved only when all of them are on disk, so that what a kill loses is made again after the resume.
    """

    session: Session
    folder: RunFolder
    observer: Observer = field(default_factory=Observer)

    def __post_init__(self) -> None:
        session = self.session
        self.total = session.scheduler.resolved.total
        self.snapshots = SnapshotEnsemble(
            session.model, self.folder.snapshots, keep=session.config.train.keep, background=True
        )
        self.checkpoints = CheckpointStore(self.folder.checkpoints)
        self.elapsed_before = 0.0
        self._started: float | None = None
        self._mark: dict[str, Any] | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds of training, earlier sittings included."""
        return self.elapsed_before + (0.0 if self._started is None else time.monotonic() - self._started)

    # -- from and to checkpoints -------------------------------------------------------------------------------

    def resume(self) -> int:
        """Go back to the newest checkpoint, or to the beginning where there is none, and return the count of updates.

        Raises:
            StateError: The checkpoint is of another plan or other data.
            StorageError: Nothing saved can be trusted.
        """
        checkpoint = self.checkpoints.latest()
        count = 0 if checkpoint is None else checkpoint.count
        if checkpoint is not None:
            self._restore(dict(checkpoint.state))
            self.elapsed_before = checkpoint.elapsed_s
        if self.session.leads:
            self.snapshots.rewind(count)
        return count

    def _restore(self, state: dict[str, Any]) -> None:
        session = self.session
        _demand_unchanged(state, session, self.folder.config)
        if state["data"] != session.data.digest:
            raise StateError(
                f"the data set {session.data.name!r} is not the one that the run began with (its SHA-256 differs); restore it, or start again with another --out"
            )
        session.model.load_state_dict(state["model"])
        session.criterion.load_state_dict(state["criterion"])
        session.optimizer.load_state_dict(state["optimizer"])
        session.scheduler.load_state_dict(state["scheduler"])
        session.precision.load_state_dict(state["precision"])
        ranks = state["random"]
        if len(ranks) != session.fabric.world_size:
            raise StateError(
                f"the run began with {len(ranks)} processes, now there are {session.fabric.world_size}; resume with [train] devices as before"
            )
        self._mark = dict(state["log"])
        restore_random_states(ranks[session.fabric.global_rank])

    def save(self, log: MetricsLog | None) -> None:
        """Write a checkpoint of the present state, once every snapshot taken so far is on disk.

        Raises:
            StorageError: The disk refused, or has refused a snapshot; the last checkpoint stands.
        """
        session = self.session
        ranks = _gathered(session, random_states())
        if log is None:
            return
        self.snapshots.flush()
        state = {
            "model": dict(session.model.state_dict()),
            "criterion": dict(session.criterion.state_dict()),
            "optimizer": session.optimizer.state_dict(),
            "scheduler": session.scheduler.state_dict(),
            "precision": dict(session.precision.state_dict()),
            "random": ranks,
            "log": log.sync(),
            "data": session.data.digest,
            "config": tables(session.config),
        }
        count = session.scheduler.count
        if count >= self.total:
            self.elapsed_before, self._started = self.elapsed_s, None
        self.checkpoints.save(Checkpoint(count, state, self.elapsed_s))
        self.observer.saved(count)

    # -- updates -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Make all updates that remain.

        Raises:
            RunInterruptedError: SIGINT or SIGTERM came; a checkpoint was written.
            NonFiniteError: A loss or gradient is not finite; the update was not made and the last checkpoint stands.
            StorageError: The disk refused; the last checkpoint stands.
        """
        session = self.session
        with StopRequest() as stop, self.snapshots:
            count = self.resume()
            self.observer.begun(session, count)
            self._started = time.monotonic() if count < self.total else None
            if not session.leads:
                self._updates(count, None, stop)
                return
            with MetricsLog(self.folder.metrics, self._mark) as log:
                self._updates(count, log, stop)

    def _updates(self, count: int, log: MetricsLog | None, stop: StopRequest) -> None:
        every = self.session.config.train.checkpoint_every
        for group in self._groups(count):
            tick, loss, stopping = self._update(group, stop)
            self._record(tick, loss, log)
            count = self.session.scheduler.count
            if stopping or count % every == 0 or count == self.total:
                self.save(log)
            if stopping and count < self.total:
                raise RunInterruptedError(
                    f"{stop.name or 'stopped'} after step {count} of {self.total}; resume with: ostinato train --resume {shlex.quote(str(self.folder.path))}"
                )

    def _groups(self, count: int) -> Iterator[list[tuple[Any, Tensor]]]:
        """Yield the batches of one update after another, up to the total; where they begin follows from the count."""
        accumulate, per_epoch = self.session.config.train.accumulate, self.session.steps_per_epoch
        while count < self.total:
            epoch, update = divmod(count, per_epoch)
            batches = self.session.batches.epoch(epoch, start=update * accumulate)
            while count < self.total and (group := list(islice(batches, accumulate))):
                yield group
                count += 1

    def _gradients(self, group: list[tuple[Any, Tensor]], stop: StopRequest) -> tuple[float, bool]:
        """Add up the gradients of an update; return its mean loss and whether to stop after it, agreed by all processes."""
        session = self.session
        session.module.train()
        session.optimizer.zero_grad()
        total = torch.zeros((), device=session.fabric.device)
        examples = session.examples_of_update(session.scheduler.count)
        for place, batch in enumerate(group, 1):
            inputs, targets = session.to_device(batch)
            share = (
                len(targets) * session.fabric.world_size / examples
            )  # processes are averaged, so that every example counts the same
            with session.fabric.no_backward_sync(session.module, enabled=place < len(group)):
                loss = session.criterion(session.module(inputs), targets) * share
                session.fabric.backward(loss)
            total += loss.detach()
        finite = bool(torch.isfinite(total)) and (_scales(session) or _finite_gradients(session))
        loss_value, bad, stopping = _agreed(session, float(total), not finite, stop.name is not None)
        if bad:
            finite_loss = math.isfinite(loss_value)
            raise _not_finite(session, "a gradient is not finite" if finite_loss else f"the loss is {loss_value}")
        return loss_value, stopping

    def _update(self, group: list[tuple[Any, Tensor]], stop: StopRequest) -> tuple[Tick, float, bool]:
        """Make an update; return its tick, its loss and whether to stop after it.

        One that mixed precision skips is made again from the same batches at the lower scale, so that the order of the data stays a pure
        function of the count.
        """
        session, clip = self.session, self.session.config.train.clip_norm
        while True:
            loss, stopping = self._gradients(group, stop)
            if clip is not None:
                session.fabric.clip_gradients(session.module, session.stepper, max_norm=clip, error_if_nonfinite=False)
            before = _scale(session)
            session.stepper.step()
            after = _scale(session)
            tick = session.scheduler.step(stepped=after >= before)
            if tick.advanced:
                return tick, loss, stopping
            if after < _SMALLEST_SCALE:
                raise _not_finite(session, f"a gradient is not finite at any loss scale down to {after:g}")

    def _record(self, tick: Tick, loss: float, log: MetricsLog | None) -> None:
        """Write what an update was, take the snapshot of a cycle's end, score the model where it is due."""
        train, last = self.session.config.train, tick.step + 1 == self.total
        self.observer.updated(tick, loss)
        if log is None:
            return
        if tick.step % train.log_every == 0 or tick.cycle_end or last:
            values = dict(tick.values)
            log.write({"step": tick.step, "cycle": tick.cycle, "phase": tick.phase, "loss": loss, "values": values})
        if tick.cycle_end:
            self.observer.captured(self.snapshots.capture(tick))
        if tick.cycle_end or last or self._evaluation_due(tick.step + 1):
            metrics = self.score()
            log.write({"step": tick.step, "cycle": tick.cycle, "test": metrics})
            self.observer.evaluated(tick.step, metrics)

    def _evaluation_due(self, count: int) -> bool:
        """Whether an epoch ends here that is one of about fifty."""
        per_epoch = self.session.steps_per_epoch
        stride = max(1, math.ceil(self.total / per_epoch / _EVALUATIONS))
        return count % (per_epoch * stride) == 0

    def score(self) -> dict[str, float]:
        """Return error and NLL of the present model on the test data; nothing of the run's state is touched."""
        session = self.session
        model, states = session.model, random_states()
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            with torch.no_grad(), session.evaluating():
                parts = [
                    (model(inputs).float().softmax(-1).cpu(), targets.cpu())
                    for inputs, targets in session.test_batches()
                ]
        finally:
            for module, mode in modes.items():
                module.training = mode
            restore_random_states(states)
        probabilities, labels = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        return {"error": error_rate(probabilities, labels), "nll": nll(probabilities, labels)}


def _scale(session: Session) -> float:
    """Return the loss scale of mixed precision; it falls when an update was skipped."""
    scaler = getattr(session.precision, "scaler", None)
    return 0.0 if scaler is None else float(scaler.get_scale())


def _scales(session: Session) -> bool:
    return getattr(session.precision, "scaler", None) is not None


def _finite_gradients(session: Session) -> bool:
    gradients = [parameter.grad for parameter in session.model.parameters() if parameter.grad is not None]
    if torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
        return True
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)  # the norm alone may overflow


def _not_finite(session: Session, what: str) -> NonFiniteError:
    values = ", ".join(f"{target} = {value:g}" for target, value in session.scheduler.values.items())
    return NonFiniteError(
        f"step {session.scheduler.count}: {what}, with {values}; the update was not made and the last checkpoint stands."
        " Look for values in the data that are not finite, lower the highest rate, or clip gradients ([train] clip_norm), and start again"
    )


def _demand_unchanged(state: Mapping[str, Any], session: Session, file: Path) -> None:
    """Refuse to go on under a configuration that was edited since the checkpoint."""
    changed = plan_difference(state["scheduler"]["plan"], session.config.plan or {})
    changed = changed or table_difference(state["config"], tables(session.config))
    if changed:
        raise StateError(
            f"{file}: was changed since the checkpoint: {changed}; change it back, or start another run with --out"
        )


def _agreed(session: Session, loss: float, bad: bool, stopping: bool) -> tuple[float, bool, bool]:
    """Return the mean loss, and whether any process has found it bad or was told to stop."""
    fabric = session.fabric
    if fabric.world_size == 1:
        return loss, bad, stopping
    sums = torch.tensor([loss, float(bad), float(stopping)], dtype=torch.float64, device=fabric.device)
    torch.distributed.all_reduce(sums)
    total, any_bad, any_stopping = sums.tolist()
    return total / fabric.world_size, any_bad > 0, any_stopping > 0


def _gathered(session: Session, states: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the random states of all processes, in order of rank."""
    fabric = session.fabric
    if fabric.world_size == 1:
        return [states]
    everyone: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(everyone, states)
    return everyone
