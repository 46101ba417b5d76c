"""Batch-norm recalibration: running statistics that are the exact averages over given batches.

Source: Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3 (PreciseBN).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Statistics", "norm_layers", "observing"]


def norm_layers(model: nn.Module) -> dict[str, _BatchNorm]:
    """Return the model's batch-norm layers that keep running statistics, by name.

    >>> list(norm_layers(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    ['1']
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and isinstance(module.running_mean, Tensor)
    }


class Statistics:
    """Averages of batch means and unbiased batch variances of each layer, in float64, every call weighing the same."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, Tensor, int]] = {}

    def add(self, layer: str, inputs: Tensor) -> None:
        """Take in one call of a layer; ``inputs`` has shape (N, C, ...)."""
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        if inputs.numel() <= inputs.shape[1]:
            return  # one value a channel has no variance; the layer itself refuses it next
        variance, mean = torch.var_mean(inputs.detach().to(_accumulator(inputs)), dim=axes, correction=1)
        if layer in self._sums:
            means, variances, calls = self._sums[layer]
            self._sums[layer] = (means + mean, variances + variance, calls + 1)
        else:
            self._sums[layer] = (mean, variance, 1)

    def buffers(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the new buffers, in the dtypes of ``state``, the member that they belong to."""
        result = {}
        for layer, (means, variances, calls) in self._sums.items():
            dot = layer + "." if layer else ""
            result[dot + "running_mean"] = (means / calls).to(state[dot + "running_mean"].dtype)
            result[dot + "running_var"] = (variances / calls).to(state[dot + "running_var"].dtype)
            if dot + "num_batches_tracked" in state:
                result[dot + "num_batches_tracked"] = torch.full_like(state[dot + "num_batches_tracked"], calls)
        return result

    def __len__(self) -> int:
        return len(self._sums)


def _accumulator(tensor: Tensor) -> torch.dtype:
    return torch.float32 if tensor.device.type == "mps" else torch.float64


@contextmanager
def observing(layers: dict[str, _BatchNorm], statistics: Statistics) -> Iterator[None]:
    """Let these layers normalise by the batch, as in training, and take in what reaches them."""
    flags = {layer: layer.training for layer in layers.values()}
    hooks = []

    def hook(name: str) -> Any:
        def take(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            statistics.add(name, args[0] if args else kwargs["input"])

        return take

    try:
        for name, layer in layers.items():
            hooks.append(layer.register_forward_pre_hook(hook(name), with_kwargs=True))
            layer.training = True
        yield
    finally:
        for handle in hooks:
            handle.remove()
        for layer, flag in flags.items():
            layer.training = flag
