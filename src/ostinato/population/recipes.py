"""What a member has in common with a run of `ostinato.training`: seeds, order of the data, optimizers.

The only module here that looks at `ostinato.training`, and only when it is called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ostinato.errors import ConfigError

if TYPE_CHECKING:
    from ostinato.training.batches import EpochOrder

__all__ = ["built", "kept_randomness", "make_optimizer", "order_of", "reseed"]


def order_of(length: int, batch_size: int, seed: int, *, drop_last: bool) -> EpochOrder:
    """Return the order of the data of one member, as its own run would have it."""
    from ostinato.training.batches import EpochOrder

    return EpochOrder(length, batch_size, seed, drop_last=drop_last)


def make_optimizer(name: str, model: nn.Module, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Return an optimizer over the groups ``"decay"`` and ``"no_decay"``, as `ostinato.training` builds it."""
    from ostinato.training import optimizers

    return optimizers.build(name, model, **options)


def reseed(*key: int) -> None:
    """Seed every global generator."""
    from ostinato.training.randomness import seed_everything

    seed_everything(*key)


@contextlib.contextmanager
def kept_randomness() -> Iterator[None]:
    """Leave the global random states as they were before the block."""
    from ostinato.training.randomness import random_states, restore_random_states

    states = random_states()
    try:
        yield
    finally:
        restore_random_states(states)


def built(make_model: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a model made under a seed, as a run of its own would make it; the caller sees to the random states.

    Raises:
        ConfigError: What was made is no module, or it has parameters that are not made yet.
    """
    reseed(seed)
    model = make_model()
    if not isinstance(model, nn.Module):
        raise ConfigError(f"make_model: returned a {type(model).__name__}, expected a torch.nn.Module")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(tensor):
            raise ConfigError(
                f"make_model: {name} has no shape yet; run one batch through the model before returning it"
            )
    return model
