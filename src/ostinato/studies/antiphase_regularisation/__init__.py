"""Study ``antiphase-regularisation``: do regularisers that are strong where the rate is low generalise better?"""

from __future__ import annotations

from ostinato.studies.antiphase_regularisation.measuring import measure, together
from ostinato.studies.antiphase_regularisation.remarks import across, remarks
from ostinato.studies.antiphase_regularisation.spec import SPEC
from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, across=across, repeated=(on_mnist(SPEC),))
