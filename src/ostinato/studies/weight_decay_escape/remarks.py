"""What the records of study ``weight-decay-escape`` say beside the verdict."""

from __future__ import annotations

import numpy as np

from ostinato.studies.frame.telling import Records, grouped, mean
from ostinato.studies.weight_decay_escape.spec import SPEC

__all__ = ["across", "remarks"]

_TOLD = ("cyclic", "sorted", "constant", "mean", "weak-cyclic", "weak-sorted", "weak-mean", "none")
_SIDES = {
    "zero_on_deep_side": "on the deeper well's side of the barrier",
    "zero_on_shallow_side": "on the shallower well's side",
    "zero_on_barrier": "at the barrier",
}
"""Where 0 may lie."""


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: the decays, how strongly they pull, and who escapes by the side that zero lies on."""
    by_arm = grouped(records)
    if set(_TOLD) - by_arm.keys():
        return []
    decays = ", ".join(f"{arm} {mean(by_arm[arm], 'highest_decay'):g}" for arm in ("cyclic", "constant", "weak-cyclic"))
    pulled = ", ".join(f"{arm} {mean(by_arm[arm], 'pulled'):.0%}" for arm in ("cyclic", "weak-cyclic"))
    lines = [f"Highest decay: {decays}. Wells in which decay * |parameter| exceeds 1 at the start: {pulled}."]
    for side, where in _SIDES.items():
        found = {arm: mean(by_arm[arm], f"trapped_{side}") for arm in _TOLD}
        if not np.isnan(found["cyclic"]):
            told = ", ".join(f"{arm} {1 - value:.1%}" for arm, value in found.items())
            lines.append(f"End in the deeper well where 0 lies {where}: {told}.")
    return lines


def across(records: Records) -> list[str]:
    """Return whether cycled decay searches or only pulls to zero."""
    shares: dict[str, dict[str, float]] = {side: {} for side in _SIDES}
    for regime in SPEC.regimes:
        cyclic = [record for record in records if (record["regime"], record["arm"]) == (regime.name, "cyclic")]
        for side in _SIDES:
            trapped = mean(cyclic, f"trapped_{side}")
            if not np.isnan(trapped):
                shares[side][regime.name] = 1.0 - trapped
    if not all(shares.values()):
        return []
    told = "; ".join(
        f"{where} {', '.join(f'{name} {share:.1%}' for name, share in shares[side].items())}"
        for side, where in _SIDES.items()
    )
    away = [share for name, share in shares["zero_on_shallow_side"].items() if name != "noisy"]
    answer = "only pulls to 0" if max(away, default=1.0) < 0.05 else "also crosses away from 0"
    return [
        f"Search, or a pull to 0? The share that the cycles bring into the deeper well, by where 0 lies: {told}. Without noise the cycled decay {answer}."
    ]
