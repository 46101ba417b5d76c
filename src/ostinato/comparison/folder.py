"""The folder of a comparison: what is compared, the runs' records, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.atomic import clean_temporaries, read_json, write_json
from ostinato.errors import ConfigError, StateError, StorageError
from ostinato.records import add_records, read_records
from ostinato.training import RunConfig, parse_config

__all__ = ["SCHEMA", "ComparisonFolder"]

SCHEMA = "ostinato.compare/1"
"""What every record of a comparison follows."""


@dataclass(frozen=True, slots=True)
class ComparisonFolder:
    """Paths inside the folder: ``compare.json`` (written first), ``records.jsonl``, ``result.json``, ``intervals.png``."""

    path: Path

    @property
    def setup(self) -> Path:
        """What is compared."""
        return self.path / "compare.json"

    @property
    def records(self) -> Path:
        """One JSON document a run."""
        return self.path / "records.jsonl"

    @property
    def result(self) -> Path:
        """What came out."""
        return self.path / "result.json"

    @property
    def picture(self) -> Path:
        """Paired differences with their intervals."""
        return self.path / "intervals.png"

    def demand_free(self) -> None:
        """Check that a new comparison may begin here.

        Raises:
            ConfigError: It holds one already, or files named like one's, or is no folder.
        """
        if self.setup.exists():
            raise ConfigError(
                f"{self.path}: holds a comparison already; go on with it by --resume {self.path}, or choose another --out"
            )
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path}: is a file; choose another --out")
        for place in (self.records, self.result, self.picture):
            if place.exists():
                raise ConfigError(f"{place}: is there already and would be written over; choose another --out")

    def begin(self, document: Mapping[str, Any]) -> None:
        """Make the folder and write what is compared.

        Raises:
            ConfigError: It is not free.
            StorageError: It cannot be written.
        """
        self.demand_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{self.path}: cannot be made ({error.strerror or error}); choose another --out"
            ) from None
        self.write_setup(document)

    def write_setup(self, document: Mapping[str, Any]) -> None:
        """Write what is compared."""
        clean_temporaries(self.path)
        write_json(self.setup, {**document, "schema": SCHEMA})

    def read_setup(self) -> dict[str, Any]:
        """Return what is compared.

        Raises:
            ConfigError: There is no comparison here.
            StorageError: It was written by another version, or is damaged.
        """
        if not self.setup.is_file():
            raise ConfigError(
                f"{self.path}: holds no comparison (no compare.json); give the folder of one, or begin one with --out {self.path}"
            )
        document = read_json(self.setup)
        found = document.get("schema") if isinstance(document, dict) else None
        if found != SCHEMA:
            raise StorageError(
                f"{self.setup}: follows {found!r}, this release reads {SCHEMA!r}; read it with the release that wrote it, or begin in another folder"
            )
        return dict(document)

    def load_config(self) -> RunConfig:
        """Return the resolved configuration.

        Raises:
            ConfigError: There is no comparison here.
            StorageError: It was written by another version, or is damaged.
        """
        document = self.read_setup().get("config")
        if not isinstance(document, dict):
            raise StorageError(f"{self.setup}: its configuration is missing; restore it from a copy")
        return parse_config(document, str(self.setup))

    def read(self) -> list[dict[str, Any]]:
        """Return the records.

        Raises:
            StorageError: They follow another schema, or the file is damaged.
        """
        return read_records(self.records, schema=SCHEMA)

    def add(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Add the records of one block, all or none.

        Raises:
            StateError: One of these runs is there already: somebody else writes here.
            StorageError: They cannot be written.
        """
        there = {(record["arm"], record["seed"]) for record in self.read()}
        for record in records:
            if (record["arm"], record["seed"]) in there:
                raise StateError(
                    f"{self.records}: holds arm {record['arm']!r}, seed {record['seed']} already; another process works in this folder, let it end"
                )
        add_records(self.records, records, schema=SCHEMA)
