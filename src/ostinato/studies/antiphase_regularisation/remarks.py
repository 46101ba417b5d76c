"""What the records of study ``antiphase-regularisation`` say beside the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato import evaluation
from ostinato.studies.antiphase_regularisation.plans import SETS
from ostinato.studies.frame.telling import Records

__all__ = ["across", "remarks"]

_COMPARATORS = ("shuffled", "tuned")


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: the chosen strengths, and what regularisation is worth at all."""
    done = _by_arm(records)
    pairs = [(chosen, done.get(f"{chosen}-anti"), done.get(f"{chosen}-tuned")) for chosen in SETS]
    told = [
        f"{chosen} {_strength(anti):g} (anti), {_strength(tuned):g} (constant)"
        for chosen, anti, tuned in pairs
        if anti and tuned
    ]
    return [f"Chosen strengths: {'; '.join(told)}."] if told else []


def across(records: Records) -> list[str]:
    """Return sentences about the interaction: how much more anti-phase gains where a model overfits than where it underfits.

    The regimes have other training images, so their seeds are no pairs: the interval is unpaired.
    """
    regimes = {
        name: _by_arm([record for record in records if record["regime"] == name]) for name in ("overfit", "underfit")
    }
    lines = []
    for comparator in _COMPARATORS:
        told = []
        for chosen in SETS:
            gains = [_gains(found, f"{chosen}-{comparator}", f"{chosen}-anti") for found in regimes.values()]
            if min(len(gain) for gain in gains) > 1:
                interval = evaluation.studentised_bootstrap_unpaired(*gains)
                effect = 100 * (gains[0].mean() - gains[1].mean())
                told.append(f"{chosen} {effect:+.2f} ({100 * interval.low:+.2f} to {100 * interval.high:+.2f})")
        if told:
            lines.append(
                f"Interaction, gain of anti over {comparator} under overfit less that under underfit, in points, unpaired: {'; '.join(told)}."
            )
    return lines


def _by_arm(records: Records) -> dict[str, dict[int, dict[str, Any]]]:
    done: dict[str, dict[int, dict[str, Any]]] = {}
    for record in records:
        if record["status"] == "done":
            done.setdefault(record["arm"], {})[record["seed"]] = record
    return done


def _strength(found: Mapping[int, dict[str, Any]]) -> float:
    return float(next(iter(found.values()))["settings"]["strength"])


def _gains(done: Mapping[str, Mapping[int, dict[str, Any]]], comparator: str, claimed: str) -> NDArray[np.float64]:
    """Return the comparator's error less the claimed arm's, for the seeds that both have."""
    first, second = done.get(comparator, {}), done.get(claimed, {})
    return np.array(
        [
            first[seed]["metrics"]["error"] - second[seed]["metrics"]["error"]
            for seed in sorted(first.keys() & second.keys())
        ]
    )
