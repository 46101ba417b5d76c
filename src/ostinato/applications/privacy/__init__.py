"""Privacy: what a model gives away about its training examples, phase by phase, and noise against it on the same clock."""

from __future__ import annotations

from ostinato.applications.privacy.auditing import Audit, audit, save_audit
from ostinato.applications.privacy.leaks import Leak, auc, leak, matched
from ostinato.applications.privacy.memory import Memory, MemoryFit, fit_memory
from ostinato.applications.privacy.noise import ScheduledNoise, epsilon
from ostinato.applications.privacy.scores import confidence, lira, log_probability, rmia
from ostinato.applications.privacy.shadowing import train_shadows
from ostinato.applications.privacy.shadows import Shadows, attack_scores, halves, over_pairs

__all__ = [
    "Audit",
    "Leak",
    "Memory",
    "MemoryFit",
    "ScheduledNoise",
    "Shadows",
    "attack_scores",
    "auc",
    "audit",
    "confidence",
    "epsilon",
    "fit_memory",
    "halves",
    "leak",
    "lira",
    "log_probability",
    "matched",
    "over_pairs",
    "rmia",
    "save_audit",
    "train_shadows",
]
