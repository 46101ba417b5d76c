"""What a record comes from: the code's hash, the versions, and a working tree without changes."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ostinato
from ostinato.errors import StateError
from ostinato.studies.frame.folder import EvidenceFolder

__all__ = ["code_digest", "demand_committed", "versions"]

_PACKAGE = Path(ostinato.__file__).parent
_NO_RESULT = ("cli", "bench", "export", "testing")
"""Parts whose code no result depends on."""


@cache
def code_digest() -> str:
    """Return the SHA-256 over the package's sources, without those that no result depends on."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        place = file.relative_to(_PACKAGE)
        if place.parts[0] not in _NO_RESULT:
            digest.update(place.as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, Any]:
    """Return the versions that numbers may depend on."""
    return {
        "ostinato": ostinato.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
        "machine": platform.machine(),
    }


def demand_committed(folder: EvidenceFolder) -> None:
    """Check that the frozen specification is committed and the code unchanged since the last commit.

    Where the program does not run from a git checkout (an installed wheel), there is nothing to compare with: the code's hash stands in
    every record.

    Raises:
        StateError: Something is not committed; the message names it.
    """
    place = folder.path.resolve()
    top = _git(_PACKAGE, "rev-parse", "--show-toplevel")
    if top is None or _git(Path(top), "ls-files", "--error-unmatch", str(_PACKAGE / "__init__.py")) is None:
        return
    changed = _git(Path(top), "status", "--porcelain", "--", "src", "constraints.txt", "pyproject.toml")
    if changed:
        first = changed.splitlines()[0].strip()
        raise StateError(
            f"{top}: the working tree has changes ({first}); commit them before a study runs, so that its records name their code"
        )
    inside = _git(place, "rev-parse", "--show-toplevel")
    if inside is None or _git(Path(inside), "cat-file", "-e", f"HEAD:{_relative(folder.frozen, Path(inside))}") is None:
        raise StateError(
            f"{folder.frozen}: is not committed; a specification is committed before the run: git add {folder.frozen} and commit"
        )
    if _git(Path(inside), "status", "--porcelain", "--", str(folder.frozen.resolve())):
        raise StateError(
            f"{folder.frozen}: was changed since it was committed; restore it: git checkout {folder.frozen}"
        )


def _relative(file: Path, top: Path) -> str:
    return file.resolve().relative_to(top.resolve()).as_posix()


def _git(place: Path, *arguments: str) -> str | None:
    """Return what git says; None where it refuses or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(place), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
