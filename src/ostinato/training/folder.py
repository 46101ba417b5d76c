"""The run folder: where everything that a run leaves behind has its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomli_w

from ostinato.atomic import clean_temporaries, write_bytes
from ostinato.errors import ConfigError, StorageError
from ostinato.training.config import RunConfig, load_config

__all__ = ["RunFolder"]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths inside a run folder.

    ``config.toml`` (resolved), ``metrics.jsonl``, ``snapshots/``, ``checkpoint/``, ``result.json``, ``report.html``. A folder holds a run
    as soon as its configuration is there, which is written first.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        """One JSON document a line."""
        return self.path / "metrics.jsonl"

    @property
    def snapshots(self) -> Path:
        """The ensemble's members."""
        return self.path / "snapshots"

    @property
    def checkpoints(self) -> Path:
        """What a resume goes on from."""
        return self.path / "checkpoint"

    @property
    def result(self) -> Path:
        """What came out."""
        return self.path / "result.json"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / "report.html"

    @classmethod
    def create(cls, path: str | Path, config: RunConfig) -> RunFolder:
        """Make a folder for a new run and write its configuration.

        Raises:
            ConfigError: It holds a run already, or is no folder.
            StorageError: It cannot be written.
        """
        folder = cls(Path(path))
        if folder.config.exists():
            raise ConfigError(
                f"{folder.path}: holds a run already; go on with it by --resume {folder.path}, or choose another --out"
            )
        if folder.path.exists() and not folder.path.is_dir():
            raise ConfigError(f"{folder.path}: is a file; choose another --out")
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{folder.path}: cannot be made ({error.strerror or error}); choose another --out"
            ) from None
        write_bytes(folder.config, tomli_w.dumps(config.to_document()).encode())
        return folder

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of a run that was begun, clearing what a killed writer left half-written.

        Raises:
            ConfigError: There is no run.
        """
        folder = cls(Path(path))
        if not folder.config.is_file():
            raise ConfigError(
                f"{folder.path}: holds no run (no config.toml); give the folder of a run, or start one with --out {folder.path}"
            )
        for place in (folder.path, folder.checkpoints, folder.snapshots):
            if place.is_dir():
                clean_temporaries(place)
        return folder

    @classmethod
    def unused(cls, parent: str | Path, stem: str) -> Path:
        """Return the first of ``parent/stem-1``, ``parent/stem-2``, ... that is not there."""
        number = 1
        while (Path(parent) / f"{stem}-{number}").exists():
            number += 1
        return Path(parent) / f"{stem}-{number}"

    def load_config(self) -> RunConfig:
        """Read the resolved configuration."""
        return load_config(self.config)
