"""What the records of study ``folding`` say beside the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ostinato.applications.folding.folding import WITHIN
from ostinato.studies.folding.spec import SPEC
from ostinato.studies.frame.telling import Records, grouped

__all__ = ["remarks"]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: the lowest energy of all arms, who found it, times to a target, and the phases of the last cycle."""
    by_arm = grouped(records)
    return [*_found(by_arm), *_in_time(by_arm), *_phases(by_arm)] if by_arm else []


def _found(by_arm: Mapping[str, Records]) -> Iterator[str]:
    ends = {arm: np.concatenate([r["curves"]["ends"] for r in own]) for arm, own in by_arm.items()}
    lowest = min(float(values.min()) for values in ends.values())
    scale = SPEC.regime(next(iter(by_arm.values()))[0]["regime"]).parameters["best"]
    hits = ", ".join(f"{arm} {int((v <= lowest + WITHIN).sum())} of {len(v)}" for arm, v in ends.items())
    yield f"The lowest energy of all arms is {lowest:.4f}; E* is {scale:.4f}. Starts that ended within {WITHIN:g} of the former: {hits}."


def _in_time(by_arm: Mapping[str, Records]) -> Iterator[str]:
    told = []
    for arm, own in by_arm.items():
        reached = np.concatenate([r["curves"]["reached"] for r in own])
        times = np.sort(np.where(reached > 0, reached, np.inf))
        median = times[len(times) // 2]
        within = f"half of them by {median:,.0f} evaluations" if np.isfinite(median) else "fewer than half"
        told.append(f"{arm} {np.mean(reached > 0):.1%} ({within})")
    yield f"Starts that ever were within a tenth of E*, those that never were counted as later than any: {', '.join(told)}."


def _phases(by_arm: Mapping[str, Records]) -> Iterator[str]:
    names = ("trough_energy_gap", "peak_energy_gap", "cycle_energy_gap", "energy_gap")
    told = []
    for arm in ("restarts", "sorted", "constant", "noise"):
        if arm in by_arm:
            end, peak, mean, polished = (np.mean([r["metrics"][name] for r in by_arm[arm]]) for name in names)
            told.append(f"{arm} {end:.1%}, {peak:.1%}, {mean:.1%}, polished {polished:.1%}")
    if told:
        yield (
            f"Mean gap to E* before the polish, at the end of the run, at the highest of its last cycle, and over that cycle: {'; '.join(told)}. What lies between the first two is what"
            " stopping at a trough is worth; the endpoint is after the polish, which cools every arm."
        )
    if chosen := [f"{arm} {value:g}" for arm, own in by_arm.items() for value in own[0]["settings"].values()]:
        yield f"Chosen settings: {', '.join(chosen)}. Evaluations of a start: {_used(by_arm)}."


def _used(by_arm: Mapping[str, Records]) -> str:
    return ", ".join(f"{arm} {np.mean([r['metrics']['evaluations'] for r in own]):,.0f}" for arm, own in by_arm.items())
