"""What the records of study ``rl-curriculum`` say beside the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ostinato import evaluation
from ostinato.studies.frame.telling import Records, finished, grouped, mean
from ostinato.studies.rl_curriculum.measuring import HIGHEST, environment_of
from ostinato.studies.rl_curriculum.spec import ACROBOT, SPEC

__all__ = ["remarks", "table"]

_ON_QUADRATICS = ("anti", "in-phase", "constant")


def remarks(records: Records) -> list[str]:
    """Return sentences: where on the cycle is read, whether hard meant sharp at a fixed rate, how well the rate met the difficulty, the quadratics."""
    by_arm = grouped(records)
    if set(SPEC.arms) - by_arm.keys():
        return []
    parameters = _parameters(records)
    lines = [
        _phases(by_arm, _highest(parameters)),
        _own_cycles(by_arm),
        _sharpness(by_arm["constant"]),
        _coupling(by_arm),
    ]
    lines += [_quadratics(by_arm)] if "quadratic_steps" in parameters else []
    diverged = {arm: sum(r["status"] == "diverged" for r in found) for arm, found in by_arm.items()}
    lines.append(f"Runs that diverged: {', '.join(f'{a} {n}' for a, n in diverged.items() if n) or 'none'}.")
    return lines


def table(records: Records) -> list[str]:
    """Return a table of the returns by difficulty and by phase; empty while an arm has no record."""
    by_arm = grouped(records)
    if set(SPEC.arms) - by_arm.keys():
        return []
    parameters = _parameters(records)
    levels = parameters["difficulties"]
    phases = [f"{(place + 1) / 8:g}" for place in range(8)]
    lines = [
        f"Mean return (at most {_highest(parameters):g}) over the last cycle by difficulty of the grid, and over the grid by phase of the cycle (difficulty is highest at 0.5):\n",
        "| arm | "
        + " | ".join([*(f"difficulty {level:g}" for level in levels), *(f"phase {p}" for p in phases)])
        + " |",
        "|---" * (1 + len(levels) + len(phases)) + "|",
    ]
    for arm in SPEC.arms:
        done = finished(by_arm[arm])
        curves = [np.mean([r["curves"][name] for r in done], axis=0) for name in ("by_difficulty", "by_phase")]
        lines.append(f"| {arm} | " + " | ".join(f"{value:.0f}" for value in np.concatenate(curves)) + " |")
    return [*lines, ""]


def _parameters(records: Records) -> Mapping[str, Any]:
    """Return the sizes of the records' regime."""
    regimes = {regime.name: regime for regime in (*SPEC.regimes, *ACROBOT.regimes)}
    return regimes[records[0]["regime"]].parameters


def _highest(parameters: Mapping[str, Any]) -> float:
    return HIGHEST[environment_of(parameters)]


def _phases(by_arm: Mapping[str, Records], highest: float) -> str:
    told = "; ".join(
        f"{arm} {highest - mean(found, 'shortfall'):.0f}, {highest - mean(found, 'shortfall_mid'):.0f}, {highest - mean(found, 'shortfall_end'):.0f}"
        for arm, found in by_arm.items()
    )
    change = {name: _gain(by_arm, name) for name in ("shortfall", "shortfall_mid", "shortfall_end")}
    signs = {value > 0.0 for value in change.values()}
    hint = (
        ""
        if len(signs) == 1
        else " Which of the two is ahead depends on where in the cycle training stops: the mean over the cycle is the answer here."
    )
    return (
        f"Return over the grid, mean of the last cycle, in its middle (hardest; anti at its lowest rate, in-phase at its highest) and at its end (easiest; the other way round): {told}."
        f" Anti is ahead of in-phase by {change['shortfall']:+.0f} in the mean, {change['shortfall_mid']:+.0f} in the middle, {change['shortfall_end']:+.0f} at the end.{hint}"
    )


def _gain(by_arm: Mapping[str, Records], metric: str) -> float:
    return mean(by_arm["in-phase"], metric) - mean(by_arm["anti"], metric)


def _own_cycles(by_arm: Mapping[str, Records]) -> str:
    """Return whether it is the phase against the difficulty that gains, or the one in step with it that loses."""
    seeds = {record["seed"] for record in by_arm["independent"]}
    own = mean(by_arm["independent"], "shortfall")
    ahead = {
        arm: own - mean([record for record in by_arm[arm] if record["seed"] in seeds], "shortfall")
        for arm in ("anti", "in-phase")
    }
    why = ""
    if ahead["in-phase"] < ahead["anti"] <= 0.0:
        why = ": what parts the two is what in-phase loses, not what anti gains"
    return (
        f"Against a rate in cycles of its own, under the {len(seeds)} seeds that it ran, anti is ahead by {ahead['anti']:+.0f} of return and"
        f" in-phase by {ahead['in-phase']:+.0f}{why}."
    )


def _sharpness(constant: Records) -> str:
    """Return whether the claim's premise holds where no rate confuses it."""
    told, holds = [], []
    for metric, what in (
        ("sharp_when_hard", "the policy's curvature"),
        ("far_when_hard", "the KL divergence of an update"),
    ):
        values = [record["metrics"][metric] for record in finished(constant)]
        interval = evaluation.studentised_bootstrap(values, seed=0)
        told.append(f"{what} {np.mean(values):+.2f} ({interval.low:+.2f} to {interval.high:+.2f})")
        holds.append(interval.low > 0.0)
    answer = "holds" if all(holds) else "does not hold" if not any(holds) else "holds for one of the two only"
    return (
        "Hard means sharp? That is an assumption of the claim. At the constant rate, from the second cycle on, the difficulty in force correlates with the logarithm, less its trend, of"
        f" {' and of '.join(told)}: the assumption {answer} here."
    )


def _coupling(by_arm: Mapping[str, Records]) -> str:
    told = ", ".join(f"{arm} {mean(found, 'coupling'):+.2f}" for arm, found in by_arm.items() if arm != "constant")
    return (
        "A new difficulty waits for the next reset, and a long episode keeps its own: the correlation of rate and difficulty in force is"
        f" {told}; without that wait it would be -1, +1 and 0."
    )


def _quadratics(by_arm: Mapping[str, Records]) -> str:
    told = [
        f"{what} {', '.join(f'{arm} {mean(by_arm[arm], metric):.2f}' for arm in _ON_QUADRATICS)}"
        for metric, what in (("quadratic", "without noise"), ("quadratic_noisy", "with noise"))
    ]
    return (
        "Where hard is sharp by construction (quadratics whose curvature rises tenfold and falls four times, SGD, each arm at its best mean rate), decimal logarithm of the"
        f" mean excess over the last cycle: {'; '.join(told)}. Anti is exactly inversely proportional to the curvature there."
    )
