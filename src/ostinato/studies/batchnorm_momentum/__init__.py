"""Study ``batchnorm-momentum``: does batch-norm momentum against the rate give snapshots the statistics that match them?"""

from __future__ import annotations

from ostinato.studies.batchnorm_momentum.measuring import measure, together
from ostinato.studies.batchnorm_momentum.remarks import remarks
from ostinato.studies.batchnorm_momentum.spec import SPEC
from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, repeated=(on_mnist(SPEC),))
