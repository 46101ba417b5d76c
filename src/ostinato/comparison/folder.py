"""The folder of a comparison: what is compared, the runs' records, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.atomic import clean_temporaries, write_json
from ostinato.errors import StateError, StorageError
from ostinato.folders import demand_free, make_folder, read_begun
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
        demand_free(self.path, self.setup, (self.records, self.result, self.picture), "comparison")

    def begin(self, document: Mapping[str, Any]) -> None:
        """Make the folder and write what is compared.

        Raises:
            ConfigError: It is not free.
            StorageError: It cannot be written.
        """
        self.demand_free()
        make_folder(self.path)
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
        return read_begun(self.setup, SCHEMA, "comparison")

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
