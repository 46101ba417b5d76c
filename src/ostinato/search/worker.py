"""A worker: takes trials from the queue, trains them, tells what came out, until none is left anywhere."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from optuna.trial import Trial

from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import PlanError, RunInterruptedError
from ostinato.search.pruning import follow
from ostinato.search.queue import Queue, Told
from ostinato.search.trials import Laboratory, Outcome
from ostinato.training.signals import StopRequest

__all__ = ["TOGETHER", "Worker", "batch_of", "obey"]

TOGETHER = "population"
_MOST_AT_ONCE = 256
_MOST_ADAPTIVE = 25
_WAIT_S = 0.2

Tell = Callable[[int, int], None]


def batch_of(engine: str, sampler: str) -> int:
    """Return how many trials a worker takes at once: one, or as many as pay where they are trained together.

    A sampler that looks at scores is asked for fewer, so that it sees some before it draws the next.
    """
    if engine != TOGETHER:
        return 1
    return _MOST_ADAPTIVE if sampler == "tpe" else _MOST_AT_ONCE


@dataclass
class Worker:
    """One process that works on a queue.

    Attributes:
        queue: The trials.
        laboratory: What trains and scores them.
        engine: ``"population"`` trains what it takes at once; anything else one by one.
        stop: Says that the work is to end.
        progress: Is told (trials that ended, in all) now and then.
    """

    queue: Queue
    laboratory: Laboratory
    engine: str
    stop: StopRequest
    progress: Tell | None = None
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")

    def run(self) -> None:
        """Work until every trial has ended, here or at another worker.

        Raises:
            RunInterruptedError: A signal asked for the end; what was begun waits for another worker.
        """
        batch = batch_of(self.engine, self.queue.setup.sampler)
        while True:
            self._obey()
            taken = self.queue.take(batch, self.name)
            if taken:
                self._work(taken)
            elif self.queue.open:
                time.sleep(_WAIT_S)
            else:
                break
            self._tell_progress()

    def _work(self, taken: Sequence[Trial]) -> None:
        try:
            with self.queue.alive(taken):
                ready = [(trial, plan) for trial in taken if (plan := self._planned(trial)) is not None]
                if self.engine == TOGETHER and ready:
                    outcomes = self.laboratory.together([plan for _, plan in ready], self._watched)
                    for (trial, _), outcome in zip(ready, outcomes, strict=True):
                        self._tell(trial, outcome)
                else:
                    for trial, plan in ready:
                        self._tell(trial, self._alone(trial, plan))
        except BaseException:
            self.queue.release(taken)
            raise

    def _planned(self, trial: Trial) -> ResolvedPlan | None:
        """Let a trial draw its fields and return its plan; tell that there is none where there is none."""
        values = self.queue.values(trial)
        try:
            plan = self.laboratory.resolve(self.queue.setup.space.plan(self.laboratory.base, values))
        except PlanError as error:
            self.queue.tell(trial, Told("infeasible", None, 0, detail=str(error)))
            return None
        return plan

    def _alone(self, trial: Trial, plan: ResolvedPlan) -> Outcome:
        if self.queue.setup.pruner == "none":
            return self.laboratory.alone(plan, lambda step, value: self._obey())
        follow(trial, plan)

        def report(step: int, value: float) -> bool:
            self._obey()
            trial.report(value, step)
            return bool(trial.should_prune())

        return self.laboratory.alone(plan, report)

    def _tell(self, trial: Trial, outcome: Outcome) -> None:
        self.queue.tell(trial, Told(outcome.status, outcome.score, outcome.steps, outcome.wall_s))

    def _watched(self, done: int, every: int) -> None:
        self._obey()

    def _obey(self) -> bool:
        """Stop where that was asked for; False otherwise, so that it can stand where something may prune."""
        obey(self.stop)
        return False

    def _tell_progress(self) -> None:
        if self.progress is not None:
            self.progress(*self.queue.progress)


def obey(stop: StopRequest) -> None:
    """End the work where a signal asked for it.

    Raises:
        RunInterruptedError: One did.
    """
    if stop.name is not None:
        raise RunInterruptedError(f"{stop.name}: trials that were begun wait again; run the same command to go on")
