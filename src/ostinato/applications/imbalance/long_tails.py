"""A long tail cut from a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from ostinato.errors import DataError
from ostinato.training.datasets import Data, Split
from ostinato.training.imbalanced import long_tailed_rows

__all__ = ["long_tailed"]


def long_tailed(
    data: Data, *, ratio: float = 100.0, seed: int = 0, most: int | None = None, order: Sequence[int] | None = None
) -> Data:
    """Return a data set whose training examples have a long tail; what it is tested on stays as it is, balanced if it was.

    Args:
        data: With training examples in memory.
        ratio: Largest over smallest class.
        seed: Of the draw.
        most: Examples of the largest class; by default as many as leave every class enough.
        order: The classes from the largest to the smallest; by default 0 to C-1, as the field has it.

    Raises:
        ConfigError: As `long_tailed_rows`.
        DataError: As `long_tailed_rows`; or the training examples are not in memory.

    Source: Cui et al. 2019, arXiv 1901.05555.

    >>> from ostinato.training import datasets, parse_config
    >>> rare = long_tailed(datasets.load(parse_config({}).data), ratio=20)
    >>> rare.train.targets.bincount().tolist()
    [142, 101, 72, 52, 37, 26, 19, 13, 9, 7]
    """
    train = data.train
    if not isinstance(train, Split):
        raise DataError(
            f"{data.name}: a long tail is cut from examples in memory; let the factory return (inputs, targets)"
        )
    rows = long_tailed_rows(train.targets.numpy(), ratio=ratio, seed=seed, most=most, order=order)
    digest = hashlib.sha256(f"{data.digest}{rows.tolist()}".encode()).hexdigest()
    return replace(data, name=f"{data.name}-lt", train=Split(*train.batch(rows)), digest=digest)
