"""Examples in one form, whatever they were read from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ostinato.errors import DataError

__all__ = ["Data", "Split", "check_classes", "digest_of"]


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


def digest_of(*splits: Split) -> str:
    """Return the SHA-256 over dtypes, shapes and values."""
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.inputs, split.targets):
            array = np.ascontiguousarray(tensor.numpy())
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(array.data)
    return digest.hexdigest()


def check_classes(targets: npt.NDArray[Any], classes: int, where: str) -> None:
    """Check that targets are classes.

    Raises:
        DataError: One is below 0, or not below the number of classes.
    """
    bad = (targets < 0) | (targets >= classes)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(f"{where}: label {targets[first]} at index {first}, expected 0 to {classes - 1}")
