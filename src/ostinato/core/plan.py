"""The plan: what is to be driven, on which clock, written down once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostinato.core import documents
from ostinato.core.address import Address
from ostinato.core.bindings import Binding, Bindings
from ostinato.core.cycles import Cycle
from ostinato.core.editing import edited
from ostinato.core.schedules import Schedule, as_schedule, located
from ostinato.core.units import Duration, DurationLike, Number, Rates, check_unit, exact, key_text
from ostinato.errors import PlanError, suggest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ostinato.core.resolved import ResolvedPlan, Table
    from ostinato.scheduler import Scheduler

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """Bindings on one clock: declarative, immutable, saved as TOML or JSON, with a digest.

    Args:
        total: Length of the run, such as ``"51ep"``. It may be left out and filled in by `replace`, but not when resolving.
        warmup: Steps before the first cycle. Rates climb from 0, everything else holds its first value.
        cycle: The shared rhythm; may be left out when no binding needs it.
        bindings: From target address to `wave`, `mirror`, a schedule or a number.
        unit: What the plan counts in (bare numbers mean it, `Scheduler.step` advances it): ``"step"``, ``"round"``, ``"ep"``, ...

    Raises:
        PlanError: Something cannot be; the message begins with its address.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> resolved = plan.resolve()
    >>> resolved.values(0), [(span.start, span.end) for span in resolved.cycles[:2]]
    ({'optimizer.lr': 0.1}, [(0, 20), (20, 40)])
    """

    total: DurationLike | None = None
    warmup: DurationLike = 0
    cycle: Cycle | None = None
    bindings: Mapping[str, Binding | Schedule | float] = field(default_factory=dict)
    unit: str = "step"

    def __post_init__(self) -> None:
        unit = check_unit(self.unit)
        object.__setattr__(self, "unit", unit)
        if self.total is not None:
            total = Duration.parse(self.total, "total").within(unit)
            if total.value == 0 or total.unit in ("dur", "cycle"):
                raise PlanError(f"total: got {self.total!r}, expected a length above 0 such as '10ep' or '5000step'")
            object.__setattr__(self, "total", str(total))
        object.__setattr__(self, "warmup", str(Duration.parse(self.warmup, "warmup").within(unit)))
        if self.cycle is not None:
            if not isinstance(self.cycle, Cycle):
                raise PlanError(f"cycle: got {self.cycle!r}, expected Cycle('cosine', period='10ep')")
            object.__setattr__(self, "cycle", self.cycle.within(unit))
        if not isinstance(self.bindings, Mapping):
            raise PlanError(
                f"bindings: got {self.bindings!r}, expected a mapping such as {{'optimizer.lr': ost.wave(0.0, 0.1)}}"
            )
        bound = {}
        for target, course in self.bindings.items():
            Address.parse(target)
            with located(f"{target}: "):
                binding = course if isinstance(course, Binding) else Binding(as_schedule(course))
                bound[target] = binding.within(unit)
        object.__setattr__(self, "bindings", Bindings(bound))

    @property
    def bound(self) -> Mapping[str, Binding]:
        """The bindings, each as a `Binding`."""
        return self.bindings  # type: ignore[return-value]  # __post_init__ has made every course a Binding

    # -- documents ---------------------------------------------------------------------------------------------

    def to_document(self) -> dict[str, Any]:
        """Return the plan as a JSON document: defaults filled in, durations in their canonical text."""
        document: dict[str, Any] = {"version": documents.VERSION, "unit": self.unit}
        if self.total is not None:
            document["total"] = self.total
        document["warmup"] = self.warmup
        if self.cycle is not None:
            document["cycle"] = self.cycle.to_document()
        document["bind"] = [
            documents.binding_document(target, binding, _as_written) for target, binding in self.bound.items()
        ]
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Plan:
        """Return the plan that a document describes. Tables of a run's configuration (``[data]``, ...) are passed over.

        Raises:
            PlanError: An unknown key, a missing or impossible value; the message begins with its address.
        """
        known = ("version", "unit", "total", "warmup", "cycle", "bind")
        for key in document:
            if key not in (*known, *documents.RUN_TABLES):
                raise PlanError(f"{key_text(key)}: unknown key of a plan{suggest(str(key), known)}")
        version = document.get("version", documents.VERSION)
        if version != documents.VERSION or isinstance(version, bool):
            raise PlanError(f"version: got {document['version']!r}, this release reads version {documents.VERSION}")
        given = {key: document[key] for key in ("unit", "total", "warmup") if key in document}
        if "cycle" in document:
            if not isinstance(document["cycle"], Mapping):
                raise PlanError(f"cycle: got {document['cycle']!r}, expected a table [cycle]")
            with located("cycle."):
                given["cycle"] = Cycle.from_document(document["cycle"])
        return cls(bindings=_bindings_from(document.get("bind", [])), **given)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from a TOML or ``.json`` file.

        Raises:
            PlanError: The file is missing or malformed, or holds no plan; the message begins with its path.
        """
        document = documents.read_document(Path(path))
        with located(f"{path}: "):
            return cls.from_document(document)

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON if the name ends in ``.json``, as TOML otherwise; whole or not at all."""
        from ostinato.atomic import write_bytes

        text = self.to_json() if Path(path).suffix == ".json" else self.to_toml()
        write_bytes(Path(path), text.encode())

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        return json.dumps(self.to_document(), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan from JSON text."""
        return cls.from_document(documents.parse_json(text, "JSON"))

    def to_toml(self) -> str:
        """Return the plan as TOML text."""
        import tomli_w

        return tomli_w.dumps(self.to_document())

    @classmethod
    def from_toml(cls, text: str) -> Plan:
        """Read a plan from TOML text."""
        return cls.from_document(documents.parse_toml(text, "TOML"))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON: equal for plans that are equal, however they were written."""
        document = self.to_document()
        document["bind"].sort(key=lambda table: str(table["target"]))
        return documents.digest(document)

    # -- editing -----------------------------------------------------------------------------------------------

    def replace(self, changes: Mapping[str, Any]) -> Plan:
        """Return a plan with some fields replaced, each named by its address.

        ``"total"``, ``"cycle.period"``, ``"optimizer.lr/high"``, ``"optimizer.lr/cycle.period"``, ``"optimizer.lr/schedule.of.0.value"``;
        ``"cycle"`` takes a whole `Cycle`, a target's own name a whole binding, or None to take it away.

        Raises:
            PlanError: There is no such field, or the value cannot be.

        >>> import ostinato as ost
        >>> plan = ost.Plan(cycle=ost.Cycle(period=10), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
        >>> plan.replace({"cycle.period": "5ep", "optimizer.lr/high": 0.2}).bindings["optimizer.lr"].schedule.high
        0.2
        """
        whole = {target: course for target, course in changes.items() if target in self.bindings or _is_course(course)}
        plan = self
        if whole:
            kept = {**self.bound, **whole}
            plan = replace(plan, bindings={target: course for target, course in kept.items() if course is not None})
        rest = {address: value for address, value in changes.items() if address not in whole}
        if "cycle" in rest:
            plan = replace(plan, cycle=rest.pop("cycle"))
        return Plan.from_document(edited(plan.to_document(), rest)) if rest else plan

    def shifted(self, by: Number) -> Plan:
        """Return the plan with every wave rotated by `by` of its cycle; schedules without a wave stay as they are.

        >>> import ostinato as ost
        >>> plan = ost.Plan(bindings={"optimizer.lr": ost.wave(0.0, 0.1, shift=0.25)})
        >>> plan.shifted(0.5).shifted(0.5) == plan
        True
        """
        amount: Fraction = exact(by, "shift")
        return replace(self, bindings={target: binding.shifted(amount) for target, binding in self.bound.items()})

    # -- use ---------------------------------------------------------------------------------------------------

    def resolve(
        self,
        *,
        steps_per_epoch: Number | None = None,
        samples_per_step: Number | None = None,
        tokens_per_step: Number | None = None,
        steps_per_round: Number | None = None,
    ) -> ResolvedPlan:
        """Return the plan with its rates and total filled in: values, tables, cycles, events.

        Args:
            steps_per_epoch: Optimizer updates in an epoch: ceil(batches / accumulation).
            samples_per_step: Samples that one update consumes.
            tokens_per_step: Tokens that one update consumes.
            steps_per_round: Updates that one client of a federation makes in a round.

        Raises:
            PlanError: A rate or the total is missing, or a duration cannot be.
            DomainError: A value lies outside what its target accepts.
        """
        from ostinato.core.resolved import resolve

        return resolve(self, Rates(steps_per_epoch, samples_per_step, tokens_per_step, steps_per_round))

    def table(self, start: int = 0, stop: int | None = None, stride: int = 1, **rates: Number) -> Table:
        """Return `ResolvedPlan.table` of the plan resolved with `rates`."""
        return self.resolve(**rates).table(start, stop, stride)

    def bind(self, **roots_and_rates: Any) -> Scheduler:
        """Resolve the plan and bind it to live objects; the values of update 0 are then in force.

        Args:
            **roots_and_rates: Objects under the names that the addresses begin with (``optimizer=optimizer``, ``model=model``), and the
                rates `steps_per_epoch`, `samples_per_step`, `tokens_per_step`, `steps_per_round`.

        Raises:
            PlanError: The plan cannot be resolved.
            TargetError: An address matches nothing or two drive the same value.

        Warns:
            TruncatedCycleWarning: The run ends inside a cycle.
            RecompileWarning: An object is compiled, and a binding would make it compile again at every change; see `Scheduler.compiled`.
        """
        from ostinato.scheduler import Scheduler

        rates = {name: roots_and_rates.pop(name, None) for name in Rates.__slots__}
        return Scheduler(self.resolve(**rates), roots_and_rates)

    def plot(self, *, ax: Axes | None = None, **rates: Number) -> Any:
        """Draw every value over the steps with matplotlib and return the axes."""
        from ostinato.plotting import plot

        return plot(self.resolve(**rates), ax=ax)

    def _repr_html_(self) -> str:
        from ostinato.plotting import notebook_html

        return notebook_html(self)


def _as_written(duration: Duration, what: str) -> str:
    return str(duration)


def _is_course(value: Any) -> bool:
    return isinstance(value, Binding | Schedule)


def _bindings_from(tables: Any) -> dict[str, Binding]:
    if not isinstance(tables, list):
        raise PlanError("bind: expected a list of tables; write [[bind]] with two brackets")
    bindings: dict[str, Binding] = {}
    for place, table in enumerate(tables):
        if not isinstance(table, Mapping) or "target" not in table:
            raise PlanError(f"bind.{place}: target is missing; write target = 'optimizer.lr'")
        target = table["target"]
        with located(f"bind.{place}: "):
            Address.parse(target)
        if target in bindings:
            raise PlanError(f"bind.{place}: {target!r} is bound twice; keep one")
        with located(f"{target}/"):
            try:
                bindings[target] = documents.binding_from(table)
            except RecursionError:
                raise PlanError("schedule: nested too deeply") from None
    return bindings
