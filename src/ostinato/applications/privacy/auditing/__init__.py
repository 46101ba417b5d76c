"""The audit of a training recipe: how much its snapshots leak, phase by phase, and what to release."""

from __future__ import annotations

from ostinato.applications.privacy.auditing.page import save_audit
from ostinato.applications.privacy.auditing.result import Audit
from ostinato.applications.privacy.auditing.running import audit

__all__ = ["Audit", "audit", "save_audit"]
