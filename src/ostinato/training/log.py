"""The metrics log: one JSON document a line, cut back to a checkpoint on resume so that it reads as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ostinato.errors import StorageError

__all__ = ["MetricsLog", "read_metrics"]


class MetricsLog:
    """An append-only file of JSON lines that knows its length and its SHA-256.

    Args:
        path: The file.
        mark: What `sync` returned at a checkpoint; anything after it is cut off. None begins an empty log.

    Raises:
        StorageError: The file is shorter than the mark, or not the one that was marked, or cannot be written.
    """

    def __init__(self, path: Path, mark: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        try:
            if mark is None:
                self._file = path.open("wb")
            else:
                self._cut(int(mark["bytes"]), str(mark["sha256"]))
                self._file = path.open("ab")
        except OSError as error:
            raise self._failure(error) from error

    def _cut(self, length: int, digest: str) -> None:
        """Cut the file to `length` bytes, whose SHA-256 must be `digest`."""
        kept = self._path.read_bytes()[:length] if self._path.exists() else b""
        self._hash.update(kept)
        if len(kept) < length or self._hash.hexdigest() != digest:
            raise StorageError(
                f"{self._path}: is not the log that the checkpoint was saved with; restore it from a copy"
            )
        os.truncate(self._path, length) if self._path.exists() else self._path.touch()

    def _failure(self, error: OSError) -> StorageError:
        if isinstance(error, StorageError):
            return error
        return StorageError(
            f"{self._path}: cannot be written ({error.strerror or error}); free some space or check the folder, then resume"
        )

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record.

        Raises:
            StorageError: It holds a number that JSON does not have, or the disk refuses.
        """
        try:
            line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        except ValueError:
            raise StorageError(f"{self._path}: a value is not a finite number: {record!r}") from None
        try:
            self._file.write(line)
        except OSError as error:
            raise self._failure(error) from error
        self._hash.update(line)

    def sync(self) -> dict[str, Any]:
        """Flush to disk and return the mark that a resume begins from."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            return {"bytes": self._file.tell(), "sha256": self._hash.hexdigest()}
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file; what could not be written any more is reported."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StorageError:
            if error is None:
                raise


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a log; a last line that was cut off by a crash is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise StorageError(
                    f"{path}: line {number} is damaged ({error}); resume the run to write it anew"
                ) from None
