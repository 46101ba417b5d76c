"""Study ``membership-breathing``: does vulnerability to membership inference fall where the rate is high, beyond what accuracy explains?"""

from __future__ import annotations

from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study
from ostinato.studies.membership_breathing.measuring import measure, together
from ostinato.studies.membership_breathing.remarks import remarks
from ostinato.studies.membership_breathing.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, repeated=(on_mnist(SPEC),))
