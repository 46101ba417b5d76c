"""From records to a verdict: a pure function of them, the same whenever and wherever it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.comparison import wording
from ostinato.comparison.arms import PLAN, Role, roles_of
from ostinato.comparison.endpoints import ENSEMBLE, Endpoint, endpoint_of
from ostinato.errors import StateError
from ostinato.evaluation import Decision, Interval, Verdict, conclude, decide, holm, studentised_bootstrap
from ostinato.evaluation.decisions import Answer

__all__ = ["ArmScore", "Effect", "Summary", "summarise"]

Record = Mapping[str, Any]
Floats = NDArray[np.float64]
_FAMILIES = {"error": ("error", "area", ENSEMBLE + "error"), "nll": ("nll", ENSEMBLE + "nll"), "ece": ("ece",)}


@dataclass(frozen=True)
class ArmScore:
    """How an arm did.

    Attributes:
        mean: Of the endpoint over the seeds.
        interval: Of that mean.
        n: Seeds.
        diverged: How many of them diverged; each counts with the worst score that any run was observed at.
    """

    mean: float
    interval: Interval
    n: int
    diverged: int

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"mean": self.mean, "interval": self.interval.to_document(), "n": self.n, "diverged": self.diverged}


@dataclass(frozen=True)
class Effect:
    """The plan against one control: seed by seed the control's score minus the plan's, so that positive means that the plan is better.

    Attributes:
        control: The control's name.
        single: The plan's ensemble against the control's one last model, instead of against its ensemble.
        role: What the control decides, see `ostinato.comparison.arms.Arm`.
        decision: The rule's answer with effect, interval and n.
        differences: One a seed, in the order of the seeds.
        p_holm: For secondary controls: two-sided, adjusted for their number.
    """

    control: str
    single: bool
    role: Role
    decision: Decision
    differences: tuple[float, ...]
    p_holm: float | None = None

    @property
    def label(self) -> str:
        """The control's name, and whether its last model alone is meant."""
        return f"{self.control} (one model)" if self.single else self.control

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        kept = {key: value for key, value in self.decision.to_document().items() if key != "sentence"}
        return {
            "control": self.control,
            "against": "one model" if self.single else "the same",
            "role": self.role,
            **kept,
            "p_holm": self.p_holm,
            "differences": list(self.differences),
        }


@dataclass(frozen=True)
class Summary:
    """What the records of a comparison say.

    Attributes:
        data: The data's name.
        endpoint: What decides.
        margin: The smallest difference that matters.
        seeds: The seeds, ascending.
        arms: By name, the plan first.
        effects: One for each control, or two where ensembles are compared.
        conclusion: What the comparator and the required controls say together.
        sentence: The verdict in plain words.
        literal: The same against constant rates alone, where there are such; never the headline.
        notes: What one should know about these numbers.
    """

    data: str
    endpoint: Endpoint
    margin: float
    seeds: tuple[int, ...]
    arms: Mapping[str, ArmScore]
    effects: tuple[Effect, ...]
    conclusion: Verdict
    sentence: str
    literal: str
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Answer:
        """``"supported"``, ``"not supported"`` or ``"inconclusive"``."""
        return self.conclusion.verdict

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "data": self.data,
            "endpoint": self.endpoint.name,
            "margin": self.margin,
            "seeds": list(self.seeds),
            "arms": {name: score.to_document() for name, score in self.arms.items()},
            "effects": [effect.to_document() for effect in self.effects],
            "verdict": self.verdict,
            "sentence": self.sentence,
            "literal": self.literal or None,
            "n_needed": self.conclusion.n_needed,
            "notes": list(self.notes),
        }


def summarise(records: Sequence[Record]) -> Summary:
    """Return what the records of one comparison say; their order does not matter.

    Raises:
        StateError: They belong to different comparisons, a run is missing or there twice, or all have diverged.
    """
    told, arms, seeds = _checked(records)
    endpoint, margin = endpoint_of(told["endpoint"], told["cycles"]), float(told["margin"])
    cells = {(record["arm"], record["seed"]): record for record in records}
    worst = _worst(records)

    def scores(arm: str, metric: str) -> Floats:
        found = [cells[arm, seed]["metrics"] for seed in seeds]
        fill = worst[endpoint.family]
        return np.array([fill if metrics is None else metrics[metric] for metrics in found], np.float64)

    diverged = Counter(record["arm"] for record in records if record["metrics"] is None)
    shown = {name: _score(scores(name, endpoint.name), diverged[name]) for name in arms}
    own, effects = scores(PLAN, endpoint.name), []
    for control, role in roles_of(told["controls"]).items():
        effects.append(_effect(control, role, scores(control, endpoint.name) - own, margin))
        if endpoint.name.startswith(ENSEMBLE):
            single: Role = "required" if role == "primary" else role
            last = scores(control, endpoint.name.removeprefix(ENSEMBLE))
            effects.append(_effect(control, single, last - own, margin, single=True))
    effects = _adjusted(effects)
    primary = next(effect for effect in effects if effect.role == "primary")
    conclusion = conclude(
        primary.decision, {effect.label: effect.decision for effect in effects if effect.role == "required"}
    )
    return Summary(
        str(told["data"]["name"]), endpoint, margin, seeds, shown, tuple(effects), conclusion,
        wording.sentence(endpoint, conclusion, primary.label, cycles=told["cycles"]),
        wording.literal(endpoint, [(effect.label, effect.decision) for effect in effects if effect.role == "literal"]),
        tuple(wording.notes(endpoint, margin, told, looks=_looks(records), diverged=diverged, primary=primary.control)),
    )  # fmt: skip


def _checked(records: Sequence[Record]) -> tuple[Mapping[str, Any], list[str], tuple[int, ...]]:
    """Return what is compared, the arms and the seeds, after checking that every arm has every seed once."""
    if not records:
        raise StateError("no records; a verdict needs every arm with at least 2 seeds")
    told = records[0]["comparison"]
    for record in records:
        if record["comparison"] != told:
            keys = [key for key in {**told, **record["comparison"]} if told.get(key) != record["comparison"].get(key)]
            raise StateError(f"records of different comparisons ({', '.join(keys)} differ); judge each by itself")
    arms = [PLAN, *told["controls"]]
    counts = Counter((record["arm"], record["seed"]) for record in records)
    seeds = tuple(sorted({record["seed"] for record in records}))
    for (arm, seed), count in counts.items():
        if count > 1 or arm not in arms:
            raise StateError(
                f"arm {arm!r}, seed {seed}: {'recorded twice' if count > 1 else 'not of this comparison'}; restore the records from a copy"
            )
    missing = [(arm, seed) for arm in arms for seed in seeds if (arm, seed) not in counts]
    planned = max(record["planned"] for record in records)
    if missing or len(seeds) < planned:
        what = (
            f"arm {missing[0][0]!r} lacks seed {missing[0][1]}"
            if missing
            else f"{len(seeds)} of {planned} seeds are done"
        )
        raise StateError(f"no verdict yet: {what}; go on with: ostinato compare --resume FOLDER")
    return told, arms, seeds


def _worst(records: Sequence[Record]) -> dict[str, float]:
    """Return the worst value of each kind that any run was observed at, along its curve or at its end.

    Raises:
        StateError: There is none.
    """
    worst = {}
    for family, names in _FAMILIES.items():
        ends = [
            record["metrics"][name]
            for record in records
            if record["metrics"]
            for name in names
            if name in record["metrics"]
        ]
        worst[family] = max(
            [*ends, *(value for record in records for value in record["curve"].get(family, []))], default=float("nan")
        )
    if all(record["metrics"] is None for record in records):
        raise StateError(
            "every run of every arm diverged, so that there is nothing to compare; lower the learning rate and begin again"
        )
    return worst


def _score(values: Floats, diverged: int) -> ArmScore:
    return ArmScore(float(values.mean()), studentised_bootstrap(values), len(values), diverged)


def _effect(control: str, role: Role, differences: Floats, margin: float, *, single: bool = False) -> Effect:
    return Effect(control, single, role, decide(differences, margin), tuple(differences.tolist()))


def _adjusted(effects: Sequence[Effect]) -> list[Effect]:
    """Return the effects with the p values of the secondary ones adjusted by Holm's rule."""
    adjusted = iter(holm([effect.decision.p for effect in effects if effect.role == "secondary"]).tolist())
    return [replace(effect, p_holm=next(adjusted)) if effect.role == "secondary" else effect for effect in effects]


def _looks(records: Sequence[Record]) -> list[int]:
    """Return the numbers of seeds at which there was a verdict: each number that was planned."""
    return sorted({record["planned"] for record in records})
