"""Functions whose hyperparameter may be a number or a 0-dim tensor that changes from call to call without compiling anything again.

Where the value can be read for nothing (outside `torch.compile`, in host memory) torch's own kernel is called with it, so that results are
the same bits and use the same random stream. Everywhere else the value takes part as a tensor.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ostinato.nn._cross_entropy import Value, focal_loss, label_smoothing_cross_entropy
from ostinato.nn.values import as_number

__all__ = [
    "batch_norm",
    "drop_path",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "focal_loss",
    "label_smoothing_cross_entropy",
    "temperature_softmax",
    "tempered",
]


def dropout(x: Tensor, p: Value, training: bool = True, inplace: bool = False) -> Tensor:
    r"""Set each element to 0 with probability p and divide the others by 1 - p.

    .. math:: y = x \cdot m / (1 - p), \quad m \sim \mathrm{Bernoulli}(1 - p)

    Random stream: outside `torch.compile` and in host memory, that of `torch.nn.functional.dropout`, bit for bit. Compiled, or on an
    accelerator, an element is kept where a uniform float32 of its own is at least p; a compiled `torch.nn.Dropout` draws the same uniform
    numbers and keeps those above p.

    Args:
        x: Any shape and floating type; the result has them too.
        p: Probability in [0, 1]; 0 keeps all, 1 gives zeros.
        training: False returns `x` itself.
        inplace: Overwrite `x`.

    Source: Srivastava et al. 2014, Dropout, JMLR 15.

    >>> dropout(torch.ones(3), torch.tensor(1.0))
    tensor([0., 0., 0.])
    >>> dropout(torch.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    number = as_number(p)
    if number is not None or not training:
        return F.dropout(x, number or 0.0, training, inplace)
    return thinned(x, torch.rand_like(x, dtype=torch.float32), p, inplace)


def dropout1d(x: Tensor, p: Value, training: bool = True, inplace: bool = False) -> Tensor:
    """Set whole channels to 0 with probability p and divide the others by 1 - p; random stream as in `dropout`.

    Args:
        x: Shape (N, C, L) or (C, L).
        p: Probability in [0, 1].
        training: False returns `x` itself.
        inplace: Overwrite `x`.

    Source: Tompson et al. 2015, arXiv 1411.4280.
    """
    number = as_number(p)
    if number is not None or not training:
        return F.dropout1d(x, number or 0.0, training, inplace)
    return _channels(x, p, inplace, batched=x.dim() == 3)


def dropout2d(x: Tensor, p: Value, training: bool = True, inplace: bool = False) -> Tensor:
    """Do the same as `dropout1d` for images: shape (N, C, H, W).

    Like torch's function, it takes three dimensions as (N, C, L), not as one image without a batch.
    """
    number = as_number(p)
    if number is not None or not training:
        return F.dropout2d(x, number or 0.0, training, inplace)
    return _channels(x, p, inplace, batched=True)


def dropout3d(x: Tensor, p: Value, training: bool = True, inplace: bool = False) -> Tensor:
    """Do the same as `dropout1d` for volumes: shape (N, C, D, H, W) or (C, D, H, W)."""
    number = as_number(p)
    if number is not None or not training:
        return F.dropout3d(x, number or 0.0, training, inplace)
    return _channels(x, p, inplace, batched=x.dim() == 5)


def drop_path(x: Tensor, p: Value, training: bool = True, mode: Literal["row", "batch"] = "row") -> Tensor:
    r"""Set whole samples to 0 with probability p and divide the others by 1 - p (stochastic depth of a residual branch).

    Random stream: outside `torch.compile` and in host memory, that of ``x.new_empty(shape).bernoulli_(1 - p)``, as in torchvision and timm;
    else as in `dropout`.

    Args:
        x: Shape (N, ...).
        p: Probability in [0, 1]; 0 keeps all, 1 gives zeros.
        training: False returns `x` itself.
        mode: ``"row"`` decides for each sample, ``"batch"`` for all of them at once.

    Source: Huang et al. 2016, Deep Networks with Stochastic Depth, arXiv 1603.09382.

    >>> drop_path(torch.ones(2, 2), 1.0)
    tensor([[0., 0.],
            [0., 0.]])
    """
    if not training:
        return x
    shape = (x.shape[0] if mode == "row" else 1, *(1 for _ in x.shape[1:]))
    number = as_number(p)
    if number is None:
        return thinned(x, torch.rand(shape, device=x.device, dtype=torch.float32), p)
    if number == 0.0:
        return x
    kept = x.new_empty(shape).bernoulli_(1.0 - number)
    return x * (kept.div_(1.0 - number) if number < 1.0 else kept)


def _channels(x: Tensor, p: Value, inplace: bool, *, batched: bool) -> Tensor:
    """Drop whole channels: the first two dimensions of a batch, the first without one."""
    leading = 2 if batched else 1
    shape = (*x.shape[:leading], *(1 for _ in x.shape[leading:]))
    return thinned(x, torch.rand(shape, device=x.device, dtype=torch.float32), p, inplace)


def thinned(x: Tensor, uniform: Tensor, p: Value, inplace: bool = False) -> Tensor:
    """Return x / (1 - p) where a uniform number is at least p, else 0; zeros for p = 1."""
    p = torch.as_tensor(p, dtype=torch.float32, device=x.device)
    kept = uniform >= p
    scale = torch.where(p < 1.0, 1.0 / (1.0 - p), 0.0).to(x.dtype)
    return x.mul_(kept).mul_(scale) if inplace else x * kept * scale


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    training: bool = False,
    momentum: Value = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Normalise each channel, and move the running statistics towards the batch's by the share `momentum`.

    .. math:: y = \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}} \cdot weight + bias,
              \quad running \leftarrow (1 - momentum) \cdot running + momentum \cdot batch

    As in torch, `momentum` is the weight of the new batch, and the running variance takes the unbiased one. The result and its gradients
    are those of torch's kernel, bit for bit. The running statistics are too where `momentum` can be read for nothing; else they are within
    float32's rounding (1e-6), since torch mixes them in float64 and this in their own type.

    Args:
        x: Shape (N, C, ...).
        running_mean: Shape (C,), changed in place in training; None keeps none.
        running_var: The same.
        weight: Shape (C,) or None.
        bias: Shape (C,) or None.
        training: Normalise by the batch and not by the running statistics.
        momentum: In [0, 1].
        eps: Added to the variance.

    Source: Ioffe and Szegedy 2015, arXiv 1502.03167.
    """
    number = as_number(momentum)
    if number is not None or not training or running_mean is None or running_var is None:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, number or 0.0, eps)
    mean, var = torch.zeros_like(running_mean), torch.zeros_like(running_var)
    result = F.batch_norm(x, mean, var, weight, bias, training=True, momentum=1.0, eps=eps)
    with torch.no_grad():
        share = torch.as_tensor(momentum, device=mean.device).to(mean.dtype)
        running_mean.lerp_(mean, share)
        running_var.lerp_(var, share)
    return result


def tempered(logits: Tensor, temperature: Value) -> Tensor:
    r"""Return logits / temperature, in the type of the logits.

    Args:
        logits: Any shape.
        temperature: Above 0; above 1 flattens the probabilities, below 1 sharpens them.

    >>> tempered(torch.tensor([1.0, 3.0]), 2.0)
    tensor([0.5000, 1.5000])
    """
    return logits / temperature


def temperature_softmax(logits: Tensor, temperature: Value, dim: int = -1) -> Tensor:
    r"""Return the softmax of logits / temperature.

    .. math:: \mathrm{softmax}(z / T)_i = e^{z_i / T} / \sum_j e^{z_j / T}

    Args:
        logits: Any shape.
        temperature: T, above 0.
        dim: Over which dimension the probabilities add up to 1.

    Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.

    >>> temperature_softmax(torch.tensor([0.0, 1.0]), 1e6)
    tensor([0.5000, 0.5000])
    """
    return F.softmax(tempered(logits, temperature), dim=dim)
