"""Recompile accounting: what Dynamo compiled, and which bindings of a scheduler would make it compile at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch._dynamo.utils import counters

__all__ = ["Compilations", "count_recompiles"]

_LIMIT = "recompile limit exceeded"
_MEANT = "User-inserted graph break"


@dataclass(frozen=True, slots=True)
class Compilations:
    """What Dynamo did during some calls of a function.

    Attributes:
        graphs: Graphs compiled in each call.
        breaks: Graph breaks in all of them, without those asked for by `torch._dynamo.graph_break()`, of which torch's optimizers have two.
        gave_up: Whether a function was compiled too often, so that it runs eagerly from then on.
    """

    graphs: tuple[int, ...]
    breaks: int
    gave_up: bool

    @property
    def recompiles(self) -> int:
        """Graphs compiled after the second call: the first compiles, the second meets the states that the first has made."""
        return sum(self.graphs[2:])

    @property
    def steady(self) -> bool:
        """Whether something was compiled, in one piece, and never again after the second call."""
        return sum(self.graphs) > 0 and self.recompiles == 0 and self.breaks == 0 and not self.gave_up


def count_recompiles(function: Callable[[int], object], steps: int) -> Compilations:
    """Call a function with 0, 1, ... and count what Dynamo compiles in each call.

    What was compiled before counts as compiled: call `torch._dynamo.reset()` first to begin anew, and use a fresh function, since the limit
    of recompilations (8) is one for each code object.

    Args:
        function: Takes the number of the call.
        steps: How many calls.

    >>> import torch
    >>> torch._dynamo.reset()
    >>> double = torch.compile(lambda x: 2 * x, backend="eager")
    >>> counts = count_recompiles(lambda place: double(torch.ones(3)), 4)
    >>> counts.graphs, counts.recompiles, counts.steady
    ((1, 0, 0, 0), 0, True)
    """
    marks = [_state()]
    for place in range(steps):
        function(place)
        marks.append(_state())
    graphs = tuple(after[0] - before[0] for before, after in pairwise(marks))
    return Compilations(graphs, marks[-1][1] - marks[0][1], marks[-1][2] > marks[0][2])


def _state() -> tuple[int, int, int]:
    """Return how many graphs, graph breaks and exceeded limits there were so far in this process."""
    exceeded = sum(count for reason, count in counters["unimplemented"].items() if _LIMIT in reason)
    breaks = sum(count for reason, count in counters["graph_break"].items() if _MEANT not in reason)
    return counters["stats"]["unique_graphs"], breaks, exceeded
