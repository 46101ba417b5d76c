"""The random states of a process: Python's, numpy's and torch's global generators."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

__all__ = ["random_states", "restore_random_states", "seed_everything"]


def seed_everything(*key: int) -> None:
    """Seed every global generator from a key of whole numbers, such as (seed, rank)."""
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2:3])  # noqa: NPY002 - the global generator is what user code draws from
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))


def random_states() -> dict[str, Any]:
    """Return the states, as values that `ostinato.storage.pack` takes."""
    states: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    states["numpy"] = np.random.get_state(legacy=True)  # noqa: NPY002 - the global one is meant
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Put the states back."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002 - the global one is meant
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())
