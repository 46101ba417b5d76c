"""Durations with units, and the rates that turn them into counts.

A plan counts in one unit (by default optimizer steps). Durations may be written in any unit; they are exact
rationals taken from their decimal text, so that ``"0.1dur"`` is one tenth and not the nearest binary fraction.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from fractions import Fraction
from numbers import Integral, Real

from ostinato.checks import is_number
from ostinato.errors import PlanError, suggest

__all__ = ["UNITS", "Duration", "DurationLike", "Number", "Rates", "exact", "finite", "number_text", "plain_number"]

Number = int | float | str | Fraction
DurationLike = int | float | str | Fraction

_ALIASES = {
    "step": "step", "steps": "step",
    "ep": "ep", "epoch": "ep", "epochs": "ep",
    "sample": "sample", "samples": "sample",
    "token": "token", "tokens": "token",
    "round": "round", "rounds": "round",
    "dur": "dur",
    "cycle": "cycle", "cycles": "cycle",
}  # fmt: skip
UNITS = ("step", "ep", "sample", "token", "round", "dur", "cycle")
_COUNTING = ("step", "ep", "sample", "token", "round")
_DECIMAL = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE](?P<exponent>[+-]?\d+))?")
_DURATION = re.compile(r"\s*(?P<number>[^\sA-Za-z]+(?:[eE][+-]?\d+)?)\s*(?P<unit>[A-Za-z]*)\s*")
_LARGEST_EXPONENT = 30
_LARGEST_TERM = 10**60
MOST_COUNTS = 2**53  # up to here float64 holds every whole number


def exact(value: Number, what: str = "value") -> Fraction:
    """Return the rational that the decimal text of `value` denotes.

    Args:
        value: An integer, a float (its shortest decimal text counts), a fraction, a NumPy number, or text such as ``"1.5"`` or ``"2/3"``.
        what: The name to put into the error.

    Raises:
        PlanError: `value` is not a finite number.

    >>> exact(0.1), exact("2/3")
    (Fraction(1, 10), Fraction(2, 3))
    """
    if isinstance(value, bool) or not isinstance(value, Real | str):
        raise PlanError(f"{what}: got {value!r}, expected a number")
    if isinstance(value, Integral):
        number = Fraction(int(value))
    elif isinstance(value, Fraction):
        number = value
    else:
        number = _parsed(value if isinstance(value, str) else repr(float(value)), what)
    if max(abs(number.numerator), number.denominator) >= _LARGEST_TERM:
        raise _out_of_reach(value, what)
    return number


def _parsed(text: str, what: str) -> Fraction:
    """Return the rational that a decimal or ``p/q`` denotes."""
    text = text.strip()
    numerator, slash, denominator = text.partition("/")
    if slash:
        below = exact(denominator, what)
        if below == 0:
            raise PlanError(f"{what}: got {text!r}, which divides by zero")
        return exact(numerator, what) / below
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise PlanError(f"{what}: got {text!r}, expected a finite number")
    if abs(int(match["exponent"] or 0)) > _LARGEST_EXPONENT or len(text) > 60:
        raise _out_of_reach(text, what)
    return Fraction(text.replace("_", ""))


def _out_of_reach(value: Number, what: str) -> PlanError:
    return PlanError(
        f"{what}: got {_shown(value)}, expected a number between 1e-{_LARGEST_EXPONENT} and 1e{_LARGEST_EXPONENT}"
    )


def key_text(key: object) -> str:
    """Return a key of a file as an error names it: as written, unless that would break the line."""
    return str(key) if str(key).isprintable() else repr(key)


def _shown(value: object) -> str:
    """Return a value as an error shows it: on one line, and short."""
    if isinstance(value, int) and abs(value) >= _LARGEST_TERM:
        return f"about {'-' if value < 0 else ''}1e{math.log10(abs(value)):.0f}"
    text = str(value) if isinstance(value, Fraction) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def finite(value: object, what: str) -> float:
    """Return `value` as a float, refusing what is no finite number.

    >>> finite(3, "low")
    3.0
    """
    if not is_number(value, of=Real):
        raise PlanError(f"{what}: got {value!r}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PlanError(f"{what}: got {_shown(value)}, expected a finite number")
    return number + 0.0  # turns -0.0 into 0.0, so that equal plans have equal text


def plain_number(value: Fraction) -> int | float | str:
    """Return the plainest writing of a rational that `exact` reads back: an int, a float with that decimal text, or ``"p/q"``.

    >>> plain_number(Fraction(3)), plain_number(Fraction(3, 2)), plain_number(Fraction(1, 3))
    (3, 1.5, '1/3')
    """
    if value.denominator == 1:
        return value.numerator
    near = float(value)
    if 10.0**-_LARGEST_EXPONENT <= abs(near) <= 10.0**_LARGEST_EXPONENT and Fraction(repr(near)) == value:
        return near
    return f"{value.numerator}/{value.denominator}"


def number_text(value: Fraction) -> str:
    """Return `plain_number` as text."""
    return str(plain_number(value))


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: an exact number and its unit (``None`` for the plan's own).

    >>> Duration.parse("1.5epochs"), str(Duration.parse("1e3"))
    (Duration(value=Fraction(3, 2), unit='ep'), '1000')
    """

    value: Fraction
    unit: str | None = None

    @classmethod
    def parse(cls, text: DurationLike, what: str = "duration") -> Duration:
        """Read ``"10ep"``, ``"500step"``, ``"0.5dur"``, ``"1e6sample"``, ``"2e9token"``, ``"3round"``, ``"2cycle"`` or a bare number.

        Raises:
            PlanError: The text is no number with a known unit, or is negative.
        """
        if isinstance(text, str):
            match = _DURATION.fullmatch(text)
            if match is None:
                raise PlanError(f"{what}: got {text!r}, expected a duration such as '10ep', '500step' or 500")
            value, word = exact(match["number"], what), match["unit"]
            if word and word.lower() not in _ALIASES:
                raise PlanError(f"{what}: got {text!r} with unknown unit {word!r}{suggest(word, UNITS)}")
            unit = _ALIASES[word.lower()] if word else None
        else:
            value, unit = exact(text, what), None
        if value < 0:
            raise PlanError(f"{what}: got {text!r}, expected a duration of at least 0")
        return cls(value, unit)

    def within(self, unit: str) -> Duration:
        """Return the duration with `unit` filled in where it was bare."""
        return self if self.unit else Duration(self.value, unit)

    def __str__(self) -> str:
        return number_text(self.value) + (self.unit or "")


@dataclass(frozen=True, slots=True)
class Rates:
    """How many steps an epoch, samples a step, tokens a step and steps a round has; each may be unknown.

    `steps_per_epoch` counts optimizer updates: ``ceil(batches / accumulation)``. `steps_per_round` counts those that one client of a
    federation makes in a round.
    """

    steps_per_epoch: Number | None = None
    samples_per_step: Number | None = None
    tokens_per_step: Number | None = None
    steps_per_round: Number | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if rate is None:
                continue
            value = exact(rate, field.name)
            if value <= 0:
                raise PlanError(f"{field.name}: got {rate!r}, expected a number above 0")
            object.__setattr__(self, field.name, plain_number(value))

    def to_document(self) -> dict[str, int | float | str]:
        """Return the known rates as a JSON document."""
        return {
            field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name) is not None
        }

    def _steps_in(self, unit: str, duration: Duration, what: str) -> Fraction:
        """Return how many steps one `unit` lasts."""
        if unit == "step":
            return Fraction(1)
        name = {
            "ep": "steps_per_epoch",
            "sample": "samples_per_step",
            "token": "tokens_per_step",
            "round": "steps_per_round",
        }[unit]
        rate = getattr(self, name)
        if rate is None:
            raise PlanError(f"{what}: {duration} needs {name}; pass {name}=... where the plan is resolved or bound")
        return exact(rate) if unit in ("ep", "round") else 1 / exact(rate)

    def counts(self, duration: Duration, unit: str, what: str, span: int | None = None) -> Fraction:
        """Return `duration` in counts of `unit`, exactly.

        Args:
            duration: What to convert.
            unit: The unit that the plan counts in.
            what: The name to put into errors.
            span: What ``1dur`` is, in counts; ``None`` where ``dur`` has no meaning.

        Raises:
            PlanError: A rate is missing, or the unit has no meaning here.

        >>> Rates(steps_per_epoch=391).counts(Duration.parse("10ep"), "step", "total")
        Fraction(3910, 1)
        """
        own = duration.unit or unit
        if own == unit:
            return duration.value
        if own == "dur":
            if span is None:
                raise PlanError(
                    f"{what}: {duration} is a share of the total, which is not known here; write '10ep' or '500step'"
                )
            return duration.value * span
        if own == "cycle":
            raise PlanError(f"{what}: {duration} counts in cycles, which only the period of a binding's own cycle can")
        return duration.value * self._steps_in(own, duration, what) / self._steps_in(unit, duration, what)


def check_unit(unit: str) -> str:
    """Return the canonical name of a unit that a plan can count in."""
    name = _ALIASES.get(str(unit).lower())
    if name not in _COUNTING:
        raise PlanError(f"unit: got {unit!r}, expected one of {', '.join(_COUNTING)}")
    return name


def rounded(value: Fraction) -> int:
    """Return floor(value + 1/2), exactly.

    >>> rounded(Fraction(5, 2)), rounded(Fraction(7, 5))
    (3, 1)
    """
    return math.floor(value + Fraction(1, 2))


def whole(value: Fraction, what: str) -> int:
    """Return `rounded` of a number of counts, refusing what float64 could no longer count.

    Raises:
        PlanError: It is more than 2^53.
    """
    if value > MOST_COUNTS:
        raise PlanError(f"{what}: got about {float(value):.3g} counts, expected at most 2^53 (about 9e15)")
    return rounded(value)
