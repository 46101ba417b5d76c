"""The folder of a search: what is searched, the trials where they have no other storage, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from ostinato.atomic import clean_temporaries, write_bytes, write_json
from ostinato.core.plan import Plan
from ostinato.errors import StorageError
from ostinato.folders import demand_free, read_begun
from ostinato.search.queue import SCHEMA
from ostinato.search.setup import Setup

__all__ = ["SearchFolder"]


@dataclass(frozen=True, slots=True)
class SearchFolder:
    """Paths inside the folder.

    ``search.json`` (written first), ``trials.sqlite3`` (unless ``--storage`` names another), ``best.toml``, ``result.json``, ``slices.png``,
    ``contour.png``.
    """

    path: Path

    @property
    def setup(self) -> Path:
        """What is searched, and where its trials are."""
        return self.path / "search.json"

    @property
    def trials(self) -> Path:
        """The trials, where they have no other storage."""
        return self.path / "trials.sqlite3"

    @property
    def best(self) -> Path:
        """The best plan with data, model, optimizer and training, ready for ``ostinato train``."""
        return self.path / "best.toml"

    @property
    def result(self) -> Path:
        """What came out."""
        return self.path / "result.json"

    def demand_free(self) -> None:
        """Check that a new search may begin here.

        Raises:
            ConfigError: It holds one already, or files named like one's, or is no folder.
        """
        demand_free(self.path, self.setup, (self.trials, self.best, self.result), "search")

    def begin(self, setup: Setup, name: str, storage: str, *, own: bool) -> None:
        """Write down what is searched; `own` says that the trials are in this folder."""
        clean_temporaries(self.path)
        about = {"schema": SCHEMA, "study": name, "storage": storage, "own": own}
        write_json(self.setup, {**about, "setup": setup.to_document()})

    def read(self) -> tuple[Setup, str, bool]:
        """Return what is searched, the study's name, and whether its trials are in this folder.

        Raises:
            ConfigError: There is no search here.
            StorageError: Another version began it, or it is damaged.
        """
        document = read_begun(self.setup, SCHEMA, "search")
        try:
            return Setup.from_document(document["setup"], str(self.setup)), document["study"], bool(document["own"])
        except KeyError as error:
            raise StorageError(f"{self.setup}: is damaged ({error}); restore it from a copy") from None

    def write(self, setup: Setup, document: Mapping[str, Any]) -> None:
        """Write what came out: the document, and the best plan where there is one."""
        if document["best"] is not None:
            plan = Plan.from_document(document["best"]["plan"])
            config = setup.config.replace({"plan": plan.to_document()})
            write_bytes(self.best, tomli_w.dumps(config.to_document()).encode())
        write_json(self.result, document)
