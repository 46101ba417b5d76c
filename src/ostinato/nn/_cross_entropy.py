"""Label smoothing and focal loss with a hyperparameter that takes part as a tensor."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ostinato.errors import DataError
from ostinato.nn.values import as_number

__all__ = ["Value", "focal_loss", "label_smoothing_cross_entropy"]

Value = Tensor | float

_REDUCTIONS = ("none", "mean", "sum")


def label_smoothing_cross_entropy(
    logits: Tensor,
    target: Tensor,
    label_smoothing: Value = 0.0,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Return the cross entropy with targets mixed with the uniform distribution over the K classes.

    .. math:: -\sum_k w_k \left((1 - \epsilon)\, t_k + \epsilon / K\right) \log \mathrm{softmax}(z)_k

    Outside `torch.compile` and in host memory it is `torch.nn.functional.cross_entropy`, bit for bit; elsewhere the same sum with tensors,
    within 1e-6 of it (the order of additions differs).

    Args:
        logits: Shape (N, K), (K,) or (N, K, d1, ...).
        target: Classes of shape (N), () or (N, d1, ...), or probabilities of the logits' shape.
        label_smoothing: The share :math:`\epsilon` of the uniform distribution, in [0, 1].
        weight: A weight for each class, shape (K,).
        ignore_index: Class targets of this value count for nothing.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``: for classes over the weights of the targets that count, for probabilities over the
            targets. The mean over none is NaN, as in torch.

    Source: Szegedy et al. 2016, arXiv 1512.00567.

    >>> label_smoothing_cross_entropy(torch.zeros(1, 4), torch.tensor([2]), torch.tensor(0.1))
    tensor(1.3863)
    """
    number = as_number(label_smoothing)
    if number is not None:
        return F.cross_entropy(
            logits, target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=number
        )
    _check(reduction)
    logits = _as_autocast_wants(logits)
    dim = 0 if logits.dim() == 1 else 1
    classes = logits.shape[dim]
    losses = F.log_softmax(logits, dim)
    share = torch.as_tensor(label_smoothing, device=losses.device).to(losses.dtype)
    weighted = losses if weight is None else losses * _along(weight, losses, dim)
    if target.is_floating_point():
        mixed = target * (1.0 - share) + share / classes
        each = -(weighted * mixed).sum(dim)
        return _reduced(each, reduction, each.numel())
    counts = target != ignore_index
    chosen = _chosen(weighted, torch.where(counts, target, 0), dim)
    each = -((1.0 - share) * chosen + share / classes * weighted.sum(dim))
    each = torch.where(counts, each, 0.0)
    return _reduced(each, reduction, _mass(target, counts, weight, each.dtype) if reduction == "mean" else None)


def focal_loss(
    logits: Tensor,
    target: Tensor,
    gamma: Value = 2.0,
    *,
    alpha: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    r"""Return the cross entropy with well classified samples weighted down.

    .. math:: -\alpha_t (1 - p_t)^\gamma \log p_t, \quad p_t = \mathrm{softmax}(z)_t

    It is computed in float32 at least. For gamma = 0 it is `torch.nn.functional.cross_entropy` with the class weights `alpha`, within 1e-6.
    The paper's form for two classes, with a sigmoid, is this with the logits (0, z) and alpha = (1 - a, a).

    Args:
        logits: Shape (N, K), (K,) or (N, K, d1, ...).
        target: Classes of shape (N), () or (N, d1, ...).
        gamma: The focus, at least 0.
        alpha: A weight for each class, shape (K,).
        ignore_index: Targets of this value count for nothing.
        reduction: ``"none"``, ``"sum"``, or ``"mean"``: over the weights `alpha` of the targets that count, as cross entropy does (the paper
            divides by the number of positive anchors: take ``"sum"`` for that).

    Raises:
        DataError: The targets are no classes.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, arXiv 1708.02002.

    >>> logits, target = torch.tensor([[0.0, 4.0]]), torch.tensor([1])
    >>> bool(focal_loss(logits, target, 2.0) < F.cross_entropy(logits, target))
    True
    """
    _check(reduction)
    if target.is_floating_point():
        raise DataError(f"focal_loss: got targets of type {target.dtype}, expected classes (int64)")
    logits = _as_autocast_wants(logits)
    dim = 0 if logits.dim() == 1 else 1
    dtype = torch.promote_types(logits.dtype, torch.float32)
    counts = target != ignore_index
    log_p = _chosen(F.log_softmax(logits, dim, dtype=dtype), torch.where(counts, target, 0), dim)
    rest = (-torch.expm1(log_p)).clamp_min(
        torch.finfo(dtype).tiny
    )  # 1 - p_t, kept off 0 where the power has no gradient
    each = -(rest**gamma) * log_p
    if alpha is not None:
        each = each * alpha.to(dtype)[torch.where(counts, target, 0)]
    each = torch.where(counts, each, 0.0)
    return _reduced(each, reduction, _mass(target, counts, alpha, dtype) if reduction == "mean" else None).to(
        logits.dtype
    )


def _check(reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise DataError(f"reduction: got {reduction!r}, expected one of {', '.join(map(repr, _REDUCTIONS))}")


def _as_autocast_wants(logits: Tensor) -> Tensor:
    """Return the logits in float32 under autocast, where torch computes losses in it."""
    narrow = logits.dtype in (torch.float16, torch.bfloat16)
    return logits.float() if narrow and torch.is_autocast_enabled(logits.device.type) else logits


def _along(weight: Tensor, like: Tensor, dim: int) -> Tensor:
    """Return a weight a class in a shape that multiplies `like` along its class dimension."""
    return weight.to(like.dtype).reshape(tuple(-1 if place == dim else 1 for place in range(like.dim())))


def _chosen(values: Tensor, target: Tensor, dim: int) -> Tensor:
    """Return the value of each target's class."""
    return values.gather(dim, target.unsqueeze(dim)).squeeze(dim)


def _mass(target: Tensor, counts: Tensor, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return the sum of the weights of the targets that count."""
    if weight is None:
        return counts.sum().to(dtype)
    return torch.where(counts, weight.to(dtype)[torch.where(counts, target, 0)], 0.0).sum()


def _reduced(each: Tensor, reduction: str, mass: Tensor | float | None) -> Tensor:
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" or mass is None else each.sum() / mass
