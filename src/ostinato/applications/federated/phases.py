"""Phases: how far round the cycle each client of a federation is, from its identity alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from numbers import Integral
from typing import Any

import numpy as np

from ostinato.checks import is_whole, whole
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, suggest

__all__ = ["ASSIGNMENTS", "Phases"]

_whole = partial(whole, of=Integral)

ASSIGNMENTS = ("equispaced", "golden", "random", "together")
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_MANTISSA = 53


@dataclass(frozen=True)
class Phases:
    """What phase each client of a federation has: a pure function of its identity, whoever takes part in a round.

    Client i of n has the shift, in fractions of a cycle,

    - ``"equispaced"``: (p(i) mod m) / m with m `phases`, p the order of the clients that `seed` draws (none: as they are numbered);
    - ``"golden"``: i (sqrt(5) - 1)/2 mod 1, which spreads any number of clients evenly and moves nobody when one more joins; `seed` turns all;
    - ``"random"``: a number drawn uniformly by `seed` and i;
    - ``"together"``: 0, the synchronous federation.

    Where a part of the clients takes part in a round, equispaced phases need not cancel in it: that is a property of the sample.

    Args:
        clients: How many there are in all.
        assignment: One of the above.
        phases: How many different ones there are, at most one a client; only for ``"equispaced"``, by default one for each client.
        seed: Draws who gets which phase.

    Raises:
        ConfigError: An argument cannot be.

    >>> [Phases(4).of(client) for client in range(4)]
    [0.0, 0.25, 0.5, 0.75]
    >>> [Phases(4, phases=2).of(client) for client in range(4)]
    [0.0, 0.5, 0.0, 0.5]
    """

    clients: int
    assignment: str = "equispaced"
    phases: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.assignment not in ASSIGNMENTS:
            raise ConfigError(f"assignment: got {self.assignment!r}{suggest(str(self.assignment), ASSIGNMENTS)}")
        _whole("clients", self.clients, 1)
        if self.seed is not None:
            _whole("seed", self.seed, 0)
        if self.phases is None:
            return
        _whole("phases", self.phases, 1)
        if self.assignment != "equispaced":
            raise ConfigError(
                f"phases: {self.assignment!r} has as many as clients; leave it out, or write assignment='equispaced'"
            )
        if self.phases > self.clients:
            raise ConfigError(
                f"phases: got {self.phases} for {self.clients} clients, so that some would be nobody's; expected at most {self.clients}"
            )

    def of(self, client: int) -> float:
        """Return a client's shift in [0, 1).

        Args:
            client: Its number, from 0 to `clients` - 1; its partition of the data, say: what stays the same when it is started again.

        Raises:
            ConfigError: There is no such client.
        """
        if not is_whole(client, 0, self.clients - 1, of=Integral):
            raise ConfigError(f"client: got {client!r}, expected a number from 0 to {self.clients - 1}")
        if self.assignment == "together":
            return 0.0
        if self.assignment == "golden":
            return math.fmod(int(client) * _GOLDEN + (0.0 if self.seed is None else _drawn(self.seed, "turn")), 1.0)
        if self.assignment == "random":
            return _drawn(self.seed or 0, int(client))
        among = self.phases or self.clients
        return float(self._order[client] % among) / among

    def plan_of(self, client: int, plan: Plan) -> Plan:
        """Return the plan that a client follows: every wave of `plan` late by the client's shift.

        Raises:
            ConfigError: There is no such client.
        """
        return plan.shifted(self.of(client))

    @cached_property
    def _order(self) -> list[int]:
        if self.seed is None:
            return list(range(self.clients))
        return [int(place) for place in np.random.default_rng(self.seed).permutation(self.clients)]

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Phases:
        """Read what `to_document` wrote.

        Raises:
            ConfigError: It is something else.
        """
        try:
            return cls(**document)
        except TypeError:
            raise ConfigError(f"phases: got {dict(document)!r}, expected what Phases.to_document() returned") from None


def _drawn(seed: int, what: object) -> float:
    """Return a number in [0, 1) that a seed and a name determine, on every machine alike."""
    digest = hashlib.sha256(f"{seed}/{what}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big") >> (64 - _MANTISSA)) / 2.0**_MANTISSA
