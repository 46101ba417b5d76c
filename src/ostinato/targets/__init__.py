"""Targets: where a number lands. An address and the objects given to `bind` become slots."""

from ostinato.targets.find import find, roots_of
from ostinato.targets.optimizers import UnselectedError, as_optimizer, may_be_scheduled
from ostinato.targets.slots import Accessor, AttributeSlot, GroupSlot, ItemSlot, Slot
from ostinato.targets.watch import GroupWatch

__all__ = [
    "Accessor",
    "AttributeSlot",
    "GroupSlot",
    "GroupWatch",
    "ItemSlot",
    "Slot",
    "UnselectedError",
    "as_optimizer",
    "find",
    "may_be_scheduled",
    "roots_of",
]
