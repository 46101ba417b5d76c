"""What the records of study ``weight-decay-phase`` say beside the verdict."""

from __future__ import annotations

import numpy as np

from ostinato.studies.frame.telling import Records, finished, grouped, mean
from ostinato.studies.weight_decay_phase.spec import SHIFTS

__all__ = ["remarks"]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: what was chosen, the error over the shifts in both sweeps, and the norm of the weights."""
    done = grouped(finished(records))
    lines = []
    if {"constant", "best-shift"} <= done.keys():
        decay = done["constant"][0]["settings"]["decay"]
        shifts = [f"{done[arm][0]['settings']['shift']:g} ({match})" for arm, match in _BEST.items() if arm in done]
        lines.append(f"Chosen: constant decay {decay:g}, shift {', '.join(shifts)}.")
    for kind, match in (("shift", "mean of rate * decay matched"), ("mean", "mean decay matched")):
        arms = [f"{kind}-{k}" for k in range(len(SHIFTS))]
        if set(arms) <= done.keys():
            errors = [100 * mean(done[arm], "error") for arm in arms]
            norms = [mean(done[arm], "weight_norm") for arm in arms]
            lines.append(
                f"Shift 0 to 7/8, {match}: error {', '.join(f'{error:.2f}' for error in errors)} points (range {np.ptp(errors):.2f});"
                f" norm of the weights {', '.join(f'{norm:.1f}' for norm in norms)}."
            )
    if "constant" in done:
        lines.append(
            f"Under the constant decay the norm of the weights is {mean(done['constant'], 'weight_norm'):.1f}."
        )
    return lines


_BEST = {"best-shift": "rate * decay matched", "best-mean": "mean decay matched"}
