"""The control arms of a plan: what a claim about cycling has to be compared with.

=================  ===================================================================================  ==========================
control            what it is                                                                           what it takes away
=================  ===================================================================================  ==========================
`sorted`           the plan's own rows, in descending order of the rate                                 the cycles, nothing else
`shuffled`         the plan's own rows, in blocks of random order                                       the rhythm
`constant`         every value at its mean                                                              all variation
`cosine`           one decay of the rate with the plan's mean; the others at their means                the restarts
`linear`           the same as a straight line                                                          the restarts
`tuned_constant`   constant rates round the mean to choose from: the practical baseline                 all variation
`in_phase`         the values of the other bindings in each cycle, ranked as the rate is                the phases between them
`phase_shuffled`   the values of the other bindings in each cycle, turned by a random share of it       the phases between them
=================  ===================================================================================  ==========================

Each is a `Plan` on the same clock: same total, warm-up, cycle, and so the same events to evaluate at. `make` keeps beside it what it was
made from. Causal controls (`sorted`, `shuffled`, `constant`, `in_phase`, `phase_shuffled`, `shifted`) inherit the plan's values; the baselines of
practice (`tuned_constant`, `cosine`, `linear`) deserve as much tuning as the plan had.

>>> import ostinato as ost
>>> from ostinato import controls
>>> plan = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.4)})
>>> plan.table()["optimizer.lr"].round(3).tolist()
[0.4, 0.3, 0.2, 0.1, 0.4, 0.3, 0.2, 0.1]
>>> controls.sorted(plan).table()["optimizer.lr"].round(3).tolist()
[0.4, 0.4, 0.3, 0.3, 0.2, 0.2, 0.1, 0.1]
>>> controls.make("constant", plan).plan.table()["optimizer.lr"].round(3).tolist()[:2]
[0.25, 0.25]
"""

from __future__ import annotations

from ostinato.controls.averaging import constant, cosine, linear, tuned_constant
from ostinato.controls.control import NAMES, Control, make
from ostinato.controls.phasing import matched_decay, matched_product, shifted, shifts
from ostinato.controls.rearranging import in_phase, phase_shuffled, shuffled, sorted

__all__ = [
    "NAMES",
    "Control",
    "constant",
    "cosine",
    "in_phase",
    "linear",
    "make",
    "matched_decay",
    "matched_product",
    "phase_shuffled",
    "shifted",
    "shifts",
    "shuffled",
    "sorted",
    "tuned_constant",
]
