"""What the records of study ``batchnorm-momentum`` say beside the verdict."""

from __future__ import annotations

import numpy as np

from ostinato.studies.batchnorm_momentum.spec import SPEC
from ostinato.studies.frame.telling import Records, finished, grouped, mean

__all__ = ["remarks"]


def remarks(records: Records) -> list[str]:
    """Return sentences for one regime: whether there is a gap, where in the cycle it is, and what precise statistics would gain."""
    by_arm = grouped(finished(records))
    if "constant" not in by_arm:
        return []
    constant = by_arm["constant"]
    gaps = [record["metrics"]["nll_gap"] for record in constant]
    little = np.mean(gaps) < SPEC.primary.margin
    phases = ", ".join(
        f"{gap:.5f}" for gap in np.mean([record["curves"]["nll_gap_by_phase"] for record in constant], axis=0)
    )
    distances = ", ".join(f"{arm} {mean(found, 'distance'):.4f}" for arm, found in by_arm.items())
    return [
        f"The gap that momentum 0.1 leaves at the troughs is {np.mean(gaps):.5f} nat (largest of a seed {np.max(gaps):.5f}): "
        + ("less than the margin, so that there is nothing to gain." if little else "there is something to gain."),
        f"Under 0.1 the gap at the end of each eighth of the last cycle, from high to low rate, in nat: {phases}.",
        f"NLL at the troughs with precise statistics {mean(constant, 'nll_precise'):.4f}, with those of 0.1 {mean(constant, 'nll'):.4f};"
        f" evaluated by running statistics instead of the batch's own it differs by {mean(constant, 'nll_inference'):+.4f}.",
        f"Distance of the running means from the precise ones at the troughs, in standard deviations: {distances}.",
    ]
