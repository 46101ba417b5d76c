"""A study: its specification, and the function that measures cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from ostinato.errors import ConfigError, suggest
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.spec import Regime, Spec

__all__ = ["NAMES", "Study", "every", "find", "perform", "regime_of"]

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
        repeated: Specifications that repeat this one on other data.
    """

    spec: Spec
    measure: Callable[[Request], Iterable[Measurement]]
    together: Callable[[Regime, Stage, tuple[Cell, ...]], Iterable[tuple[Cell, ...]]]
    remarks: Tell
    table: Tell = _nothing
    across: Tell = _nothing
    repeated: tuple[Spec, ...] = ()

    @property
    def repetitions(self) -> tuple[Study, ...]:
        """The studies that repeat this one."""
        return tuple(replace(self, spec=spec, repeated=()) for spec in self.repeated)


def every() -> list[Study]:
    """Return every study, in order, each followed by its repetitions."""
    return [each for study in map(find, NAMES) for each in (study, *study.repetitions)]


def find(name: str) -> Study:
    """Return a study by name, or the repetition of one: ``replay-phase``, ``replay-phase-mnist``.

    Raises:
        ConfigError: There is none.
    """
    known = list(NAMES)
    for base in NAMES:
        if name == base or name.startswith(f"{base}-"):
            study: Study = import_module(f"ostinato.studies.{base.replace('-', '_')}").STUDY
            found = {one.spec.name: one for one in (study, *study.repetitions)}
            if name in found:
                return found[name]
            known += found
    raise ConfigError(f"study: got {name!r}{suggest(name, known)}")


def regime_of(request: Request) -> Regime:
    """Return the regime that a request is of.

    Raises:
        ConfigError: There is no such study, or no such regime in it.
    """
    return find(request.study).spec.regime(request.regime)


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
