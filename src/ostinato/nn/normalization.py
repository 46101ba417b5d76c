"""Batch norm whose momentum is a buffer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ostinato.core.domains import PROBABILITY, Domain
from ostinato.nn import functional
from ostinato.nn.values import ScheduledModule, as_number, shown

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


class _ScheduledBatchNorm(ScheduledModule, _BatchNorm):
    """What the batch norms share: the momentum as a buffer, or None for the mean over all batches so far."""

    __constants__ = ["track_running_stats", "eps", "num_features", "affine"]  # noqa: RUF012  # torch reads a list
    scheduled: ClassVar[Mapping[str, Domain]] = {"momentum": PROBABILITY}
    momentum: Tensor | None  # type: ignore[assignment]  # torch's is a number

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        momentum, place = self._buffers.get("momentum"), self._place()
        if momentum is not None and place is not None and place != momentum.device:
            self._buffers["momentum"] = momentum.to(place)

    def _place(self) -> torch.device | None:
        homes = (self._buffers.get("running_mean"), self._parameters.get("weight"))
        return next((tensor.device for tensor in homes if tensor is not None), super()._place())

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={shown(self.momentum)}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)  # type: ignore[no-untyped-call]  # torch does not say what it returns
        own = self.running_mean is None and self.running_var is None
        tracked = not self.training or self.track_running_stats
        return functional.batch_norm(
            input,
            self.running_mean if tracked else None,
            self.running_var if tracked else None,
            self.weight,
            self.bias,
            training=self.training or own,
            momentum=self._share(),
            eps=self.eps,
        )

    def _share(self) -> Tensor | float:
        """Count the batch, and return the weight that it gets in the running statistics."""
        count = self.num_batches_tracked
        if not (self.training and self.track_running_stats) or count is None:
            return 0.0 if self.momentum is None else self.momentum
        count.add_(1)
        if self.momentum is not None:
            return self.momentum
        number = as_number(count)
        return 1.0 / (count if number is None else number)


class BatchNorm1d(_ScheduledBatchNorm, nn.BatchNorm1d):
    r"""`torch.nn.BatchNorm1d` with its momentum in a buffer; see `ostinato.nn.functional.batch_norm`.

    .. math:: running \leftarrow (1 - momentum) \cdot running + momentum \cdot batch

    Args:
        num_features: C of an input of shape (N, C) or (N, C, L).
        eps: Added to the variance.
        momentum: Weight of the new batch, in [0, 1]; small means slow. None takes the mean of all batches so far.
        affine: Whether there are a weight and a bias of shape (C,).
        track_running_stats: Whether there are running statistics.
        device: Of parameters and buffers.
        dtype: Of parameters and running statistics; the momentum stays float32.
        bias: Whether there is a bias.

    Raises:
        DomainError: `momentum` is not in [0, 1].

    Source: Ioffe and Szegedy 2015, arXiv 1502.03167.

    >>> module = BatchNorm1d(3, momentum=0.1)
    >>> module.momentum = 0.25
    >>> module
    BatchNorm1d(3, eps=1e-05, momentum=0.25, affine=True, bias=True, track_running_stats=True)
    >>> sorted(module.state_dict())
    ['bias', 'num_batches_tracked', 'running_mean', 'running_var', 'weight']
    """


class BatchNorm2d(_ScheduledBatchNorm, nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` with its momentum in a buffer: inputs of shape (N, C, H, W); the rest as `BatchNorm1d`.

    >>> BatchNorm2d(3, momentum=None)
    BatchNorm2d(3, eps=1e-05, momentum=None, affine=True, bias=True, track_running_stats=True)
    """


class BatchNorm3d(_ScheduledBatchNorm, nn.BatchNorm3d):
    """`torch.nn.BatchNorm3d` with its momentum in a buffer: inputs of shape (N, C, D, H, W); the rest as `BatchNorm1d`.

    >>> BatchNorm3d(2)(torch.ones(1, 2, 1, 2, 2)).shape
    torch.Size([1, 2, 1, 2, 2])
    """
