"""What the records of study ``gan-phase`` say beside the verdict."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ostinato.applications.adversarial import mixture
from ostinato.studies.frame.telling import Records, grouped, mean
from ostinato.studies.gan_phase.measuring import PHASES
from ostinato.studies.gan_phase.spec import SPEC

__all__ = ["across", "remarks", "table"]

_ROTATION = {"in-phase": 0.0, "lag": 0.25, "anti": 0.5, "lead": 0.75}
"""How much later than the generator's the discriminator's rate is."""


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: how much was learnt, where on the cycle, what the end alone would have said, and the balance."""
    by_arm = grouped(records)
    if {"anti", "in-phase", "two-time-scale"} - by_arm.keys():
        return []
    modes = mixture(SPEC.regime(records[0]["regime"]).parameters["mixture"]).modes
    covered = ", ".join(f"{arm} {modes - mean(found, 'missed'):.1f}" for arm, found in by_arm.items())
    good = ", ".join(f"{arm} {1 - mean(found, 'junk'):.0%}" for arm, found in by_arm.items())
    runaway = ", ".join(f"{arm} {mean(found, 'runaway'):.1%}" for arm, found in by_arm.items())
    lines = [
        f"Modes covered of {modes}, mean over the last cycle: {covered}. Samples of high quality: {good}.",
        f"Runaway, the share of rounds in which the discriminator's loss is below a fifth of what it is in balance: {runaway}.",
        _end_or_mean(by_arm),
    ]
    turning = {arm: turn for arm, turn in _ROTATION.items() if arm in by_arm}
    if len(turning) == len(_ROTATION):
        lines.append(_harmonic(by_arm))
    return lines


def table(records: Records) -> list[str]:
    """Return the divergence by phase of the last cycle, arm by arm; empty while an arm has no record."""
    by_arm = grouped(records)
    if {"anti", "in-phase", "two-time-scale"} - by_arm.keys():
        return []
    lines = [
        "Jensen-Shannon divergence (nat) by phase of the last cycle; the generator's rate is highest at 0.500:\n",
        "| arm | " + " | ".join(f"{phase:.3f}" for phase in PHASES) + " | worst |",
        "|---|" + "---|" * (len(PHASES) + 1),
    ]
    for arm, found in by_arm.items():
        told = [mean(found, f"jsd_phase_{place}") for place in range(len(PHASES))]
        lines.append(f"| {arm} | " + " | ".join(f"{value:.3f}" for value in (*told, mean(found, "jsd_worst"))) + " |")
    return [*lines, ""]


def across(records: Records) -> list[str]:
    """Return whether it is the phase or the ratio of the rates that matters, regime by regime."""
    parts = []
    for regime in SPEC.regimes:
        by_arm = grouped([record for record in records if record["regime"] == regime.name])
        if {"anti", "in-phase", "tuned-constant", "two-time-scale"} - by_arm.keys():
            continue
        jsd = {arm: mean(found, "jsd") for arm, found in by_arm.items()}
        parts.append(
            f"{regime.name}: {jsd['in-phase'] - jsd['anti']:+.3f} nat for the phase (in-phase - anti),"
            f" {jsd['tuned-constant'] - jsd['two-time-scale']:+.3f} for the ratio of constant rates (equal - chosen)"
        )
    return [f"Phase or ratio? What each takes off the divergence: {'; '.join(parts)}."] if parts else []


def _end_or_mean(by_arm: Mapping[str, Records]) -> str:
    """Return what the last sample alone would have said, and whether the claim rests on where training stops."""
    whole, final, worst = (
        mean(by_arm["in-phase"], name) - mean(by_arm["anti"], name) for name in ("jsd", "jsd_final", "jsd_worst")
    )
    margin = SPEC.primary.margin
    told = f"In-phase - anti by what is read: {whole:+.3f} nat over the last cycle, {final:+.3f} at its end, {worst:+.3f} at its worst."
    if final >= margin > whole:
        return f"{told} Anti-phase is better only because training stops where its discriminator's rate is highest and its generator's lowest."
    return told


def _harmonic(by_arm: Mapping[str, Records]) -> str:
    """Return the first harmonic of the divergence over the four shifts: which shift it points to as best."""
    wave = sum(mean(by_arm[arm], "jsd") * np.exp(2j * np.pi * turn) for arm, turn in _ROTATION.items()) / 2
    best = (np.angle(-wave) / (2 * np.pi)) % 1.0
    return (
        f"Over the four shifts of the discriminator the divergence swings by {abs(wave):.3f} nat to either side of its mean; lowest it would be with the"
        f" discriminator {best:.2f} of a cycle late."
    )
