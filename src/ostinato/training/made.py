"""Data that a function of one's own makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from ostinato._data.seeding import seeded
from ostinato.checks import is_whole
from ostinato.errors import DataError
from ostinato.training.arrays import as_inputs, as_targets
from ostinato.training.examples import Data, Split, check_classes, digest_of
from ostinato.training.factories import call_factory, load_factory

__all__ = ["from_factory", "targets_of"]


def from_factory(factory: str, args: dict[str, Any]) -> Data:
    """Return what a factory, named ``module:function``, makes of its arguments: see `ostinato.training.datasets.load`.

    Raises:
        DataError: It returned something else.
    """
    made = call_factory(load_factory(factory, "data"), args, {}, "data")
    if isinstance(made, Data):
        return made
    if not isinstance(made, tuple | list) or len(made) not in (2, 3):
        raise DataError(
            f"{factory}: returned a {type(made).__name__}, expected Data, (train, test) or (train, test, classes)"
        )
    train, test = (
        _as_dataset(part, f"{factory}: {side}") for part, side in zip(made[:2], ("train", "test"), strict=True)
    )
    classes = _count_classes(train, test, made[2] if len(made) == 3 else None, factory)
    shape = _shape(train, f"{factory}: train")
    if _shape(test, f"{factory}: test") != shape:
        raise DataError(f"{factory}: train has inputs {shape}, test {_shape(test, factory)}")
    named = getattr(train, "classes", None)
    labels = tuple(map(str, named if isinstance(named, Sequence) and len(named) == classes else range(classes)))
    if isinstance(train, Split) and isinstance(test, Split):
        return Data(factory, train, test, classes, shape, digest_of(train, test), labels)
    lengths = [len(train), len(test)]  # type: ignore[arg-type]  # map-style by then: they have lengths
    identity = json.dumps([factory, args, lengths], sort_keys=True, default=str)
    return Data(factory, train, test, classes, shape, hashlib.sha256(identity.encode()).hexdigest(), labels)


def _as_dataset(part: Any, where: str) -> Dataset[Any]:
    if isinstance(part, TensorDataset) and type(part) is TensorDataset and len(part.tensors) == 2:
        kinds = tuple(tensor.dtype for tensor in part.tensors)
        return Split(*part.tensors) if kinds == (torch.float32, torch.int64) and part.tensors[1].ndim == 1 else part
    if isinstance(part, tuple | list) and len(part) == 2:
        arrays = [item.detach().cpu().numpy() if isinstance(item, Tensor) else np.asarray(item) for item in part]
        inputs = as_inputs(arrays[0], f"{where} inputs")
        targets = as_targets(arrays[1], len(inputs), f"{where} targets")
        if targets.dtype.kind == "U":
            raise DataError(f"{where} targets: hold text, expected class numbers from 0")
        return Split(torch.from_numpy(inputs), torch.from_numpy(targets.astype(np.int64)))
    if isinstance(part, IterableDataset) or not (hasattr(part, "__len__") and hasattr(part, "__getitem__")):
        raise DataError(f"{where}: got a {type(part).__name__}, expected a map-style data set or (inputs, targets)")
    if not len(part):
        raise DataError(f"{where}: is empty")
    dataset: Dataset[Any] = part
    return dataset


def _count_classes(train: Dataset[Any], test: Dataset[Any], given: Any, factory: str) -> int:
    sides = (("train", train), ("test", test))
    known = [(side, targets_of(part)) for side, part in sides]
    if given is None:
        named = getattr(train, "classes", None)
        if isinstance(named, Sequence) and named and not isinstance(named, str):
            given = len(named)
        elif all(targets is not None for _, targets in known):
            given = max(int(targets.max()) for _, targets in known if targets is not None) + 1
        else:
            raise DataError(f"{factory}: cannot count the classes without reading all; return (train, test, classes)")
    if not is_whole(given, 2, of=Integral):
        raise DataError(f"{factory}: got {given!r} classes, expected a whole number >= 2")
    for side, targets in known:
        if targets is not None:
            check_classes(targets, int(given), f"{factory}: {side} targets")
    return int(given)


def targets_of(dataset: Dataset[Any]) -> npt.NDArray[np.int64] | None:
    """Return all targets of a data set that has them at hand."""
    if isinstance(dataset, Subset):
        inner = targets_of(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices)]
    if isinstance(dataset, TensorDataset):
        found: Any = dataset.tensors[-1]
    else:
        found = getattr(dataset, "targets", None)
        found = getattr(dataset, "labels", None) if found is None else found
    if found is None:
        return None
    try:
        values = np.asarray(found)
    except (TypeError, ValueError, RuntimeError):
        return None
    usable = values.ndim == 1 and values.dtype.kind in "iu" and len(values) == len(dataset)  # type: ignore[arg-type]  # map-style: it has a length
    return values.astype(np.int64) if usable else None


def _shape(dataset: Dataset[Any], where: str) -> tuple[int, ...]:
    if isinstance(dataset, Split):
        return tuple(dataset.inputs.shape[1:])
    try:
        with seeded(0):  # looking at an example must not move anybody's random state
            sample = dataset[0]
        inputs, _ = sample
        return tuple(int(side) for side in np.shape(inputs))
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(f"{where}: its first example is no (input, target) of fixed shape ({reason})") from error
