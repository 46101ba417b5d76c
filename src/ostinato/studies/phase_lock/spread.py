"""How far apart the true scores of the bank lie, on development seeds: what study ``phase-lock`` counts its regrets in.

``python -m ostinato.studies.phase_lock.spread [SEEDS]`` prints, for each regime, the interquartile range over the configurations of the true mean over
the cycle and of the true score at the last trough, in nat, and the standard deviation of the primary contrast over seeds in the former; the specification has
these numbers. It shows no arm's mean.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.threads import one_thread
from ostinato.studies.phase_lock.measuring import bank_of, searched
from ostinato.studies.phase_lock.spec import SPEC

__all__ = ["spread"]


def spread(name: str, seeds: range) -> dict[str, float]:
    """Return the interquartile ranges of a regime's true scores, each configuration's the mean over seeds, and the primary contrast's deviation.

    Args:
        name: Of the regime.
        seeds: Development seeds.
    """
    regime, weights = SPEC.regime(name), SPEC.primary.weights
    cells = [Cell(arm, seed) for seed in seeds for arm in weights]
    parameters = {**SPEC.parameters(regime, "full"), "iqr": 1.0, "trough_iqr": 1.0}
    request = Request(SPEC.name, name, parameters, "tuning", tuple(cells))
    bank = bank_of(request)
    ranges = [float(np.subtract(*np.percentile(part.mean(axis=0), [75, 25]))) for part in (bank.means, bank.troughs)]
    effects = dict.fromkeys(seeds, 0.0)
    for cell, made in searched(bank, request, cells):
        effects[cell.seed] += weights[cell.arm] * made["metrics"]["regret"] / ranges[0]
    return {"iqr": ranges[0], "trough_iqr": ranges[1], "sd": float(np.std(list(effects.values()), ddof=1))}


def _main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
    for regime in SPEC.regimes:
        begun = time.monotonic()
        with one_thread():
            found = spread(regime.name, seeds)
        told = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        print(f"{regime.name}: {told} ({len(seeds)} seeds, {time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    _main()
