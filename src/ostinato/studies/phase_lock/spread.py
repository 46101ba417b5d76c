"""How far apart the true scores of the bank lie, on development seeds: what study ``phase-lock`` counts its regrets in.

``python -m ostinato.studies.phase_lock.spread [SEEDS]`` prints, for each regime, the interquartile range over the configurations of the true mean over
the cycle and of the true score at the last trough, in nat; the specification has these numbers.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.threads import one_thread
from ostinato.studies.phase_lock.measuring import bank_of
from ostinato.studies.phase_lock.spec import SPEC

__all__ = ["spread"]


def spread(name: str, seeds: range) -> dict[str, float]:
    """Return the interquartile ranges of a regime's true scores, each configuration's the mean over seeds.

    Args:
        name: Of the regime.
        seeds: Development seeds.
    """
    regime = SPEC.regime(name)
    cells = tuple(Cell("grid-fixed", seed) for seed in seeds)
    bank = bank_of(Request(SPEC.name, name, SPEC.parameters(regime, "full"), "tuning", cells))
    ranges = [np.subtract(*np.percentile(part.mean(axis=0), [75, 25])) for part in (bank.means, bank.troughs)]
    return {"iqr": float(ranges[0]), "trough_iqr": float(ranges[1])}


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
