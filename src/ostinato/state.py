"""The scheduler's state as a JSON document, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import OstinatoError, StateError

__all__ = ["SchedulerState", "difference"]

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
            if not isinstance(document.get(key), kind):
                raise StateError(f"state: {key!r} is missing or malformed")
        if document["count"] < 0:
            raise StateError(f"state: count is {document['count']}, expected at least 0")
        return cls(**{key: document[key] for key in kinds})

    def resolve(self) -> ResolvedPlan:
        """Return the saved plan, resolved with the saved rates."""
        try:
            return Plan.from_document(self.plan).resolve(**self.rates)
        except OstinatoError as error:
            raise StateError(f"state: its plan cannot be resolved: {error}") from None


def difference(saved: SchedulerState, current: ResolvedPlan) -> str:
    """Return in words where a saved plan and its rates differ from the present ones."""
    before = {**_leaves(saved.plan), **saved.rates}
    after = {**_leaves(current.plan.to_document()), **current.rates.to_document()}
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    shown = [
        f"{key} was {before.get(key, 'absent')!r}, is {after.get(key, 'absent')!r}" for key in changed[:_MOST_SHOWN]
    ]
    more = len(changed) - len(shown)
    return ", ".join(shown) + (f", and {more} more" if more else "")


def _leaves(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return every field of a plan's document under the address that `Plan.replace` knows it by."""
    leaves = _flat("", {key: value for key, value in plan.items() if key != "bind"})
    for table in plan.get("bind", []):
        leaves |= _flat(f"{table['target']}/", {key: value for key, value in table.items() if key != "target"})
    return leaves


def _flat(prefix: str, table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(f"{prefix}{key}.", value) if isinstance(value, Mapping) else {prefix + key: value}
    return flat
