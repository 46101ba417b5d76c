"""Small networks for the plane."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["Octaves", "discriminator", "generator"]


class Octaves(nn.Module):
    """Puts beside each coordinate x its sin and cos of pi 2^k x for k = 0, ..., n - 1: (B, D) to (B, D (1 + 2n)).

    A small network sees fine structure so that it would take very long to learn from coordinates alone (M. Tancik et al., Fourier Features,
    NeurIPS 2020).

    Args:
        count: n.

    >>> Octaves(2)(torch.tensor([[0.5]])).round(decimals=3).tolist()
    [[0.5, 1.0, 0.0, 0.0, -1.0]]
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """Return the coordinates and their waves."""
        turns = torch.cat([x * (math.pi * 2**k) for k in range(self.count)], dim=-1)
        return torch.cat([x, torch.sin(turns), torch.cos(turns)], dim=-1)


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


def discriminator(*, hidden: int = 64, layers: int = 2, octaves: int = 3) -> nn.Sequential:
    """Return a perceptron from a point, and its `Octaves`, to a score (logit)."""
    inner = _perceptron(2 * (1 + 2 * octaves), hidden, layers, 1, lambda: nn.LeakyReLU(0.2))
    return nn.Sequential(Octaves(octaves), *inner) if octaves else inner


def _perceptron(
    inputs: int, hidden: int, layers: int, outputs: int, activation: Callable[[], nn.Module]
) -> nn.Sequential:
    widths = [inputs, *[hidden] * layers]
    inner = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*inner, nn.Linear(hidden, outputs))
