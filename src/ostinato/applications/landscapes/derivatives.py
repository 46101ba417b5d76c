"""The mean loss of batches, its gradient, and the Hessian times a vector, at the parameters that a model has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from ostinato.errors import ConfigError, DataError, NonFiniteError

__all__ = ["Batches", "Loss", "MeanLoss"]

Loss = Callable[[Any, Tensor], Tensor]
Batches = Sequence[tuple[Any, Tensor]]


class MeanLoss:
    """The mean loss of batches as a function of the parameters, of which the model keeps its own."""

    def __init__(self, model: nn.Module, loss: Loss, batches: Batches, seed: int) -> None:
        self._model, self._loss, self._batches, self._seed = model, loss, batches, seed
        self._examples = sum(len(targets) for _, targets in batches)
        self._parameters: dict[str, Tensor] = {
            name: parameter.detach().clone().requires_grad_()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        if not self._parameters:
            raise ConfigError(
                "model: no parameter needs a gradient; set requires_grad_(True) on what is to be looked at"
            )
        self.size = sum(parameter.numel() for parameter in self._parameters.values())

    def gradient(self) -> tuple[float, NDArray[np.float64]]:
        """Return the mean loss and its gradient, one vector."""
        value, total = 0.0, np.zeros(self.size)
        for share, loss in self._losses():
            value += share * float(loss.detach())
            total += share * self._flat(self._derivatives(loss, graph=False))
        return value, _finite(total, value)

    def product(self, vector: NDArray[Any]) -> NDArray[np.float64]:
        """Return the Hessian times a vector."""
        parts = self._parts(np.asarray(vector).reshape(-1))
        total = np.zeros(self.size)
        for share, loss in self._losses():
            first = self._derivatives(loss, graph=True)
            along = sum((one * part).sum() for one, part in zip(first, parts, strict=True))
            if isinstance(along, Tensor) and along.requires_grad:
                total += share * self._flat(self._derivatives(along, graph=False))
        return _finite(total, float(total.sum()))

    def _losses(self) -> Iterator[tuple[float, Tensor]]:
        torch.default_generator.manual_seed(
            self._seed
        )  # torch.manual_seed takes longer than a product of a small model
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch does not say what it returns
            torch.cuda.manual_seed_all(self._seed)
        for inputs, targets in self._batches:
            buffers = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
            outputs = functional_call(self._model, {**self._parameters, **buffers}, (inputs,))
            loss = self._loss(outputs, targets)
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
                raise DataError(f"loss: returned {got}, expected one number; write reduction='mean'")
            yield len(targets) / self._examples, loss.reshape(())

    def _derivatives(self, value: Tensor, *, graph: bool) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = torch.autograd.grad(
            value, tuple(self._parameters.values()), create_graph=graph, allow_unused=True, materialize_grads=True
        )
        return found

    def _flat(self, tensors: Sequence[Tensor]) -> NDArray[np.float64]:
        return np.concatenate([tensor.detach().reshape(-1).double().cpu().numpy() for tensor in tensors])

    def _parts(self, vector: NDArray[Any]) -> list[Tensor]:
        """Return a vector in the shapes of the parameters."""
        parts, place = [], 0
        for parameter in self._parameters.values():
            piece = torch.from_numpy(np.array(vector[place : place + parameter.numel()]))
            parts.append(piece.to(parameter).reshape(parameter.shape))
            place += parameter.numel()
        return parts


def _finite(values: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
    if not (math.isfinite(sign) and np.isfinite(values).all()):
        raise NonFiniteError("curvature: the loss or a derivative of it is not finite; the model has diverged")
    return values
