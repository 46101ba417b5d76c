"""Atomic files, tensors without pickle, and nested values as JSON plus tensors."""

from __future__ import annotations

from ostinato.atomic import (
    clean_temporaries,
    commit_directory,
    read_bytes,
    read_json,
    remove_file,
    sha256_file,
    temporary_path,
    write_bytes,
    write_json,
)
from ostinato.storage.packing import pack, unpack
from ostinato.storage.tensors import TensorFile, load_tensors, save_tensors

__all__ = [
    "TensorFile",
    "clean_temporaries",
    "commit_directory",
    "load_tensors",
    "pack",
    "read_bytes",
    "read_json",
    "remove_file",
    "save_tensors",
    "sha256_file",
    "temporary_path",
    "unpack",
    "write_bytes",
    "write_json",
]
