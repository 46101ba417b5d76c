"""A study: its specification, and the function that measures cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ostinato.errors import ConfigError, suggest
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime, Spec

__all__ = ["NAMES", "Study", "find", "perform"]

NAMES = (
    "snapshot-ensemble",
    "restart-shapes",
    "phase-lock",
    "antiphase-regularisation",
    "weight-decay-phase",
    "batchnorm-momentum",
    "adam-cycles",
    "weight-decay-escape",
    "moving-landscape",
    "folding",
    "federated-phase",
    "gan-phase",
    "replay-phase",
    "rl-curriculum",
    "membership-breathing",
)
"""Every study, in the order of the page of evidence."""


Tell = Callable[[Sequence[dict[str, Any]]], list[str]]


def _nothing(records: Sequence[dict[str, Any]]) -> list[str]:
    """Tell nothing."""
    return []


@dataclass(frozen=True)
class Study:
    """A specification and how its cells are measured.

    Attributes:
        spec: What is claimed and how it is decided.
        measure: Measures the cells of one request, in any order.
        together: Divides a regime's cells, under a stage, into those that one process measures at once.
        remarks: Sentences about the records of one regime, beside the verdict.
        table: Lines of Markdown about them, below the remarks: what is better read as a table.
        across: Sentences about the records of all regimes together, which no verdict rests on.
    """

    spec: Spec
    measure: Callable[[Request], Iterable[Measurement]]
    together: Callable[[Regime, Stage, tuple[Cell, ...]], Iterable[tuple[Cell, ...]]]
    remarks: Tell
    table: Tell = _nothing
    across: Tell = _nothing


def find(name: str) -> Study:
    """Return a study by name.

    Raises:
        ConfigError: There is none.
    """
    if name not in NAMES:
        raise ConfigError(f"study: got {name!r}{suggest(name, NAMES)}")
    study: Study = import_module(f"ostinato.studies.{name.replace('-', '_')}").STUDY
    return study


def perform(request: Request) -> list[Measurement]:
    """Measure the cells of a request; what an engine runs in another process.

    Raises:
        ConfigError: A cell was left out.
    """
    done = list(find(request.study).measure(request))
    missing = [cell for cell in request.cells if all(one.cell != cell for one in done)]
    if missing or len(done) != len(request.cells):
        raise ConfigError(f"{request.study}: measured {len(done)} of {len(request.cells)} cells; missing {missing[:1]}")
    return done
