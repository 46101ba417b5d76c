"""Every member's values at every step: where each plan's targets land, and blocks of numbers for all members."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.core.address import Address
from ostinato.core.curves import Curve
from ostinato.core.domains import demand, domain_of
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import TargetError
from ostinato.targets import AttributeSlot, GroupSlot, Slot, find, roots_of

__all__ = ["GroupPlace", "Placement", "SlotPlace", "Values", "place_plans"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GroupPlace:
    """A key of a parameter group, or an element of the tuple there."""

    group: int
    key: str
    element: int | None = None


@dataclass(frozen=True, eq=False)
class SlotPlace:
    """An attribute of the model or the loss."""

    slot: AttributeSlot


Place = GroupPlace | SlotPlace
Driven = Mapping[Place, tuple[Curve, float]]


@dataclass(frozen=True)
class Placement:
    """Where the plans' targets land.

    Attributes:
        driven: For every member, curve and factor by place.
        attributes: The places in model and loss that any member drives, in order.
        originals: What they were.
        foreign: Labels of slots that cannot differ from member to member within one computation.
    """

    driven: tuple[Driven, ...]
    attributes: tuple[SlotPlace, ...]
    originals: Mapping[SlotPlace, float]
    foreign: tuple[str, ...]

    def drives(self, key: str) -> bool:
        """Return whether any member drives this key of a parameter group."""
        return any(isinstance(place, GroupPlace) and place.key == key for member in self.driven for place in member)


def place_plans(plans: Sequence[ResolvedPlan], roots: Mapping[str, Any], *, only: str | None = None) -> Placement:
    """Find where each plan's targets land on one set of objects.

    Args:
        plans: One a member.
        roots: The objects by name.
        only: Leave out targets of other roots: where several optimizers are driven, each has a placement of its own.

    Raises:
        TargetError: A target matches nothing, or two of one plan match the same place.
        DomainError: A relative binding leaves what its target accepts.
    """
    shared: dict[Any, SlotPlace] = {}
    foreign: dict[str, None] = {}
    known: dict[int, Driven] = {}
    said: set[str] = set()
    for plan in plans:
        if id(plan) not in known:
            known[id(plan)] = _placed(plan, roots, shared, foreign, said=said, only=only)
            said |= set(plan.targets)
    attributes = tuple(shared.values())
    originals = {place: place.slot.read() for place in attributes}
    return Placement(tuple(known[id(plan)] for plan in plans), attributes, originals, tuple(foreign))


def _placed(
    plan: ResolvedPlan,
    roots: Mapping[str, Any],
    shared: dict[Any, SlotPlace],
    foreign: dict[str, None],
    *,
    said: set[str],
    only: str | None,
) -> Driven:
    roots_of(plan.targets, roots)
    driven: dict[Place, tuple[Curve, float]] = {}
    owners: dict[Place, str] = {}
    for target, curve in plan.curves.items():
        if only is not None and Address.parse(target).root != only:
            continue
        for slot in find(target, roots, {}, announce=target not in said):
            place = _place(slot, shared)
            if place is None:
                foreign[slot.label] = None
                continue
            if owners.setdefault(place, target) != target:
                raise TargetError(
                    f"{slot.label}: driven by both {owners[place]!r} and {target!r}; keep one, or select groups"
                )
            driven[place] = (curve, _factor(plan, target, slot))
    return driven


def _place(slot: Slot, shared: dict[Any, SlotPlace]) -> Place | None:
    if isinstance(slot, GroupSlot):
        return GroupPlace(slot.index, slot.key, slot.element)
    if isinstance(slot, AttributeSlot) and (
        slot.cell() is not None or slot.name in getattr(slot.owner, "_buffers", {})
    ):
        return shared.setdefault(slot.place, SlotPlace(slot))
    return None


def _factor(plan: ResolvedPlan, target: str, slot: Slot) -> float:
    binding = plan.plan.bound[target]
    if not binding.relative:
        return 1.0
    factor = slot.read()
    domain = binding.chosen_domain(domain_of(Address.parse(target)))
    demand(target, plan.curves[target], domain, plan.total, factor=factor)
    return factor


class Values:
    """Blocks of values for the members of a chunk; equal plans are evaluated once.

    Attributes:
        driven: For every member, curve and factor by place.
    """

    def __init__(self, driven: Sequence[Driven]) -> None:
        self.driven = driven

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.driven)

    def block(self, place: Place, original: float, steps: NDArray[np.int64]) -> Floats:
        """Return the values of one place, float64 (steps, K); `original` where a member's plan does not drive it.

        Args:
            place: The place.
            original: What stands there by itself.
            steps: Counts of the members' clocks, (steps,), or (steps, K) where each is at a place of its own.
        """
        columns: dict[tuple[int, float, bytes], Floats] = {}
        result = np.full((len(steps), len(self.driven)), original)
        for member, driven in enumerate(self.driven):
            if place in driven:
                curve, factor = driven[place]
                own = steps if steps.ndim == 1 else steps[:, member]
                key = id(curve), factor, b"" if steps.ndim == 1 else own.tobytes()
                if key not in columns:
                    columns[key] = curve.function(own) * factor
                result[:, member] = columns[key]
        return result


def chosen_steps(
    plan: ResolvedPlan, steps: int, choice: str | int | Iterable[int] | Callable[[ResolvedPlan], Iterable[int]]
) -> set[int]:
    """Return the steps of one member after which it is scored; the last one always is."""
    last = {steps - 1}
    if callable(choice):
        found = {int(step) for step in choice(plan)}
    elif isinstance(choice, int):
        found = set(range(choice - 1, steps, choice))
    elif isinstance(choice, str):
        found = {int(step) for step in _EVENTS[choice](plan) if step is not None}
    else:
        found = {int(step) for step in choice}
    return {step for step in found if 0 <= step < steps} | last


def _ends(plan: ResolvedPlan) -> Sequence[int]:
    return plan.snapshots


_EVENTS: Mapping[str, Callable[[ResolvedPlan], Iterable[int | None]]] = {
    "ends": _ends,
    "peaks": lambda plan: [span.peak for span in plan.cycles],
    "troughs": lambda plan: [span.trough for span in plan.cycles],
    "last": lambda plan: [],
}
EVENTS = tuple(_EVENTS)
"""Names of the steps that one may ask for."""
