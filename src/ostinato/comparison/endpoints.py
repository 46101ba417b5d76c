"""Endpoints: the one number of a run that arms are compared by, chosen before they are trained. Lower is better for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ostinato.checks import is_finite
from ostinato.errors import ConfigError, suggest

__all__ = ["ENSEMBLE", "Endpoint", "check_margin", "endpoint_of", "endpoints"]

ENSEMBLE = "ensemble_"
_POINTS, _NATS, _NONE = "percentage points", "nats", ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is compared.

    Attributes:
        name: As in records and on the command line.
        family: ``"error"``, ``"nll"`` or ``"ece"``: what it is measured like, and so what a diverged run gets.
        words: What it is called in a sentence.
        margin: The smallest difference that matters unless another is given, in the endpoint's own units.
    """

    name: str
    family: str
    words: str
    margin: float

    @property
    def unit(self) -> str:
        """What a difference is written in."""
        return {"error": _POINTS, "nll": _NATS}.get(self.family, _NONE)

    @property
    def scale(self) -> float:
        """How many of `unit` one is."""
        return 100.0 if self.family == "error" else 1.0

    def amount(self, value: float) -> str:
        """Return the size of a difference in words, without its sign.

        >>> endpoints(0)["error"].amount(-0.0031), endpoints(0)["nll"].amount(0.02)
        ('0.31 percentage points', '0.0200 nats')
        """
        return f"{self.number(abs(value))} {self.unit}".rstrip()

    def number(self, value: float) -> str:
        """Return a difference in `unit`, without naming it."""
        digits = 2 if self.family == "error" else 4
        return f"{round(self.scale * value, digits) + 0.0:.{digits}f}"  # + 0.0 for no -0.00

    def score(self, value: float) -> str:
        """Return a score as tables show it: errors in per cent."""
        return f"{value:.2%}" if self.family == "error" else f"{value:.4f}"


_MARGINS = {"error": 0.002, "nll": 0.01, "ece": 0.005}


def endpoints(cycles: int) -> dict[str, Endpoint]:
    """Return the endpoints that a plan with so many cycles has, by name.

    ``error``, ``nll``, ``ece`` are of the test data after the last update; ``area`` is the mean test error along the run; ``error@k`` and
    ``nll@k`` are at the end of cycle k, counted from 1; ``ensemble_error`` and ``ensemble_nll`` are of the ensemble of the weights at all cycles'
    ends. Margins unless others are given: 0.2 percentage points for errors, 0.01 nats for NLL, 0.005 for ECE.

    >>> list(endpoints(1))
    ['error', 'nll', 'ece', 'area', 'ensemble_error', 'ensemble_nll', 'error@1', 'nll@1']
    """
    names = {"error": "test error", "nll": "test NLL"}
    found = [Endpoint(name, name, words, _MARGINS[name]) for name, words in names.items()]
    found.append(Endpoint("ece", "ece", "calibration error", _MARGINS["ece"]))
    found.append(Endpoint("area", "error", "mean test error along the run", _MARGINS["error"]))
    if cycles:
        found += [Endpoint(ENSEMBLE + name, name, f"ensemble {words}", _MARGINS[name]) for name, words in names.items()]
    for cycle in range(1, cycles + 1):
        found += [
            Endpoint(f"{name}@{cycle}", name, f"{words} after cycle {cycle}", _MARGINS[name])
            for name, words in names.items()
        ]
    return {endpoint.name: endpoint for endpoint in found}


def endpoint_of(name: str, cycles: int) -> Endpoint:
    """Return the endpoint of that name.

    Raises:
        ConfigError: A plan with so many cycles has no such endpoint.

    >>> endpoint_of("ensemble_eror", 5)
    Traceback (most recent call last):
        ...
    ostinato.errors.ConfigError: endpoint: got 'ensemble_eror'; did you mean 'ensemble_error'?
    """
    known = endpoints(cycles)
    if name not in known:
        raise ConfigError(f"endpoint: got {name!r}{suggest(name, known, most=1)}")
    return known[name]


def check_margin(margin: Any) -> float:
    """Return a margin as a float.

    Raises:
        ConfigError: It is no number above 0.
    """
    if not is_finite(margin) or margin <= 0:
        raise ConfigError(
            f"margin: got {margin!r}, expected a number > 0 in the endpoint's own units, such as 0.002 for 0.2 percentage points of error"
        )
    return float(margin)
