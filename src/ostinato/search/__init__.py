"""Finding values before training: the range test of any target, which leaves no trace."""

from __future__ import annotations

from ostinato.search.ranges import range_test
from ostinato.search.result import RangeTest, Suggestion
from ostinato.search.untouched import untouched

__all__ = ["RangeTest", "Suggestion", "range_test", "untouched"]
