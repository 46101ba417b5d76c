"""Spaces: which fields of a plan are searched, and between what.

A field is an address as `Plan.replace` takes it (``"cycle.period"``, ``"optimizer.lr/high"``, ``"optimizer.weight_decay/shift"``), or one of

- ``"TARGET/amplitude"``: a = (high - low) / (high + low) in [0, 1]; the middle stays, and a = 0 is a constant;
- ``"TARGET/middle"``: (high + low) / 2, or √(high·low) on a geometric scale; the amplitude stays;
- ``"TARGET"`` alone, with the choices true and false: whether the plan has this binding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ostinato.core.plan import Plan
from ostinato.core.schedules import Wave
from ostinato.errors import DomainError, PlanError, suggest
from ostinato.search.domains import DIGITS, Choice, Domain, Range, Value

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["Space"]

_DERIVED = ("amplitude", "middle")


@dataclass(frozen=True)
class Space:
    """The fields that are searched.

    Args:
        fields: From a plan's field to its `Range` or `Choice`, in the order in which they are drawn; a condition (``when``) names fields before it.

    Raises:
        PlanError: It is empty, or a condition cannot be.

    >>> import optuna, ostinato as ost
    >>> base = ost.Plan(total=100, cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.001, 0.1)})
    >>> space = Space({"optimizer.lr/high": Range(0.01, 1.0, log=True), "cycle.count": Range(1, 10)})
    >>> space.plan(base, {"optimizer.lr/high": 0.5, "cycle.count": 4}).cycle.count
    4
    >>> drawn = space.suggest(optuna.trial.FixedTrial({"optimizer.lr/high": 0.5, "cycle.count": 2}))
    >>> drawn
    {'optimizer.lr/high': 0.5, 'cycle.count': 2}
    """

    fields: Mapping[str, Domain]

    def __post_init__(self) -> None:
        if not isinstance(self.fields, Mapping) or not self.fields:
            raise PlanError(
                "space: names no field; write [[search.space]] with field = 'optimizer.lr/high', low = 0.01, high = 1.0"
            )
        known: list[str] = []
        for name, domain in self.fields.items():
            if not isinstance(domain, Range | Choice):
                raise PlanError(f"space: {name}: got {domain!r}, expected ost.search.Range or ost.search.Choice")
            for other, value in domain.when.items():
                if other not in known:
                    raise PlanError(f"space: {name}: when names {other!r}, which is no field before it")
                _demand_reachable(name, other, value, self.fields[other])
            known.append(name)
        object.__setattr__(self, "fields", dict(self.fields))

    # -- drawing ---------------------------------------------------------------------------------------------------

    def suggest(self, trial: BaseTrial) -> dict[str, Value]:
        """Let a trial draw every field that exists under what it has drawn, and return the values as a plan writes them."""
        drawn: dict[str, Value] = {}
        for name, domain in self.fields.items():
            if self._exists(name, drawn):
                drawn[name] = domain.read(_drawn(trial, name, domain.distribution))
        return drawn

    def _exists(self, name: str, drawn: Mapping[str, Value]) -> bool:
        target = name.partition("/")[0]
        without = target != name and drawn.get(target) is False
        return not without and all(drawn.get(other) == value for other, value in self.fields[name].when.items())

    def grid(self) -> list[dict[str, Value]]:
        """Return every combination of the fields' grids, conditions kept, as numbers that Optuna knows."""
        found: list[dict[str, Value]] = [{}]
        for name, domain in self.fields.items():
            longer: list[dict[str, Value]] = []
            for drawn in found:
                read = {other: self.fields[other].read(value) for other, value in drawn.items()}
                values: Sequence[Value] = domain.numbers() if self._exists(name, read) else ()
                longer += [{**drawn, name: value} for value in values] or [drawn]
            found = longer
        return found

    def read(self, numbers: Mapping[str, Value]) -> dict[str, Value]:
        """Return what Optuna stores of a trial as a plan writes it."""
        return {name: self.fields[name].read(value) for name, value in numbers.items() if name in self.fields}

    # -- plans -----------------------------------------------------------------------------------------------------

    def plan(self, base: Plan, values: Mapping[str, Value]) -> Plan:
        """Return a plan with these values in their fields.

        Raises:
            PlanError: There is no such field, or such a plan cannot be.
        """
        kept = {name: value for name, value in values.items() if name not in base.bound}
        dropped = {name for name, value in values.items() if name in base.bound and value is False}
        document = base.to_document()
        document["bind"] = [table for table in document["bind"] if table["target"] not in dropped]
        changes: dict[str, Value] = {}
        waves: dict[str, dict[str, float]] = {}
        for name, value in kept.items():
            target, _, key = name.rpartition("/")
            if key in _DERIVED and target in base.bound:
                waves.setdefault(target, {})[key] = _number(name, value)
            else:
                changes[name] = value
        plan = Plan.from_document(document).replace(changes)
        return plan.replace({name: value for target, given in waves.items() for name, value in _ends_of(plan, target, given)})  # fmt: skip

    def check(self, base: Plan, resolve: Callable[[Plan], object] | None = None) -> None:
        """Check that every field is one of the plan's and takes at least one end of its range.

        Args:
            base: The plan in which fields are replaced.
            resolve: Resolves a plan, which finds values outside of what a target accepts.

        Raises:
            PlanError: A field is unknown, or neither end can be; the message names the field.
            DomainError: An end lies outside what its target accepts.
        """
        for name, domain in self.fields.items():
            if name in base.bound and not (isinstance(domain, Choice) and set(domain.values) <= {True, False}):
                raise PlanError(
                    f"space: {name}: is a whole binding; write choices = [true, false], or one of its fields: '{name}/high'"
                )
            values = domain.grid()
            wrong: list[PlanError] = []
            given = {other: value for other, value in domain.when.items() if other not in base.bound}
            for value in (values[0], values[-1]):
                try:
                    plan = self.plan(base, {**given, name: value})
                    if resolve is not None:
                        resolve(plan)
                except DomainError as error:
                    raise DomainError(f"space: {name}: {error}") from None
                except PlanError as error:
                    wrong.append(error)
            if len(wrong) == 2:
                raise PlanError(f"space: {name}: {wrong[0]}")

    # -- documents -------------------------------------------------------------------------------------------------

    def to_document(self) -> list[dict[str, Any]]:
        """Return a JSON document, as ``[[search.space]]`` has it."""
        return [{"field": name, **domain.to_document()} for name, domain in self.fields.items()]

    @classmethod
    def from_document(cls, document: Any) -> Space:
        """Return the space that ``[[search.space]]`` tables describe.

        Raises:
            PlanError: A table has a key that is not known, lacks one, or holds what cannot be.
        """
        if not isinstance(document, Sequence) or isinstance(document, str):
            raise PlanError(f"space: got {document!r}, expected tables [[search.space]]")
        fields: dict[str, Domain] = {}
        for place, table in enumerate(document, 1):
            name, domain = _field_from(table, place)
            if name in fields:
                raise PlanError(f"space: {name}: stands there twice")
            fields[name] = domain
        return cls(fields)


def _field_from(table: Any, place: int) -> tuple[str, Domain]:
    if not isinstance(table, Mapping):
        raise PlanError(f"space: {place}: got {table!r}, expected a table with field = 'optimizer.lr/high'")
    name = table.get("field")
    if not isinstance(name, str) or not name:
        raise PlanError(f"space: {place}: names no field; write field = 'optimizer.lr/high'")
    known = ("choices", "when") if "choices" in table else ("low", "high", "log", "step", "points", "when")
    given = {key: value for key, value in table.items() if key != "field"}
    for key in given:
        if key not in known:
            raise PlanError(f"space: {name}: unknown key {key!r}{suggest(str(key), (*known, 'choices'))}")
    try:
        if "choices" in given:
            return name, Choice(given["choices"], given.get("when", {}))
        if "low" not in given or "high" not in given:
            raise PlanError("write low = ... and high = ..., or choices = [...]")
        return name, Range(**given)
    except PlanError as error:
        raise PlanError(f"space: {name}: {error}") from None


def _demand_reachable(name: str, other: str, value: Value, domain: Domain) -> None:
    if isinstance(domain, Choice) and value not in domain.values:
        raise PlanError(
            f"space: {name}: when wants {other} = {value!r}, which is none of its choices {list(domain.values)!r}"
        )


def _drawn(trial: BaseTrial, name: str, distribution: Any) -> Value:
    """Let a trial draw from a distribution by its public methods."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        value: Value = trial.suggest_categorical(name, distribution.choices)  # type: ignore[assignment]  # what was suggested is one of the choices
        return value
    suggest = trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    step = {} if distribution.log else {"step": distribution.step}
    return suggest(name, distribution.low, distribution.high, log=distribution.log, **step)


def _number(name: str, value: Value) -> float:
    if isinstance(value, bool | str):
        raise PlanError(f"{name}: got {value!r}, expected a number")
    return float(value)


def _ends_of(plan: Plan, target: str, given: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return low and high of a wave, given its new amplitude, middle, or both."""
    wave = plan.bound[target].schedule
    if not isinstance(wave, Wave):
        raise PlanError(f"{target}: is no wave, so that it has no {' and '.join(given)}")
    geometric = wave.scale == "geometric"
    total = wave.high + wave.low
    amplitude = given.get("amplitude", (wave.high - wave.low) / total if total else 0.0)
    if not 0.0 <= amplitude <= 1.0 or (geometric and amplitude == 1.0):
        raise PlanError(f"{target}/amplitude: got {amplitude:g}, expected a number in [0, 1{')' if geometric else ']'}")
    middle = given.get("middle", math.sqrt(wave.high * wave.low) if geometric else total / 2)
    if geometric:
        ratio = math.sqrt((1 + amplitude) / (1 - amplitude))
        ends = middle / ratio, middle * ratio
    else:
        ends = middle * (1 - amplitude), middle * (1 + amplitude)
    return [(f"{target}/{key}", float(f"{end:.{DIGITS}g}")) for key, end in zip(("low", "high"), ends, strict=True)]
