"""Layers and losses in a form that `torch.vmap` takes, with values that differ from member to member."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ostinato.errors import ConfigError
from ostinato.population.masks import Frame

__all__ = ["equip_loss", "equip_norms"]

BatchNorm = nn.modules.batchnorm._BatchNorm


def equip_norms(model: nn.Module, frame: Frame) -> set[str]:
    """Let batch norms leave their running statistics in `frame` instead of changing buffers; return these buffers' names."""
    names: set[str] = set()
    for path, module in model.named_modules():
        if isinstance(module, BatchNorm):
            prefix = f"{path}." if path else ""
            module.forward = partial(_batch_norm, module, frame, prefix)  # type: ignore[method-assign]  # of this instance alone
            names |= {prefix + name for name, _ in module.named_buffers(recurse=False)}
    return names


def _batch_norm(module: BatchNorm, frame: Frame, prefix: str, input: Tensor) -> Tensor:
    """Normalise as torch does: by the batch in training and where there are no running statistics, else by those."""
    module._check_input_dim(input)  # type: ignore[no-untyped-call]  # torch does not say what it returns
    mean, var = (frame.updates.get(prefix + name, getattr(module, name)) for name in ("running_mean", "running_var"))
    if not module.training and mean is not None and var is not None:
        return _normalised(module, input, mean, var)
    if input.numel() == input.shape[1]:
        raise ConfigError(f"batch norm: got one value for each channel, {tuple(input.shape)}; use larger batches")
    dims = [dim for dim in range(input.dim()) if dim != 1]
    batch_var, batch_mean = torch.var_mean(input, dims, correction=0)
    if module.training and mean is not None and var is not None:
        _track(module, frame, prefix, (batch_mean.detach(), batch_var.detach()), input.numel() // input.shape[1])
    return _normalised(module, input, batch_mean, batch_var)


def _normalised(module: BatchNorm, input: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    shape = [1, -1] + [1] * (input.dim() - 2)
    scale = torch.rsqrt(var + module.eps)
    if module.weight is None:
        return (input - mean.view(shape)) * scale.view(shape)
    return (input - mean.view(shape)) * (scale * module.weight).view(shape) + module.bias.view(shape)


def _track(module: BatchNorm, frame: Frame, prefix: str, batch: tuple[Tensor, Tensor], count: int) -> None:
    """Move the running statistics towards the batch's; without a momentum they are the mean over all batches."""
    momentum: Any = module.momentum
    mean, var = batch
    tracked = frame.updates.get(f"{prefix}num_batches_tracked", module.num_batches_tracked)
    if tracked is not None:
        tracked = tracked + 1
        frame.updates[f"{prefix}num_batches_tracked"] = tracked
        if momentum is None:
            momentum = 1.0 / tracked.to(mean.dtype)
    for name, value in (("running_mean", mean), ("running_var", var * (count / (count - 1)))):
        before = frame.updates.get(prefix + name, getattr(module, name))
        frame.updates[prefix + name] = (before * (1 - momentum) + value * momentum).to(before.dtype)


def equip_loss(loss: Any) -> None:
    """Let a cross entropy take its label smoothing as a tensor; any other loss is left as it is."""
    if isinstance(loss, nn.CrossEntropyLoss) and type(loss).forward is nn.CrossEntropyLoss.forward:
        loss.forward = partial(_cross_entropy, loss)  # type: ignore[method-assign]  # of this instance alone


def _cross_entropy(loss: nn.CrossEntropyLoss, input: Tensor, target: Tensor) -> Tensor:
    """Return torch's cross entropy, which is linear in the label smoothing."""
    smoothing: Any = loss.label_smoothing
    entropy = partial(
        F.cross_entropy, input, target, weight=loss.weight, ignore_index=loss.ignore_index, reduction=loss.reduction
    )
    if not isinstance(smoothing, Tensor):
        return entropy(label_smoothing=smoothing)
    return (1 - smoothing) * entropy(label_smoothing=0.0) + smoothing * entropy(label_smoothing=1.0)
