"""What folders of results have in common: whether they are free, and the document that says what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ostinato.atomic import read_json
from ostinato.errors import ConfigError, StorageError

__all__ = ["demand_free", "make_folder", "read_begun"]


def demand_free(path: Path, begun: Path, others: Iterable[Path], what: str) -> None:
    """Check that a folder can take something new; it may be there, but nothing that would be written over.

    Args:
        path: The folder.
        begun: The file that is written first.
        others: Files that are written later.
        what: What is kept in it, such as ``"comparison"``.

    Raises:
        ConfigError: It holds one already, or files named like one's, or is no folder.
    """
    if begun.exists():
        raise ConfigError(f"{path}: holds a {what} already; go on with it by --resume {path}, or choose another --out")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path}: is a file; choose another --out")
    for place in others:
        if place.exists():
            raise ConfigError(f"{place}: is there already and would be written over; choose another --out")


def make_folder(path: Path) -> None:
    """Make a folder, and those above it.

    Raises:
        StorageError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path}: cannot be made ({error.strerror or error}); choose another --out") from None


def read_begun(begun: Path, schema: str, what: str) -> dict[str, Any]:
    """Return the document that was written first.

    Raises:
        ConfigError: There is none.
        StorageError: Another version wrote it, or it is damaged.
    """
    if not begun.is_file():
        raise ConfigError(
            f"{begun.parent}: holds no {what} (no {begun.name}); give the folder of one, or begin one with --out {begun.parent}"
        )
    document = read_json(begun)
    found = document.get("schema") if isinstance(document, dict) else None
    if found != schema:
        raise StorageError(
            f"{begun}: follows {found!r}, this release reads {schema!r}; read it with the release that wrote it, or begin in another folder"
        )
    return dict(document)
