"""What all slots of a plan must agree on: no place twice, and the values from before binding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ostinato.errors import TargetError
from ostinato.targets.slots import Slot

__all__ = ["refuse_overlap", "with_new"]


def refuse_overlap(found: Mapping[str, list[Slot]]) -> None:
    """Check that no two targets drive the same place or tensor.

    Raises:
        TargetError: Two do.
    """
    owners: dict[Any, str] = {}
    for target, slots in found.items():
        for slot in slots:
            value = slot.raw()
            for place in (slot.place, id(value)) if isinstance(value, Tensor) else (slot.place,):
                other = owners.setdefault(place, target)
                if other != target:
                    raise TargetError(
                        f"{slot.label}: driven by both {other!r} and {target!r}; keep one, or select parameter groups"
                    )


def with_new(originals: Mapping[str, float], found: Mapping[str, list[Slot]]) -> dict[str, float]:
    """Return `originals` with those of slots that are new; slots that share one tensor share its original."""
    known = dict(originals)
    slots = [slot for group in found.values() for slot in group]
    tensors = {
        id(value): known[slot.label]
        for slot in slots
        if slot.label in known and isinstance(value := slot.raw(), Tensor)
    }
    for slot in slots:
        value = slot.raw()
        known.setdefault(slot.label, tensors.get(id(value), _plain(value)))
    return known


def _plain(value: Any) -> float:
    """Return a number as JSON holds it; integers stay integers."""
    return value if isinstance(value, int) else float(value)
