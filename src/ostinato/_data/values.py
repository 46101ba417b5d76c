"""The values of a plan for one update after another, computed by blocks."""

from __future__ import annotations

import numpy as np

from ostinato.core.resolved import ResolvedPlan

__all__ = ["BlockValues"]

_BLOCK = 64


class BlockValues:
    """The value of every target at an update, out of a block of them, which costs as much as one alone.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=4, cycle=ost.Cycle("sawtooth", count=1), bindings={"augment.strength": ost.wave(0.0, 1.0)})
    >>> BlockValues(plan.resolve()).at(1)
    {'augment.strength': 0.75}
    """

    def __init__(self, resolved: ResolvedPlan) -> None:
        self.resolved = resolved
        self.digest = resolved.digest
        self._first, self._rows = -1, list[dict[str, float]]()

    def at(self, count: int) -> dict[str, float]:
        """Return the values of update `count`, as `ResolvedPlan.values` does."""
        first = count - count % _BLOCK
        if self._first != first:
            counts = np.arange(first, first + _BLOCK, dtype=np.int64)
            columns = [curve(counts).tolist() for curve in self.resolved.curves.values()]
            rows = zip(*columns, strict=True) if columns else [()] * _BLOCK
            self._rows = [dict(zip(self.resolved.targets, row, strict=True)) for row in rows]
            self._first = first
        return dict(self._rows[count - first])
