"""From records to verdicts: pure functions, so that the same records always give the same answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato import evaluation
from ostinato.errors import StateError
from ostinato.evaluation import Decision, Verdict
from ostinato.studies.frame.cells import unpack_bits
from ostinato.studies.frame.spec import Contrast, Profile, Regime, Spec

__all__ = ["Finding", "Judgement", "judge"]

Records = Sequence[Mapping[str, Any]]
_SEED = 0
_IMAGES_RESAMPLED = 1000


@dataclass(frozen=True)
class Finding:
    """One contrast in one regime.

    Attributes:
        contrast: What was compared.
        decision: Effect, interval and verdict.
        p_holm: The p value among the secondary contrasts of the regime, adjusted by Holm; None for other roles.
        t_interval: Student's interval, the cross-check.
        two_way: Interval with seeds and test images resampled both, where it was asked for.
        diverged: Runs of the arms that diverged.
    """

    contrast: Contrast
    decision: Decision
    p_holm: float | None
    t_interval: tuple[float, float]
    two_way: tuple[float, float] | None
    diverged: int


@dataclass(frozen=True)
class Judgement:
    """What the records of one regime say.

    Attributes:
        regime: The regime.
        verdict: The controlled line: the primary contrast and every required one. None while a cell is missing.
        literal: The literal line: the source's own comparator; None where it has none, or while a cell is missing.
        findings: Every contrast.
        means: From arm to the mean of the primary metric, with its interval and the number of seeds.
        missing: Cells without a record.
    """

    regime: Regime
    verdict: Verdict | None
    literal: Decision | None
    findings: tuple[Finding, ...]
    means: Mapping[str, tuple[float, tuple[float, float], int]]
    missing: int


def judge(
    spec: Spec, regime: Regime, records: Records, profile: Profile = "full", *, images: bool = False
) -> Judgement:
    """Judge one regime.

    Args:
        spec: The specification; records of another one are refused.
        regime: Of the specification.
        records: Of the study; those of other regimes are passed over.
        profile: What the records are of.
        images: Whether to resample the test images too, for the primary and the required contrasts; it takes seconds each.

    Raises:
        StateError: A record belongs to another specification, or a cell has two records.
    """
    cells = _by_cell(spec, regime, records)
    seeds = list(spec.seeds_of(regime, profile))
    arms = spec.arms_of(regime)
    wanted = {(arm, seed) for arm in arms for seed in seeds[: spec.few.get(arm, len(seeds))]}
    missing = len(wanted - set(cells))
    if missing:
        return Judgement(regime, None, None, (), _means(spec, cells, arms), missing)
    contrasts = [contrast for contrast in spec.contrasts if set(contrast.weights) <= set(arms)]
    decided = [_decide(contrast, cells, seeds) for contrast in contrasts]
    adjusted = _adjusted(contrasts, decided)
    findings = tuple(
        Finding(
            contrast,
            decision,
            adjusted.get(contrast.name),
            _t_interval(contrast, cells, seeds),
            _two_way(contrast, cells, seeds) if images else None,
            _diverged(contrast, cells),
        )
        for contrast, decision in zip(contrasts, decided, strict=True)
    )
    named = {finding.contrast.name: finding for finding in findings}
    required = {name: found.decision for name, found in named.items() if found.contrast.role == "required"}
    literal = next((found.decision for found in findings if found.contrast.role == "literal"), None)
    return Judgement(
        regime, evaluation.conclude(findings[0].decision, required), literal, findings, _means(spec, cells, arms), 0
    )


def _by_cell(spec: Spec, regime: Regime, records: Records) -> dict[tuple[str, int], Mapping[str, Any]]:
    cells: dict[tuple[str, int], Mapping[str, Any]] = {}
    for record in records:
        if record["regime"] != regime.name:
            continue
        if record["spec"] != spec.digest:
            raise StateError(
                f"{spec.name}: a record of {record['arm']}, seed {record['seed']}, belongs to specification {record['spec'][:12]},"
                f" not to {spec.digest[:12]}; keep them apart with: ostinato study amend {spec.name} --why REASON"
            )
        key = record["arm"], record["seed"]
        if key in cells:
            raise StateError(
                f"{spec.name}: two records of {key[0]}, seed {key[1]}, in {regime.name}; remove neither, find out why"
            )
        cells[key] = record
    return cells


def _values(
    metric: str, arm: str, cells: Mapping[tuple[str, int], Mapping[str, Any]], seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Return a metric of an arm by seed; a diverged run has the worst value that any run of the regime has."""
    observed = [record["metrics"][metric] for record in cells.values() if metric in record["metrics"]]
    worst = max(observed, default=np.nan)
    return np.array([cells[arm, seed]["metrics"].get(metric, worst) for seed in seeds])


def _differences(
    contrast: Contrast, cells: Mapping[tuple[str, int], Mapping[str, Any]], seeds: Sequence[int]
) -> NDArray[np.float64]:
    chosen = seeds[: contrast.seeds]
    parts = [weight * _values(contrast.metric, arm, cells, chosen) for arm, weight in contrast.weights.items()]
    differences: NDArray[np.float64] = np.sum(parts, axis=0)
    return differences


def _decide(contrast: Contrast, cells: Mapping[tuple[str, int], Mapping[str, Any]], seeds: Sequence[int]) -> Decision:
    if contrast.paired:
        differences = _differences(contrast, cells, seeds)
        return evaluation.decide(differences, contrast.margin, no_worse=contrast.no_worse, seed=_SEED)
    arms = _two_arms(contrast, cells, seeds)
    return evaluation.decide_unpaired(*arms, contrast.margin, no_worse=contrast.no_worse, seed=_SEED)


def _t_interval(
    contrast: Contrast, cells: Mapping[tuple[str, int], Mapping[str, Any]], seeds: Sequence[int]
) -> tuple[float, float]:
    if contrast.paired:
        interval = evaluation.paired_t(_differences(contrast, cells, seeds)).interval
    else:
        interval = evaluation.welch_t(*_two_arms(contrast, cells, seeds)).interval
    return interval.low, interval.high


def _two_arms(
    contrast: Contrast, cells: Mapping[tuple[str, int], Mapping[str, Any]], seeds: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the comparator's values and the claimed arm's, of a contrast without pairs."""
    comparator, claimed = sorted(contrast.weights, key=lambda arm: -contrast.weights[arm])
    chosen = seeds[: contrast.seeds]
    return _values(contrast.metric, comparator, cells, chosen), _values(contrast.metric, claimed, cells, chosen)


def _adjusted(contrasts: Sequence[Contrast], decided: Sequence[Decision]) -> dict[str, float]:
    secondary = [(c.name, d.p) for c, d in zip(contrasts, decided, strict=True) if c.role == "secondary"]
    values = evaluation.holm([p for _, p in secondary])
    return {name: float(value) for (name, _), value in zip(secondary, values, strict=True)}


def _diverged(contrast: Contrast, cells: Mapping[tuple[str, int], Mapping[str, Any]]) -> int:
    return sum(record["status"] == "diverged" for (arm, _), record in cells.items() if arm in contrast.weights)


def _means(
    spec: Spec, cells: Mapping[tuple[str, int], Mapping[str, Any]], arms: Sequence[str]
) -> dict[str, tuple[float, tuple[float, float], int]]:
    means = {}
    for arm in arms:
        values = [
            r["metrics"][spec.primary.metric] for (a, _), r in cells.items() if a == arm and r["status"] == "done"
        ]
        if len(values) > 1:
            interval = evaluation.studentised_bootstrap(values, seed=_SEED)
            means[arm] = float(np.mean(values)), (interval.low, interval.high), len(values)
    return means


def _two_way(
    contrast: Contrast, cells: Mapping[tuple[str, int], Mapping[str, Any]], seeds: Sequence[int]
) -> tuple[float, float] | None:
    """Return the interval of an error's difference with seeds and test images resampled, where every run has its images."""
    records = {(arm, seed): cells[arm, seed] for arm in contrast.weights for seed in seeds[: contrast.seeds]}
    if (
        contrast.role not in ("primary", "required")
        or contrast.metric != "error"
        or any(not record["correct"] for record in records.values())
    ):
        return None
    table = np.sum(
        [
            [weight * ~unpack_bits(records[arm, seed]["correct"]) for seed in seeds[: contrast.seeds]]
            for arm, weight in contrast.weights.items()
        ],
        axis=0,
    )
    interval = evaluation.two_way_bootstrap(table, resamples=_IMAGES_RESAMPLED, seed=_SEED)
    return interval.low, interval.high
