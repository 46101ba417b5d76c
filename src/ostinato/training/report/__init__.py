"""One self-contained HTML page about a run: `RunReport` in, text out, no network."""

from __future__ import annotations

from ostinato.training.report.model import RunReport, Series
from ostinato.training.report.page import render

__all__ = ["RunReport", "Series", "render"]
