"""What data sets of arrays have in common: checks, class labels, image layout and the split."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ostinato.errors import DataError

__all__ = ["Arrays", "as_inputs", "as_targets", "check_finite", "encode", "split_indices"]

_CHANNELS = (1, 3, 4)

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Arrays(NamedTuple):
    """Training and test arrays (inputs float32, targets int64) with the names of the classes; and examples to choose by, where there are any."""

    train_inputs: Floats
    train_targets: Ints
    test_inputs: Floats
    test_targets: Ints
    labels: tuple[str, ...]
    validation: tuple[Floats, Ints] | None = None


def as_inputs(values: npt.NDArray[Any], where: str, *, images: bool = False) -> Floats:
    """Return inputs as finite float32: uint8 divided by 255, images as (N, C, H, W).

    (N, H, W, C) becomes (N, C, H, W) where only the last axis can be the channels (1, 3 or 4 of them); uint8 arrays
    (N, H, W), and any that are called images, get one channel.

    Args:
        values: One example a row.
        where: File and key, for the message.
        images: Whether (N, H, W) are images even if not uint8.

    Raises:
        DataError: the values are no finite real numbers, or there are none.

    >>> as_inputs(np.full((2, 8, 8, 3), 255, np.uint8), "x").shape
    (2, 3, 8, 8)
    """
    if values.dtype.kind not in "buif":
        raise DataError(f"{where}: holds {values.dtype}, expected real numbers")
    if values.ndim < 2 or 0 in values.shape:
        raise DataError(f"{where}: has shape {values.shape}, expected (examples, ...) with at least one of each")
    inputs = values.astype(np.float32)
    if values.dtype == np.uint8:
        inputs /= np.float32(255)
    check_finite(inputs, where)
    if inputs.ndim == 4 and inputs.shape[3] in _CHANNELS and inputs.shape[1] not in _CHANNELS:
        inputs = np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))
    elif inputs.ndim == 3 and (images or values.dtype == np.uint8):
        inputs = inputs[:, None]
    return inputs


def as_targets(values: npt.NDArray[Any], length: int, where: str) -> npt.NDArray[Any]:
    """Return one label for each example, (N,): (N, 1) is flattened.

    Raises:
        DataError: their number is not ``length``, or there are several for one example.

    >>> as_targets(np.array([[1], [0]]), 2, "y").tolist()
    [1, 0]
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"{where}: has shape {values.shape}, expected one class label for each example, ({length},)")
    if len(values) != length:
        raise DataError(f"{where}: has {len(values)} labels for {length} examples")
    if values.dtype.kind == "f":
        check_finite(values, where)
        whole = values == np.round(values)
        if not whole.all():
            first = int(np.argmin(whole))
            raise DataError(f"{where}: label {values[first]} at index {first} is no class, expected whole numbers")
        values = values.astype(np.int64)
    elif values.dtype.kind not in "buiU":
        raise DataError(f"{where}: holds {values.dtype}, expected whole numbers or text")
    return values


def check_finite(values: npt.NDArray[Any], where: str) -> None:
    """Raise `DataError` naming the first value that is not finite.

    >>> check_finite(np.array([[0.0, np.nan]]), "x")
    Traceback (most recent call last):
        ...
    ostinato.errors.DataError: x: nan at index (0, 1), expected finite numbers
    """
    finite = np.isfinite(values)
    if not finite.all():
        place = np.unravel_index(int(np.argmin(finite)), values.shape)
        index = ", ".join(str(int(part)) for part in place)
        raise DataError(f"{where}: {values[place]} at index ({index}), expected finite numbers")


def encode(train: npt.NDArray[Any], test: npt.NDArray[Any], where: str) -> tuple[Ints, Ints, tuple[str, ...]]:
    """Number the classes of the training labels 0 to C-1 in ascending order.

    Args:
        train: Labels (N,).
        test: Labels (M,), each of which must occur in ``train``.
        where: File and key, for the message.

    Returns:
        Both as int64, and the names of the classes.

    Raises:
        DataError: there is only one class, or a test label that never occurs in training.

    >>> encode(np.array([5, 2, 5]), np.array([2]), "y")
    (array([1, 0, 1]), array([0]), ('2', '5'))
    """
    names, train_targets = np.unique(train, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"{where}: all training labels are {names[0].item()!r}; at least two classes are needed")
    known = np.isin(test, names)
    if not known.all():
        first = int(np.argmin(known))
        raise DataError(f"{where}: test label {test[first].item()!r} at index {first} does not occur in training")
    test_targets = np.searchsorted(names, test)
    return train_targets.astype(np.int64), test_targets.astype(np.int64), tuple(str(name) for name in names.tolist())


def split_indices(targets: npt.NDArray[Any], test: float, seed: int, where: str) -> tuple[Ints, Ints]:
    """Split 0..N-1 into training and test, each class in proportion, by scikit-learn's ``train_test_split``.

    Args:
        targets: Labels (N,).
        test: Share of the test examples, in (0, 1).
        seed: Seed of the split, 0 to 2^32 - 1.
        where: File and key, for the message.

    Returns:
        Ascending indices of both.

    Raises:
        DataError: a class has a single example, or a side would have fewer examples than there are classes.

    >>> train, rest = split_indices(np.repeat([0, 1], 10), 0.2, 0, "y")
    >>> len(train), np.repeat([0, 1], 10)[rest].tolist()
    (16, [0, 0, 1, 1])
    """
    from sklearn.model_selection import train_test_split

    names, counts = np.unique(targets, return_counts=True)
    if len(names) < 2:
        raise DataError(f"{where}: all {len(targets)} labels are {names[0].item()!r}; at least two classes are needed")
    if counts.min() < 2:
        alone = names[int(np.argmin(counts))].item()
        raise DataError(
            f"{where}: class {alone!r} has a single example, each needs two to be in training and in test "
            f"({len(names)} classes in {len(targets)} examples: is this the label?)"
        )
    try:
        train, rest = train_test_split(np.arange(len(targets)), test_size=test, random_state=seed, stratify=targets)
    except ValueError as error:
        raise DataError(f"{where}: no stratified split with test = {test}: {' '.join(str(error).split())}") from error
    return np.sort(train).astype(np.int64), np.sort(rest).astype(np.int64)
