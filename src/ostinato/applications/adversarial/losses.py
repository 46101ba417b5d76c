"""What each player minimises, as functions of the discriminator's scores (logits)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ostinato.errors import ConfigError, suggest

__all__ = ["LOSSES", "Loss", "loss"]


@dataclass(frozen=True)
class Loss:
    """The two players' losses.

    Attributes:
        discriminator: Of the scores of real and of generated examples, () each.
        generator: Of the scores of generated examples.
        balance: The discriminator's loss where it cannot tell them apart.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    balance: float


def _logistic(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def _non_saturating(fake: Tensor) -> Tensor:
    return F.softplus(-fake).mean()


def _hinge(real: Tensor, fake: Tensor) -> Tensor:
    return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()


def _pull(fake: Tensor) -> Tensor:
    return -fake.mean()


LOSSES: Mapping[str, Loss] = {
    "non-saturating": Loss(_logistic, _non_saturating, 1.3862943611198906),
    "hinge": Loss(_hinge, _pull, 2.0),
}


def loss(name: str) -> Loss:
    """Return the losses of that name.

    With scores s = D(x), r real and f generated: ``"non-saturating"`` is mean log(1 + e^-r) + mean log(1 + e^f) against
    mean log(1 + e^-f) (I. Goodfellow et al., NeurIPS 2014), in balance at 2 log 2; ``"hinge"`` is mean max(0, 1 - r) + mean max(0, 1 + f) against
    -mean f (J. Lim, J. Ye, arXiv 1705.02894), in balance at 2.

    Raises:
        ConfigError: There are none.

    >>> import torch
    >>> round(float(loss("non-saturating").discriminator(torch.zeros(3), torch.zeros(3))), 4)
    1.3863
    """
    if name not in LOSSES:
        raise ConfigError(f"loss: got {name!r}{suggest(str(name), LOSSES)}")
    return LOSSES[name]
