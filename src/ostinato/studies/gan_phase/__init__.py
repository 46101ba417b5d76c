"""Study ``gan-phase``: do the rates of generator and discriminator in anti-phase keep the game in balance?"""

from __future__ import annotations

from ostinato.studies.frame.study import Study
from ostinato.studies.gan_phase.measuring import measure, together
from ostinato.studies.gan_phase.remarks import across, remarks, table
from ostinato.studies.gan_phase.spec import SPEC

__all__ = ["STUDY"]

STUDY = Study(SPEC, measure, together, remarks, table=table, across=across)
"""The study."""
