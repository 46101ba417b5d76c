"""Study ``federated-phase``: do clients whose rates are shifted in phase average to a better model than clients in step?"""

from __future__ import annotations

from ostinato.studies.federated_phase.measuring import measure, together
from ostinato.studies.federated_phase.remarks import remarks, table
from ostinato.studies.federated_phase.spec import SPEC
from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, table, repeated=(on_mnist(SPEC),))
