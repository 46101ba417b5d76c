"""The training loop: updates, cycle ends, checkpoints, and going on from one of them bit for bit."""

from __future__ import annotations

import math
import shlex
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from ostinato.core.clock import Tick
from ostinato.ensembles import SnapshotEnsemble
from ostinato.errors import RunInterruptedError
from ostinato.evaluation import error as error_rate
from ostinato.evaluation import nll
from ostinato.nn.groups import decayed
from ostinato.training.changes import tables
from ostinato.training.checkpoint import Checkpoint, CheckpointStore
from ostinato.training.class_scores import class_scores, unequal
from ostinato.training.folder import RunFolder
from ostinato.training.log import MetricsLog
from ostinato.training.norm_gaps import NormGaps
from ostinato.training.observer import Observer
from ostinato.training.randomness import random_states, restore_random_states
from ostinato.training.session import Session
from ostinato.training.signals import StopRequest
from ostinato.training.states import gathered, restore
from ostinato.training.updates import make_update

__all__ = ["Observer", "TrainingLoop"]

_EVALUATIONS = 50
_NORMS = 200


@dataclass
class TrainingLoop:
    """The updates of one run, from its last checkpoint (or the beginning) to its total.

    Everything that an update depends on is a pure function of the count of updates, or part of the checkpoint. Snapshots are written in the
    background; a checkpoint is saved only when all of them are on disk, so that what a kill loses is made again after the resume. With
    `elastic`, the checkpoint may be of another number of workers.
    """

    session: Session
    folder: RunFolder
    observer: Observer = field(default_factory=Observer)
    elastic: bool = False

    def __post_init__(self) -> None:
        session = self.session
        self.total = session.scheduler.resolved.total
        self.snapshots = SnapshotEnsemble(
            session.model, self.folder.snapshots, keep=session.config.train.keep, background=True
        )
        self.checkpoints = CheckpointStore(self.folder.checkpoints)
        log_every = session.config.train.log_every
        self._norm_every = log_every * math.ceil(self.total / (_NORMS * log_every))
        self._norm_gaps = NormGaps(session)
        self._unequal = unequal(session.data)
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
            session, file = self.session, self.folder.config
            self._mark = restore(checkpoint.state, session, file, elastic=self.elastic)
            self.elapsed_before = checkpoint.elapsed_s
        if self.session.leads:
            self.snapshots.rewind(count)
        return count

    def save(self, log: MetricsLog | None) -> None:
        """Write a checkpoint of the present state, once every snapshot taken so far is on disk.

        Raises:
            StorageError: The disk refused, or has refused a snapshot; the last checkpoint stands.
        """
        session = self.session
        held = gathered(session)
        if log is None or held is None:
            return
        self.snapshots.flush()
        state = {**held, "log": log.sync(), "data": session.data.digest, "config": tables(session.config)}
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
        with StopRequest() as stop, self.snapshots, closing(session.batches):
            count = self.resume()
            if self.elastic:
                session.lead(lambda: self.folder.rewrite(session.config))
            self.observer.begun(session, count)
            self._started = time.monotonic() if count < self.total else None
            if not session.leads:
                self._updates(count, None, stop)
                return
            with MetricsLog(self.folder.metrics, self._mark) as log:
                self._updates(count, log, stop)

    def _updates(self, count: int, log: MetricsLog | None, stop: StopRequest) -> None:
        every = self.session.config.train.checkpoint_every
        for group in self.session.groups(count, self.total):
            tick, loss, stopping = make_update(self.session, group, stop)
            self.session.team.updated()
            with self.session.team.common() if self._looked_at(tick) else nullcontext():
                self._record(tick, loss, log)
            count = self.session.scheduler.count
            if stopping or count % every == 0 or count == self.total:
                self.save(log)
            if stopping and count < self.total:
                raise RunInterruptedError(
                    f"{stop.name or 'stopped'} after step {count} of {self.total}; resume with: ostinato train --resume {shlex.quote(str(self.folder.path))}"
                )

    def _record(self, tick: Tick, loss: float, log: MetricsLog | None) -> None:
        """Write what an update was, take the snapshot of a cycle's end, score the model where it is due."""
        train, last = self.session.config.train, tick.step + 1 == self.total
        self.observer.updated(tick, loss)
        if log is None:
            return
        if tick.step % train.log_every == 0 or tick.cycle_end or last:
            values = dict(tick.values)
            record = {"step": tick.step, "cycle": tick.cycle, "phase": tick.phase, "loss": loss, "values": values}
            norm = self.weight_norm() if tick.step % self._norm_every == 0 or tick.cycle_end or last else None
            log.write(record if norm is None else {**record, "weight_norm": norm})
        if tick.cycle_end:
            self.observer.captured(self.snapshots.capture(tick))
        gap = self._norm_gaps.after(tick)
        if gap is not None:
            log.write({"step": tick.step, "cycle": tick.cycle, "phase": tick.phase, "norm_gap": gap})
        if self._looked_at(tick):
            metrics = self.score()
            log.write({"step": tick.step, "cycle": tick.cycle, "test": metrics})
            self.observer.evaluated(tick.step, metrics)

    def _looked_at(self, tick: Tick) -> bool:
        """Whether the model is scored after this update, on test data."""
        count = tick.step + 1
        return tick.cycle_end or count == self.total or self._evaluation_due(count)

    def _evaluation_due(self, count: int) -> bool:
        """Whether an epoch ends here that is one of about fifty."""
        per_epoch = self.session.steps_per_epoch
        stride = max(1, math.ceil(self.total / per_epoch / _EVALUATIONS))
        return count % (per_epoch * stride) == 0

    def weight_norm(self) -> float | None:
        """Return the L2 norm of all weights that decay, taken together; None where there are none, or it overflows."""
        weights = [weight.detach() for weight in decayed(self.session.optimizer)]
        norm = float(torch.nn.utils.get_total_norm(weights)) if weights else math.inf
        return norm if math.isfinite(norm) else None

    def score(self) -> dict[str, float]:
        """Return error and NLL of the present model on the test data, with balanced error and AUPRC where classes are unequal.

        Nothing of the run's state is touched.
        """
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
        scores = {"error": error_rate(probabilities, labels), "nll": nll(probabilities, labels)}
        return scores | class_scores(probabilities, labels) if self._unequal else scores
