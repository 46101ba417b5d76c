"""Finding values before training: the range test of any target, which leaves no trace."""

from __future__ import annotations

from ostinato.search.sweeps.ranges import range_test
from ostinato.search.sweeps.result import RangeTest, Suggestion
from ostinato.search.sweeps.untouched import untouched

__all__ = ["RangeTest", "Suggestion", "range_test", "untouched"]
