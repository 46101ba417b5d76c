"""Records: results that are written once, one JSON document a line, and judged later by whoever reads them.

Every line names the schema that it follows. A file is replaced as a whole at every addition, so that a reader or a
killed writer sees complete lines only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ostinato.atomic import canonical_json, read_bytes, write_bytes
from ostinato.errors import StorageError

__all__ = ["add_records", "read_records"]


def add_records(path: str | Path, records: Iterable[Mapping[str, Any]], *, schema: str) -> None:
    """Write records behind those that a file holds; the file is made where there is none.

    Args:
        path: The file; its folder must exist.
        records: JSON documents without NaN or infinity.
        schema: Name and version of what they follow, such as ``"ostinato.compare/1"``.

    Raises:
        StorageError: The file holds records of another schema, or cannot be written; it is as it was then.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "records.jsonl"
    >>> add_records(file, [{"seed": 0, "error": 0.1}], schema="example/1")
    >>> add_records(file, [{"seed": 1, "error": 0.2}], schema="example/1")
    >>> [record["seed"] for record in read_records(file, schema="example/1")]
    [0, 1]
    """
    file = Path(path)
    read_records(file, schema=schema)
    kept = read_bytes(file) if file.exists() else b""
    write_bytes(file, kept + b"".join(canonical_json({**record, "schema": schema}) for record in records))


def read_records(path: str | Path, *, schema: str) -> list[dict[str, Any]]:
    """Return a file's records in the order in which they were written; none where there is no file.

    Raises:
        StorageError: A line is no JSON document, or follows another schema; the message names file and line.
    """
    file = Path(path)
    if not file.exists():
        return []
    records = []
    for number, line in enumerate(read_bytes(file).splitlines(), 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise StorageError(f"{file}: line {number} is not JSON ({error}); restore the file from a copy") from None
        found = record.get("schema") if isinstance(record, dict) else None
        if found != schema:
            raise StorageError(
                f"{file}: line {number} holds a record of {found!r}, this release reads {schema!r};"
                " read it with the release that wrote it, or begin in another folder"
            )
        records.append(record)
    return records
