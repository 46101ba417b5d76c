"""Study ``moving-landscape``: is one long cosine the robust schedule under focal loss on imbalanced data, and do its landscapes move?"""

from __future__ import annotations

from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study
from ostinato.studies.moving_landscape.measuring import measure, together
from ostinato.studies.moving_landscape.remarks import remarks, table
from ostinato.studies.moving_landscape.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, table, repeated=(on_mnist(SPEC),))
