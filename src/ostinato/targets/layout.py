"""How values are written fast: which column of a table of values goes to which place, plain places by their dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ostinato.targets.slots import Slot

__all__ = ["Layout", "lay_out"]

Single = tuple[dict[Any, Any], Any, int, Slot]
Run = tuple[Any, int, list[dict[Any, Any]], list[Slot]]

_SHORTEST_RUN = 4


class Layout(NamedTuple):
    """Columns of values, and the places that take them.

    Attributes:
        columns: Target and factor of each column.
        singles: Dictionary, key, column and slot of places that are written one by one.
        runs: Key and column of places that share both, with their dictionaries and slots.
        others: Slots that write by themselves, with their columns.
    """

    columns: tuple[tuple[str, float], ...]
    singles: list[Single]
    runs: list[Run]
    others: list[tuple[Slot, int]]


def lay_out(found: Mapping[str, Sequence[Slot]], factors: Mapping[str, Sequence[float]]) -> Layout:
    """Arrange the slots of every target, each with its factor: runs of places that share key and column, and the others one by one."""
    columns: dict[tuple[str, float], int] = {}
    cells: dict[tuple[Any, int], list[tuple[dict[Any, Any], Slot]]] = {}
    others: list[tuple[Slot, int]] = []
    for target, slots in found.items():
        for slot, factor in zip(slots, factors[target], strict=True):
            column = columns.setdefault((target, factor), len(columns))
            cell = slot.cell()
            if cell is None:
                others.append((slot, column))
            else:
                cells.setdefault((cell[1], column), []).append((cell[0], slot))
    singles: list[Single] = []
    runs: list[Run] = []
    for (key, column), places in cells.items():
        if len(places) < _SHORTEST_RUN:
            singles.extend((owner, key, column, slot) for owner, slot in places)
        else:
            runs.append((key, column, [owner for owner, _ in places], [slot for _, slot in places]))
    return Layout(tuple(columns), singles, runs, others)
