"""Bindings: a schedule with what it needs to know about the value that it drives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ostinato.core.cycles import Cycle
from ostinato.core.domains import Domain
from ostinato.core.schedules import Scale, Schedule, Wave, as_schedule
from ostinato.core.units import finite
from ostinato.errors import PlanError

__all__ = ["Binding", "Bindings", "mirror", "wave"]


@dataclass(frozen=True)
class Binding:
    """How one value is driven.

    Args:
        schedule: Its course.
        relative: The schedule multiplies each matched value's original instead of replacing it.
        effective: For weight decay: lr·weight_decay follows the schedule.
        warmup: Whether the plan's warm-up applies; by default it does for rates (``*.lr``). Others hold their first value.
        domain: (low, high) that the value accepts, instead of what its kind accepts.
    """

    schedule: Schedule
    relative: bool = False
    effective: bool = False
    warmup: bool | None = None
    domain: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", as_schedule(self.schedule))
        for name, allowed in (("relative", (bool,)), ("effective", (bool,)), ("warmup", (bool, type(None)))):
            if not isinstance(getattr(self, name), allowed):
                raise PlanError(f"{name}: got {getattr(self, name)!r}, expected true or false")
        if self.relative and self.effective:
            raise PlanError("relative, effective: got both; lr·weight_decay is absolute, so leave relative out")
        if self.domain is not None:
            object.__setattr__(self, "domain", _interval(self.domain))

    def as_schedule(self) -> Schedule:
        """Return the bare schedule, for use inside another one.

        Raises:
            PlanError: The binding says more than a schedule can.
        """
        if self != Binding(self.schedule):
            raise PlanError(
                "relative, effective, warmup and domain belong to the whole binding; put them on ost.Binding(schedule, ...)"
            )
        return self.schedule

    def chosen_domain(self, default: Domain) -> Domain:
        """Return the domain that was given, else `default`."""
        return default if self.domain is None else Domain("a number", *self.domain)

    def shifted(self, by: Fraction) -> Binding:
        """Return the binding with its waves rotated."""
        return replace(self, schedule=self.schedule.shifted(by))

    def within(self, unit: str) -> Binding:
        """Return the binding with `unit` filled in where a duration is a bare number."""
        return replace(self, schedule=self.schedule.within(unit))


def _interval(domain: Any) -> tuple[float, float]:
    if not isinstance(domain, list | tuple) or len(domain) != 2:
        raise PlanError(f"domain: got {domain!r}, expected two numbers [low, high]")
    low, high = finite(domain[0], "domain"), finite(domain[1], "domain")
    if high < low:
        raise PlanError(f"domain: got {list(domain)!r}, expected low <= high")
    return low, high


def wave(
    low: float,
    high: float,
    *,
    shift: float = 0.0,
    scale: Scale = "linear",
    cycle: Cycle | None = None,
    relative: bool = False,
    effective: bool = False,
    warmup: bool | None = None,
    domain: tuple[float, float] | None = None,
) -> Binding:
    """Follow the cycle between `low` and `high`, in phase with it.

    With level g in [0, 1]: low + (high - low)·g, or low·(high/low)^g for ``scale="geometric"``.

    Args:
        low: Value at level 0.
        high: Value at level 1, at least `low`.
        shift: Rotation inside the cycle in fractions of it; 0.5 is half a cycle late.
        scale: ``"linear"`` or ``"geometric"``.
        cycle: A cycle of its own, absolute or as a ratio of the shared one (``period="2cycle"``).
        relative: `low` and `high` multiply the original of each value that the address matches.
        effective: For weight decay: let lr·weight_decay follow.
        warmup: Whether the warm-up applies (by default to rates only).
        domain: Replaces what the kind of value accepts.

    Raises:
        PlanError: A field cannot be.

    >>> wave(1e-4, 0.1).schedule.high
    0.1
    """
    return Binding(Wave(low, high, shift, scale, False, cycle), relative, effective, warmup, domain)


def mirror(
    low: float,
    high: float,
    *,
    shift: float = 0.0,
    scale: Scale = "linear",
    cycle: Cycle | None = None,
    relative: bool = False,
    effective: bool = False,
    warmup: bool | None = None,
    domain: tuple[float, float] | None = None,
) -> Binding:
    """Follow the complement of the cycle: `high` where a `wave` is at `low`. Takes what `wave` takes.

    It is what a regulariser does against the learning rate. It is not a shift by half a cycle: for cosine restarts, which jump, they differ.
    """
    return Binding(Wave(low, high, shift, scale, True, cycle), relative, effective, warmup, domain)


class Bindings(Mapping[str, Binding]):
    """An immutable mapping from target to binding; keeps the order of writing, compares without it."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Binding]) -> None:
        self._items = dict(items)

    def __getitem__(self, target: str) -> Binding:
        return self._items[target]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)
