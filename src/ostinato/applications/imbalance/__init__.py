"""Rare classes: long-tailed training sets, class weights, focal loss whose focus is on the clock, and scores that see every class.

The focus is `ostinato.nn.FocalLoss.gamma`, driven as ``loss.gamma`` like any other target; ``ostinato train`` has it as ``loss = "focal"``. Long tails
and the geometric mean come from imbalanced-learn: ``pip install 'ostinato[imbalance]'``.
"""

from __future__ import annotations

from ostinato.applications.imbalance.long_tails import long_tailed
from ostinato.applications.imbalance.reports import ImbalanceReport, report
from ostinato.nn import FocalLoss
from ostinato.training.imbalanced import long_tail, long_tailed_rows
from ostinato.training.losses import class_weights

__all__ = ["FocalLoss", "ImbalanceReport", "class_weights", "long_tail", "long_tailed", "long_tailed_rows", "report"]
