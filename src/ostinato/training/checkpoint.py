"""Checkpoints: everything that a run needs to go on bit for bit, in folders that appear whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.atomic import canonical_json, commit_directory, read_json, temporary_path, write_json
from ostinato.errors import OstinatoWarning, StorageError
from ostinato.storage import TensorFile, load_tensors, pack, save_tensors, unpack

__all__ = ["Checkpoint", "CheckpointStore"]

SCHEMA = "ostinato.checkpoint"
VERSION = 1
_PREFIX = "step-"
_TENSORS = "tensors.safetensors"
_STATE = "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was saved after `count` updates.

    Attributes:
        count: Updates done.
        state: Nested plain values and tensors; see `ostinato.storage.pack`.
        elapsed_s: Seconds of training so far; it is no part of the state.
    """

    count: int
    state: Mapping[str, Any]
    elapsed_s: float


class CheckpointStore:
    """The checkpoints of one run, in one folder; the newest that can be trusted counts.

    Args:
        folder: Where they are.
        keep: How many stay. With two, a damaged newest one costs only the updates since the one before.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def _places(self) -> list[Path]:
        """Return the folders of checkpoints, oldest first."""
        return sorted(self.folder.glob(f"{_PREFIX}*")) if self.folder.is_dir() else []

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, flushed to disk before it gets its name, and drop the oldest.

        Raises:
            StorageError: The disk refused; the checkpoints that were there still are.
        """
        final = self.folder / f"{_PREFIX}{checkpoint.count:012d}"
        if final.exists():
            if _intact(final):
                return final
            shutil.rmtree(final, ignore_errors=True)  # a damaged one, passed over when the run was resumed
        document, tensors = pack(dict(checkpoint.state))
        temporary = temporary_path(final)
        try:
            temporary.mkdir(parents=True)
            record = save_tensors(temporary / _TENSORS, tensors)
            body = {"schema": SCHEMA, "version": VERSION, "count": checkpoint.count, "elapsed_s": checkpoint.elapsed_s}
            body |= {"tensors": record.to_document(), "state": document}
            write_json(temporary / _STATE, {**body, "sha256": _digest(body)})
            commit_directory(temporary, final)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, StorageError):
                raise
            raise StorageError(
                f"{final}: cannot be written ({error.strerror or error}); free some space, then resume"
            ) from error
        for old in self._places()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies, or None where there is none at all.

        Raises:
            StorageError: There are checkpoints, but every one is damaged.

        Warns:
            OstinatoWarning: A damaged one was passed over.
        """
        places = self._places()
        for place in reversed(places):
            try:
                return _load(place)
            except StorageError as error:
                warnings.warn(f"checkpoint passed over: {error}", OstinatoWarning, stacklevel=2)
        if places:
            raise StorageError(
                f"{self.folder}: every checkpoint is damaged; restore one from a copy, or start again with another --out"
            )
        return None


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body)).hexdigest()


def _intact(place: Path) -> bool:
    try:
        _load(place)
    except StorageError:
        return False
    return True


def _load(place: Path) -> Checkpoint:
    body = read_json(place / _STATE)
    if not isinstance(body, dict) or body.get("schema") != SCHEMA or body.get("version") != VERSION:
        raise StorageError(f"{place / _STATE}: is no checkpoint of version {VERSION}")
    if body.pop("sha256", None) != _digest(body):
        raise StorageError(f"{place / _STATE}: is altered, its SHA-256 is not the recorded one")
    tensors = load_tensors(place / _TENSORS, TensorFile.from_document(body["tensors"]))
    return Checkpoint(int(body["count"]), unpack(body["state"], tensors), float(body["elapsed_s"]))
