"""Did cycling help? A plan against its controls at equal budget, seeds paired, with intervals and one verdict."""

from __future__ import annotations

from ostinato.comparison.analysis import ArmScore, Effect, Summary, summarise
from ostinato.comparison.folder import ComparisonFolder
from ostinato.comparison.running import Comparison, compare, judge, resume

__all__ = ["ArmScore", "Comparison", "ComparisonFolder", "Effect", "Summary", "compare", "judge", "resume", "summarise"]
