"""Snapshots of a training run, and the ensemble that they make."""

from __future__ import annotations

from ostinato.ensembles.ensemble import SnapshotEnsemble
from ostinato.ensembles.methods import MethodChoice
from ostinato.ensembles.norm_gap import GapByPhase, NormGap, NormGapRecord, norm_gap
from ostinato.ensembles.scores import Evaluation
from ostinato.ensembles.single import SingleModel
from ostinato.ensembles.store import Member

__all__ = [
    "Evaluation",
    "GapByPhase",
    "Member",
    "MethodChoice",
    "NormGap",
    "NormGapRecord",
    "SingleModel",
    "SnapshotEnsemble",
    "norm_gap",
]
