"""Study ``rl-curriculum``: does a learning rate in anti-phase to the difficulty of the environment learn better than one in step with it?"""

from __future__ import annotations

from ostinato.studies.frame.study import Study
from ostinato.studies.rl_curriculum.measuring import measure, together
from ostinato.studies.rl_curriculum.remarks import remarks, table
from ostinato.studies.rl_curriculum.spec import ACROBOT, SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, table=table, repeated=(ACROBOT,))
