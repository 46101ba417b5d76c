"""Study ``restart-shapes``: do restarts train a better model than the same rates in descending order?"""

from __future__ import annotations

from ostinato.studies.frame.spec import on_mnist
from ostinato.studies.frame.study import Study
from ostinato.studies.restart_shapes.measuring import measure, together
from ostinato.studies.restart_shapes.remarks import remarks
from ostinato.studies.restart_shapes.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, repeated=(on_mnist(SPEC),))
