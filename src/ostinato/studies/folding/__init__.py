"""Study ``folding``: do cyclic rates help a chain out of metastable folds?"""

from __future__ import annotations

from ostinato.studies.folding.measuring import measure, together
from ostinato.studies.folding.remarks import remarks
from ostinato.studies.folding.spec import SPEC
from ostinato.studies.frame.study import Study

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks)
