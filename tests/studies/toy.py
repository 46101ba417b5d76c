"""A study whose numbers are a formula, so that everything around it can be tested in no time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ostinato.studies.frame import study as study_module
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage, pack_bits
from ostinato.studies.frame.spec import Contrast, Grid, Regime, Spec, Tuning
from ostinato.studies.frame.study import Study

BEST = {"claimed": 0.4, "base": 0.1}  # the settings with the lowest validation error


def spec(**changes: Any) -> Spec:
    fields: dict[str, Any] = {
        "name": "toy",
        "claim": "The claimed arm errs less.",
        "source": "nobody",
        "scope": "A formula.",
        "arms": {"claimed": "below", "base": "above", "twin": "between", "bound": "few seeds"},
        "contrasts": (
            Contrast("base - claimed", "primary", {"base": 1.0, "claimed": -1.0}, "error", 0.01),
            Contrast("twin - claimed", "required", {"twin": 1.0, "claimed": -1.0}, "error", 0.01),
            Contrast("base - twin", "secondary", {"base": 1.0, "twin": -1.0}, "error", 0.01),
            Contrast("base - claimed, literal", "literal", {"base": 1.0, "claimed": -1.0}, "error", 0.0),
        ),
        "regimes": (Regime("one", "the headline", "none", "", {"size": 3}, {}), Regime("two", "another", "none", "", {"size": 4}, {})),
        "tuning": Tuning({"claimed": Grid("peak", (0.1, 0.2)), "base": Grid("peak", (0.1, 0.2))}, {"twin": "claimed"}, "validation_error", 2),
        "seeds": 12,
        "sd": "0",
        "margin_reason": "made up",
        "data": "none",
        "few": {"bound": 3},
    }  # fmt: skip
    return Spec(**{**fields, **changes})


LEVEL: Mapping[str, float] = {"claimed": 0.10, "base": 0.15, "twin": 0.14, "bound": 0.09}
measured: list[Cell] = []


def measure(request: Request) -> Iterator[Measurement]:
    for cell in request.cells:
        measured.append(cell)
        noise = np.random.default_rng([cell.seed, len(cell.arm)])
        peak = cell.settings.get("peak", 1.0)
        scores = {"validation_error": abs(np.log(peak / BEST.get(cell.arm, 0.4)))}
        if request.stage == "confirming":
            correct = noise.random(200) > LEVEL[cell.arm]
            scores["error"] = float(1 - correct.mean())
            yield Measurement(cell, scores, correct=pack_bits(correct))
        else:
            yield Measurement(cell, scores)


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    return (tuple(cell for cell in cells if cell.seed == seed) for seed in sorted({cell.seed for cell in cells}))


def install(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Study:
    """Make the toy a study like the others."""
    module = ModuleType("ostinato.studies.toy")
    module.STUDY = Study(spec(**changes), measure, together, lambda records: [])
    monkeypatch.setitem(sys.modules, "ostinato.studies.toy", module)
    monkeypatch.setattr(study_module, "NAMES", (*study_module.NAMES, "toy"))
    measured.clear()
    return module.STUDY
