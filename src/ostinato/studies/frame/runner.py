"""Running a study: tune on development seeds, then measure every arm under every reported seed; what is finished is never redone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ostinato.atomic import write_json
from ostinato.errors import StateError
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.engines import Engine, engine_of
from ostinato.studies.frame.folder import EvidenceFolder
from ostinato.studies.frame.provenance import code_digest, demand_committed, versions
from ostinato.studies.frame.spec import Profile, Regime
from ostinato.studies.frame.study import Study
from ostinato.studies.frame.summary import summarise
from ostinato.studies.frame.tuning import settings_of, tune

__all__ = ["Runner"]

Progress = Callable[[str, int, int], None]


@dataclass
class Runner:
    """One start of a study.

    Attributes:
        study: What to run.
        profile: ``smoke`` asserts the machinery and claims nothing; ``full`` is reported.
        root: Folder of all evidence.
        seeds: At most so many reported seeds; by default as many as were fixed beforehand.
        engine: ``local`` or ``ray``.
        workers: Processes at once.
        progress: Is told (what, cells done, cells in all).
    """

    study: Study
    profile: Profile = "full"
    root: Path = Path("evidence")
    seeds: int | None = None
    engine: str = "local"
    workers: int | None = None
    progress: Progress | None = None
    _engine: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder = EvidenceFolder(self.root, self.study.spec, self.profile)

    def run(self) -> None:
        """Make everything that is still missing.

        Raises:
            ConfigError: The specification was not frozen, or seeds, engine or workers cannot be.
            StateError: The specification or the code is not the one of the records, or is not committed.
        """
        spec, folder = self.study.spec, self.folder
        engine = engine_of(self.engine, self.workers)
        wanted = {regime.name: spec.seeds_of(regime, self.profile, self.seeds) for regime in spec.regimes}
        if self.profile == "smoke":
            folder.freeze()
        folder.demand_frozen()
        if self.profile == "full":
            demand_committed(folder)
        self._demand_same_code()
        folder.note("start", code=code_digest(), engine=self.engine, seeds={name: len(s) for name, s in wanted.items()})
        try:
            with engine as self._engine:
                chosen = self._tuned()
                for regime in spec.regimes:
                    self._confirm(regime, wanted[regime.name], chosen.get(regime.name, {}))
        except BaseException as error:
            folder.note("stopped", why=type(error).__name__, records=len(folder.records()))
            raise
        write_json(folder.verdict, summarise(self.study, self.root, self.profile).to_document())
        folder.note("end", records=len(folder.records()))

    def _demand_same_code(self) -> None:
        """Check that what is there already was made by this code."""
        codes = {record["code"] for record in self.folder.records()}
        tuned = self.folder.tuned()
        codes |= {tuned["code"]} if tuned is not None else set()
        other = codes - {code_digest()}
        if other and self.profile == "full":
            raise StateError(
                f"{self.folder.path}: holds records of other code ({min(other)[:12]}, this is {code_digest()[:12]}); check out the code that made"
                f" them, or type: ostinato study amend {self.study.spec.name} --why REASON, which keeps them and begins anew"
            )

    def _tuned(self) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
        """Return the chosen settings by regime and arm, tuning first where that was not done."""
        spec = self.study.spec
        if spec.tuning is None:
            return {}
        document = self.folder.tuned()
        if document is None:
            document = {"spec": spec.digest, "code": code_digest(), "versions": versions(), "regimes": {}}
            for regime in spec.regimes:
                document["regimes"][regime.name] = tune(spec, regime, self.profile, self._tuning_measure(regime))
            self.folder.write_tuned(document)
        if document["spec"] != spec.digest:
            raise StateError(f"{self.folder.tuning}: belongs to another specification; restore it from a copy")
        return {name: found["chosen"] for name, found in document["regimes"].items()}

    def _tuning_measure(self, regime: Regime) -> Callable[[Sequence[Cell]], Iterable[Measurement]]:
        def measure(cells: Sequence[Cell]) -> Iterable[Measurement]:
            return (one for done in self._measured(regime, cells, "tuning") for one in done)

        return measure

    def _confirm(self, regime: Regime, seeds: Sequence[int], chosen: Mapping[str, Mapping[str, float]]) -> None:
        spec = self.study.spec
        have = {(r["arm"], r["seed"]) for r in self.folder.records() if r["regime"] == regime.name}
        cells = [
            Cell(arm, seed, settings_of(spec, arm, chosen))
            for place, seed in enumerate(seeds)
            for arm in spec.arms_of(regime)
            if (arm, seed) not in have and place < spec.few.get(arm, len(seeds))
        ]
        origin = {
            "regime": regime.name, "spec": spec.digest, "tuning": self.folder.tuning_digest(), "code": code_digest(),
            "data": regime.sha256, "versions": versions(), "profile": self.profile,
        }  # fmt: skip
        for done in self._measured(regime, cells, "confirming"):
            self.folder.add(regime.name, [{**_finite(one.to_document()), **origin} for one in done])

    def _measured(self, regime: Regime, cells: Sequence[Cell], stage: Stage) -> Iterable[list[Measurement]]:
        study, count = self.study, 0
        parameters = study.spec.parameters(regime, self.profile)
        requests = [
            Request(study.spec.name, regime.name, parameters, stage, together)
            for together in study.together(regime, stage, tuple(cells))
        ]
        self._tell(f"{regime.name}, {stage}", 0, len(cells))
        for done in self._engine.carry_out(requests):
            count += len(done)
            self._tell(f"{regime.name}, {stage}", count, len(cells))
            yield done

    def _tell(self, what: str, done: int, every: int) -> None:
        if self.progress is not None:
            self.progress(what, done, every)


def _finite(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out numbers that are none: a diverged cell has no metrics."""
    document["metrics"] = {name: value for name, value in document["metrics"].items() if math.isfinite(value)}
    document["curves"] = {
        name: [value if math.isfinite(value) else None for value in values]
        for name, values in document["curves"].items()
    }
    return document
