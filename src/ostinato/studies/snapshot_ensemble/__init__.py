"""Study ``snapshot-ensemble``: do the snapshots of one cyclic run beat any single model of equal budget?"""

from __future__ import annotations

from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study
from ostinato.studies.snapshot_ensemble.measuring import measure, together
from ostinato.studies.snapshot_ensemble.remarks import remarks
from ostinato.studies.snapshot_ensemble.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, repeated=(on_mnist(SPEC),))
