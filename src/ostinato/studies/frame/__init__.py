"""The frame of a study: what is fixed beforehand, how it runs, what is kept, and how it is judged."""

from __future__ import annotations

from ostinato.studies.frame.folder import EvidenceFolder
from ostinato.studies.frame.judging import Finding, Judgement, judge
from ostinato.studies.frame.runner import Runner
from ostinato.studies.frame.study import NAMES, Study, every, find

__all__ = ["NAMES", "EvidenceFolder", "Finding", "Judgement", "Runner", "Study", "every", "find", "judge"]
