"""Between what a field is searched: numbers and durations in a range, or one of some values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ostinato.checks import is_finite, whole
from ostinato.core.units import Duration, number_text
from ostinato.errors import PlanError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["DIGITS", "Choice", "Domain", "Range", "Value"]

Value = bool | int | float | str
Number = int | float | str
_POINTS = 5
DIGITS = 12
"""Significant digits of what is drawn: enough for any search, and few enough that 0.1 + 0.2 is written 0.3."""


@dataclass(frozen=True)
class Range:
    """Numbers or durations between two ends, both included.

    Args:
        low: The lower end: a number, or a duration such as ``"2ep"``.
        high: The upper end, in the same unit.
        log: Draw evenly over the logarithm; the lower end must lie above 0.
        step: Only low, low + step, ...; whole ends mean step = 1, and ``2.0`` or ``"2.0ep"`` is not whole.
        points: How many values a grid takes where there is no step.
        when: The values of other fields under which this one exists: ``{"cycle.waveform": "triangular"}``.

    Raises:
        PlanError: The ends cannot be.

    >>> Range("2ep", "4ep").grid(), Range(0.01, 1.0, log=True, points=3).grid()
    (['2ep', '3ep', '4ep'], [0.01, 0.1, 1.0])
    """

    low: Number
    high: Number
    log: bool = False
    step: Number | None = None
    points: int = _POINTS
    when: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        low, high = self._ends
        if self.unit is None and isinstance(self.low, str) != isinstance(self.high, str):
            raise PlanError(f"low, high: got {self.low!r} and {self.high!r}, expected two numbers or two durations")
        if not low < high:
            raise PlanError(f"low, high: got {self.low!r} and {self.high!r}, expected low < high")
        if self.log and low <= 0:
            raise PlanError(f"low: got {self.low!r} on a logarithmic scale, expected a number above 0")
        if self.step is not None and (self.log or self._in_unit(self.step, "step") <= 0):
            why = "beside log, which leave out" if self.log else "expected more than 0"
            raise PlanError(f"step: got {self.step!r}, {why}")
        whole("points", self.points, 2, error=PlanError)

    @property
    def unit(self) -> str | None:
        """The unit of the ends; None for plain numbers."""
        units = {Duration.parse(end, "low, high").unit for end in (self.low, self.high) if isinstance(end, str)}
        if len(units) > 1:
            raise PlanError(f"low, high: got {self.low!r} and {self.high!r}, expected one unit")
        return next(iter(units), None)

    @property
    def _ends(self) -> tuple[float, float]:
        return self._in_unit(self.low, "low"), self._in_unit(self.high, "high")

    def _in_unit(self, value: Number, what: str) -> float:
        if isinstance(value, str):
            return float(Duration.parse(value, what).value)
        if not is_finite(value):
            raise PlanError(f"{what}: got {value!r}, expected a number or a duration such as '2ep'")
        return float(value)

    @property
    def _spacing(self) -> float | None:
        if self.step is not None:
            return self._in_unit(self.step, "step")
        return 1.0 if not self.log and all(_is_whole(end) for end in (self.low, self.high)) else None

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        ends = all(_is_whole(end) for end in (self.low, self.high))
        return ends and (self.step is None or _is_whole(self.step))

    @property
    def distribution(self) -> BaseDistribution:
        """The distribution that Optuna draws from; durations without their unit."""
        from optuna.distributions import FloatDistribution, IntDistribution

        low, high = self._ends
        if self.whole:
            return IntDistribution(int(low), int(high), log=self.log, step=int(self._spacing or 1))
        return FloatDistribution(low, high, log=self.log, step=self._spacing)

    def read(self, drawn: Value) -> Value:
        """Return a drawn number as a plan writes it: with its unit."""
        number = int(drawn) if self.whole else float(f"{float(drawn):.{DIGITS}g}")
        return number if self.unit is None else f"{number_text(Fraction(str(number)))}{self.unit}"

    def numbers(self) -> list[float | int]:
        """Return the numbers of a grid, rising, without unit."""
        low, high = self._ends
        if self._spacing is not None:
            count = int((high - low) / self._spacing + 1e-9) + 1
            found = [low + place * self._spacing for place in range(count)]
        elif self.log:
            found = [low * (high / low) ** (place / (self.points - 1)) for place in range(self.points)]
        else:
            found = [low + (high - low) * place / (self.points - 1) for place in range(self.points)]
        rounded = [float(f"{number:.{DIGITS}g}") for number in found]
        return sorted({round(number) for number in rounded}) if self.whole else rounded

    def grid(self) -> list[Value]:
        """Return the values of a grid as a plan writes them."""
        return [self.read(number) for number in self.numbers()]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        optional = {"step": self.step, "when": dict(self.when) or None}
        fixed = {"low": self.low, "high": self.high, "log": self.log, "points": self.points}
        return fixed | {key: value for key, value in optional.items() if value is not None}


@dataclass(frozen=True)
class Choice:
    """One of some values.

    Args:
        values: Texts, numbers or booleans, at least one, none twice.
        when: As for `Range`.

    Raises:
        PlanError: There are no values, or they cannot be told apart.

    >>> Choice(["cosine", "triangular"]).grid()
    ['cosine', 'triangular']
    """

    values: Sequence[Value]
    when: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.values, str) or not isinstance(self.values, Sequence) or not self.values:
            raise PlanError(f"choices: got {self.values!r}, expected a list such as ['cosine', 'triangular']")
        for value in self.values:
            if not isinstance(value, bool | int | float | str):
                raise PlanError(f"choices: got {value!r}, expected texts, numbers, true or false")
        if len({(type(value) is bool, value) for value in self.values}) < len(self.values):
            raise PlanError(f"choices: got {list(self.values)!r}, in which a value stands twice")
        object.__setattr__(self, "values", tuple(self.values))

    @property
    def distribution(self) -> BaseDistribution:
        """The distribution that Optuna draws from."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(tuple(self.values))

    def read(self, drawn: Value) -> Value:
        """Return a drawn value as a plan writes it."""
        return drawn

    def numbers(self) -> list[Value]:
        """Return the values of a grid."""
        return list(self.values)

    def grid(self) -> list[Value]:
        """Return the values of a grid."""
        return list(self.values)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {"choices": list(self.values)} | ({"when": dict(self.when)} if self.when else {})


Domain = Range | Choice


def _is_whole(value: Number) -> bool:
    """Whether a number was written as a whole one: 2 and "2ep", but not 2.0."""
    if isinstance(value, str):
        return Duration.parse(value).value.denominator == 1 and "." not in value
    return isinstance(value, int)
