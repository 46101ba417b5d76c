"""Domains: what a kind of number accepts. They are checked before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ostinato.core.address import Address
from ostinato.core.curves import Curve, blocks
from ostinato.errors import DomainError

__all__ = ["BETA", "FINITE", "PROBABILITY", "RATE", "STRENGTH", "Domain", "domain_of"]


@dataclass(frozen=True, slots=True)
class Domain:
    """An interval with a name; `open_high` leaves its upper end out."""

    name: str
    low: float
    high: float
    open_high: bool = False

    def holds(self, value: float) -> bool:
        """Return whether the domain holds a value.

        >>> BETA.holds(0.999), BETA.holds(1.0), PROBABILITY.holds(float("nan"))
        (True, False, False)
        """
        return math.isfinite(value) and self.low <= value <= self.high and not (self.open_high and value == self.high)

    def __str__(self) -> str:
        if self == FINITE:
            return "a finite number"
        upper = "" if math.isinf(self.high) else f"{self.high:g}"
        span = f"[{self.low:g}, {upper or 'inf'}{')' if self.open_high or not upper else ']'}"
        return f"{self.name} in {span}"


PROBABILITY = Domain("a probability", 0.0, 1.0)
BETA = Domain("a number", 0.0, 1.0, open_high=True)
RATE = Domain("a number", 0.0, math.inf)
STRENGTH = Domain("a strength", 0.0, 1.0)
DIFFICULTY = Domain("a difficulty", 0.0, 1.0)
FINITE = Domain("a number", -math.inf, math.inf)

_BY_KEY = {
    "lr": RATE, "weight_decay": RATE, "eps": RATE, "momentum": BETA, "dampening": PROBABILITY, "label_smoothing": PROBABILITY, "probability": PROBABILITY,
    "clip_range": RATE, "ent_coef": RATE, "difficulty": DIFFICULTY,
}  # fmt: skip
_PROBABILITIES = ("p", "drop_prob", "dropout", "drop_rate")
_AUGMENTING = ("RandomShift", "InputNoise")


def domain_of(address: Address) -> Domain:
    """Return what an address accepts, as far as its text tells; an unknown key need only be finite.

    >>> str(domain_of(Address.parse("model:Dropout.p"))), str(domain_of(Address.parse("optimizer.betas.0")))
    ('a probability in [0, 1]', 'a number in [0, 1)')
    """
    if address.key == "strength" and _augments(address):
        return STRENGTH
    if address.owner is not None:
        drops = "Drop" in address.owner or address.owner == "StochasticDepth"
        if address.key == "momentum" or (drops and address.key in _PROBABILITIES):
            return PROBABILITY
        if (address.owner, address.key) == ("FocalLoss", "gamma"):
            return RATE
        return _BY_KEY.get(address.key, FINITE)
    if len(address.path) >= 2 and address.path[-2] == "betas":
        return BETA
    return _BY_KEY.get(address.key, FINITE)


def _augments(address: Address) -> bool:
    """Whether an address is that of augmentation: a batch's, or a layer's."""
    return address.owner in _AUGMENTING if address.owner else "augment" in (address.root, *address.path)


def check(curve: Curve, domain: Domain, total: int, *, factor: float = 1.0) -> tuple[int, float] | None:
    """Return the first step below `total` and its value that the domain does not hold, or None.

    Bounds settle it where they can; otherwise every value is looked at, by blocks.
    """
    if domain.holds(curve.low * factor) and domain.holds(curve.high * factor):
        return None
    for counts in blocks(0, total):
        for count, value in zip(counts.tolist(), (curve.function(counts) * factor).tolist(), strict=True):
            if not domain.holds(value):
                return count, value
    return None


def demand(target: str, curve: Curve, domain: Domain, total: int, *, factor: float = 1.0) -> None:
    """Raise if the domain does not hold every value of the curve.

    Raises:
        DomainError: It names the target, the step and the value.
    """
    found = check(curve, domain, total, factor=factor)
    if found is not None:
        step, value = found
        raise DomainError(
            f"{target}: {value:g} at step {step}, expected {domain}; change low and high, or say domain=[low, high]"
        )
