"""Examples to choose by: a part of the training examples in the place of the test examples, which are not looked at."""

from __future__ import annotations

from dataclasses import replace

from ostinato.errors import DataError
from ostinato.training.arrays import split_indices
from ostinato.training.datasets import Data, Split

__all__ = ["with_held_out"]


def with_held_out(data: Data, share: float = 0.2) -> Data:
    """Return data that trains on what is left of the training examples and tests on a share of them, every class in proportion.

    The division is the same every time. Data that has examples to choose by keeps its training examples and is tested on those.

    Raises:
        DataError: The examples are not in memory, or too few.

    >>> from ostinato.training import datasets, parse_config
    >>> data = datasets.load(parse_config({}).data)
    >>> chosen = with_held_out(data)
    >>> len(data.train), len(chosen.train), len(chosen.test)
    (1437, 1149, 288)
    """
    if data.validation is not None:
        return replace(data, test=data.validation, validation=None)
    train = data.train
    if not isinstance(train, Split):
        raise DataError(
            f"{data.name}: a part is held out of examples in memory; let the factory return (inputs, targets)"
        )
    rest, held = split_indices(train.targets.numpy(), share, 0, "train")
    return replace(data, train=Split(*train.batch(rest)), test=Split(*train.batch(held)))
