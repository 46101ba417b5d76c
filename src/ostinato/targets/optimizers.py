"""Finding slots in an optimizer's parameter groups."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch

from ostinato.core.address import Address
from ostinato.errors import TargetError
from ostinato.targets.slots import GroupSlot, is_number

__all__ = ["UnselectedError", "as_optimizer", "find_groups", "hidden_zero_decay", "may_be_scheduled"]

Originals = Mapping[str, float]

_COMPARISON = re.compile(r"\s*(?P<key>\w+)\s*(?P<sign>==|!=|<=|>=|<|>)\s*(?P<value>[^\s].*?)\s*")
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class UnselectedError(TargetError):
    """No group is selected by the values that are there; `loadable` says whether a state that is still to be loaded may tell others."""

    def __init__(self, message: str, *, loadable: bool) -> None:
        super().__init__(message)
        self.loadable = loadable


def as_optimizer(value: object) -> torch.optim.Optimizer | None:
    """Return the optimizer that `value` is or wraps (as Fabric's, Accelerate's and Opacus's do), else None."""
    if isinstance(value, torch.optim.Optimizer) or hasattr(type(value), "param_groups"):
        for name in ("optimizer", "original_optimizer"):
            inner = getattr(value, name, None)
            if inner is not value and isinstance(inner, torch.optim.Optimizer):
                return as_optimizer(inner)
    return value if isinstance(value, torch.optim.Optimizer) else None


def may_be_scheduled(optimizer: torch.optim.Optimizer, key: str) -> bool:
    """Return whether the groups' values may come from a loaded state: the optimizer was used, or they are not its defaults."""
    present = [group.get(key) for group in optimizer.param_groups]
    return bool(optimizer.state) or any(value != optimizer.defaults.get(key) for value in present)


def find_groups(address: Address, optimizer: torch.optim.Optimizer, originals: Originals) -> list[GroupSlot]:
    """Return the slots of the groups that an address selects and that have its key.

    Without brackets a ``weight_decay`` leaves out groups whose original is 0 (biases, norms).

    Args:
        address: An address without a class.
        optimizer: Where to look.
        originals: Values from before binding by label, which decide where the present value is a scheduled one.

    Raises:
        TargetError: Nothing matches; the message lists the keys or groups that exist.
    """
    if address.owner is not None or not address.path:
        raise TargetError(f"{address.text}: an optimizer has keys; write '{address.root}.lr' or '{address.root}[0].lr'")
    chosen = [index for index in range(len(optimizer.param_groups)) if _selects(address, optimizer, index, originals)]
    if not chosen:
        names = [str(group.get("name", index)) for index, group in enumerate(optimizer.param_groups)]
        message = f"{address.text}: no parameter group is {address.group!r}; groups: {', '.join(names)}"
        comparison = _COMPARISON.fullmatch(address.group or "")
        raise UnselectedError(
            message, loadable=comparison is not None and may_be_scheduled(optimizer, comparison["key"])
        )
    slots = [slot for index in chosen if (slot := _slot(address, optimizer, index)) is not None]
    if not slots:
        raise TargetError(f"{address.text}: no parameter group has it; keys: {', '.join(_numeric_keys(optimizer))}")
    for slot in slots:
        slot.read()
    if address.group is None and address.key == "weight_decay":
        decaying = [slot for slot in slots if originals.get(slot.label, slot.read()) != 0]
        if not decaying:
            raise UnselectedError(
                f"{address.text}: every group's weight_decay is 0; write '{address.root}[*].weight_decay' to drive them all the same",
                loadable=may_be_scheduled(optimizer, "weight_decay"),
            )
        return decaying
    return slots


def hidden_zero_decay(address: Address, optimizer: torch.optim.Optimizer, slots: list[GroupSlot]) -> list[str]:
    """Return the labels of groups that `find_groups` left out because their original weight decay is 0."""
    found = {slot.index for slot in slots}
    if address.group is not None or address.key != "weight_decay":
        return []
    return [
        slot.label
        for index in range(len(optimizer.param_groups))
        if index not in found and (slot := _slot(address, optimizer, index))
    ]


def _slot(address: Address, optimizer: torch.optim.Optimizer, index: int) -> GroupSlot | None:
    group = optimizer.param_groups[index]
    key, *rest = address.path
    if key == "momentum" and key not in group and "betas" in group:
        key, rest = "betas", ["0"]
    if key not in group or len(rest) > 1:
        return None
    element = None
    if rest:
        values = group[key]
        if not rest[0].isdigit() or not isinstance(values, tuple | list) or int(rest[0]) >= len(values):
            return None
        element = int(rest[0])
    text = key if element is None else f"{key}.{element}"
    return GroupSlot(f"{address.root}[{index}].{text}", optimizer, index, key, element)


def _selects(address: Address, optimizer: torch.optim.Optimizer, index: int, originals: Originals) -> bool:
    selector = address.group
    if selector is None or selector == "*":
        return True
    if selector.isdigit():
        return int(selector) == index
    group = optimizer.param_groups[index]
    comparison = _COMPARISON.fullmatch(selector)
    if comparison is None:
        return fnmatchcase(str(group.get("name", "")), selector)
    key, sign = comparison["key"], _SIGNS[comparison["sign"]]
    value = originals.get(f"{address.root}[{index}].{key}", group.get(key))
    if is_number(value):
        try:
            return sign(float(value), float(comparison["value"]))  # type: ignore[arg-type]  # is_number has checked it
        except ValueError:
            raise TargetError(f"{address.text}: {key} is a number, {comparison['value']!r} is none") from None
    return value is not None and sign(str(value), comparison["value"])


def _numeric_keys(optimizer: torch.optim.Optimizer) -> list[str]:
    keys: dict[str, None] = {}
    for group in optimizer.param_groups:
        for key, value in group.items():
            if is_number(value):
                keys[key] = None
            elif key != "params" and isinstance(value, tuple | list):
                keys |= {f"{key}.{place}": None for place, part in enumerate(value) if is_number(part)}
    return list(keys)
