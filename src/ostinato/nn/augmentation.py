"""Augmentation inside a model: layers whose strength is a buffer that plans drive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ostinato.checks import is_whole
from ostinato.core.domains import STRENGTH, Domain
from ostinato.errors import DataError, DomainError
from ostinato.nn.random_layers import Draw, RandomLayer
from ostinato.nn.values import shown

__all__ = ["InputNoise", "RandomShift"]


class RandomShift(RandomLayer):
    r"""Moves each image of a batch by whole pixels, up or down and left or right, and fills with zeros.

    .. math:: d = \lfloor r + v \rfloor, \quad r = (2u - 1) \cdot most \cdot strength, \quad u, v \sim \mathrm{Uniform}[0, 1)

    for each image and each direction: a distance uniform up to most·strength pixels, rounded to a neighbour at random so that its mean
    is kept. So the strength acts smoothly; 0 is the identity. In evaluation the input itself is returned.

    Args:
        most: Pixels at strength 1, a whole number > 0.
        strength: In [0, 1]; ``model:RandomShift.strength`` in a plan.

    Shape: (N, C, H, W); the result has that of the input.

    Raises:
        DomainError: `most` is no whole number > 0, or `strength` is not in [0, 1].
        DataError: The input is no batch of images.

    Source: the usual crop after zero padding, He et al. 2016, arXiv 1512.03385, section 4.2.

    >>> layer = RandomShift(2, strength=0.0)
    >>> bool((layer(torch.ones(1, 1, 3, 3)) == 1).all())
    True
    >>> layer.strength = 0.5
    >>> layer
    RandomShift(most=2, strength=0.5)
    """

    scheduled: ClassVar[Mapping[str, Domain]] = {"strength": STRENGTH}
    strength: Tensor

    def __init__(self, most: int, strength: float = 1.0) -> None:
        super().__init__()
        if not is_whole(most, 1):
            raise DomainError(f"RandomShift.most: got {most!r}, expected a whole number of pixels > 0")
        self.most = int(most)
        self.strength = strength  # type: ignore[assignment]  # a number fills the buffer

    def extra_repr(self) -> str:
        return f"most={self.most}, strength={shown(self.strength)}"

    def transformed(self, input: Tensor, draw: Draw) -> Tensor:
        if input.dim() != 4:
            raise DataError(f"RandomShift: got an input of shape {tuple(input.shape)}, expected images (N, C, H, W)")
        place, rounding = draw((2, 2, input.shape[0]))
        moves = torch.floor((2 * place - 1) * (self.most * self.strength) + rounding)
        down, right = moves.clamp(-self.most, self.most).to(torch.int64)
        return _moved(_moved(input, down, 2), right, 3)


class InputNoise(RandomLayer):
    r"""Adds Gaussian noise to every element of its input.

    .. math:: y = x + strength \cdot deviation \cdot n, \quad n \sim \mathrm{Normal}(0, 1)

    Args:
        deviation: Standard deviation at strength 1, > 0.
        strength: In [0, 1]; ``model:InputNoise.strength`` in a plan. 0 is the identity.

    Shape: any; the result has that of the input. In evaluation the input itself is returned.

    Raises:
        DomainError: `deviation` is no finite number > 0, or `strength` is not in [0, 1].

    Source: Bishop 1995, Training with Noise is Equivalent to Tikhonov Regularization, Neural Computation 7(1); the normal numbers are made
    of uniform ones after Box and Muller 1958.

    >>> layer = InputNoise(0.1, strength=0.0)
    >>> layer(torch.ones(2)), layer
    (tensor([1., 1.]), InputNoise(deviation=0.1, strength=0))
    """

    scheduled: ClassVar[Mapping[str, Domain]] = {"strength": STRENGTH}
    strength: Tensor

    def __init__(self, deviation: float, strength: float = 1.0) -> None:
        super().__init__()
        if not isinstance(deviation, int | float) or not math.isfinite(deviation) or deviation <= 0:
            raise DomainError(f"InputNoise.deviation: got {deviation!r}, expected a finite number > 0")
        self.deviation = float(deviation)
        self.strength = strength  # type: ignore[assignment]  # a number fills the buffer

    def extra_repr(self) -> str:
        return f"deviation={self.deviation:g}, strength={shown(self.strength)}"

    def transformed(self, input: Tensor, draw: Draw) -> Tensor:
        radius, angle = draw((2, *input.shape))
        normal = torch.sqrt(-2 * torch.log1p(-radius)) * torch.cos(2 * math.pi * angle)
        return input + (normal * (self.strength * self.deviation)).to(input.dtype)


def _moved(images: Tensor, by: Tensor, dim: int) -> Tensor:
    """Return images moved along a dimension, each by its own number of pixels (N,), zeros where there was nothing."""
    size = images.shape[dim]
    shape = [images.shape[0], 1, 1, 1]
    shape[dim] = size
    origin = (torch.arange(size, device=images.device) - by[:, None]).view(shape)
    found = images.gather(dim, origin.clamp(0, size - 1).expand(images.shape))
    return torch.where(
        (origin >= 0) & (origin < size), found, torch.zeros((), dtype=images.dtype, device=images.device)
    )
