"""The mock run of a range test: updates that are undone afterwards, under a sweep that a scheduler drives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ostinato.scheduler import Scheduler
from ostinato.search.sweeps.smoothing import EarlyStop
from ostinato.search.sweeps.sweep import Sweep
from ostinato.search.sweeps.untouched import Memory
from ostinato.search.sweeps.updates import Updates, endless

__all__ = ["Judge", "MockRun", "Progress", "with_originals"]

Judge = Callable[[], float]
Progress = Callable[[int, float, float], object]


@dataclass
class MockRun:
    """A run through the values of a sweep.

    Attributes:
        sweep: Which values.
        scheduler: Drives them: one step a value.
        updates: How an update is made.
        batches: What from, without end.
        judge: Gives the loss that counts after an update; without it, the training loss counts.
        stop: Says when to stop early.
        told: Is told each place, value and loss.
        values: Those that have a finite loss, so far.
        losses: Theirs.
        stopped: Why it stopped early.
    """

    sweep: Sweep
    scheduler: Scheduler
    updates: Updates
    batches: Iterator[Any]
    judge: Judge | None
    stop: EarlyStop
    told: Progress
    values: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    stopped: str = ""

    def in_one(self, *, late: bool) -> None:
        """Make one update at each value, in one run.

        The loss of an update is that before it. `late` gives each value the loss of the next update, which is the first that shows what an
        optimizer's value has done; a dropout is in the loss itself.
        """
        for place in range(self.sweep.steps + late):
            loss = self.updates.make(self.batches)
            if self.judge is not None and math.isfinite(loss):
                loss = self.judge()
            if place >= late:
                self._note(place - late, loss)
            elif not math.isfinite(loss):
                self.stopped = f"the loss is {loss} before the first update"
            if self.stopped:
                return
            if place + 1 < self.sweep.steps:
                self.scheduler.step()

    def apart(self, beginning: Memory) -> None:
        """Make `sweep.restart` updates at each value, each time from the beginning, on the same batches, with the same random numbers."""
        held = list(islice(self.batches, self.sweep.restart * self.updates.batches))
        for place in range(self.sweep.steps):
            with self.scheduler.paused():
                beginning.restore()
            loss = self._own_run(endless(held))
            self._note(place, loss)
            if self.stopped:
                return
            if place + 1 < self.sweep.steps:
                self.scheduler.step()

    def _own_run(self, batches: Iterator[Any]) -> float:
        """Return the loss of a value's own updates."""
        losses: list[float] = []
        for _ in range(self.sweep.restart):
            losses.append(self.updates.make(batches))
            if not math.isfinite(losses[-1]):
                return losses[-1]
        later = losses[len(losses) // 2 :]
        return math.fsum(later) / len(later) if self.judge is None else self.judge()

    def _note(self, place: int, loss: float) -> None:
        """Write down a value's loss if it is finite, and whether to stop."""
        value = self.scheduler.resolved.values(place)[self.sweep.target]
        self.told(place, value, loss)
        if math.isfinite(loss):
            self.values.append(value)
            self.losses.append(loss)
        self.stopped = self.stop.reason(value, loss)


@contextmanager
def with_originals(scheduler: Scheduler) -> Iterator[None]:
    """Have the driven values be what they were before binding, inside the block."""
    state = scheduler.state_dict()
    scheduler.restore()
    try:
        yield
    finally:
        scheduler.load_state_dict(state)
