"""Data sets by name, by file and by factory, in one form.

Names: ``digits`` is scikit-learn's, bundled (E. Alpaydin, C. Kaynak, *Optical Recognition of Handwritten Digits*);
``fashion-mnist`` (H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747) and ``mnist`` (Y. LeCun, C. Cortes) are fetched or
found as `ostinato.training.downloads.locate` says; ``fashion-mnist-lt`` is the first with a long tail. ``stroke``, ``cover`` and
``pneumoniamnist`` are those of `ostinato.training.imbalanced`, in files that one puts there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from ostinato.errors import DataError, suggest
from ostinato.training import imbalanced
from ostinato.training.archives import read_idx, read_npz
from ostinato.training.arrays import Arrays, as_inputs, as_targets, split_indices
from ostinato.training.config import DataConfig
from ostinato.training.downloads import PUBLISHED, locate
from ostinato.training.factories import call_factory, load_factory
from ostinato.training.tables import read_csv

__all__ = ["NAMES", "Data", "Split", "load", "targets_of"]

_LONG_TAILED = "fashion-mnist-lt"
NAMES = ("digits", "fashion-mnist", "mnist", _LONG_TAILED, *imbalanced.FILES)
"""The named data sets."""

_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DIGITS = tuple(str(digit) for digit in range(10))


@dataclass(frozen=True, eq=False)
class Split(Dataset[tuple[Tensor, Tensor]]):
    """Examples in memory, a map-style data set with vectorised access.

    Attributes:
        inputs: float32 (N, ...).
        targets: int64 (N,).

    Raises:
        DataError: dtypes or lengths are others.

    >>> split = Split(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 0]))
    >>> split.batch([2, 0])[0].tolist()
    [[4.0, 5.0], [0.0, 1.0]]
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        kinds = self.inputs.dtype, self.targets.dtype
        if kinds != (torch.float32, torch.int64):
            raise DataError(
                f"Split: got inputs {kinds[0]} and targets {kinds[1]}, expected torch.float32 and torch.int64"
            )
        if self.targets.ndim != 1 or self.inputs.ndim < 1 or len(self.inputs) != len(self.targets):
            shapes = f"inputs {tuple(self.inputs.shape)}, targets {tuple(self.targets.shape)}"
            raise DataError(f"Split: got {shapes}, expected (N, ...) and (N,)")

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]

    def batch(self, indices: Sequence[int] | npt.NDArray[np.int64] | Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs and targets at ``indices``, copied."""
        # a copy, because an order is read-only and torch has no such tensors
        chosen = indices if isinstance(indices, Tensor) else torch.tensor(np.asarray(indices, np.int64))
        return self.inputs[chosen], self.targets[chosen]


@dataclass(frozen=True, eq=False)
class Data:
    """A classification task.

    Attributes:
        name: What it is called in reports.
        train: Training examples, map-style, (input, target).
        test: Test examples.
        classes: Number of classes C; targets are 0 to C-1.
        shape: Shape of one input.
        digest: SHA-256 of the arrays, or of factory, arguments and lengths where there are none.
        labels: Names of the classes.
        validation: Examples to choose by, where the data has some of its own.
    """

    name: str
    train: Dataset[Any]
    test: Dataset[Any]
    classes: int
    shape: tuple[int, ...]
    digest: str
    labels: tuple[str, ...]
    validation: Dataset[Any] | None = None

    def describe(self) -> dict[str, Any]:
        """Return name, digest and sizes as a JSON document."""
        return {"name": self.name, "sha256": self.digest, "train": _length(self.train), "test": _length(self.test)}


def _length(dataset: Dataset[Any]) -> int:
    return len(dataset)  # type: ignore[arg-type]  # every data set here is map-style and has a length


def load(spec: DataConfig) -> Data:
    """Load a data set by name, file or factory.

    - ``digits``: 1,797 images (1, 8, 8), divided by 16, split 80/20 by class with seed 0 unless told otherwise.
    - ``fashion-mnist``, ``mnist``: 60,000 and 10,000 images (1, 28, 28), divided by 255.
    - ``fashion-mnist-lt``: the training images cut to a long tail of 100 to 1 (`long_tailed_rows`), drawn by `split_seed`; the test images as they are.
    - ``stroke``, ``cover``, ``pneumoniamnist``: `ostinato.training.imbalanced.read`.
    - a ``path`` to ``.npz`` (`read_npz`) or ``.csv`` (`read_csv`).
    - a ``factory``, called with ``args``: it returns a `Data`, or (train, test), or (train, test, classes), where train
      and test are map-style torch data sets or pairs of arrays (inputs, targets). Arrays become a `Split` (uint8
      divided by 255, layout as in `as_inputs`). Without ``classes`` they are counted from the targets of both, or taken
      from the data set's ``classes``, ``targets``, ``labels`` or ``tensors``.

    Args:
        spec: The ``[data]`` table.

    Raises:
        DataError: the data is unknown, missing, damaged or not understood.

    >>> data = load(DataConfig(name="digits"))
    >>> data.shape, data.classes, len(data.train), len(data.test)
    ((1, 8, 8), 10, 1437, 360)
    """
    if spec.factory is not None:
        return _from_factory(spec.factory, spec.args)
    if spec.path is not None:
        return _from_file(Path(spec.path).expanduser(), spec)
    if spec.name == "digits":
        return _from_arrays("digits", _digits(spec))
    if spec.name in PUBLISHED:
        if spec.test is not None or spec.split_seed is not None:
            raise DataError(f"{spec.name}: has its own test set; leave test and split_seed out")
        return _from_arrays(spec.name, _published(spec.name))
    if spec.name in NAMES:
        if spec.test is not None:
            raise DataError(f"{spec.name}: what it is tested on is fixed; leave test out")
        if spec.name == _LONG_TAILED:
            return _from_arrays(_LONG_TAILED, _long_tailed(spec.split_seed or 0))
        return _from_arrays(spec.name, imbalanced.read(spec.name, spec.split_seed))
    name = spec.name or ""
    raise DataError(
        f"no data set is named {name!r}{suggest(name, NAMES)}; one's own is an .npz or .csv file, or 'module:factory'"
    )


def _digits(spec: DataConfig) -> Arrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    inputs = (bunch.images / 16.0).astype(np.float32)[:, None]
    targets = bunch.target.astype(np.int64)
    train, test = split_indices(targets, 0.2 if spec.test is None else spec.test, spec.split_seed or 0, "digits")
    return Arrays(inputs[train], targets[train], inputs[test], targets[test], _DIGITS)


def _published(name: str) -> Arrays:
    paths = locate(name)
    parts: list[npt.NDArray[Any]] = []
    for role in ("train", "test"):
        inputs = as_inputs(read_idx(paths[f"{role}_images"]), str(paths[f"{role}_images"]))
        targets = as_targets(read_idx(paths[f"{role}_labels"]), len(inputs), str(paths[f"{role}_labels"]))
        _check_range(targets, 10, str(paths[f"{role}_labels"]))
        parts += [inputs, targets.astype(np.int64)]
    names = _CLOTHES if name == "fashion-mnist" else _DIGITS
    return Arrays(parts[0], parts[1], parts[2], parts[3], names)


def _long_tailed(seed: int) -> Arrays:
    whole = _published("fashion-mnist")
    rows = imbalanced.long_tailed_rows(whole.train_targets, seed=seed)
    return whole._replace(train_inputs=whole.train_inputs[rows], train_targets=whole.train_targets[rows])


def _from_file(path: Path, spec: DataConfig) -> Data:
    kind = path.suffix.lower()
    if kind == ".npz":
        return _from_arrays(path.stem, read_npz(path, spec.test, spec.split_seed))
    if kind == ".csv":
        share = 0.2 if spec.test is None else spec.test
        return _from_arrays(path.stem, read_csv(path, spec.label, spec.drop, share, spec.split_seed or 0))
    raise DataError(f"{path}: has the ending {kind!r}, expected .npz or .csv")


def _from_arrays(name: str, arrays: Arrays) -> Data:
    train = Split(torch.from_numpy(arrays.train_inputs), torch.from_numpy(arrays.train_targets))
    test = Split(torch.from_numpy(arrays.test_inputs), torch.from_numpy(arrays.test_targets))
    shape = tuple(train.inputs.shape[1:])
    if arrays.validation is None:
        return Data(name, train, test, len(arrays.labels), shape, _digest(train, test), arrays.labels)
    validation = Split(*(torch.from_numpy(part) for part in arrays.validation))
    digest = _digest(train, test, validation)
    return Data(name, train, test, len(arrays.labels), shape, digest, arrays.labels, validation)


def _digest(*splits: Split) -> str:
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.inputs, split.targets):
            array = np.ascontiguousarray(tensor.numpy())
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.data)
    return digest.hexdigest()


def _from_factory(factory: str, args: dict[str, Any]) -> Data:
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
        return Data(factory, train, test, classes, shape, _digest(train, test), labels)
    lengths = [len(train), len(test)]  # type: ignore[arg-type]
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
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 2:
        raise DataError(f"{factory}: got {given!r} classes, expected a whole number >= 2")
    for side, targets in known:
        if targets is not None:
            _check_range(targets, int(given), f"{factory}: {side} targets")
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
    usable = values.ndim == 1 and values.dtype.kind in "iu" and len(values) == len(dataset)  # type: ignore[arg-type]
    return values.astype(np.int64) if usable else None


def _shape(dataset: Dataset[Any], where: str) -> tuple[int, ...]:
    if isinstance(dataset, Split):
        return tuple(dataset.inputs.shape[1:])
    from ostinato.training.batches import seeded

    try:
        with seeded(0):  # looking at an example must not move anybody's random state
            sample = dataset[0]
        inputs, _ = sample
        return tuple(int(side) for side in np.shape(inputs))
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise DataError(f"{where}: its first example is no (input, target) of fixed shape ({reason})") from error


def _check_range(targets: npt.NDArray[Any], classes: int, where: str) -> None:
    bad = (targets < 0) | (targets >= classes)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(f"{where}: label {targets[first]} at index {first}, expected 0 to {classes - 1}")
