"""Streams: tasks that are learnt one after another, made from any arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.errors import DataError

__all__ = ["Stream", "Task", "permuted", "split"]

_PIXELS = 7  # a stream of the seed beside those of order, fetching and masks


@dataclass(frozen=True, eq=False)
class Task:
    """One task.

    Attributes:
        name: Short.
        inputs: Training examples, (N, ...).
        targets: Their classes, int64 (N,).
        test: Test inputs and targets.
    """

    name: str
    inputs: Tensor
    targets: Tensor
    test: tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Stream:
    """Tasks in the order in which they are learnt, with one output for every class of them all.

    Attributes:
        tasks: At least two.
        classes: Number of outputs.

    Raises:
        DataError: There is one task, a task is empty, or a class has no output.
    """

    tasks: tuple[Task, ...]
    classes: int

    def __post_init__(self) -> None:
        if len(self.tasks) < 2:
            raise DataError(
                f"stream: got {len(self.tasks)} task, expected at least 2; with one there is nothing to forget, train it as usual"
            )
        for task in self.tasks:
            for part, (inputs, targets) in {"training": (task.inputs, task.targets), "test": task.test}.items():
                if len(inputs) != len(targets) or not len(inputs):
                    raise DataError(
                        f"stream: task {task.name} has {len(inputs)} {part} inputs and {len(targets)} targets, expected as many of each and at least one"
                    )
                if int(targets.min()) < 0 or int(targets.max()) >= self.classes:
                    raise DataError(
                        f"stream: task {task.name} has the class {int(targets.max())}, expected 0 to {self.classes - 1}"
                    )

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.tasks)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every example, in order."""
        found = hashlib.sha256()
        for task in self.tasks:
            for tensor in (task.inputs, task.targets, *task.test):
                found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
                found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()


def split(
    train: tuple[Any, Any], test: tuple[Any, Any], tasks: int | Sequence[Sequence[int]] = 5, *, seed: int | None = None
) -> Stream:
    """Return a stream whose tasks have classes of their own: Split MNIST and its like. Which task an example is of is not told.

    Args:
        train: Inputs (N, ...) and classes (N,), tensors or arrays.
        test: The same for testing.
        tasks: Into how many tasks the classes are divided, equally and in order; or the classes of each.
        seed: Of the order of the classes before they are divided; by default they stay in order.

    Raises:
        DataError: There are fewer than two tasks, the classes cannot be divided, or one is in two tasks or has no example.

    Source: F. Zenke, B. Poole, S. Ganguli, Continual Learning Through Synaptic Intelligence, ICML 2017.

    >>> data = torch.zeros(6, 2), torch.tensor([0, 1, 2, 3, 0, 2])
    >>> [task.name for task in split(data, data, 2).tasks], split(data, data, 2).tasks[1].targets
    (['0 1', '2 3'], tensor([2, 3, 2]))
    """
    parts = [_tensors(train, "train"), _tensors(test, "test")]
    classes = int(max(int(targets.max()) for _, targets in parts)) + 1
    divided = _divided(classes, tasks, seed)
    own = []
    for group in divided:
        (inputs, targets), held = (_of(part, group) for part in parts)
        own.append(Task(" ".join(map(str, group)), inputs, targets, held))
    return Stream(tuple(own), classes)


def permuted(train: tuple[Any, Any], test: tuple[Any, Any], tasks: int = 5, *, seed: int = 0) -> Stream:
    """Return a stream whose tasks have the same examples under a fixed order of the pixels each; the first task's pixels stay as they are.

    Args:
        train: Inputs (N, ...) and classes (N,), tensors or arrays. The same examples come in every task.
        test: The same for testing.
        tasks: How many.
        seed: Of the orders.

    Raises:
        DataError: There are fewer than two tasks.

    Source: I. Goodfellow et al., An Empirical Investigation of Catastrophic Forgetting, arXiv 1312.6211.

    >>> data = torch.arange(8.0).reshape(2, 4), torch.tensor([0, 1])
    >>> permuted(data, data, 2, seed=1).tasks[1].inputs[0].tolist()
    [0.0, 3.0, 2.0, 1.0]
    """
    (inputs, targets), held = _tensors(train, "train"), _tensors(test, "test")
    size = inputs[0].numel()
    own = []
    for place in range(tasks):
        order = np.random.default_rng((_PIXELS, seed, place)).permutation(size) if place else np.arange(size)
        pixels = torch.from_numpy(order)
        moved = [part.flatten(1)[:, pixels].reshape(part.shape) for part in (inputs, held[0])]
        own.append(Task(f"order {place}", moved[0], targets, (moved[1], held[1])))
    return Stream(tuple(own), int(max(targets.max(), held[1].max())) + 1)


def _divided(classes: int, tasks: int | Sequence[Sequence[int]], seed: int | None) -> list[list[int]]:
    if not isinstance(tasks, int):
        groups = [[int(label) for label in group] for group in tasks]
        every = [label for group in groups for label in group]
        if len(set(every)) != len(every):
            raise DataError(f"tasks: got {groups}, expected each class in one task")
        return groups
    if tasks < 1 or classes % tasks:
        raise DataError(
            f"tasks: got {tasks} for {classes} classes, expected a divisor; or say the classes of each task"
        )
    order = np.arange(classes) if seed is None else np.random.default_rng((_PIXELS, seed)).permutation(classes)
    return [sorted(group.tolist()) for group in np.split(order, tasks)]


def _of(part: tuple[Tensor, Tensor], group: Sequence[int]) -> tuple[Tensor, Tensor]:
    inputs, targets = part
    chosen = torch.isin(targets, torch.tensor(list(group)))
    return inputs[chosen], targets[chosen]


def _tensors(part: tuple[Any, Any], where: str) -> tuple[Tensor, Tensor]:
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise DataError(f"{where}: got a {type(part).__name__}, expected (inputs, classes)")
    inputs, targets = (torch.as_tensor(item) for item in part)
    if targets.dim() != 1 or targets.is_floating_point() or len(inputs) != len(targets) or not len(targets):
        raise DataError(
            f"{where}: got inputs {tuple(inputs.shape)} and classes {tuple(targets.shape)} of {targets.dtype}, expected one whole number for each input"
        )
    return inputs, targets.to(torch.int64)
