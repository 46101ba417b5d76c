"""The driver: which slots a resolved plan drives, and writing a step's values into them."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ostinato.core import domains
from ostinato.core.address import Address
from ostinato.core.memory import frozen
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import DomainError, ForeignWriteWarning, OstinatoError
from ostinato.targets import (
    GroupSlot,
    GroupWatch,
    Slot,
    UnselectedError,
    as_optimizer,
    find,
    may_be_scheduled,
    roots_of,
)
from ostinato.targets.layout import lay_out
from ostinato.targets.originals import refuse_overlap, with_new

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["Driver", "level_outside"]

Row = tuple[float, ...]
_BLOCK = 1024

_OWN = ("ostinato.driver", "ostinato.scheduler", "ostinato.views")


class Driver:
    """Slots of a plan's targets and the writes into them.

    Values are computed in blocks, one column for each target and (for relative bindings) original. Plain numbers are written straight
    into the dictionary that holds them; everything else goes through its slot. Parameter groups are looked at before each write: when an
    optimizer has loaded a state, got another group or lost one, all slots are found anew. At the end of every cycle they are in any case.

    Attributes:
        originals: What the driven values were before binding, by concrete address.
        slots: For every target, where it lands.
        idle: While true, nothing is written.
        released: Whether driving has ended for good.

    What cannot be right as things are, but may come right when a state is loaded (the optimizer was loaded before binding, so that its
    originals are not there to be seen), is raised by the first `advance` and not by `attach`.
    """

    def __init__(
        self, resolved: ResolvedPlan, roots: Mapping[str, Any], originals: Mapping[str, float], count: int
    ) -> None:
        self.resolved = resolved
        self.roots = dict(roots)
        self.originals = dict(originals)
        self.idle = False
        self.released = False
        self._count = count
        self._reported: set[str] = set()
        self._handles: list[Any] = []
        self._watches: list[GroupWatch] = []
        self.attach(announce=True)

    # -- finding the places ------------------------------------------------------------------------------------

    def attach(self, *, announce: bool = False) -> None:
        """Find every slot anew, remember the originals of new ones, and lay out the writes.

        Raises:
            TargetError: A target matches nothing, or two match the same place.
            DomainError: A relative binding leaves what its target accepts.
        """
        targets = self.resolved.targets
        roots_of(targets, self.roots)
        originals = self.originals
        for watch in self._watches:
            originals = watch.moved(originals)
        self._pending: OstinatoError | None = None
        found = {target: self._find(target, originals, announce) for target in targets}
        refuse_overlap(found)
        self.originals = with_new(originals, found)
        self.slots = found
        self._watches = [GroupWatch(name, optimizer) for name, optimizer in self._named_optimizers()]
        self._demand_relative()
        self._lay_out()

    def _find(self, target: str, originals: Mapping[str, float], announce: bool) -> list[Slot]:
        """Return a target's slots; none as yet where a state that is still to be loaded can tell which groups are meant."""
        try:
            return find(target, self.roots, originals, announce=announce)
        except UnselectedError as error:
            if not error.loadable:
                raise
            self._pending = error
            return []

    def _demand_relative(self) -> None:
        """Check the domains of relative bindings, whose values depend on the originals."""
        for target, slots in self.slots.items():
            binding = self.resolved.plan.bound[target]
            if binding.relative:
                domain = binding.chosen_domain(domains.domain_of(Address.parse(target)))
                for factor in {self.originals[slot.label] for slot in slots}:
                    try:
                        domains.demand(target, self.resolved.curves[target], domain, self.resolved.total, factor=factor)
                    except DomainError as error:
                        if not any(
                            isinstance(slot, GroupSlot) and may_be_scheduled(slot.optimizer, slot.key) for slot in slots
                        ):
                            raise
                        self._pending = error

    def _lay_out(self) -> None:
        """Arrange the columns, and which place takes which."""
        factors = {
            target: [self.originals[slot.label] if self.resolved.plan.bound[target].relative else 1.0 for slot in slots]
            for target, slots in self.slots.items()
        }
        layout = lay_out(self.slots, factors)
        self._columns, self._singles, self._runs, self._others = layout
        self._block_start = -1
        self._row = self._row_at(self._count)

    def _named_optimizers(self) -> list[tuple[str, Optimizer]]:
        driven = {Address.parse(target).root for target in self.resolved.targets}
        found = ((name, as_optimizer(root)) for name, root in self.roots.items() if name in driven)
        return [(name, optimizer) for name, optimizer in found if optimizer is not None]

    def optimizers(self) -> list[Optimizer]:
        """Return the optimizers that the plan drives, in the order that `bind` was given them."""
        return [optimizer for _, optimizer in self._named_optimizers()]

    def original(self, optimizer: Optimizer, index: int, key: str) -> float | None:
        """Return what a parameter group's value was before binding; None where it is not driven."""
        for slots in self.slots.values():
            for slot in slots:
                if isinstance(slot, GroupSlot) and slot.place == (id(optimizer), index, key, None):
                    return self.originals[slot.label]
        return None

    def listen(self) -> None:
        """Rewrite the values from now on whenever a driven optimizer loads a state, which replaces its groups."""
        me = weakref.ref(self)

        def loaded(optimizer: Optimizer) -> None:
            driver = me()
            if driver is not None and not driver.idle:
                driver.attach()
                driver.enforce(driver._count)

        self._handles = [optimizer.register_load_state_dict_post_hook(loaded) for optimizer in self.optimizers()]

    def release(self) -> None:
        """Stop driving: nothing is written any more, and loading an optimizer's state changes nothing."""
        self.idle = self.released = True
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def refresh(self) -> None:
        """Take note of parameter groups that were exchanged, added or removed since the last write."""
        if not self.released and any(watch.changed() for watch in self._watches):
            self.attach(announce=True)
            if not self.idle:
                self.enforce(self._count)

    # -- writing -----------------------------------------------------------------------------------------------

    def _row_at(self, count: int) -> Row:
        """Return the values of update `count`, one a column."""
        place = count - self._block_start
        if self._block_start < 0 or not 0 <= place < _BLOCK:
            self._block_start = count - count % _BLOCK
            place = count - self._block_start
            counts = frozen(np.arange(self._block_start, self._block_start + _BLOCK, dtype=np.int64))
            values = [self.resolved.curves[target].function(counts) * factor for target, factor in self._columns]
            self._rows = list(zip(*(column.tolist() for column in values), strict=True)) or [()] * _BLOCK
        return self._rows[place]

    def enforce(self, count: int) -> None:
        """Put the values of update `count` in force, without looking at what was there."""
        self._count, self._row = count, self._row_at(count)
        for owner, key, column, _ in self._singles:
            owner[key] = self._row[column]
        for key, column, owners, _ in self._runs:
            for owner in owners:
                owner[key] = self._row[column]
        for slot, column in self._others:
            slot.write(self._row[column])

    def advance(self, count: int) -> None:
        """Put the values of update `count` in force, and report plain values that are not the ones written before.

        This runs at every step. A value that is the very object written before is left at that; only another one is looked at closely.
        """
        if self._pending is not None:
            raise self._pending
        for watch in self._watches:
            if watch.changed():
                self.attach(announce=True)
                self.enforce(count)
                return
        before, written = self._row, self._count
        place = count - self._block_start
        row = self._rows[place] if place < _BLOCK else self._row_at(count)
        self._count, self._row = count, row
        stale = False
        for owner, key, column, slot in self._singles:
            if owner[key] is not before[column] and self._differs(slot, before[column], written):
                stale = True  # a tensor, which will be filled in place
            else:
                owner[key] = row[column]
        for key, column, owners, slots in self._runs:
            old, new = before[column], row[column]
            for owner in owners:
                if owner[key] is not old:
                    break
                owner[key] = new
            else:
                continue
            stale |= self._write_run(key, owners, slots, old, new, step=written)
        for slot, column in self._others:
            slot.write(row[column])
        if stale:
            self.attach()
            self.enforce(count)

    def _write_run(
        self, key: Any, owners: list[dict[Any, Any]], slots: list[Slot], old: float, new: float, *, step: int
    ) -> bool:
        """Write what remains of a run in which somebody else wrote; return whether slots have to be found anew."""
        stale = False
        for owner, slot in zip(owners, slots, strict=True):
            if owner[key] is not old and owner[key] is not new and self._differs(slot, old, step):
                stale = True
            else:
                owner[key] = new
        return stale

    def _differs(self, slot: Slot, written: float, step: int) -> bool:
        """Look at a plain value that is another object than the one written; return whether it is a tensor now."""
        if not slot.holds(written):
            self._report(slot, written, step)
        return isinstance(slot.raw(), Tensor)

    def inspect(self, count: int) -> None:
        """Put the values of update `count` in force after looking at everything: tensors and set values too, and where all slots are."""
        if self._pending is not None:
            raise self._pending
        changed = any(watch.changed() for watch in self._watches)
        if not changed:
            for slot, column in self._placed():
                if not slot.holds(self._row[column]):
                    self._report(slot, self._row[column], self._count)
        self.attach(announce=changed)
        self.enforce(count)

    def _placed(self) -> Iterator[tuple[Slot, int]]:
        """Yield every slot with its column."""
        yield from self._others
        yield from ((slot, column) for _, _, column, slot in self._singles)
        yield from ((slot, column) for _, column, _, slots in self._runs for slot in slots)

    def restore(self) -> None:
        """Give every driven value back what it was before binding."""
        for slots in self.slots.values():
            for slot in slots:
                slot.write(self.originals[slot.label])

    def _report(self, slot: Slot, written: float, step: int) -> None:
        if slot.label not in self._reported:
            self._reported.add(slot.label)
            warnings.warn(
                f"{slot.label}: the plan wrote {written!r} for step {step}, but {slot.shown()} was found there;"
                " something else writes it too: remove the other writer, or wrap it in scheduler.paused()",
                ForeignWriteWarning,
                stacklevel=level_outside(),
            )


def level_outside() -> int:
    """Return the `stacklevel` at which a warning of the caller names the line of the user's that led to it."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _OWN:
        level, frame = level + 1, frame.f_back
    return level
