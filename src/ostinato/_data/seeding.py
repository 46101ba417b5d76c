"""Random states as a function of a key: torch's (CPU), numpy's and Python's global generators."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import get_worker_info

__all__ = ["kept_states", "seed_states", "seed_words", "seeded"]

_WORDS = 4  # 32-bit words of seed for one state


def seed_words(key: tuple[int, ...], states: int = 1) -> npt.NDArray[Any]:
    """Return the seeds of several states, (states, 4); the first ones do not depend on how many follow.

    >>> bool((seed_words((1, 2), 3)[:2] == seed_words((1, 2), 2)).all())
    True
    """
    words: npt.NDArray[Any] = np.random.SeedSequence(key).generate_state(_WORDS * states)
    return words.reshape(states, _WORDS)


@contextlib.contextmanager
def kept_states() -> Iterator[None]:
    """Run a block, then put the random states back as they were before it; a loader's worker has nobody to keep them for."""
    if get_worker_info() is not None:
        yield
        return
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - the global one is meant
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002 - the global one is meant
        random.setstate(states[2])


def seed_states(words: npt.NDArray[Any]) -> None:
    """Seed the three generators from one row of `seed_words`."""
    torch.default_generator.manual_seed(int(words[0]) | int(words[1]) << 32)
    np.random.seed(words[1:3])  # noqa: NPY002 - what transforms draw from
    random.seed(int(words[3]) << 32 | int(words[0]))


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Run a block under torch's (CPU), numpy's and Python's random states seeded from ``key``, then put them back.

    >>> with seeded(7, 0):
    ...     first = torch.rand(2)
    >>> with seeded(7, 0):
    ...     print(torch.equal(first, torch.rand(2)))
    True
    """
    with kept_states():
        seed_states(seed_words(key)[0])
        yield
