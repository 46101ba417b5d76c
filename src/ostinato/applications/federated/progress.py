"""Progress: how far a client or a worker has gone, from its rates and its momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["Progress", "grown"]

T = TypeVar("T", float, NDArray[np.float64])


class Progress:
    """The sum over updates of rate * (1 + momentum + momentum^2 + ...), of an optimizer's first parameter group.

    It is FedNova's norm of a client's accumulation for SGD whose momentum buffer begins empty: the sum of the weights that its gradients
    have in the way it went. For other optimizers, which divide by a gradient's size, it is the sum of the rates; without an optimizer, the
    number of updates.

    Args:
        optimizer: Whose rate and momentum; None counts updates.

    >>> import torch
    >>> progress = Progress(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.5))
    >>> for _ in range(2):
    ...     progress.add(progress.in_force())
    >>> round(progress.way, 6)
    0.25
    """

    def __init__(self, optimizer: Optimizer | None) -> None:
        self._optimizer = optimizer
        self.way = 0.0
        self.memory = 0.0

    def in_force(self) -> tuple[float, float]:
        """Return the rate and the momentum that the next update will use."""
        group = {"lr": 1.0} if self._optimizer is None else self._optimizer.param_groups[0]
        return float(group["lr"]), float(group.get("momentum", 0.0))

    def add(self, used: tuple[float, float]) -> None:
        """Add an update, made with this rate and momentum."""
        self.way, self.memory = grown(self.way, self.memory, *used)


def grown(way: T, memory: T, rate: T, momentum: T) -> tuple[T, T]:
    """Return the way and the memory after one more update; numbers, or arrays of one a client."""
    memory = 1.0 + momentum * memory
    return way + rate * memory, memory
