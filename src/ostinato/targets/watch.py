"""Watching an optimizer's parameter groups: whether they were exchanged, and where each one went."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["GroupWatch"]


class GroupWatch:
    """The parameter groups of an optimizer as they were when they were last looked at.

    A group is the same while its dictionary is, or while its first parameter is: loading a state exchanges the dictionaries and keeps
    the parameters.

    Args:
        root: The name that addresses begin with.
        optimizer: Whose groups.
    """

    __slots__ = ("_groups", "_leaders", "optimizer", "root")

    def __init__(self, root: str, optimizer: torch.optim.Optimizer) -> None:
        self.root = root
        self.optimizer = optimizer
        self._groups = list(optimizer.param_groups)
        self._leaders = [_leader(group) for group in self._groups]

    def changed(self) -> bool:
        """Return whether the groups are not the same dictionaries in the same order any more."""
        groups = self.optimizer.param_groups
        return len(groups) != len(self._groups) or not all(map(operator.is_, groups, self._groups))

    def moved(self, originals: Mapping[str, float]) -> dict[str, float]:
        """Return `originals` under the labels that the groups have now, without those of groups that are gone."""
        places = self._places()
        result = {}
        for label, value in originals.items():
            head, dot, key = label.partition(".")
            index = head.removeprefix(f"{self.root}[").removesuffix("]")
            if head != f"{self.root}[{index}]" or not index.isdigit():
                result[label] = value
            elif int(index) >= len(self._groups):
                result[label] = value  # loaded for a group that is still to come
            elif int(index) in places:
                result[f"{self.root}[{places[int(index)]}]{dot}{key}"] = value
        return result

    def _places(self) -> dict[int, int]:
        """Return where each group is now; all keep their places if none is known any more."""
        groups = self.optimizer.param_groups
        by_group = {id(group): place for place, group in enumerate(groups)}
        by_leader = {id(leader): place for place, group in enumerate(groups) if (leader := _leader(group)) is not None}
        places = {}
        for old, (group, leader) in enumerate(zip(self._groups, self._leaders, strict=True)):
            place = by_group.get(id(group), by_leader.get(id(leader)))
            if place is not None:
                places[old] = place
        return places or {index: index for index in range(len(groups))}


def _leader(group: Mapping[str, Any]) -> Any:
    return next(iter(group["params"]), None)
