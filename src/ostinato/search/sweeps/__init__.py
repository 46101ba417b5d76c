"""The range test: one value swept in a mock run that leaves no trace."""

from __future__ import annotations

from ostinato.search.sweeps.ranges import range_test
from ostinato.search.sweeps.result import RangeTest, Suggestion
from ostinato.search.sweeps.untouched import untouched

__all__ = ["RangeTest", "Suggestion", "range_test", "untouched"]
