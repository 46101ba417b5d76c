"""Small networks for the plane."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

__all__ = ["discriminator", "generator"]


def generator(latent: int = 2, *, hidden: int = 64, layers: int = 2) -> nn.Sequential:
    """Return a perceptron from `latent` normal numbers to a point in the plane.

    >>> generator(2, hidden=8)
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): ReLU()
      (2): Linear(in_features=8, out_features=8, bias=True)
      (3): ReLU()
      (4): Linear(in_features=8, out_features=2, bias=True)
    )
    """
    return _perceptron(latent, hidden, layers, 2, nn.ReLU)


def discriminator(*, hidden: int = 64, layers: int = 2) -> nn.Sequential:
    """Return a perceptron from a point to a score (logit)."""
    return _perceptron(2, hidden, layers, 1, lambda: nn.LeakyReLU(0.2))


def _perceptron(
    inputs: int, hidden: int, layers: int, outputs: int, activation: Callable[[], nn.Module]
) -> nn.Sequential:
    widths = [inputs, *[hidden] * layers]
    inner = [part for a, b in zip(widths[:-1], widths[1:], strict=True) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*inner, nn.Linear(hidden, outputs))
