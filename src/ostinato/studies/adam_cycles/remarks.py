"""What the records of study ``adam-cycles`` say beside the verdict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ostinato.studies.adam_cycles.spec import SPEC
from ostinato.studies.frame.telling import Records, grouped, mean

__all__ = ["across", "remarks", "table"]

_LEVELS = ("restarts", "sorted", "cosine", "constant")


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: where on the cycle is read, where it begins and ends, and how many runs arrived."""
    by_arm = grouped(records)
    if set(SPEC.arms) - by_arm.keys():
        return []
    lines = [_levels(by_arm), _phases(by_arm, _endpoint(records))]
    if only := _only_at_the_trough(by_arm, _endpoint(records)):
        lines.append(only)
    reached = ", ".join(f"{arm} {mean(by_arm[arm], 'reached'):.1%}" for arm in (*_LEVELS, "sgd-restarts"))
    diverged = {arm: mean(found, "diverged") for arm, found in by_arm.items()}
    told = ", ".join(f"{arm} {value:.1%}" for arm, value in diverged.items() if value) or "none"
    lines.append(
        f"Runs that reached the target, over all rates: {reached}; the others count with their whole length. Diverged: {told}."
    )
    return lines


def table(records: Records) -> list[str]:
    """Return a table of the gaps by mean rate; empty while an arm has no record."""
    by_arm = grouped(records)
    if set(SPEC.arms) - by_arm.keys():
        return []
    what = "updates until it is left" if _endpoint(records) == "time" else "excess after the last update"
    lines = [
        f"Decimal logarithm of the {what} by mean rate, mean over seeds and starts, and by how much the others are above it:\n",
        "| optimizer | mean rate | restarts | sorted | cosine | constant |",
        "|---|---|---|---|---|---|",
    ]
    for optimizer, prefix in (("Adam", ""), ("SGD", "sgd-")):
        curves = {arm: np.mean([r["curves"]["log"] for r in by_arm[prefix + arm]], axis=0) for arm in _LEVELS}
        for place, rate in enumerate(by_arm[prefix + "restarts"][0]["curves"]["rate"]):
            own = curves["restarts"][place]
            above = " | ".join(f"{curves[arm][place] - own:+.3f}" for arm in _LEVELS[1:])
            lines.append(f"| {optimizer} | {rate:g} | {own:.3f} | {above} |")
    return [*lines, ""]


def across(records: Records) -> list[str]:
    """Return what is annealing and what is cycling, regime by regime, and what it is under SGD."""
    parts = []
    for regime in SPEC.regimes:
        by_arm = grouped([record for record in records if record["regime"] == regime.name])
        if not set(SPEC.arms) - by_arm.keys():
            parts.append((regime.name, *_split(by_arm, ""), *_split(by_arm, "sgd-")))
    if not parts:
        return []
    told = "; ".join(f"{name} {whole:+.3f} = {order:+.3f} {cycling:+.3f}" for name, whole, order, cycling, *_ in parts)
    sgd = "; ".join(f"{name} {whole:+.3f} = {order:+.3f} {cycling:+.3f}" for name, *_, whole, order, cycling in parts)
    return [
        "Variation or annealing? The decades by which the cycles beat a constant rate are those that their rates in descending order gain on it, which no cycle"
        f" has a part in, and those that the cycles gain on that order (below 0: lose): {told}.",
        f"The same under SGD with momentum: {sgd}.",
    ]


def _split(by_arm: Mapping[str, Records], prefix: str) -> tuple[float, float, float]:
    """Return constant - restarts as constant - sorted plus sorted - restarts, of mean gaps."""
    whole, cycling = (mean(by_arm[prefix + arm], "gap") for arm in ("constant", "sorted"))
    return whole, whole - cycling, cycling


def _levels(by_arm: Mapping[str, Records]) -> str:
    found = {
        name: ", ".join(f"{arm} {mean(by_arm[arm], f'log_{name}'):.2f}" for arm in _LEVELS)
        for name in ("excess", "cycle", "peak")
    }
    return (
        f"Decimal logarithm of the excess, median over the rates: at the end, a trough, {found['excess']}; mean over the last cycle {found['cycle']};"
        f" at that cycle's peak {found['peak']}."
    )


def _phases(by_arm: Mapping[str, Records], endpoint: str) -> str:
    gap = {arm: mean(by_arm[arm], "gap") for arm in by_arm}
    return (
        f"Where a cycle begins and ends ({'updates' if endpoint == 'time' else 'excess'}, decades above the cycles from peak to trough): from trough to trough"
        f" {gap['trough-to-trough']:+.3f}, from peak to peak {gap['peak-to-peak']:+.3f}, from trough to peak {gap['trough-to-peak']:+.3f}; a constant rate"
        f" {gap['constant']:+.3f}, the sorted twin {gap['sorted']:+.3f}."
    )


def _only_at_the_trough(by_arm: Mapping[str, Records], endpoint: str) -> str:
    """Return the sentence that says so where cycles beat a constant rate only if training stops at a trough."""
    constant, away = mean(by_arm["constant"], "gap"), mean(by_arm["peak-to-peak"], "gap")
    over = mean(by_arm["constant"], "gap_cycle")
    if endpoint == "time" or constant <= 0.0 or away < constant:
        return ""
    return (
        f"That cycles end below the constant rate here ({constant:+.3f}) holds only because training stops at a trough: ended at a peak they are {away - constant:.3f} decades above"
        f" it, and over the whole last cycle their mean excess is {abs(over):.3f} decades {'below' if over > 0 else 'above'} that of the constant rate."
    )


def _endpoint(records: Records) -> str:
    return str(SPEC.regime(records[0]["regime"]).parameters["endpoint"])
