"""Layers that change their input at random in training, and say how, so that the random numbers may come from elsewhere."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ostinato.nn.values import ScheduledModule

__all__ = ["Draw", "RandomLayer"]

Draw = Callable[[Sequence[int]], Tensor]
"""Gives uniform numbers in [0, 1), float32 of a shape; others each time."""


class RandomLayer(ScheduledModule):
    """Base of layers that are random in training and the identity in evaluation.

    A subclass says in `transformed` what it makes of an input and of uniform numbers. By itself a layer takes them from torch's generator of
    the input's device. In a population, and under `ostinato.population.counted`, they are a function of seed, step, layer, call and element,
    so that many members at once draw what each would draw alone.

    >>> class Brightness(RandomLayer):
    ...     def transformed(self, input, draw):
    ...         return input * draw((len(input), 1))
    >>> layer = Brightness()
    >>> bool((layer(torch.ones(3, 2)) < 1).all()), layer.eval()(torch.ones(1, 2))
    (True, tensor([[1., 1.]]))
    """

    @abstractmethod
    def transformed(self, input: Tensor, draw: Draw) -> Tensor:
        """Return what becomes of an input in training.

        Args:
            input: Of the forward pass.
            draw: Gives uniform numbers in [0, 1), float32 of a shape, others each time.
        """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        return self.transformed(input, lambda shape: torch.rand(tuple(shape), device=input.device))
