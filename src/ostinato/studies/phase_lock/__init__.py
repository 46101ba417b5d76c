"""Study ``phase-lock``: does a validation interval that shares the cycle's period mislead a grid search more than a random one?"""

from __future__ import annotations

from ostinato.studies.frame.study import Study
from ostinato.studies.phase_lock.measuring import measure, together
from ostinato.studies.phase_lock.remarks import remarks, table
from ostinato.studies.phase_lock.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, table=table)
