"""From addresses to slots, whatever kind of object a root is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from torch.nn import Module

from ostinato.core.address import Address
from ostinato.errors import TargetError, suggest
from ostinato.targets.objects import find_in_object
from ostinato.targets.optimizers import Originals, as_optimizer, find_groups, hidden_zero_decay
from ostinato.targets.slots import Accessor, Slot

__all__ = ["find", "roots_of"]

_log = logging.getLogger("ostinato")


def roots_of(targets: Iterable[str], roots: Mapping[str, Any]) -> None:
    """Check that every target begins with the name of an object that is there.

    Raises:
        TargetError: One does not, or the object is None.
    """
    for target in targets:
        name = Address.parse(target).root
        if roots.get(name) is None:
            given = [key for key, value in roots.items() if value is not None]
            raise TargetError(f"{target}: bind was given no {name!r}; write bind({name}=...){suggest(name, given)}")


def find(target: str, roots: Mapping[str, Any], originals: Originals, *, announce: bool = False) -> list[Slot]:
    """Return the slots that a target matches.

    Args:
        target: The address.
        roots: Objects by name.
        originals: Values from before binding, by label.
        announce: Log the parameter groups that a weight decay leaves out because theirs is 0.

    Raises:
        TargetError: Nothing matches, or what matches is no number.
    """
    address = Address.parse(target)
    root = roots[address.root]
    optimizer = as_optimizer(root)
    if optimizer is not None:
        slots = find_groups(address, optimizer, originals)
        if announce and (hidden := hidden_zero_decay(address, optimizer, slots)):
            _log.warning(
                "%s leaves out %s, whose weight decay is 0; write %s[*].weight_decay to drive them too",
                target,
                ", ".join(hidden),
                address.root,
            )
        return list(slots)
    if (
        isinstance(root, tuple)
        and len(root) == 2
        and all(callable(part) and not isinstance(part, Module) for part in root)
    ):
        if address.path or address.owner:
            raise TargetError(
                f"{target}: {address.root!r} is a pair (getter, setter); its target is '{address.root}' alone"
            )
        pair = Accessor(address.root, *root)
        pair.read()
        return [pair]
    return find_in_object(address, root)
