"""Data sets by name, by file and by factory, in one form.

Names: ``digits`` is scikit-learn's, bundled (E. Alpaydin, C. Kaynak, *Optical Recognition of Handwritten Digits*);
``fashion-mnist`` (H. Xiao, K. Rasul, R. Vollgraf, arXiv 1708.07747) and ``mnist`` (Y. LeCun, C. Cortes) are fetched or
found as `ostinato.training.downloads.locate` says; ``fashion-mnist-lt`` is the first with a long tail. ``stroke``, ``cover`` and
``pneumoniamnist`` are those of `ostinato.training.imbalanced`, in files that one puts there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ostinato.errors import DataError, suggest
from ostinato.training import imbalanced
from ostinato.training.archives import read_idx, read_npz
from ostinato.training.arrays import Arrays, as_inputs, as_targets, split_indices
from ostinato.training.config import DataConfig
from ostinato.training.downloads import PUBLISHED, locate
from ostinato.training.examples import Data, Split, check_classes, digest_of
from ostinato.training.made import from_factory, targets_of
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
        return from_factory(spec.factory, spec.args)
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
        check_classes(targets, 10, str(paths[f"{role}_labels"]))
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
        return Data(name, train, test, len(arrays.labels), shape, digest_of(train, test), arrays.labels)
    validation = Split(*(torch.from_numpy(part) for part in arrays.validation))
    digest = digest_of(train, test, validation)
    return Data(name, train, test, len(arrays.labels), shape, digest, arrays.labels, validation)
