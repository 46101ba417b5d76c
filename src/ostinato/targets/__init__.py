"""Targets: where a number lands. An address and the objects given to `bind` become slots."""

from ostinato.targets.find import find, roots_of
from ostinato.targets.optimizers import as_optimizer
from ostinato.targets.slots import Accessor, AttributeSlot, GroupSlot, ItemSlot, Slot

__all__ = ["Accessor", "AttributeSlot", "GroupSlot", "ItemSlot", "Slot", "as_optimizer", "find", "roots_of"]
