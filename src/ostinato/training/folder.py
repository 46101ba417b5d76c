"""The run folder: where everything that a run leaves behind has its place."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
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
        folder.demand_free()
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"{folder.path}: cannot be made ({error.strerror or error}); choose another --out"
            ) from None
        clean_temporaries(folder.path)
        folder.rewrite(config)
        return folder

    def rewrite(self, config: RunConfig) -> None:
        """Write the configuration, whole or not at all, in the place of the one that is there.

        Raises:
            StorageError: It cannot be written.
        """
        write_bytes(self.config, tomli_w.dumps(config.to_document()).encode())

    def demand_free(self) -> None:
        """Check that a new run may begin here; a folder may be there, but nothing that a run would write over.

        Raises:
            ConfigError: It holds a run already, or files named like a run's, or is no folder.
        """
        if self.config.exists():
            raise ConfigError(
                f"{self.path}: holds a run already; go on with it by --resume {shlex.quote(str(self.path))}, or choose another --out"
            )
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path}: is a file; choose another --out")
        for place in (self.metrics, self.snapshots, self.checkpoints, self.result, self.report):
            if place.exists():
                raise ConfigError(f"{place}: is there already and would be written over; choose another --out")

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of a run that was begun.

        Raises:
            ConfigError: There is no run.
        """
        folder = cls(Path(path))
        if not folder.config.is_file():
            raise ConfigError(
                f"{folder.path}: holds no run (no config.toml); give the folder of a run, or start one with --out {shlex.quote(str(folder.path))}"
            )
        return folder

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder against other writers, and clear what a killed one left half-written.

        The claim ends with the process, whatever ends it. File systems without locks are written without one.

        Raises:
            ConfigError: Another process holds it.
            StorageError: The folder cannot be read or cleared.
        """
        with self.config.open("rb+") as file:
            try:
                _lock(file.fileno())
            except BlockingIOError:
                raise ConfigError(
                    f"{self.path}: another process is training here; wait until it has ended, or choose another --out"
                ) from None
            for place in (self.path, self.checkpoints, self.snapshots):
                clean_temporaries(place)
            yield

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


def _lock(descriptor: int) -> None:
    """Lock an open file for this process; its children do not inherit the lock."""
    try:
        import fcntl
    except ImportError:  # Windows has none
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise BlockingIOError from error
