"""Losses whose hyperparameter is a buffer, and the softmax temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from ostinato.core.domains import PROBABILITY, RATE, Domain
from ostinato.nn import functional
from ostinato.nn.values import POSITIVE, ScheduledModule, shown

__all__ = ["FocalLoss", "LabelSmoothingCrossEntropy", "Temperature"]


class LabelSmoothingCrossEntropy(ScheduledModule, nn.CrossEntropyLoss):
    """`torch.nn.CrossEntropyLoss` with its label smoothing in a buffer; see `ostinato.nn.functional.label_smoothing_cross_entropy`.

    Args:
        weight: A weight for each class, shape (K,).
        ignore_index: Class targets of this value count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        label_smoothing: Share of the uniform distribution in the targets, in [0, 1].

    Shape: logits (N, K), (K,) or (N, K, d1, ...); targets are classes without the K, or probabilities in the logits' shape.

    Raises:
        DomainError: `label_smoothing` is not in [0, 1].

    Source: Szegedy et al. 2016, arXiv 1512.00567.

    >>> import torch
    >>> loss = LabelSmoothingCrossEntropy(label_smoothing=0.1)
    >>> loss.label_smoothing = 0.05
    >>> loss, loss(torch.zeros(1, 2), torch.tensor([0]))
    (LabelSmoothingCrossEntropy(label_smoothing=0.05), tensor(0.6931))
    """

    __constants__ = ["ignore_index", "reduction"]  # noqa: RUF012  # torch reads a list
    scheduled: ClassVar[Mapping[str, Domain]] = {"label_smoothing": PROBABILITY}
    label_smoothing: Tensor  # type: ignore[assignment]  # torch's is a number

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing)

    def extra_repr(self) -> str:
        return f"label_smoothing={shown(self.label_smoothing)}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.label_smoothing_cross_entropy(
            input,
            target,
            self.label_smoothing,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class FocalLoss(ScheduledModule):
    """Focal loss over classes with its focus gamma in a buffer; see `ostinato.nn.functional.focal_loss`.

    Args:
        gamma: The focus, at least 0; 0 is cross entropy.
        alpha: A weight for each class, shape (K,); it is a buffer and in the `state_dict`, as torch's class weights are.
        ignore_index: Targets of this value count for nothing.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape: logits (N, K), (K,) or (N, K, d1, ...); targets are classes without the K.

    Raises:
        DomainError: `gamma` is below 0.

    Source: Lin et al. 2017, arXiv 1708.02002.

    >>> import torch
    >>> loss = FocalLoss(gamma=2.0)
    >>> loss, loss(torch.zeros(1, 2), torch.tensor([0]))
    (FocalLoss(gamma=2), tensor(0.1733))
    """

    scheduled: ClassVar[Mapping[str, Domain]] = {"gamma": RATE}
    gamma: Tensor
    alpha: Tensor | None

    def __init__(
        self, gamma: float = 2.0, *, alpha: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.register_buffer("alpha", alpha)
        self.gamma = gamma  # type: ignore[assignment]  # a number fills the buffer
        self.ignore_index = ignore_index
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"gamma={shown(self.gamma)}"

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return functional.focal_loss(
            input, target, self.gamma, alpha=self.alpha, ignore_index=self.ignore_index, reduction=self.reduction
        )


class Temperature(ScheduledModule):
    """Divides logits by a temperature held in a buffer; put it before a softmax or a cross entropy.

    Args:
        temperature: Above 0; above 1 flattens the probabilities, below 1 sharpens them.

    Shape: any; the result has that of the input.

    Raises:
        DomainError: `temperature` is not above 0.

    Source: Hinton et al. 2015, arXiv 1503.02531.

    >>> import torch
    >>> Temperature(2.0)(torch.tensor([1.0, 3.0]))
    tensor([0.5000, 1.5000])
    """

    scheduled: ClassVar[Mapping[str, Domain]] = {"temperature": POSITIVE}
    temperature: Tensor

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature  # type: ignore[assignment]  # a number fills the buffer

    def extra_repr(self) -> str:
        return f"temperature={shown(self.temperature)}"

    def forward(self, input: Tensor) -> Tensor:
        return functional.tempered(input, self.temperature)
