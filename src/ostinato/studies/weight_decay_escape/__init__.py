"""Study ``weight-decay-escape``: does cycled weight decay search for deeper minima, or does it pull to zero?"""

from __future__ import annotations

from ostinato.studies.frame.study import Study
from ostinato.studies.weight_decay_escape.measuring import measure, together
from ostinato.studies.weight_decay_escape.remarks import across, remarks
from ostinato.studies.weight_decay_escape.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, across=across)
