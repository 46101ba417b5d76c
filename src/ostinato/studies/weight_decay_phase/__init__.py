"""Study ``weight-decay-phase``: does a phase between rate and weight decay reach what the two in step do not?"""

from __future__ import annotations

from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study
from ostinato.studies.weight_decay_phase.measuring import measure, together
from ostinato.studies.weight_decay_phase.remarks import remarks
from ostinato.studies.weight_decay_phase.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, repeated=(on_mnist(SPEC),))
