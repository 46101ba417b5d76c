"""The batches of a stream: new examples of the task that is being learnt, and old ones from the buffer where replay is due."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.applications.continual.buffers import Buffer
from ostinato.applications.continual.streams import Stream
from ostinato.checks import whole
from ostinato.errors import ConfigError
from ostinato.training.order import EpochOrder

__all__ = ["Batch", "Feed"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What one update reads.

    Attributes:
        inputs: New examples, then old ones.
        targets: Their classes.
        replayed: How many are old.
    """

    inputs: Tensor
    targets: Tensor
    replayed: int


class Feed:
    """The batches of a stream, update by update, for any loop.

    Update t of task i takes the next batch of the task's examples, shuffled anew each epoch. Where ``times[t]``, as many old examples as ``counts[t]`` join,
    drawn from the buffer. A task's examples are offered to the buffer by `close`, at its end: replay is of earlier tasks alone, and the first task has
    none. New examples and the buffer's content depend on the seeds alone, never on when replay happens. For a loop that only wants to know which
    examples are read, a stream of their numbers does as well as one of images.

    Args:
        stream: The tasks.
        times: Whether old examples join, bool (total,): `replay_times`. None: never.
        buffer: Where they come from.
        counts: How many join, (total,); by default as many as there are new ones.
        epochs: Passes over each task's examples.
        batch_size: New examples of an update; what does not fill a batch is left out of a pass.
        seed: Of the order.

    Raises:
        ConfigError: `times` or `counts` are not one for each update, or a task fills no batch.

    >>> from ostinato.applications.continual import Reservoir, split
    >>> data = torch.arange(8), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> feed = Feed(split(data, data, 2), np.ones(4, bool), Reservoir(4), batch_size=2)
    >>> feed.ends, feed.batch(0).replayed
    ((2, 4), 0)
    >>> feed.close(0)
    >>> feed.batch(2).replayed, sorted(feed.batch(2).targets.tolist())
    (2, [0, 0, 1, 1])
    """

    def __init__(
        self,
        stream: Stream,
        times: NDArray[np.bool_] | None,
        buffer: Buffer | None,
        *,
        counts: NDArray[np.int64] | None = None,
        epochs: int = 1,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        whole("epochs", epochs, of=Integral)
        self.stream, self.buffer, self.epochs, self.batch_size = stream, buffer, epochs, batch_size
        self._orders = [EpochOrder(len(task.targets), batch_size, seed, drop_last=True) for task in stream.tasks]
        self.ends = tuple(accumulate(epochs * order.batches for order in self._orders))
        self._times = np.zeros(self.total, np.bool_) if times is None else times
        self._counts = np.full(self.total, batch_size) if counts is None else counts
        for name, given in (("times", self._times), ("counts", self._counts)):
            if len(given) != self.total:
                raise ConfigError(
                    f"{name}: got {len(given)}, expected one for each of the {self.total} updates of the stream"
                )

    @property
    def total(self) -> int:
        """Updates of the whole stream; `ends` has those up to the end of each task."""
        return self.ends[-1]

    def task_of(self, step: int) -> int:
        """Return the place of the task that an update learns."""
        return bisect_right(self.ends, step)

    def batch(self, step: int) -> Batch:
        """Return what an update reads. Old examples are drawn by it, so that each update asks once, in order."""
        place = self.task_of(step)
        task, order = self.stream.tasks[place], self._orders[place]
        own = step - (self.ends[place - 1] if place else 0)
        epoch, index = divmod(own, order.batches)
        chosen = torch.tensor(order.batch(place * self.epochs + epoch, index))
        inputs, targets = task.inputs[chosen], task.targets[chosen]
        count = int(self._counts[step]) if self._times[step] and self.buffer is not None and len(self.buffer) else 0
        if not count or self.buffer is None:
            return Batch(inputs, targets, 0)
        old = self.buffer.draw(count)
        return Batch(torch.cat([inputs, old[0]]), torch.cat([targets, old[1]]), count)

    def close(self, place: int) -> None:
        """Say that a task has been learnt: its examples are offered to the buffer, in the order of its first epoch."""
        if self.buffer is not None:
            task = self.stream.tasks[place]
            order = torch.tensor(self._orders[place].indices(place * self.epochs))
            self.buffer.add(task.inputs[order], task.targets[order])
