"""Nested Python values as a JSON document plus named tensors, and back, with exact types; no pickle.

Made for ``optimizer.state_dict()``, schedulers' states and random states.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ostinato.errors import StorageError
from ostinato.storage.tensors import refusal

__all__ = ["pack", "unpack"]

_DEEPEST = 100
_KIND = "$"
_LONG = 1 << 1024
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def pack(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Split ``value`` into a JSON document and the tensors that it names.

    Args:
        value: any nesting of dict and OrderedDict (int or str keys), list, tuple, None, bool, int, float (with
            infinities and NaN), str, tensors, numpy arrays and numpy scalars (bool, int, float, complex).

    Returns:
        (document, tensors). Tensors are detached, not copied; arrays become uint8 tensors of their bytes.

    Raises:
        StorageError: something else is inside; its path is named. Subclasses are refused too, because the type that
            comes back would be another. Tensor subclasses such as Parameter come back as plain tensors.

    >>> document, tensors = pack({"state": {0: (torch.ones(2), 0.5)}})
    >>> unpack(document, tensors)
    {'state': {0: (tensor([1., 1.]), 0.5)}}
    """
    tensors: dict[str, Tensor] = {}
    return _pack(value, "value", 0, tensors), tensors


def _pack(value: Any, path: str, depth: int, tensors: dict[str, Tensor]) -> Any:
    if depth > _DEEPEST:
        raise StorageError(f"{path[:80]}... is nested deeper than {_DEEPEST} levels; does it contain itself?")
    if type(value) in (dict, OrderedDict, list, tuple):
        return _pack_container(value, path, depth, tensors)
    if isinstance(value, Tensor):
        reason = refusal(value)
        if reason:
            raise StorageError(f"{path} is a tensor that cannot be stored: {reason}")
        return {_KIND: "tensor", "name": _name(value.detach(), tensors)}
    if type(value) is np.ndarray or isinstance(value, np.generic):
        return _pack_numpy(value, path, tensors)
    return _pack_plain(value, path)


def _pack_plain(value: Any, path: str) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -_LONG < value < _LONG else {_KIND: "int", "hex": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {_KIND: "float", "value": str(value)}
    raise StorageError(f"{path} is a {kind.__module__}.{kind.__qualname__}, which cannot be stored without pickle")


def _pack_container(value: Any, path: str, depth: int, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        kind = "ordered" if isinstance(value, OrderedDict) else "dict"
        items = [[_key(key, path), _pack(item, f"{path}[{key!r}]", depth + 1, tensors)] for key, item in value.items()]
        return {_KIND: kind, "items": items}
    entries = [_pack(item, f"{path}[{index}]", depth + 1, tensors) for index, item in enumerate(value)]
    return entries if isinstance(value, list) else {_KIND: "tuple", "items": entries}


def _key(key: Any, path: str) -> int | str:
    if type(key) is int or type(key) is str:
        return key
    raise StorageError(f"{path} has the key {key!r} of type {type(key).__name__}; only int and str keys can be stored")


def _name(tensor: Tensor, tensors: dict[str, Tensor]) -> str:
    name = f"{len(tensors):06d}"
    tensors[name] = tensor
    return name


def _pack_numpy(value: Any, path: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    dtype = value.dtype
    if not _storable(dtype):
        raise StorageError(f"{path} is numpy of dtype {dtype}; only bool, integers, floats and complex can be stored")
    if isinstance(value, np.generic):
        return {_KIND: "scalar", "dtype": dtype.str, "hex": value.tobytes().hex()}
    raw = torch.frombuffer(bytearray(value.tobytes()), dtype=torch.uint8) if value.size else torch.empty(0).byte()
    return {_KIND: "array", "dtype": dtype.str, "shape": list(value.shape), "name": _name(raw, tensors)}


def _storable(dtype: np.dtype[Any]) -> bool:
    """Say whether the dtype is plain numbers of a size that all platforms share."""
    return dtype.kind in "biufc" and dtype.itemsize <= (16 if dtype.kind == "c" else 8)


def unpack(document: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put a value together again from what `pack` returned.

    Args:
        document: the JSON document, as packed or as read back from JSON.
        tensors: the tensors that it names; they are used, not copied.

    Returns:
        The value, equal in values and types: tuples stay tuples, int keys stay int, arrays keep dtype and shape
        (but not their memory order).

    Raises:
        StorageError: the document is damaged, or names a tensor that is not there.
    """
    try:
        return _unpack(document, tensors, 0)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StorageError(f"the packed document is damaged ({type(error).__name__}: {error})") from error


def _unpack(document: Any, tensors: Mapping[str, Tensor], depth: int) -> Any:
    if depth > _DEEPEST:
        raise StorageError(f"the packed document is nested deeper than {_DEEPEST} levels")
    if isinstance(document, list):
        return [_unpack(item, tensors, depth + 1) for item in document]
    if not isinstance(document, dict):
        return document
    kind = document[_KIND]
    if kind in ("dict", "ordered", "tuple"):
        return _unpack_container(document, tensors, depth)
    if kind in ("tensor", "array"):
        raw = _tensor(document["name"], tensors)
        return raw if kind == "tensor" else _numbers(document, raw.cpu().numpy().tobytes()).reshape(document["shape"])
    return _unpack_plain(document)


def _unpack_container(document: Mapping[str, Any], tensors: Mapping[str, Tensor], depth: int) -> Any:
    if document[_KIND] == "tuple":
        return tuple(_unpack(item, tensors, depth + 1) for item in document["items"])
    pairs = [(_key(key, "the document"), _unpack(item, tensors, depth + 1)) for key, item in document["items"]]
    return dict(pairs) if document[_KIND] == "dict" else OrderedDict(pairs)


def _unpack_plain(document: Mapping[str, Any]) -> Any:
    kind = document[_KIND]
    if kind == "float":
        return _NOT_FINITE[document["value"]]
    if kind == "int":
        return int(document["hex"], 16)
    if kind == "scalar":
        return _numbers(document, bytes.fromhex(document["hex"])).reshape(())[()]
    raise StorageError(f"the packed document has an entry of the unknown kind {kind!r}; a newer version wrote it?")


def _tensor(name: str, tensors: Mapping[str, Tensor]) -> Tensor:
    if name not in tensors:
        raise StorageError(f"the packed document names the tensor {name!r}, which is not in its tensor file")
    return tensors[name]


def _numbers(document: Mapping[str, Any], raw: bytes) -> Any:
    dtype = np.dtype(document["dtype"])
    if not _storable(dtype):
        raise StorageError(f"the packed document has numbers of dtype {dtype}, which is never packed")
    return np.frombuffer(raw, dtype=dtype).copy()
