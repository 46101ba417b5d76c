"""The instruments' own tests: does the interval cover, and does the timing of an evaluation deceive? Measured here, shown on the page of evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ostinato.atomic import read_json

__all__ = ["lines_of", "measure_instruments"]


def measure_instruments(root: Path) -> Path:
    """Measure coverage and phase locking, write ``instruments.json`` and return it. It takes some minutes."""
    raise NotImplementedError


def lines_of(root: Path) -> Iterator[str]:
    """Yield the lines of the page about the instruments; none where they were not measured."""
    file = root / "instruments.json"
    if not file.exists():
        return
    document = read_json(file)
    yield from document["lines"]
