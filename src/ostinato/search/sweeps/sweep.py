"""A sweep: which target, from where to where, in how many steps; as a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ostinato.checks import whole
from ostinato.core.address import Address
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.domains import BETA, FINITE, PROBABILITY, RATE, Domain, domain_of
from ostinato.core.plan import Plan
from ostinato.core.units import finite
from ostinato.errors import ConfigError

__all__ = ["DEFAULT_RESTART", "Scale", "Sweep"]

Scale = Literal["exponential", "linear"]

DEFAULT_RESTART = 20
"""Updates that each value gets, where it gets its own."""

_RANGES = {"lr": (1e-7, 10.0), "weight_decay": (1e-6, 10.0)}
_RANGE_OF = {PROBABILITY: (0.0, 0.9), BETA: (0.5, 0.99)}
_STEPS_IN_ONE_RUN, _STEPS_APART = 100, 20


@dataclass(frozen=True)
class Sweep:
    """The values that a target takes, one after another.

    value(i) = low + (high - low)·i/(steps - 1), or low·(high/low)^(i/(steps - 1)) if it is exponential: the first half of a triangular
    cycle, so that a plan drives it like any other value.

    Attributes:
        target: An address as in plans.
        low: First value.
        high: Last value.
        steps: Number of values.
        scale: ``"exponential"`` or ``"linear"``.
        restart: Updates from the same weights for each value; 0 is one run through all values.
        relative: The values multiply the original of each place that the address matches.

    >>> Sweep.of("optimizer.lr", low=0.01, high=1.0, steps=3).plan().resolve().table()["optimizer.lr"]
    array([0.01, 0.1 , 1.  ])
    """

    target: str
    low: float
    high: float
    steps: int
    scale: Scale
    restart: int
    relative: bool = False

    @classmethod
    def of(
        cls,
        target: str,
        *,
        low: float | None = None,
        high: float | None = None,
        steps: int | None = None,
        scale: str | None = None,
        restart: int | None = None,
        relative: bool = False,
    ) -> Sweep:
        """Return a sweep with what was left out filled in by the kind of target.

        Raises:
            PlanError: The target is no address.
            ConfigError: A number is out of range, or the kind of target has no usual range.
        """
        address = Address.parse(target)
        restart = whole("restart", (0 if address.is_rate else DEFAULT_RESTART) if restart is None else restart, least=0)
        steps = whole("steps", (_STEPS_APART if restart else _STEPS_IN_ONE_RUN) if steps is None else steps, least=2)
        first, last = _range(address, low, high, relative)
        if not first < last:
            raise ConfigError(f"low, high: got {first:g} and {last:g}, expected low < high")
        if scale is None:
            scale = "exponential" if first > 0 and (relative or domain_of(address) == RATE) else "linear"
        if scale not in ("exponential", "linear"):
            raise ConfigError(f"sweep: got {scale!r}, expected 'exponential' or 'linear'")
        if scale == "exponential" and first <= 0:
            raise ConfigError(f"low: got {first:g}, expected more than 0 for an exponential sweep; or write 'linear'")
        return cls(target, first, last, steps, scale, restart, relative)  # type: ignore[arg-type]  # scale is one of the two

    def plan(self) -> Plan:
        """Return the sweep as a plan of one step a value.

        Raises:
            PlanError: The steps are too many.
        """
        half = Cycle("triangular", period=2 * (self.steps - 1))
        scale: Any = "geometric" if self.scale == "exponential" else "linear"
        course = wave(self.low, self.high, scale=scale, cycle=half, relative=self.relative, warmup=False)
        return Plan(total=self.steps, bindings={self.target: course})

    @property
    def domain(self) -> Domain:
        """What the target accepts."""
        return FINITE if self.relative else domain_of(Address.parse(self.target))

    @property
    def is_rate(self) -> bool:
        """Whether the target is a learning rate."""
        return Address.parse(self.target).is_rate


def _range(address: Address, low: float | None, high: float | None, relative: bool) -> tuple[float, float]:
    usual = _RANGES.get(address.key, _RANGE_OF.get(domain_of(address)))
    if usual is None or relative:
        missing = [name for name, value in (("low", low), ("high", high)) if value is None]
        if missing:
            kind = "a relative sweep" if relative else f"{address.key!r}"
            raise ConfigError(f"{', '.join(missing)}: missing; {kind} has no usual range, so give both low and high")
        usual = (0.0, 0.0)
    return (
        finite(usual[0] if low is None else low, "low"),
        finite(usual[1] if high is None else high, "high"),
    )
