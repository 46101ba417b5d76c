"""The streams of study ``replay-phase``, and which of their examples each update of an arm reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.applications.continual import ClassBalanced, Feed, Reservoir, Stream, permuted, split
from ostinato.studies.frame.images import Images, subset
from ostinato.training.order import EpochOrder

__all__ = ["Rows", "stream_of"]

Places = NDArray[np.int32]


def stream_of(images: Images, parameters: Mapping[str, Any], seed: int, judged: tuple[Tensor, Tensor]) -> Stream:
    """Return a seed's own stream: its images, and which classes share a task or how the pixels are ordered.

    Args:
        images: The data.
        parameters: ``stream``, ``tasks``, and ``examples`` of a task.
        seed: The seed.
        judged: What the tasks are scored on.
    """
    tasks, examples = parameters["tasks"], parameters["examples"]
    if parameters["stream"] == "permuted":
        rows = subset(images, examples, seed)
        return permuted((images.inputs[rows], images.targets[rows]), judged, tasks, seed=seed)
    shuffled = subset(images, len(images.targets), seed)
    labels = images.targets.numpy()[shuffled]
    each = examples * tasks // images.classes
    rows = np.concatenate([shuffled[labels == label][:each] for label in range(images.classes)])
    return split((images.inputs[rows], images.targets[rows]), judged, tasks, seed=seed)


@dataclass(frozen=True, eq=False)
class Rows:
    """Which examples of a stream, numbered from its first task to its last, the updates of a seed's arms read.

    Attributes:
        new: The new examples of each update, (total, batch).
        ends: Updates up to the end of each task.
        states: The buffer after each task but the last.
        memory: What a class-balanced buffer holds after all tasks.
        size: Examples that the buffer holds at most.
        seed: The seed.
        blank: What stands in the place of no example.
    """

    new: Places
    ends: tuple[int, ...]
    states: tuple[Mapping[str, Any], ...]
    memory: Places
    size: int
    seed: int
    blank: int

    @classmethod
    def of(cls, stream: Stream, parameters: Mapping[str, Any], seed: int) -> Rows:
        """Go through a stream once, with the numbers of its examples in place of them."""
        firsts = np.cumsum([0, *(len(task.targets) for task in stream.tasks)])
        numbered = Stream(
            tuple(
                replace(task, inputs=torch.arange(int(first), int(first) + len(task.targets)))
                for task, first in zip(stream.tasks, firsts[:-1], strict=True)
            ),
            stream.classes,
        )
        options = {"epochs": parameters["epochs"], "batch_size": parameters["batch"], "seed": seed}
        buffer, balanced = (kind(parameters["buffer"], seed=seed) for kind in (Reservoir, ClassBalanced))
        feed, other = Feed(numbered, None, buffer, **options), Feed(numbered, None, balanced, **options)
        new = np.stack([feed.batch(step).inputs.numpy() for step in range(feed.total)]).astype(np.int32)
        states = []
        for place in range(len(stream)):
            feed.close(place)
            other.close(place)
            states.append(buffer.state_dict())
        memory = balanced.inputs.numpy().astype(np.int32)
        return cls(new, feed.ends, tuple(states[:-1]), memory, parameters["buffer"], seed, int(firsts[-1]))

    def rehearsed(self, times: NDArray[np.bool_]) -> Places:
        """Return the examples of updates with replay at some times, (total, 2 * batch); `blank` where none joins."""
        batch = self.new.shape[1]
        old = np.full(self.new.shape, self.blank, np.int32)
        buffer = Reservoir(self.size, seed=self.seed)
        for first, end, state in zip(self.ends[:-1], self.ends[1:], self.states, strict=True):
            buffer.load_state_dict({**state, "pick": buffer.state_dict()["pick"]})
            for step in first + np.flatnonzero(times[first:end]):
                old[step] = buffer.draw(batch)[0].numpy()
        return np.concatenate([self.new, old], axis=1)

    def remembered(self) -> Places:
        """Return the examples of updates on the class-balanced buffer alone, (total, 2 * batch)."""
        total, batch = self.new.shape
        size = min(2 * batch, len(self.memory))
        order = EpochOrder(len(self.memory), size, self.seed, drop_last=True)
        places = np.stack([order.batch(*divmod(step, order.batches)) for step in range(total)])
        found = np.full((total, 2 * batch), self.blank, np.int32)
        found[:, :size] = self.memory[places]
        return found
