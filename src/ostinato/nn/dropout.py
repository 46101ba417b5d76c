"""Dropout and stochastic depth whose probability is a buffer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ostinato.core.domains import PROBABILITY, Domain
from ostinato.errors import DomainError
from ostinato.nn import functional
from ostinato.nn.random_layers import Draw, RandomLayer
from ostinato.nn.values import ScheduledModule, shown

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "StochasticDepth"]


class _ScheduledDropout(ScheduledModule, _DropoutNd):
    """What the dropout modules share: the probability `p` as a buffer."""

    __constants__ = ["inplace"]  # noqa: RUF012  # torch reads a list
    scheduled: ClassVar[Mapping[str, Domain]] = {"p": PROBABILITY}
    p: Tensor  # type: ignore[assignment]  # torch's is a number

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(self._checked("p", p), inplace)

    def extra_repr(self) -> str:
        return f"p={shown(self.p)}, inplace={self.inplace}"


class Dropout(_ScheduledDropout, nn.Dropout):
    r"""`torch.nn.Dropout` with its probability in a buffer; see `ostinato.nn.functional.dropout` for formula and random stream.

    .. math:: y = x \cdot m / (1 - p), \quad m \sim \mathrm{Bernoulli}(1 - p)

    Args:
        p: Probability in [0, 1] that an element becomes 0.
        inplace: Overwrite the input.

    Shape: any; the result has that of the input. In evaluation the input itself is returned.

    Raises:
        DomainError: `p` is no probability.

    Source: Srivastava et al. 2014, JMLR 15.

    >>> module = Dropout(0.1)
    >>> module.p = 0.3                         # fills the buffer
    >>> module, module.p, dict(module.state_dict())
    (Dropout(p=0.3, inplace=False), tensor(0.3000), {})
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_ScheduledDropout, nn.Dropout1d):
    """`torch.nn.Dropout1d` with its probability in a buffer: whole channels of (N, C, L) or (C, L) become 0.

    Args:
        p: Probability in [0, 1] that a channel becomes 0; the others are divided by 1 - p.
        inplace: Overwrite the input.

    Raises:
        DomainError: `p` is no probability.

    Source: Tompson et al. 2015, arXiv 1411.4280.

    >>> import torch
    >>> Dropout1d(1.0)(torch.ones(1, 2, 2)).sum()
    tensor(0.)
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_ScheduledDropout, nn.Dropout2d):
    """`torch.nn.Dropout2d` with its probability in a buffer: whole channels of (N, C, H, W) become 0.

    Args:
        p: Probability in [0, 1] that a channel becomes 0; the others are divided by 1 - p.
        inplace: Overwrite the input.

    Raises:
        DomainError: `p` is no probability.

    Source: Tompson et al. 2015, arXiv 1411.4280.

    >>> import torch
    >>> Dropout2d(1.0)(torch.ones(1, 2, 2, 2)).sum()
    tensor(0.)
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_ScheduledDropout, nn.Dropout3d):
    """`torch.nn.Dropout3d` with its probability in a buffer: whole channels of (N, C, D, H, W) or (C, D, H, W) become 0.

    Args:
        p: Probability in [0, 1] that a channel becomes 0; the others are divided by 1 - p.
        inplace: Overwrite the input.

    Raises:
        DomainError: `p` is no probability.

    Source: Tompson et al. 2015, arXiv 1411.4280.

    >>> import torch
    >>> Dropout3d(1.0)(torch.ones(1, 2, 2, 2, 2)).sum()
    tensor(0.)
    """

    def forward(self, input: Tensor) -> Tensor:
        return functional.dropout3d(input, self.p, self.training, self.inplace)


class StochasticDepth(RandomLayer):
    """Drops a residual branch for whole samples, with the probability in a buffer; see `ostinato.nn.functional.drop_path`.

    Args:
        p: Probability in [0, 1] that a sample becomes 0; the others are divided by 1 - p.
        mode: ``"row"`` decides for each sample, ``"batch"`` for all of them at once.

    Shape: (N, ...); the result has that of the input. In evaluation the input itself is returned.

    Raises:
        DomainError: `p` is no probability, or `mode` is neither.

    Source: Huang et al. 2016, arXiv 1603.09382.

    >>> import torch
    >>> branch = StochasticDepth(0.2)
    >>> branch.eval()(torch.ones(2)), branch
    (tensor([1., 1.]), StochasticDepth(p=0.2, mode=row))
    """

    scheduled: ClassVar[Mapping[str, Domain]] = {"p": PROBABILITY}
    p: Tensor

    def __init__(self, p: float = 0.1, mode: Literal["row", "batch"] = "row") -> None:
        super().__init__()
        if mode not in ("row", "batch"):
            raise DomainError(f"StochasticDepth.mode: got {mode!r}, expected 'row' or 'batch'")
        self.p = p  # type: ignore[assignment]  # a number fills the buffer
        self.mode: Literal["row", "batch"] = mode

    def extra_repr(self) -> str:
        return f"p={shown(self.p)}, mode={self.mode}"

    def forward(self, input: Tensor) -> Tensor:
        return functional.drop_path(input, self.p, self.training, self.mode)

    def transformed(self, input: Tensor, draw: Draw) -> Tensor:
        shape = (input.shape[0] if self.mode == "row" else 1, *(1 for _ in input.shape[1:]))
        return functional.thinned(input, draw(shape), self.p)
