"""Small networks for the plane."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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

    >>> Octaves(2)(torch.tensor([[0.25]])).round(decimals=3).abs().tolist()
    [[0.25, 0.707..., 1.0, 0.707..., 0.0]]
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def extra_repr(self) -> str:
        return str(self.count)

    def forward(self, x: Tensor) -> Tensor:
        """Return the coordinates and their waves."""
        turns = torch.cat([x * (math.pi * 2**k) for k in range(self.count)], dim=-1)
        return torch.cat([x, torch.sin(turns), torch.cos(turns)], dim=-1)


def generator(latent: int = 2, *, hidden: int = 64, layers: int = 2, normalise: bool = True) -> nn.Sequential:
    """Return a perceptron from `latent` normal numbers to a point in the plane.

    Args:
        latent: How many.
        hidden: Width.
        layers: Hidden layers.
        normalise: Batch normalisation in each instead of a bias, as PacGAN's has it; by the statistics of whatever batch is made, 2,500 samples included.

    >>> generator(2, hidden=8, layers=1)
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=False)
      (1): BatchNorm1d(8, ..., track_running_stats=False)
      (2): ReLU()
      (3): Linear(in_features=8, out_features=2, bias=True)
    )
    """

    def inner(width: int) -> list[nn.Module]:
        return [nn.BatchNorm1d(width, track_running_stats=False)] * normalise + [nn.ReLU()]

    return _perceptron([latent, *[hidden] * layers, 2], inner, bias=not normalise)


def discriminator(*, hidden: int = 64, layers: int = 2, octaves: int = 3) -> nn.Sequential:
    """Return a perceptron from a point, and its `Octaves`, to a score (logit)."""
    widths = [2 * (1 + 2 * octaves), *[hidden] * layers, 1]
    return nn.Sequential(*[Octaves(octaves)] * (octaves > 0), *_perceptron(widths, lambda width: [nn.LeakyReLU(0.2)]))


def _perceptron(widths: Sequence[int], inner: Callable[[int], list[nn.Module]], *, bias: bool = True) -> nn.Sequential:
    """Return linear layers of these widths with what `inner` makes of a width behind each but the last."""
    parts: list[nn.Module] = []
    for a, b in pairwise(widths[:-1]):
        parts += [nn.Linear(a, b, bias=bias), *inner(b)]
    return nn.Sequential(*parts, nn.Linear(widths[-2], widths[-1]))
