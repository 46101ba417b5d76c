"""Updates as a training loop makes them, and scoring a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.errors import ConfigError, DataError
from ostinato.mixed_precision import was_stepped

__all__ = ["Updates", "as_number", "endless"]

_MOST_SKIPPED = 40


@dataclass
class Updates:
    """Makes updates as a training loop would.

    Attributes:
        model, loss: For a batch (inputs, targets), ``loss(model(inputs), targets)``.
        optimizer: Makes the update.
        accumulation: Batches of one update.
        scaler: For mixed precision; updates that it skips are made again.
        own: The caller's whole step instead: ``own(batch) -> loss``.
    """

    model: nn.Module | None
    optimizer: Any
    loss: Callable[[Any, Any], Tensor] | None
    accumulation: int = 1
    scaler: Any = None
    own: Callable[[Any], Any] | None = None

    @property
    def batches(self) -> int:
        """Batches of one update."""
        return 1 if self.own is not None else self.accumulation

    def make(self, batches: Iterator[Any]) -> float:
        """Make one update and return the loss before it; NaN (and no update) where a loss is not finite."""
        if self.own is not None:
            return as_number(self.own(next(batches)), "step")
        for _ in range(_MOST_SKIPPED):
            loss, made = self._try([next(batches) for _ in range(self.accumulation)])
            if made or not math.isfinite(loss):
                return loss
        raise DataError(
            f"mixed precision skipped {_MOST_SKIPPED} updates in a row; look for gradients that are not finite"
        )

    def _try(self, group: list[Any]) -> tuple[float, bool]:
        assert self.model is not None
        if not self.model.training:
            self.model.train()
        self.optimizer.zero_grad()
        total = 0.0
        for batch in group:
            loss = self._loss_of(batch) / len(group)
            total += as_number(loss, "loss")
            if not math.isfinite(total):
                return total, False
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        if self.scaler is None:
            self.optimizer.step()
            return total, True
        self.scaler.step(self.optimizer)
        made = was_stepped(self.scaler, self.optimizer)
        self.scaler.update()
        return total, made

    def _loss_of(self, batch: Any) -> Tensor:
        assert self.model is not None
        assert self.loss is not None
        inputs, targets = _pair(batch, self.model)
        value: Tensor = self.loss(self.model(inputs), targets)
        return value

    def score(self, batches: Iterable[Any]) -> float:
        """Return the mean loss over batches in evaluation mode, every example counting the same; the modes are kept."""
        assert self.model is not None
        modes = {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            with torch.no_grad():
                parts = [(as_number(self._loss_of(batch), "loss"), _length(batch)) for batch in batches]
        finally:
            for module, mode in modes.items():
                module.training = mode
        if not parts:
            raise DataError("validation: has no batch")
        return math.fsum(loss * size for loss, size in parts) / sum(size for _, size in parts)


def _pair(batch: Any, model: nn.Module) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ConfigError(
            f"data: a batch is a {type(batch).__name__}, expected (inputs, targets); for anything else pass step=your_update"
        )
    device = next((parameter.device for parameter in model.parameters()), None)
    inputs, targets = (part.to(device) if isinstance(part, Tensor) and device is not None else part for part in batch)
    return inputs, targets


def _length(batch: Any) -> int:
    try:
        return len(batch[1])
    except TypeError:
        return 1


def as_number(value: Any, what: str) -> float:
    """Return a loss as a float."""
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError):
        shown = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ConfigError(f"{what}: returned {shown}, expected one number") from None


def endless(data: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of a loader, epoch after epoch.

    Raises:
        DataError: There is none.
    """
    while True:
        empty = True
        for batch in data:
            empty = False
            yield batch
        if empty:
            raise DataError("data: has no batch")
