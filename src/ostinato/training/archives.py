"""Files of arrays: NPZ archives and the idx format of MNIST."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import DataError
from ostinato.training.arrays import Arrays, as_inputs, as_targets, encode, split_indices

__all__ = ["read_idx", "read_npz"]

_LAYOUTS = (
    ("x_train", "y_train", "x_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read a gzipped idx file of bytes: labels (N,) or images (N, H, W).

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian
    32-bit number, then the bytes (Y. LeCun, C. Cortes, C. Burges, *The MNIST database*).

    Raises:
        DataError: the file is missing, cut short, not idx, or longer or shorter than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as gzip: {error}; delete it and get it again") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise DataError(
            f"{path}: starts with {content[:4].hex()}, expected an idx file of bytes (00000801 or 00000803)"
        )
    rank = content[3]
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(f"{path}: ends inside its header of {start} bytes")
    shape = struct.unpack(f">{rank}I", content[4:start])
    expected = int(np.prod([int(side) for side in shape], dtype=object))
    if len(content) - start != expected:
        raise DataError(f"{path}: has {len(content) - start} bytes of data, its header {shape} says {expected}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_npz(path: Path, test: float | None, split_seed: int | None) -> Arrays:
    """Read an NPZ archive without pickle.

    Understood are the keys ``x_train, y_train, x_test, y_test``; ``train_images, train_labels, test_images,
    test_labels`` (MedMNIST; its validation set is not used); and ``X, y`` or ``x, y``, which are split by class. Of
    these last, features (N, F) that are not uint8 are standardised by the training examples. Layout and scaling are
    those of `as_inputs`; classes are numbered as in `encode`.

    Args:
        path: The file.
        test: Share of the test examples, for ``X, y`` only; None is 0.2.
        split_seed: Seed of that split; None is 0.

    Raises:
        DataError: the file is missing, damaged, holds pickled objects or other keys, or has values out of range.
    """
    arrays = _open(path)
    for layout in _LAYOUTS:
        if all(key in arrays for key in layout):
            if test is not None or split_seed is not None:
                raise DataError(f"{path}: has its own test set {layout[2]!r}; leave test and split_seed out")
            return _with_test_set(path, arrays, layout)
    key = next((name for name in ("X", "x") if name in arrays and "y" in arrays), None)
    if key is None:
        found = ", ".join(arrays) or "none"
        wanted = " or ".join(", ".join(layout) for layout in (*_LAYOUTS, ("X", "y")))
        raise DataError(f"{path}: has the keys {found}; expected {wanted}")
    return _without_test_set(path, arrays, key, 0.2 if test is None else test, split_seed or 0)


def _open(path: Path) -> dict[str, npt.NDArray[Any]]:
    if not path.is_file():
        raise DataError(f"{path}: {'is a directory' if path.is_dir() else 'no such file'}, expected an NPZ file")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path}: is no NPZ archive, or is cut short; get it again, or save it by numpy.savez")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {key: np.asarray(archive[key]) for key in archive.files}
    except Exception as error:  # zipfile and numpy raise a dozen kinds on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        if "allow_pickle" in reason:
            reason = "it holds pickled objects, which are never loaded; save plain arrays of numbers"
        raise DataError(f"{path}: cannot be read: {reason}") from error


def _with_test_set(path: Path, arrays: dict[str, npt.NDArray[Any]], layout: tuple[str, ...]) -> Arrays:
    images = "images" in layout[0]
    inputs = [as_inputs(arrays[key], f"{path}: {key}", images=images) for key in (layout[0], layout[2])]
    if inputs[0].shape[1:] != inputs[1].shape[1:]:
        shapes = f"{inputs[0].shape[1:]} in {layout[0]}, {inputs[1].shape[1:]} in {layout[2]}"
        raise DataError(f"{path}: examples differ in shape: {shapes}")
    labels = [
        as_targets(arrays[key], len(values), f"{path}: {key}")
        for key, values in zip((layout[1], layout[3]), inputs, strict=True)
    ]
    train, test, names = encode(labels[0], labels[1], f"{path}: {layout[1]}, {layout[3]}")
    return Arrays(inputs[0], train, inputs[1], test, names)


def _without_test_set(path: Path, arrays: dict[str, npt.NDArray[Any]], key: str, test: float, seed: int) -> Arrays:
    features, labels = arrays[key], arrays["y"]
    inputs = as_inputs(features, f"{path}: {key}")
    targets = as_targets(labels, len(inputs), f"{path}: y")
    train, rest = split_indices(targets, test, seed, f"{path}: y")
    first, second, names = encode(targets[train], targets[rest], f"{path}: y")
    if features.ndim == 2 and features.dtype != np.uint8:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(features[train].astype(np.float64))
        inputs = scaler.transform(features.astype(np.float64)).astype(np.float32)
    return Arrays(inputs[train], first, inputs[rest], second, names)
