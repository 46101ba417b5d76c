"""The order of the data: which examples make which batch, as a pure function of (seed, epoch, batch)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ostinato.checks import whole
from ostinato.errors import ConfigError

__all__ = ["EpochOrder"]

_ORDER = 1  # a stream of the seed; fetching has the next one


@dataclass(frozen=True)
class EpochOrder:
    """Which examples make batch b of epoch e: a pure function of (seed, e, b).

    An epoch has ceil(length / batch_size) batches, or floor with ``drop_last``. All have ``batch_size`` examples
    but the last, which has the rest. If that rest is smaller than ``smallest``, the batch before lends it what is
    missing (where it keeps ``smallest`` itself): batch normalisation cannot train on a single example.

    Attributes:
        length: Number of examples, at least 1.
        batch_size: Examples of a batch, over all processes.
        seed: Any whole number >= 0.
        shuffle: A new permutation each epoch; otherwise 0, 1, 2, ...
        drop_last: Leave out a last batch that is not full.
        smallest: Examples that the last batch should have at least.

    Raises:
        ConfigError: a value is out of range, or ``drop_last`` leaves no batch.

    >>> order = EpochOrder(5, 2, seed=0, shuffle=False)
    >>> order.batches, [order.batch(0, index).tolist() for index in range(3)]
    (3, [[0, 1], [2, 3], [4]])
    >>> order = EpochOrder(9, 4, seed=0)
    >>> [order.size(index) for index in range(order.batches)]
    [4, 3, 2]
    """

    length: int
    batch_size: int
    seed: int
    shuffle: bool = True
    drop_last: bool = False
    smallest: int = 2

    def __post_init__(self) -> None:
        for name, least in (("length", 1), ("batch_size", 1), ("seed", 0), ("smallest", 1)):
            object.__setattr__(self, name, whole(name, getattr(self, name), least))
        if self.batches == 0:
            raise ConfigError(
                f"batch_size: {self.length} examples fill no batch of {self.batch_size}, and drop_last drops the rest; "
                f"write batch_size = {self.length} or less"
            )

    @property
    def batches(self) -> int:
        """Number of batches of an epoch."""
        return self.length // self.batch_size if self.drop_last else -(-self.length // self.batch_size)

    def steps(self, accumulate: int = 1) -> int:
        """Number of updates of an epoch, ceil(batches / accumulate)."""
        if accumulate < 1:
            raise ConfigError(f"accumulate: got {accumulate!r}, expected a whole number > 0")
        return -(-self.batches // accumulate)

    def indices(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the order of all examples in an epoch, int64 (length,), read-only."""
        if epoch < 0:
            raise ConfigError(f"epoch: got {epoch}, expected a whole number >= 0")
        return _permutation(self.length, self.seed, epoch if self.shuffle else -1)

    def batch(self, epoch: int, index: int) -> npt.NDArray[np.int64]:
        """Return the examples of one batch, int64, without looking at those before."""
        start, stop = self._range(index)
        return self.indices(epoch)[start:stop]

    def size(self, index: int) -> int:
        """Return the number of examples of batch ``index``, over all processes."""
        start, stop = self._range(index)
        return stop - start

    def _range(self, index: int) -> tuple[int, int]:
        if not 0 <= index < self.batches:
            raise ConfigError(f"batch: got {index}, expected 0 to {self.batches - 1}")
        last = self.batches - 1
        border = last * self.batch_size  # where the last batch starts
        rest = self.length - border
        if not self.drop_last and last > 0 and rest < self.smallest and self.batch_size + rest >= 2 * self.smallest:
            border = self.length - self.smallest
        if index < last:
            return index * self.batch_size, border if index == last - 1 else (index + 1) * self.batch_size
        return border, min(self.length, border + self.batch_size)


@lru_cache(maxsize=4)
def _permutation(length: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    if epoch < 0:
        order = np.arange(length, dtype=np.int64)
    else:
        order = np.random.default_rng((_ORDER, seed, epoch)).permutation(length).astype(np.int64, copy=False)
    order.flags.writeable = False
    return order
