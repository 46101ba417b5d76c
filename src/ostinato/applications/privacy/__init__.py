"""Privacy: what a model gives away about its training examples, phase by phase, and noise against it on the same clock."""

from __future__ import annotations

from ostinato.applications.privacy.leaks import Leak, auc, leak, matched
from ostinato.applications.privacy.memory import Memory, MemoryFit, fit_memory
from ostinato.applications.privacy.scores import confidence, lira, log_probability, rmia
from ostinato.applications.privacy.shadows import Shadows, attack_scores, halves, over_pairs, train_shadows

__all__ = [
    "Leak",
    "Memory",
    "MemoryFit",
    "Shadows",
    "attack_scores",
    "auc",
    "confidence",
    "fit_memory",
    "halves",
    "leak",
    "lira",
    "log_probability",
    "matched",
    "over_pairs",
    "rmia",
    "train_shadows",
]
