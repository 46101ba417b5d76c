"""Schedules of one's own: named and versioned, so that a plan that uses them can be saved and its digest means something."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, ClassVar

import numpy as np

from ostinato.checks import whole
from ostinato.core.curves import Curve
from ostinato.core.schedules import Context, Schedule, Write
from ostinato.core.units import key_text
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import PlanError, suggest

__all__ = ["Registered", "ScheduleFactory", "lookup", "schedule"]

ENTRY_POINTS = "ostinato.schedules"
BUILT_IN = ("wave", "mirror", "hold", "linear", "one_cycle", "join", "product", "sum", "warmup", "clip", "reordered")

_REGISTRY: dict[str, ScheduleFactory] = {}


@dataclass(frozen=True)
class ScheduleFactory:
    """A registered function; calling it with its parameters gives a `Schedule`."""

    name: str
    version: int
    function: Callable[..., Any]

    def __call__(self, **parameters: float | int | str | bool) -> Registered:
        """Return the schedule with these parameters."""
        return self.build(parameters)

    def build(self, parameters: Mapping[str, Any]) -> Registered:
        """Return the schedule with the parameters of a mapping, NumPy's numbers made plain."""
        plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in parameters.items()}
        return Registered(self.name, self.version, tuple(sorted(plain.items())))

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Refuse parameters that the function does not take, or that JSON cannot hold."""
        taken = list(inspect.signature(self.function).parameters.values())[1:]
        named = [
            parameter
            for parameter in taken
            if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        ]
        for parameter in named:
            if parameter.default is parameter.empty and parameter.name not in parameters:
                raise PlanError(
                    f"{parameter.name}: missing, schedule {self.name!r} needs it; write {parameter.name} = ..."
                )
        if len(named) == len(taken):
            for key in parameters:
                if key not in (names := [parameter.name for parameter in named]):
                    raise PlanError(f"{key_text(key)}: schedule {self.name!r} does not take it{suggest(key, names)}")
        for key, value in parameters.items():
            plain = isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))
            if not plain:
                raise PlanError(
                    f"{key_text(key)}: schedule {self.name!r} got {value!r}, expected a finite number, text or true/false, which can be saved"
                )


def schedule(name: str, *, version: int) -> Callable[[Callable[..., Any]], ScheduleFactory]:
    """Register a schedule of one's own under a name and a version; both enter a plan's digest.

    The function takes an int64 array of counts and keyword parameters and returns as many float64 values; it must be pure.
    Packages can announce theirs under the entry point group ``ostinato.schedules``; a plan file never imports anything else.

    Args:
        name: The name that plan files use.
        version: Raise it whenever the values change.

    Raises:
        PlanError: The name is taken by another function.

    >>> @schedule("every", version=1)
    ... def every(t, *, low, high, period):
    ...     return np.where(t % period == 0, high, low)
    >>> every(low=0.0, high=1.0, period=3)(np.arange(4))
    array([1., 0., 0., 1.])
    """

    def register(function: Callable[..., Any]) -> ScheduleFactory:
        whole("version", version, error=PlanError)
        if not isinstance(name, str) or not name or name in BUILT_IN:
            raise PlanError(f"schedule: the name {name!r} cannot be used; choose text other than {', '.join(BUILT_IN)}")
        for reserved in ("kind", "version"):
            if reserved in inspect.signature(function).parameters:
                raise PlanError(
                    f"{reserved}: the parameter of schedule {name!r} has a name that plan files need; rename it"
                )
        held = _REGISTRY.get(name)
        if held is not None and _place(held.function) != _place(function):
            raise PlanError(
                f"schedule {name!r} is already {held.function.__module__}.{held.function.__qualname__}; choose another name"
            )
        factory = ScheduleFactory(name, version, function)
        _REGISTRY[name] = factory
        return factory

    return register


def _place(function: Callable[..., Any]) -> tuple[str, str]:
    return function.__module__, function.__qualname__


def lookup(name: str) -> ScheduleFactory:
    """Return the registered schedule of that name, from the registry or an installed package's entry point.

    Raises:
        PlanError: There is none.
    """
    if name not in _REGISTRY:
        for point in entry_points(group=ENTRY_POINTS, name=name):
            loaded = point.load()
            if isinstance(loaded, ScheduleFactory):
                _REGISTRY[name] = loaded
    if name not in _REGISTRY:
        raise PlanError(
            f"kind: no schedule is called {name!r}; import the module that registers it first{suggest(name, _REGISTRY)}"
        )
    return _REGISTRY[name]


@dataclass(frozen=True)
class Registered(Schedule):
    """A schedule of one's own with its parameters; equal to another only if each parameter has the same type, too."""

    name: str
    version: int
    parameters: tuple[tuple[str, Any], ...] = ()
    kind: ClassVar[str] = "registered"

    def __post_init__(self) -> None:
        self._factory().check(dict(self.parameters))

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Registered) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> str:
        return repr((self.name, self.version, self.parameters))

    def _factory(self) -> ScheduleFactory:
        factory = lookup(self.name)
        if factory.version != self.version:
            raise PlanError(
                f"version: the plan was written for {self.name!r} version {self.version}, installed is version {factory.version}"
            )
        return factory

    def resolve(self, context: Context) -> Curve:
        function, parameters, origin = self._factory().function, dict(self.parameters), context.origin

        def value(count: IntArray) -> FloatArray:
            returned = function(count - origin, **parameters)
            try:
                values = np.asarray(returned, dtype=np.float64)
            except (TypeError, ValueError):
                raise PlanError(
                    f"schedule {self.name!r}: got {type(returned).__name__}, expected an array of numbers"
                ) from None
            if values.shape != count.shape:
                raise PlanError(
                    f"schedule {self.name!r}: got {values.shape} values for {count.shape} counts, expected one value a count"
                )
            return values

        return Curve(value)

    def to_document(self, write: Write) -> dict[str, Any]:
        return {"kind": self.name, "version": self.version, **dict(self.parameters)}
