"""Classes of unequal size: the long tail that is cut from a balanced data set, and published data that have it by themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.checks import is_finite
from ostinato.errors import ConfigError, DataError
from ostinato.training.archives import read_npz
from ostinato.training.arrays import Arrays, as_inputs, as_targets, split_indices
from ostinato.training.downloads import RemoteFile, locate
from ostinato.training.tables import read_csv

__all__ = ["EXTRA", "FILES", "long_tail", "long_tailed_rows", "read"]

EXTRA = "pip install 'ostinato[imbalance]'"
"""What to type where imbalanced-learn is missing."""

_HELD = 0.4  # of the examples of data without a test set of its own: half to choose by, half to test on

FILES = {
    "stroke": (
        "imbalanced",
        RemoteFile("stroke_train_2v.csv", "35dd6332b629c878b9c4b544a1d48f91e4a4121bf20a08ec19c11ffee900fb3a", ()),
    ),
    "cover": (
        "imbalanced",
        RemoteFile("10_cover.npz", "945a097c3542ae81a551bf1c06dcad78a755d94f84fcaf1d60687e42d1a656df", ()),
    ),
    "pneumoniamnist": (
        "pneumoniamnist",
        RemoteFile(
            "pneumoniamnist_rebuilt.npz", "ce8250bf5debc3c389b89affcc1d9feac579b26e875a848301e9f937bb0c2eee", ()
        ),
    ),
}
"""From the name of a data set to its folder and its file. They are not fetched: their licences or checksums are not settled."""


def read(name: str, split_seed: int | None = None) -> Arrays:
    """Read a published data set whose classes are unequal, with examples to choose by beside the test set.

    - ``stroke``: 43,400 patients, 1.8 % with a stroke; the column ``id`` is left out, missing values are treated as `read_csv` says (median of the
      training rows and an indicator; a category of its own). T. Liu, W. Fan, C. Wu 2019, Mendeley Data, doi 10.17632/x8ygrw87jw.1.
    - ``cover``: 286,048 patches of forest, 0.96 % of the rare kind, 10 standardised features. J. Blackard and Colorado State University, UCI, as
      reduced by ADBench (S. Han et al. 2022, arXiv 2206.09426). Nearly every method separates it: no data to show that one helps.
    - ``pneumoniamnist``: 4,708, 524 and 624 chest X-rays of 28 x 28, most of them with a pneumonia; the parts are the publisher's. J. Yang et al.
      2023, MedMNIST v2, arXiv 2110.14795.

    Args:
        name: One of `FILES`.
        split_seed: Of the division into 60 % to train, 20 % to choose by and 20 % to test, by class; None is 0.

    Raises:
        DataError: The file is not there or another one, or the data has parts of its own and `split_seed` is given.
    """
    folder, file = FILES[name]
    path = locate(folder, {"file": file})["file"]
    if name == "pneumoniamnist":
        if split_seed is not None:
            raise DataError(f"{name}: has its own test set; leave split_seed out")
        return read_npz(path, None, None)._replace(validation=_published_validation(path))
    if name == "stroke":
        return _halved(read_csv(path, "stroke", ("id",), _HELD, split_seed or 0), split_seed or 0, name)
    return _halved(read_npz(path, _HELD, split_seed or 0), split_seed or 0, name)


def _halved(arrays: Arrays, seed: int, where: str) -> Arrays:
    """Return arrays with half of the test examples, by class, to choose by."""
    inputs, targets = arrays.test_inputs, arrays.test_targets
    chosen, rest = split_indices(targets, 0.5, seed, where)
    return arrays._replace(
        test_inputs=inputs[rest], test_targets=targets[rest], validation=(inputs[chosen], targets[chosen])
    )


def _published_validation(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    with np.load(path, allow_pickle=False) as archive:
        images, labels = archive["val_images"], archive["val_labels"]
    inputs = as_inputs(images, f"{path}: val_images", images=True)
    return inputs, as_targets(labels, len(inputs), f"{path}: val_labels").astype(np.int64)


def long_tail(most: int, ratio: float, classes: int) -> tuple[int, ...]:
    r"""Return the sizes of long-tailed classes, the largest first.

    .. math:: n_k = \lfloor n_0 \cdot \rho^{-k / (C - 1)} \rfloor, \quad k = 0 \dots C - 1

    Args:
        most: Examples of the largest class, :math:`n_0`.
        ratio: Largest over smallest class, :math:`\rho \ge 1`.
        classes: Their number C, at least 2.

    Raises:
        ConfigError: `ratio` is below 1.
        DataError: There are fewer than two classes, or the smallest one would be empty.

    Source: Cui et al. 2019, Class-Balanced Loss Based on Effective Number of Samples, arXiv 1901.05555.

    >>> long_tail(4000, 100, 10)
    (4000, 2397, 1437, 861, 516, 309, 185, 111, 66, 40)
    """
    if not is_finite(ratio) or ratio < 1:
        raise ConfigError(f"ratio: got {ratio!r}, expected a number >= 1, the largest class over the smallest")
    if classes < 2:
        raise DataError(f"long_tail: got {classes} classes, expected at least two")
    sizes = tuple(math.floor(most * ratio ** (-k / (classes - 1)) + 1e-9) for k in range(classes))
    if sizes[-1] < 1:
        raise DataError(
            f"ratio: {ratio:g} to 1 leaves the smallest class empty beside {most} examples; lower it to at most {most}"
        )
    return sizes


def long_tailed_rows(
    targets: Any, *, ratio: float = 100.0, seed: int = 0, most: int | None = None, order: Sequence[int] | None = None
) -> npt.NDArray[np.int64]:
    """Return which examples make a long-tailed training set, by imbalanced-learn's ``make_imbalance``.

    Args:
        targets: The class of each example, whole numbers 0 to C-1, (N,).
        ratio: Largest over smallest class, as in `long_tail`.
        seed: Of the draw, without replacement, 0 to 2^32 - 1.
        most: Examples of the largest class; by default as many as leave every class enough.
        order: The classes from the largest to the smallest; by default 0 to C-1, as the field has it.

    Returns:
        Rows in ascending order.

    Raises:
        ConfigError: imbalanced-learn is not installed, or `ratio`, `most` or `order` cannot be.
        DataError: The labels are no whole numbers, of one class only, or a class has no or too few examples.

    >>> targets = np.arange(40) % 4
    >>> np.bincount(targets[long_tailed_rows(targets, ratio=8)]).tolist()
    [10, 5, 2, 1]
    """
    labels = _classes(targets)
    counts = np.bincount(labels)
    ranked = list(range(len(counts))) if order is None else [int(one) for one in order]
    if sorted(ranked) != list(range(len(counts))):
        raise ConfigError(f"order: got {ranked}, expected each class from 0 to {len(counts) - 1} once")
    room = [float(counts[one]) * max(ratio, 1.0) ** (k / (len(ranked) - 1)) for k, one in enumerate(ranked)]
    sizes = long_tail(math.floor(min(room) + 1e-9) if most is None else most, ratio, len(ranked))
    for size, one in zip(sizes, ranked, strict=True):
        if size > counts[one]:
            raise DataError(f"class {one}: has {counts[one]} examples, {size} are wanted; lower most, or leave it out")
    from sklearn.utils import check_random_state

    drawn, _ = _make_imbalance()(
        np.arange(len(labels))[:, None],
        labels,
        sampling_strategy=dict(zip(ranked, sizes, strict=True)),
        random_state=check_random_state(seed),
    )
    return np.sort(np.asarray(drawn)[:, 0]).astype(np.int64)


def _classes(targets: Any) -> npt.NDArray[np.int64]:
    """Return labels as class numbers of which each has an example."""
    values = np.asarray(targets)
    labels = as_targets(values, len(values), "targets")
    if labels.dtype.kind == "U":
        raise DataError("targets: hold text, expected class numbers from 0")
    labels = labels.astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise DataError(f"targets: got the class {labels.min()}, expected whole numbers from 0")
    counts = np.bincount(labels)
    if len(counts) < 2 or (counts > 0).sum() < 2:
        raise DataError(
            f"targets: all {len(labels)} labels are {labels[0] if len(labels) else None}; at least two classes are needed"
        )
    if not counts.all():
        raise DataError(
            f"targets: class {int(np.argmin(counts > 0))} of 0 to {len(counts) - 1} has no example; number the classes anew"
        )
    return labels


def _make_imbalance() -> Any:
    try:
        from imblearn.datasets import make_imbalance
    except ImportError as error:
        raise ConfigError(f"imbalanced data: imbalanced-learn is not installed; type: {EXTRA}") from error
    return make_imbalance
