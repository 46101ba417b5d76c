"""Random draws as a function of (seed, count)."""

from __future__ import annotations

import torch
from torch import Tensor

from ostinato._data.seeding import seed_words
from ostinato.checks import whole

__all__ = ["generator", "normal", "permutation", "uniform"]

_AUGMENT = 5  # a stream of the seed; order, fetching, joining and sampling have 1 to 4


def generator(seed: int, count: int, *, part: int = 0, first: int = 0) -> torch.Generator:
    """Return the random generator of one batch: the same for the same arguments, in any process.

    Args:
        seed: A whole number >= 0.
        count: The update that the batch is for, counted from 0.
        part: Which batch of the update, where several are accumulated.
        first: Position of the batch's first example in the batch of all processes.

    Raises:
        ConfigError: One of them is no whole number >= 0.

    >>> bool((torch.rand(3, generator=generator(7, 2)) == torch.rand(3, generator=generator(7, 2))).all())
    True
    """
    for name, value in (("seed", seed), ("count", count), ("part", part), ("first", first)):
        whole(name, value, 0)
    words = seed_words((_AUGMENT, seed, count, part, first))[0]
    return torch.Generator().manual_seed(int(words[0]) | int(words[1]) << 32)


def uniform(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Return numbers in [0, 1), float32, where `like` is; they are drawn where the generator is."""
    return torch.rand(shape, generator=generator, device=generator.device).to(like.device)


def normal(generator: torch.Generator, like: Tensor) -> Tensor:
    """Return normal numbers of the shape and type of `like`, where it is."""
    drawn = torch.randn(like.shape, generator=generator, device=generator.device)
    return drawn.to(device=like.device, dtype=like.dtype)


def permutation(length: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """Return an order of the examples, int64, where `like` is."""
    return torch.randperm(length, generator=generator, device=generator.device).to(like.device)
