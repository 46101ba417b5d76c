"""Optimizers as functions of (parameter, gradient, state, coefficients), in the order of operations of `torch.optim`.

What torch computes with Python's floats (1 - lr·weight_decay, the bias corrections) is computed here in float64 too, for all members and a
block of steps at once; a step then takes float32 coefficients of shape (K,), one for each member.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["RULES", "SGD", "Adam", "AdamW", "Rule", "rule_of"]

Floats = NDArray[np.float64]
Key = tuple[str, int | None]


class Rule(ABC):
    """One optimizer.

    Attributes:
        states: Names of what is kept beside each parameter.
        keys: The keys of a parameter group that it uses, with the element where they are tuples.
    """

    states: tuple[str, ...] = ()
    keys: ClassVar[tuple[Key, ...]]

    @abstractmethod
    def coefficients(self, values: Mapping[Key, Floats], steps: NDArray[np.int64], group: int) -> list[Floats]:
        """Return the coefficients of a group for consecutive steps, each (steps, K). Blocks come in order."""

    @abstractmethod
    def update(self, p: Tensor, g: Tensor, state: Sequence[Tensor], c: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return the new parameter and state."""

    def restart(self) -> None:
        """Forget what depends on earlier blocks."""
        self._started: dict[int, NDArray[np.bool_]] = {}


class SGD(Rule):
    """``torch.optim.SGD``: L2 decay, momentum, dampening, Nesterov. Momentum that is 0 leaves its buffer alone, as there."""

    keys = (("lr", None), ("weight_decay", None), ("momentum", None), ("dampening", None))

    def __init__(self, *, nesterov: bool, heavy: bool) -> None:
        self.nesterov = nesterov
        self.states = ("momentum_buffer",) if heavy else ()
        self.restart()

    def coefficients(self, values: Mapping[Key, Floats], steps: NDArray[np.int64], group: int) -> list[Floats]:
        lr, decay = values["lr", None], values["weight_decay", None]
        if not self.states:
            return [-lr, decay]
        momentum, dampening = values["momentum", None], values["dampening", None]
        moving = momentum != 0
        before = self._started.get(group, np.zeros(momentum.shape[1], np.bool_))
        started = np.logical_or.accumulate(np.concatenate([before[None], moving]), axis=0)
        self._started[group] = started[-1]
        first = moving & ~started[:-1]
        keep = np.where(moving, np.where(first, 0.0, momentum), 1.0)
        take = np.where(moving, np.where(first, 1.0, 1 - dampening), 0.0)
        of_buffer = momentum if self.nesterov else moving.astype(np.float64)
        of_gradient = np.ones_like(momentum) if self.nesterov else (~moving).astype(np.float64)
        return [-lr, decay, keep, take, of_buffer, of_gradient]

    def update(self, p: Tensor, g: Tensor, state: Sequence[Tensor], c: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        g = g + p * c[1]
        if not state:
            return p + g * c[0], []
        buffer = state[0] * c[2] + g * c[3]
        return p + (g * c[5] + buffer * c[4]) * c[0], [buffer]


class Adam(Rule):
    """``torch.optim.Adam`` without AMSGrad: L2 decay added to the gradient."""

    states = ("exp_avg", "exp_avg_sq")
    keys = (("lr", None), ("weight_decay", None), ("betas", 0), ("betas", 1), ("eps", None))

    def coefficients(self, values: Mapping[Key, Floats], steps: NDArray[np.int64], group: int) -> list[Floats]:
        lr, decay, first, second, eps = (values[key] for key in self.keys)
        count = (steps + 1)[:, None].astype(np.float64)
        size = -(lr / (1 - first**count))
        root = np.sqrt(1 - second**count)
        return [self._decay(lr, decay), 1 - first, second, 1 - second, size, root, eps]

    def _decay(self, lr: Floats, decay: Floats) -> Floats:
        return decay

    def _decayed(self, p: Tensor, g: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
        return p, g + p * decay

    def update(self, p: Tensor, g: Tensor, state: Sequence[Tensor], c: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        p, g = self._decayed(p, g, c[0])
        mean = state[0] + (g - state[0]) * c[1]
        square = state[1] * c[2] + g * g * c[3]
        return p + mean / (torch.sqrt(square) / c[5] + c[6]) * c[4], [mean, square]


class AdamW(Adam):
    """``torch.optim.AdamW`` without AMSGrad: the parameter shrinks by lr·weight_decay first."""

    def _decay(self, lr: Floats, decay: Floats) -> Floats:
        return 1 - lr * decay

    def _decayed(self, p: Tensor, g: Tensor, decay: Tensor) -> tuple[Tensor, Tensor]:
        return p * decay, g


RULES = ("sgd", "adam", "adamw")
"""Names of the optimizers that many members take at once."""

_OFF = ("amsgrad", "maximize")


def rule_of(name: str, groups: Sequence[Mapping[str, Any]], *, momentum_driven: bool) -> Rule | str:
    """Return the rule for an optimizer with these groups, or why there is none."""
    if name.lower() not in RULES:
        return f"the optimizer {name!r} has no form for many members (there are {', '.join(RULES)})"
    for group in groups:
        for option in _OFF:
            if group.get(option):
                return f"the optimizer's option {option!r} has no form for many members"
    if name.lower() == "sgd":
        heavy = momentum_driven or any(group["momentum"] != 0 for group in groups)
        return SGD(nesterov=bool(groups[0]["nesterov"]), heavy=heavy)
    decoupled = {bool(group.get("decoupled_weight_decay", name.lower() == "adamw")) for group in groups}
    if len(decoupled) > 1:
        return "the optimizer's option 'decoupled_weight_decay' differs between groups"
    return AdamW() if decoupled == {True} else Adam()
