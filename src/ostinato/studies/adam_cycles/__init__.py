"""Study ``adam-cycles``: do cycles bring Adam nearer to the minimum than the same rates in descending order?"""

from __future__ import annotations

from ostinato.studies.adam_cycles.measuring import measure, together
from ostinato.studies.adam_cycles.remarks import across, remarks, table
from ostinato.studies.adam_cycles.spec import SPEC
from ostinato.studies.frame.study import Study

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, table=table, across=across)
