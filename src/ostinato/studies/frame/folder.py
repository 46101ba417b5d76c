"""A study's evidence on disk: specification, tuning, records, ledger, amendments."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.atomic import read_json, write_bytes
from ostinato.errors import ConfigError, StateError
from ostinato.records import add_records, read_records
from ostinato.studies.frame.spec import Profile, Spec

__all__ = ["EvidenceFolder"]

_RECORD, _LEDGER, _AMENDMENT = "ostinato.study.record/1", "ostinato.study.ledger/1", "ostinato.study.amendment/1"


@dataclass(frozen=True)
class EvidenceFolder:
    """The files of one study under one profile: ``<root>/<study>/`` for ``full``, ``<root>/<study>/smoke/`` for ``smoke``.

    ``spec.json`` (frozen beforehand), ``tuning.json``, ``records/<regime>.jsonl``, ``ledger.jsonl`` (every start), ``amendments.jsonl``,
    ``verdict.json``, ``superseded/<n>/`` (what was replaced, kept).
    """

    root: Path
    spec: Spec
    profile: Profile

    @property
    def path(self) -> Path:
        """The folder."""
        own = self.root / self.spec.name
        return own / "smoke" if self.profile == "smoke" else own

    # -- the specification -------------------------------------------------------------------------------------

    @property
    def frozen(self) -> Path:
        """The file of the frozen specification."""
        return self.path / "spec.json"

    def freeze(self) -> Path:
        """Write the specification down; nothing changes where it is there already.

        Raises:
            StateError: Another one was frozen.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.frozen.exists():
            self.demand_frozen()
        else:
            text = json.dumps({"digest": self.spec.digest, **self.spec.to_document()}, indent=2, ensure_ascii=False)
            write_bytes(self.frozen, text.encode() + b"\n")
        return self.frozen

    def demand_frozen(self) -> None:
        """Check that the frozen specification is the program's.

        Raises:
            ConfigError: None was frozen.
            StateError: It is another one.
        """
        if not self.frozen.exists():
            raise ConfigError(
                f"{self.frozen}: the specification was not frozen; type: ostinato study freeze {self.spec.name}, and commit the file before the run"
            )
        found = read_json(self.frozen).get("digest")
        if found != self.spec.digest:
            raise StateError(
                f"{self.frozen}: the frozen specification ({str(found)[:12]}) is not the program's ({self.spec.digest[:12]});"
                f" restore it, or type: ostinato study amend {self.spec.name} --why REASON, which keeps the old records beside the new"
            )

    # -- tuning ------------------------------------------------------------------------------------------------

    @property
    def tuning(self) -> Path:
        """The file of every tuning run and what was chosen."""
        return self.path / "tuning.json"

    def tuned(self) -> dict[str, Any] | None:
        """Return the tuning document; None where tuning is not finished."""
        return read_json(self.tuning) if self.tuning.exists() else None

    def write_tuned(self, document: Mapping[str, Any]) -> None:
        """Write the tuning document, once."""
        write_bytes(self.tuning, json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n")

    def tuning_digest(self) -> str:
        """Return the SHA-256 of the tuning file; empty where there is none."""
        return hashlib.sha256(self.tuning.read_bytes()).hexdigest() if self.tuning.exists() else ""

    @property
    def verdict(self) -> Path:
        """The file of what the last run came to; judging anew needs the records alone."""
        return self.path / "verdict.json"

    # -- records -----------------------------------------------------------------------------------------------

    def records_file(self, regime: str) -> Path:
        """Return the file of a regime's records."""
        return self.path / "records" / f"{regime}.jsonl"

    def records(self) -> list[dict[str, Any]]:
        """Return every record, regime by regime.

        Raises:
            StorageError: A file is damaged or of another version.
        """
        return [
            record
            for regime in self.spec.regimes
            for record in read_records(self.records_file(regime.name), schema=_RECORD)
        ]

    def add(self, regime: str, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records of a regime, all or none."""
        file = self.records_file(regime)
        file.parent.mkdir(parents=True, exist_ok=True)
        add_records(file, records, schema=_RECORD)

    # -- what happened -----------------------------------------------------------------------------------------

    def note(self, event: str, **fields: Any) -> None:
        """Add a line to the ledger: a start, an end, an interruption."""
        self.path.mkdir(parents=True, exist_ok=True)
        line = {"event": event, "at": _now(), "profile": self.profile, "spec": self.spec.digest, **fields}
        add_records(self.path / "ledger.jsonl", [line], schema=_LEDGER)

    def ledger(self) -> list[dict[str, Any]]:
        """Return every line of the ledger."""
        return read_records(self.path / "ledger.jsonl", schema=_LEDGER)

    def amendments(self) -> list[dict[str, Any]]:
        """Return every amendment."""
        return read_records(self.path / "amendments.jsonl", schema=_AMENDMENT)

    def superseded(self) -> list[Path]:
        """Return the folders of records that were replaced, oldest first."""
        return sorted((self.path / "superseded").glob("*"), key=lambda path: int(path.name))

    def amend(self, why: str) -> Path:
        """Put specification, tuning and records aside, kept, and freeze the program's specification.

        Raises:
            ConfigError: No reason is given.
        """
        if not why.strip():
            raise ConfigError("--why: an amendment needs its reason")
        place = self.path / "superseded" / str(len(self.superseded()) + 1)
        place.mkdir(parents=True)
        before = read_json(self.frozen).get("digest") if self.frozen.exists() else None
        for entry in (self.frozen, self.tuning, self.path / "records", self.verdict):
            if entry.exists():
                entry.rename(place / entry.name)
        line = {"at": _now(), "why": why.strip(), "before": before, "after": self.spec.digest, "kept": place.name}
        add_records(self.path / "amendments.jsonl", [line], schema=_AMENDMENT)
        return self.freeze()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
