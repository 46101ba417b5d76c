"""What a run has that says nothing."""

from __future__ import annotations

__all__ = ["DEFAULT_RECIPE", "DEFAULT_TOTAL"]

DEFAULT_TOTAL = "30ep"
DEFAULT_RECIPE = "snapshot"
"""Five cosine cycles of the learning rate, whatever the total (arXiv 1704.00109)."""
