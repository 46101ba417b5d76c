"""What a range test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ostinato.core import documents
from ostinato.search.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ostinato.core.plan import Plan

__all__ = ["RangeTest", "Suggestion"]


@dataclass(frozen=True)
class Suggestion:
    """A value with its reason; or no value, and why there is none.

    Attributes:
        name: By which rule.
        value: The value, or None.
        reason: A sentence.
    """

    name: str
    value: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class RangeTest:
    """The losses of a sweep and what they suggest.

    Attributes:
        sweep: What was swept.
        judge: ``"train"`` or ``"validation"``: which loss.
        values: The values that were tried, float64 (N,); fewer than asked for where it stopped early.
        losses: The loss at each, float64 (N,), finite.
        smoothed: What the suggestions are read from, float64 (N,).
        stopped: Why it stopped early; empty if it did not.
        originals: What every driven place holds, by its concrete address.
        suggestions: By rule.
    """

    sweep: Sweep
    judge: str
    values: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    stopped: str
    originals: Mapping[str, float]
    suggestions: Mapping[str, Suggestion]

    @property
    def target(self) -> str:
        """The address."""
        return self.sweep.target

    @property
    def plan(self) -> Plan:
        """The plan that drove the sweep."""
        return self.sweep.plan()

    @property
    def suggestion(self) -> Suggestion:
        """The suggestion to take: the first rule with a value, or the first one's reason for having none.

        Where every value had its own run that is the minimum alone: what is tolerated is a bound, and no advice.
        """
        if self.sweep.restart:
            return self.suggestions["minimum"]
        found = (each for each in self.suggestions.values() if each.value is not None)
        return next(found, next(iter(self.suggestions.values())))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON of sweep, values and losses."""
        document = self.to_document()
        return documents.digest({key: document[key] for key in ("sweep", "judge", "values", "losses", "stopped")})

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        sweep = {
            "target": self.target,
            "low": self.sweep.low,
            "high": self.sweep.high,
            "steps": self.sweep.steps,
            "scale": self.sweep.scale,
            "restart": self.sweep.restart,
            "relative": self.sweep.relative,
        }
        return {
            "version": 1,
            "sweep": sweep,
            "judge": self.judge,
            "stopped": self.stopped,
            "suggestion": None if self.suggestion.value is None else self.suggestion.name,
            "suggestions": {
                name: {"value": each.value, "reason": each.reason} for name, each in self.suggestions.items()
            },
            "originals": dict(self.originals),
            "values": self.values.tolist(),
            "losses": self.losses.tolist(),
            "smoothed": self.smoothed.tolist(),
        }

    def plot(self, *, ax: Axes | None = None) -> Any:
        """Draw losses, smoothed losses and suggestions with matplotlib and return the axes; pyplot is left alone."""
        from ostinato.search.sweeps.picture import plot

        return plot(self, ax=ax)

    def save_picture(self, path: str | Path) -> None:
        """Write the picture as .png or .svg, whole or not at all.

        Raises:
            ConfigError: The name ends in something else.
            StorageError: The file cannot be written.
        """
        from ostinato.search.sweeps.picture import save_picture

        save_picture(self, path)

    def __repr__(self) -> str:
        best = self.suggestion
        found = f"no suggestion: {best.reason}" if best.value is None else f"{best.name} {best.value:.3g}"
        return f"<RangeTest of {self.target}, {len(self.values)} of {self.sweep.steps} values: {found}>"
