"""Studies: claims about cyclical training, each decided by a rule that was fixed before it ran."""

from __future__ import annotations

from ostinato.studies.frame import NAMES, EvidenceFolder, Runner, Study, every, find

__all__ = ["NAMES", "EvidenceFolder", "Runner", "Study", "every", "find"]
