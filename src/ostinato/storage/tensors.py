"""Named tensors in one safetensors file: each storage once, verified before it is parsed, no pickle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ostinato.atomic import read_bytes, write_bytes
from ostinato.errors import StorageError

__all__ = [
    "TensorFile",
    "check_entry",
    "decode_tensors",
    "encode_tensors",
    "load_tensors",
    "refusal",
    "save_tensors",
    "verify_tensors",
    "view_key",
]

_DTYPES = {
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.complex64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
}
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class TensorFile:
    """What a manifest must know to trust a file of tensors.

    Attributes:
        name: file name without folder.
        sha256: of the whole file, 64 hexadecimal digits.
        bytes: size of the file.
        aliases: {name: stored name} of tied tensors, which the file holds once.

    >>> record = TensorFile("a.safetensors", "0" * 64, 8)
    >>> TensorFile.from_document(record.to_document()) == record
    True
    """

    name: str
    sha256: str
    bytes: int
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)

    def to_document(self) -> dict[str, Any]:
        """Return the record as a JSON document."""
        return {"name": self.name, "sha256": self.sha256, "bytes": self.bytes, "aliases": dict(self.aliases)}

    @classmethod
    def from_document(cls, document: Any) -> TensorFile:
        """Read a record back.

        Raises:
            StorageError: a field is missing, of the wrong kind, or the name is more than a plain file name.
        """
        if not isinstance(document, dict) or set(document) != {"name", "sha256", "bytes", "aliases"}:
            raise StorageError("a tensor file record needs exactly name, sha256, bytes and aliases")
        name, digest, size, aliases = (document[key] for key in ("name", "sha256", "bytes", "aliases"))
        if not _is_plain_name(name):
            raise StorageError(f"{name!r} is not a plain file name; folders, '..' and absolute paths are refused")
        if not (isinstance(digest, str) and len(digest) == 64 and _HEX.issuperset(digest)):
            raise StorageError(f"the record of {name!r} has no SHA-256 (64 hexadecimal digits): {digest!r}")
        if type(size) is not int or size < 0:
            raise StorageError(f"the record of {name!r} has no size in bytes: {size!r}")
        if not isinstance(aliases, dict) or not all(isinstance(stored, str) for stored in aliases.values()):
            raise StorageError(f"the aliases of {name!r} must map names to names")
        return cls(name, digest, size, aliases)


def _is_plain_name(name: Any) -> bool:
    return isinstance(name, str) and bool(name) and name not in {".", ".."} and not set(name) & set("/\\:\0")


def refusal(tensor: Tensor) -> str | None:
    """Return why ``tensor`` cannot be stored, or None.

    >>> refusal(torch.zeros(2))
    >>> refusal(torch.zeros(2, dtype=torch.complex128))
    'its dtype torch.complex128 has no safetensors type; convert it first'
    """
    if is_traceable_wrapper_subclass(tensor):
        return f"it is a {type(tensor).__name__}; gather it into a plain tensor first"
    if tensor.layout != torch.strided:
        return f"its layout is {tensor.layout}; use .to_dense() first"
    if tensor.is_quantized:
        return "it is quantized; use .dequantize() first"
    if tensor.device.type == "meta":
        return "it is on the meta device and has no values"
    if tensor.dtype not in _DTYPES:
        return f"its dtype {tensor.dtype} has no safetensors type; convert it first"
    return None


def view_key(tensor: Tensor) -> tuple[Any, ...]:
    """Return what two tensors share exactly when they are the same view of one storage."""
    return (
        tensor.device,
        tensor.untyped_storage().data_ptr(),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tensor.stride(),
        tensor.dtype,
        tensor.is_conj(),
        tensor.is_neg(),
    )


def _distinct(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Split into tensors to store, each contiguous in memory of its own, and aliases of them."""
    stored: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    views: dict[tuple[Any, ...], str] = {}
    storages: set[int] = set()
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        first = views.setdefault(view_key(tensor), name) if tensor.numel() else name
        if first != name:
            aliases[name] = first
            continue
        dense = tensor.cpu().resolve_conj().resolve_neg().contiguous()
        storage = dense.untyped_storage()
        whole = storage.nbytes() == dense.numel() * dense.element_size()
        if not whole or storage.data_ptr() in storages:
            dense = dense.clone(memory_format=torch.contiguous_format)
        storages.add(dense.untyped_storage().data_ptr())
        stored[name] = dense
    return stored, aliases


def check_entry(name: Any, tensor: Any) -> None:
    """Refuse what cannot be stored.

    Raises:
        StorageError: the name is none, or the value is no tensor, or see `refusal`.

    >>> check_entry("a", torch.zeros(2))
    """
    if not isinstance(name, str) or name == "__metadata__":
        raise StorageError(f"{name!r} cannot name a tensor; use a string other than '__metadata__'")
    if not isinstance(tensor, Tensor):
        raise StorageError(f"{name!r} is a {type(tensor).__name__}, not a tensor; leave it out or pack it")
    reason = refusal(tensor)
    if reason:
        raise StorageError(f"tensor {name!r} cannot be stored: {reason}")


def encode_tensors(name: str, tensors: Mapping[str, Tensor]) -> tuple[bytes, TensorFile]:
    """Return the bytes of the file and its record; the same tensors give the same bytes, in any order of names.

    Args:
        name: plain file name, for the record.
        tensors: any shapes and strides. Tensors that are the same view of one storage (tied weights) are stored once;
            other views are stored as contiguous copies.

    Raises:
        StorageError: an entry is no tensor, or is sparse, quantized, on the meta device, or of a dtype that
            safetensors does not have; it is named.

    >>> weight = torch.ones(3)
    >>> data, record = encode_tensors("a.safetensors", {"tied": weight, "weight": weight})
    >>> record.aliases, record.bytes == len(data)
    ({'weight': 'tied'}, True)
    """
    for key, tensor in tensors.items():
        check_entry(key, tensor)
    stored, aliases = _distinct(tensors)
    try:
        data = safetensors.torch.save(stored)
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError, UnicodeError) as error:
        raise StorageError(f"safetensors cannot store the tensors of {name!r}: {error}") from error
    return data, TensorFile(name, hashlib.sha256(data).hexdigest(), len(data), aliases)


def save_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> TensorFile:
    """Write tensors to one file, atomically, and return the record that `load_tensors` needs.

    Raises:
        StorageError: an entry cannot be stored (see `encode_tensors`), or the file cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> record = save_tensors(path, {"a": torch.arange(3)})
    >>> load_tensors(path, record)
    {'a': tensor([0, 1, 2])}
    """
    data, record = encode_tensors(Path(path).name, tensors)
    write_bytes(path, data)
    return record


def verify_tensors(path: str | os.PathLike[str], record: TensorFile) -> bytes:
    """Return the file's bytes when size and SHA-256 are those of the record.

    Raises:
        StorageError: the file is missing, truncated, altered or no regular file.
    """
    data = read_bytes(path, size=record.bytes)
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise StorageError(
            f"{str(Path(path))!r} is altered: its SHA-256 is not the recorded one; restore it from a copy"
        )
    return data


def decode_tensors(data: bytes, record: TensorFile, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Return the tensors in ``data``, in the order of their names; aliases are one tensor object.

    Raises:
        StorageError: the bytes are no safetensors file, or an alias names a tensor that it does not have.
    """
    try:
        stored = {name: tensor.to(device) for name, tensor in safetensors.torch.load(data).items()}
    except (safetensors.SafetensorError, ValueError, KeyError, AssertionError, UnicodeError) as error:
        raise StorageError(f"{record.name!r} is not a safetensors file: {error}") from error
    result = dict(stored)
    for alias, target in record.aliases.items():
        if target not in stored or alias in stored:
            raise StorageError(f"{record.name!r}: alias {alias!r} of {target!r} does not fit the file")
        result[alias] = stored[target]
    return dict(sorted(result.items()))


def load_tensors(
    path: str | os.PathLike[str], record: TensorFile, device: str | torch.device = "cpu"
) -> dict[str, Tensor]:
    """Read tensors back; size and SHA-256 are verified before anything is parsed.

    Args:
        path: the file.
        record: what `save_tensors` returned.
        device: where the tensors go.

    Returns:
        {name: tensor}; tied names give the same tensor object. Values are bit for bit those that were saved.

    Raises:
        StorageError: the file is missing, truncated, altered, a link, or not what the record says.
    """
    return decode_tensors(verify_tensors(path, record), record, device)
