"""The scheduler's state as a JSON document, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ostinato.checks import is_number
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.units import Rates
from ostinato.errors import OstinatoError, StateError, suggest

__all__ = ["SchedulerState", "difference", "document_difference"]

VERSION = 1
_MOST_SHOWN = 4


@dataclass(frozen=True)
class SchedulerState:
    """Count, plan, rates, digest of the resolved plan, and originals by concrete address."""

    count: int
    plan: Mapping[str, Any]
    rates: Mapping[str, Any]
    digest: str
    originals: Mapping[str, float]

    @classmethod
    def of(cls, resolved: ResolvedPlan, count: int, originals: Mapping[str, float]) -> SchedulerState:
        """Return the state of a scheduler."""
        return cls(count, resolved.plan.to_document(), resolved.rates.to_document(), resolved.digest, dict(originals))

    def to_document(self) -> dict[str, Any]:
        """Return the state as a JSON document."""
        own = {
            "count": self.count,
            "plan": self.plan,
            "rates": self.rates,
            "digest": self.digest,
            "originals": self.originals,
        }
        return {
            "version": VERSION,
            **{key: dict(value) if isinstance(value, Mapping) else value for key, value in own.items()},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SchedulerState:
        """Read a state.

        Raises:
            StateError: It is malformed or of another version.
        """
        if not isinstance(document, Mapping) or document.get("version") != VERSION:
            raise StateError(f"state: expected what Scheduler.state_dict() of version {VERSION} returned")
        kinds = {"count": int, "plan": Mapping, "rates": Mapping, "digest": str, "originals": Mapping}
        for key, kind in kinds.items():
            if not isinstance(document.get(key), kind) or isinstance(document[key], bool):
                raise StateError(f"state: {key!r} is missing or malformed")
        if document["count"] < 0:
            raise StateError(f"state: count is {document['count']}, expected at least 0")
        for label, value in document["originals"].items():
            if not is_number(value):
                raise StateError(f"state: the original of {label} is {value!r}, expected a number")
        for name in document["rates"]:
            if name not in Rates.__slots__:
                raise StateError(f"state: {name!r} is no rate{suggest(str(name), Rates.__slots__)}")
        return cls(**{key: document[key] for key in kinds})

    def resolve(self) -> ResolvedPlan:
        """Return the saved plan, resolved with the saved rates."""
        try:
            return Plan.from_document(self.plan).resolve(**self.rates)
        except OstinatoError as error:
            raise StateError(f"state: its plan cannot be resolved: {error}") from None


def difference(saved: SchedulerState, current: ResolvedPlan) -> str:
    """Return in words where a saved plan and its rates differ from the present ones."""
    now = SchedulerState.of(current, 0, {})
    found = document_difference(saved.plan, now.plan, saved.rates, now.rates)
    return found or f"digest was {saved.digest!r}, is {current.digest!r}"


def document_difference(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    rates_before: Mapping[str, Any] = {},
    rates_after: Mapping[str, Any] = {},
) -> str:
    """Return in words where two plans' documents differ, by the addresses that `Plan.replace` knows."""
    old, new = {**_leaves(before), **rates_before}, {**_leaves(after), **rates_after}
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    shown = [f"{key} was {old.get(key, 'absent')!r}, is {new.get(key, 'absent')!r}" for key in changed[:_MOST_SHOWN]]
    more = len(changed) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _leaves(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return every field of a plan's document under the address that `Plan.replace` knows it by."""
    leaves = _flat("", {key: value for key, value in plan.items() if key != "bind"})
    tables = plan.get("bind")
    for table in tables if isinstance(tables, list) else []:
        if isinstance(table, Mapping):
            leaves |= _flat(f"{table.get('target')}/", {key: value for key, value in table.items() if key != "target"})
    return leaves


def _flat(prefix: str, table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(f"{prefix}{key}.", value) if isinstance(value, Mapping) else {prefix + key: value}
    return flat
