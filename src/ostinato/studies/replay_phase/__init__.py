"""Study ``replay-phase``: does replay keep more of the old tasks where the rate is high?"""

from __future__ import annotations

from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study
from ostinato.studies.replay_phase.measuring import measure, together
from ostinato.studies.replay_phase.remarks import remarks, table
from ostinato.studies.replay_phase.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, table=table, repeated=(on_mnist(SPEC),))
