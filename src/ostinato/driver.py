"""The driver: which slots a resolved plan drives, and writing a step's values into them."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato.core import domains
from ostinato.core.address import Address
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ForeignWriteWarning, TargetError
from ostinato.targets import Slot, as_optimizer, find, roots_of

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["Driver"]

Row = tuple[float, ...]
_BLOCK = 1024


class Driver:
    """Slots of a plan's targets and the writes into them.

    Values are computed in blocks, one column for each target and (for relative bindings) original. Plain numbers are written straight
    into the dictionary that holds them; everything else goes through its slot. Parameter groups are looked at before each write: when an
    optimizer has loaded a state or got another group, all slots are found anew.

    Attributes:
        originals: What the driven values were before binding, by concrete address.
        slots: For every target, where it lands.
        idle: While true, nothing is written.
    """

    def __init__(
        self, resolved: ResolvedPlan, roots: Mapping[str, Any], originals: Mapping[str, float], count: int
    ) -> None:
        self.resolved = resolved
        self.roots = dict(roots)
        self.originals = dict(originals)
        self.idle = False
        self._count = count
        self._reported: set[str] = set()
        self._handles: list[Any] = []
        self.attach(announce=True)
        self._listen()

    # -- finding the places ------------------------------------------------------------------------------------

    def attach(self, *, announce: bool = False) -> None:
        """Find every slot anew, remember the originals of new ones, and lay out the writes.

        Raises:
            TargetError: A target matches nothing, or two match the same place.
            DomainError: A relative binding leaves what its target accepts.
        """
        targets = self.resolved.targets
        roots_of(targets, self.roots)
        found = {target: find(target, self.roots, self.originals, announce=announce) for target in targets}
        _refuse_overlap(found)
        originals = {slot.label: _plain(slot.raw()) for slots in found.values() for slot in slots}
        self.originals = {**originals, **self.originals}
        self.slots = found
        self._demand_relative()
        self._lay_out()

    def _demand_relative(self) -> None:
        """Check the domains of relative bindings, whose values depend on the originals."""
        for target, slots in self.slots.items():
            binding = self.resolved.plan.bound[target]
            if binding.relative:
                domain = binding.chosen_domain(domains.domain_of(Address.parse(target)))
                for factor in {self.originals[slot.label] for slot in slots}:
                    domains.demand(target, self.resolved.curves[target], domain, self.resolved.total, factor=factor)

    def _lay_out(self) -> None:
        """Arrange the columns, and which slot takes which."""
        columns: dict[tuple[str, float], int] = {}
        self._cells: list[tuple[dict[Any, Any], Any, int, Slot]] = []
        self._others: list[tuple[Slot, int]] = []
        for target, slots in self.slots.items():
            relative = self.resolved.plan.bound[target].relative
            for slot in slots:
                factor = self.originals[slot.label] if relative else 1.0
                column = columns.setdefault((target, factor), len(columns))
                cell = slot.cell()
                if cell is None:
                    self._others.append((slot, column))
                else:
                    self._cells.append((*cell, column, slot))
        self._columns = tuple(columns)
        self._watched = [
            (optimizer, optimizer.param_groups, len(optimizer.param_groups)) for optimizer in self.optimizers()
        ]
        self._block_start = -1
        self._row = self._row_at(self._count)

    def optimizers(self) -> list[Optimizer]:
        """Return the optimizers that the plan drives, in the order that `bind` was given them."""
        driven = {Address.parse(target).root for target in self.resolved.targets}
        found = (as_optimizer(root) for name, root in self.roots.items() if name in driven)
        return [optimizer for optimizer in found if optimizer is not None]

    def _listen(self) -> None:
        """Rewrite the values whenever a driven optimizer loads a state, which replaces its groups."""
        me = weakref.ref(self)

        def loaded(optimizer: Optimizer) -> None:
            driver = me()
            if driver is not None and not driver.idle:
                driver.attach()
                driver.enforce(driver._count)

        self._handles = [optimizer.register_load_state_dict_post_hook(loaded) for optimizer in self.optimizers()]

    def release(self) -> None:
        """Stop driving: nothing is written any more, and loading an optimizer's state changes nothing."""
        self.idle = True
        for handle in self._handles:
            handle.remove()
        self._handles = []

    # -- writing -----------------------------------------------------------------------------------------------

    def _row_at(self, count: int) -> Row:
        """Return the values of update `count`, one a column."""
        place = count - self._block_start
        if self._block_start < 0 or not 0 <= place < _BLOCK:
            self._block_start = count - count % _BLOCK
            place = count - self._block_start
            counts = np.arange(self._block_start, self._block_start + _BLOCK, dtype=np.int64)
            values = [self.resolved.curves[target].function(counts) * factor for target, factor in self._columns]
            self._rows = list(zip(*(column.tolist() for column in values), strict=True)) or [()] * _BLOCK
        return self._rows[place]

    def enforce(self, count: int) -> None:
        """Put the values of update `count` in force, without looking at what was there."""
        self._count, self._row = count, self._row_at(count)
        for owner, key, column, _ in self._cells:
            owner[key] = self._row[column]
        for slot, column in self._others:
            slot.write(self._row[column])

    def advance(self, count: int, *, thorough: bool = False) -> None:
        """Put the values of update `count` in force, and report plain values that are not the ones written before.

        Args:
            count: The update.
            thorough: Look at tensors and set values too, which costs more.
        """
        for optimizer, groups, size in self._watched:
            if optimizer.param_groups is not groups or len(groups) != size:
                self.attach(announce=True)
                break
        before, row = self._row, self._row_at(count)
        if thorough:
            for slot, column in self._others:
                if not slot.holds(before[column]):
                    self._report(slot, before[column])
        for owner, key, column, slot in self._cells:
            found = owner[key]
            if found is not before[column] and found != before[column]:
                self._report(slot, before[column])
            owner[key] = row[column]
        for slot, column in self._others:
            slot.write(row[column])
        self._count, self._row = count, row

    def restore(self) -> None:
        """Give every driven value back what it was before binding."""
        for slots in self.slots.values():
            for slot in slots:
                slot.write(self.originals[slot.label])

    def _report(self, slot: Slot, written: float) -> None:
        if slot.label not in self._reported:
            self._reported.add(slot.label)
            warnings.warn(
                f"{slot.label}: the plan wrote {written!r} for step {self._count}, but {slot.read()!r} was found there;"
                " something else writes it too: remove the other writer, or wrap it in scheduler.paused()",
                ForeignWriteWarning,
                stacklevel=4,
            )


def _refuse_overlap(found: Mapping[str, list[Slot]]) -> None:
    owners: dict[Any, str] = {}
    for target, slots in found.items():
        for slot in slots:
            other = owners.setdefault(slot.place, target)
            if other != target:
                raise TargetError(
                    f"{slot.label}: driven by both {other!r} and {target!r}; keep one, or select parameter groups"
                )


def _plain(value: Any) -> float:
    """Return a number as JSON holds it; integers stay integers."""
    return value if isinstance(value, int) else float(value)
