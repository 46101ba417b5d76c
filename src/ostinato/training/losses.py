"""The loss of a run, with class weights where they are asked for."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ostinato.core.address import Address
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, DataError
from ostinato.nn import FocalLoss
from ostinato.training.config import LossConfig
from ostinato.training.datasets import Data, targets_of

__all__ = ["build", "class_weights", "demand_loss"]

_BETA = 0.9999


def build(table: LossConfig, data: Data) -> nn.Module:
    """Return the loss that a ``[loss]`` table says, for logits and classes: a module whose attributes a plan may drive.

    Raises:
        DataError: Class weights are asked for, and the training targets are not at hand.

    >>> from ostinato.training import datasets, parse_config
    >>> config = parse_config({"loss": {"name": "focal", "gamma": 1.0}})
    >>> build(config.loss, datasets.load(config.data))
    FocalLoss(gamma=1)
    """
    weights = None
    if table.weights != "none":
        targets = targets_of(data.train)
        if targets is None:
            raise DataError(
                f"[loss] weights: the targets of {data.name} are not at hand; let the factory return (inputs, targets)"
            )
        weights = class_weights(targets, data.classes, table.weights)
    if table.name == "focal":
        return FocalLoss(2.0 if table.gamma is None else table.gamma, alpha=weights)
    return nn.CrossEntropyLoss(weight=weights)


def class_weights(targets: ArrayLike, classes: int, kind: str) -> Tensor:
    r"""Return a weight for each class, with mean 1, float32 (C,).

    .. math:: \text{balanced: } w_k \propto 1 / n_k, \qquad \text{class-balanced: } w_k \propto (1 - \beta) / (1 - \beta^{n_k}), \quad \beta = 0.9999

    The second is nearly the first up to some thousand examples, and the same for all classes far above 1 / (1 - beta) = 10,000.

    Args:
        targets: Classes of the training examples.
        classes: Their number C.
        kind: ``"balanced"`` or ``"class-balanced"``.

    Raises:
        DataError: A class has no training example, so that its weight would be infinite.

    Source: King and Zeng 2001, Logistic Regression in Rare Events Data; Cui et al. 2019, arXiv 1901.05555.

    >>> class_weights([0, 0, 0, 1], 2, "balanced")
    tensor([0.5000, 1.5000])
    """
    counts = np.bincount(np.asarray(targets), minlength=classes).astype(np.float64)
    if not counts.all():
        raise DataError(f"[loss] weights: class {int(np.argmin(counts))} has no training example; leave weights out")
    weights = 1 / counts if kind == "balanced" else (1 - _BETA) / -np.expm1(counts * np.log(_BETA))
    return torch.from_numpy(weights / weights.mean()).float()


def demand_loss(plan: Plan, loss: nn.Module) -> None:
    """Raise if a plan drives the gamma of a loss that has none.

    Raises:
        ConfigError: It does.
    """
    for target in plan.bound:
        address = Address.parse(target)
        if address.root == "loss" and address.key == "gamma" and not hasattr(loss, "gamma"):
            raise ConfigError(f'{target}: the loss is cross entropy, which has no gamma; write loss = "focal"')
