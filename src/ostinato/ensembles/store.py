"""The folder of snapshots: one safetensors file a member, and a manifest that is written last."""

from __future__ import annotations

import hashlib
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ostinato._version import __version__
from ostinato.atomic import canonical_json, clean_temporaries, read_json, remove_file, write_bytes, write_json
from ostinato.errors import DamagedSnapshotWarning, StorageError
from ostinato.storage.tensors import TensorFile, decode_tensors, encode_tensors, verify_tensors

__all__ = ["Member", "SnapshotStore", "finite_values"]

_MANIFEST = "manifest.json"
_SCHEMA = "ostinato.snapshots"
_VERSION = 1
_FILE = re.compile(r"snapshot-[0-9]{9,}\.safetensors")
_REMEDY = "restore it from a copy, or move the folder away and capture again"


@dataclass(frozen=True)
class Member:
    """One snapshot.

    Attributes:
        step: the update after which it was taken, from 0.
        cycle: the cycle that ended there.
        values: {target: value} that this update used.
        file: where the weights are, with size and SHA-256.
    """

    step: int
    cycle: int
    values: Mapping[str, float] = field(hash=False)
    file: TensorFile

    def to_document(self) -> dict[str, Any]:
        """Return the member as a JSON document."""
        return {
            "step": self.step,
            "cycle": self.cycle,
            "values": dict(self.values),
            "file": self.file.to_document(),
        }

    @classmethod
    def from_document(cls, document: Any) -> Member:
        """Read a member back; StorageError where a field is missing, wrong, or names another file than its own."""
        if not isinstance(document, dict) or set(document) != {"step", "cycle", "values", "file"}:
            raise StorageError("a member needs exactly step, cycle, values and file")
        step, cycle, values = document["step"], document["cycle"], document["values"]
        if type(step) is not int or step < 0 or type(cycle) is not int:
            raise StorageError(f"a member has the step {step!r} and the cycle {cycle!r}; both must be whole numbers")
        if not isinstance(values, dict) or not all(type(value) in (int, float) for value in values.values()):
            raise StorageError(f"the values of the member of step {step} must map names to numbers")
        file = TensorFile.from_document(document["file"])
        if not _FILE.fullmatch(file.name) or file.name != _file_name(step):
            raise StorageError(f"the member of step {step} names the file {file.name!r}, not {_file_name(step)!r}")
        return cls(step, cycle, {name: float(value) for name, value in values.items()}, file)


def _file_name(step: int) -> str:
    return f"snapshot-{step:09d}.safetensors"


def _is_ours(entry: Path) -> bool:
    """Return whether an entry of a folder is a file under a name that we give."""
    named = _FILE.fullmatch(entry.name) and entry.name == _file_name(int(entry.stem.partition("-")[2]))
    return bool(named) and entry.is_file() and not entry.is_symlink()


class SnapshotStore:
    """Members in a folder, for one writer at a time; any number of readers.

    At every moment the manifest on disk is the old one or the new one, and each file that it lists is complete: member
    files are written before the manifest that lists them, and removed after the manifest that forgets them. What a killed
    writer left (temporary files, snapshots that no manifest lists) is removed by the first `add` or `rewind`.

    Args:
        directory: the folder. One with a manifest is opened and its files verified; else the first `add` makes it.
        keep: how many members at most, the newest by step; None keeps all.

    Raises:
        StorageError: the manifest is damaged, or lists members of which none is usable.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep: int | None = None) -> None:
        if keep is not None and (type(keep) is not int or keep < 1):
            raise ValueError(f"keep must be a whole number of at least 1, or None to keep all; got {keep!r}")
        self.directory = Path(directory)
        self.keep = keep
        self._listed: tuple[Member, ...] = ()
        self._refused: set[TensorFile] = set()
        self._cleaned = False
        self.revision = 0  # counts the changes of `members`
        if self.directory.exists() and not self.directory.is_dir():
            raise StorageError(f"{str(self.directory)!r} is a file; give the path of a folder")
        if os.path.lexists(self.directory / _MANIFEST):
            self._open()

    @property
    def members(self) -> tuple[Member, ...]:
        """The usable members, ascending by step."""
        return tuple(member for member in self._listed if member.file not in self._refused)

    def _open(self) -> None:
        path = self.directory / _MANIFEST
        try:
            self._listed = _read_manifest(path)
        except StorageError as error:
            raise StorageError(f"the manifest {str(path)!r} cannot be used ({error}); {_REMEDY}") from error
        for member in self._listed:
            try:
                self._bytes(member)
            except StorageError as error:
                self._refuse(member, error)
        if self._listed and not self.members:
            raise StorageError(
                f"none of the {len(self._listed)} snapshots in {str(self.directory)!r} can be used; {_REMEDY}"
            )

    def _bytes(self, member: Member) -> bytes:
        return verify_tensors(self.directory / member.file.name, member.file)

    def _refuse(self, member: Member, error: StorageError) -> None:
        """Leave a member out from now on, and say so once."""
        self._refused.add(member.file)
        self.revision += 1
        warnings.warn(f"snapshot left out: {error}", DamagedSnapshotWarning, stacklevel=2)

    def load(self, member: Member, device: str | torch.device = "cpu") -> dict[str, Tensor] | None:
        """Return a member's tensors, or None (with one warning) when its file is no longer what was written."""
        try:
            return decode_tensors(self._bytes(member), member.file, device)
        except StorageError as error:
            self._refuse(member, error)
            return None

    def add(self, step: int, cycle: int, values: Mapping[str, float], tensors: Mapping[str, Tensor]) -> Member:
        """Save a member: its file, then the manifest, then drop what exceeds ``keep``.

        A step that is there with the same bytes is left as it is; a damaged file of that step is written again.

        Raises:
            StorageError: the step is there with other bytes, a tensor or value cannot be stored, or writing failed.
        """
        data, file = encode_tensors(_file_name(step), tensors)
        member = Member(step, cycle, finite_values(values), file)
        present = {entry.step: entry for entry in self.members}
        if step in present:
            if present[step].file != file:
                raise StorageError(
                    f"step {step} was captured before with other weights, in {str(self.directory / file.name)!r}; "
                    f"after a resume call rewind({step}) first, or choose another folder"
                )
            if self._intact(present[step]):
                return present[step]
        kept = sorted([*(m for m in self.members if m.step != step), member], key=lambda m: m.step)
        kept = kept[-self.keep :] if self.keep else kept
        if member not in kept:
            return member
        self._prepare()
        write_bytes(self.directory / file.name, data)
        refused = [m for m in self._listed if m.file in self._refused and m.step != step and m.step >= kept[0].step]
        self._refused.discard(file)
        self._replace(tuple(sorted([*kept, *refused], key=lambda m: m.step)))
        return member

    def _intact(self, member: Member) -> bool:
        try:
            self._bytes(member)
        except StorageError:
            return False
        return True

    def rewind(self, step: int) -> int:
        """Forget every member of this step or later, usable or not; return how many."""
        self._clean()
        left = tuple(member for member in self._listed if member.step < step)
        forgotten = len(self._listed) - len(left)
        if forgotten:
            self._replace(left)
        return forgotten

    def _prepare(self) -> None:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"cannot make the folder {str(self.directory)!r}: {error.strerror}; check the path and its permissions"
            ) from error
        self._clean()

    def _clean(self) -> None:
        """Remove, once, what a killed writer left: temporary files, and our files that neither this nor the folder's manifest lists.

        A folder without a manifest that can be read keeps its files: it may have lost the manifest and not the snapshots.
        """
        if self._cleaned or not self.directory.is_dir():
            return
        clean_temporaries(self.directory)
        self._cleaned = True
        found = {entry.name: entry for entry in sorted(self.directory.iterdir()) if _is_ours(entry)}
        unlisted = found.keys() - {member.file.name for member in self._listed}
        if not unlisted:
            return
        try:
            unlisted -= {member.file.name for member in _read_manifest(self.directory / _MANIFEST)}
        except StorageError:
            return
        for name in sorted(unlisted):
            remove_file(found[name])

    def _replace(self, members: tuple[Member, ...]) -> None:
        """Write the manifest of ``members``, then remove the files that only the old one listed."""
        body = {
            "schema": _SCHEMA,
            "version": _VERSION,
            "ostinato": __version__,
            "members": [member.to_document() for member in members],
        }
        write_json(self.directory / _MANIFEST, {**body, "sha256": _digest(body)})
        names = {member.file.name for member in members}
        gone = [member.file for member in self._listed if member.file.name not in names]
        self._listed = members
        self.revision += 1
        for file in gone:
            self._refused.discard(file)
            remove_file(self.directory / file.name)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body)).hexdigest()


def finite_values(values: Mapping[str, float]) -> dict[str, float]:
    """Return a tick's values as plain floats; StorageError where one is not finite."""
    plain = {str(name): float(value) for name, value in values.items()}
    for name, value in plain.items():
        if not math.isfinite(value):
            raise StorageError(f"the tick's value of {name!r} is {value}; a snapshot holds finite values only")
    return plain


def _read_manifest(path: Path) -> tuple[Member, ...]:
    """Read and check a manifest; nothing outside its folder is touched."""
    document = read_json(path)
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        raise StorageError(f"its schema is not {_SCHEMA!r}")
    if document.get("version") != _VERSION:
        raise StorageError(f"its version is {document.get('version')!r}, this Ostinato reads {_VERSION}")
    body = {key: value for key, value in document.items() if key != "sha256"}
    if document.get("sha256") != _digest(body):
        raise StorageError("it was altered: its content does not have the SHA-256 that it states")
    entries = document.get("members")
    if not isinstance(entries, list):
        raise StorageError("it has no list of members")
    members = tuple(Member.from_document(entry) for entry in entries)
    steps = [member.step for member in members]
    if steps != sorted(set(steps)):
        raise StorageError(f"its members are not in ascending order of steps: {steps[:20]}")
    return members
