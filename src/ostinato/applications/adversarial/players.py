"""Two players on one clock: the plan of their rates, and what binds it to their optimizers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch.optim import Optimizer

from ostinato.checks import whole
from ostinato.core.address import Address
from ostinato.core.bindings import wave
from ostinato.core.clock import Tick
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.core.units import DurationLike
from ostinato.errors import ConfigError, TargetError, suggest
from ostinato.scheduler import Scheduler

__all__ = ["PLAYERS", "TwoPlayers", "demand_players", "demand_updates", "waves"]

PLAYERS = ("generator", "discriminator")

PerPlayer = float | tuple[float, float] | Mapping[str, float]


def waves(
    low: PerPlayer,
    high: PerPlayer,
    *,
    total: DurationLike,
    period: DurationLike | None = None,
    count: int | None = None,
    shift: PerPlayer = 0.5,
    waveform: str = "sine",
) -> Plan:
    """Return the plan of two rates that swing between `low` and `high`, the discriminator's later by `shift`.

    In ``"sine"`` a shift of 0.5 is the mirror image too: one player's rate is highest where the other's is lowest. In ``"cosine"`` restarts it is not.

    Args:
        low: Of both, or a pair (generator, discriminator), or by name.
        high: The same.
        total: In rounds.
        period: Of a cycle, or
        count: how many cycles.
        shift: How much later the discriminator's is, in fractions of a cycle; or of each, as a pair or by name.
        waveform: Of the cycle.

    Raises:
        ConfigError: Something is given for other than two players.
        PlanError: The plan cannot be.

    >>> plan = waves(0.0, 0.2, total=8, count=2)
    >>> plan.table()["generator.lr"].round(3).tolist()
    [0.0, 0.1, 0.2, 0.1, 0.0, 0.1, 0.2, 0.1]
    >>> plan.table()["discriminator.lr"].round(3).tolist()
    [0.2, 0.1, 0.0, 0.1, 0.2, 0.1, 0.0, 0.1]
    """
    late = (0.0, shift) if isinstance(shift, int | float) else _pair("shift", shift)
    rates = zip(PLAYERS, _pair("low", low), _pair("high", high), late, strict=True)
    return Plan(
        total=total,
        cycle=Cycle(waveform, period=period, count=count),
        bindings={f"{player}.lr": wave(least, most, shift=turn) for player, least, most, turn in rates},
    )


def _pair(name: str, given: PerPlayer) -> tuple[float, float]:
    """Return what is given for each player.

    Raises:
        ConfigError: It is given for more or fewer, or for others.
    """
    if isinstance(given, int | float):
        return float(given), float(given)
    if isinstance(given, Mapping):
        if set(given) != set(PLAYERS):
            raise ConfigError(f"{name}: got {', '.join(map(str, given))}, expected generator and discriminator")
        return given["generator"], given["discriminator"]
    if len(given) != len(PLAYERS):
        raise ConfigError(
            f"{name}: got {len(given)} numbers, a game has two players; write one for both or a pair (generator, discriminator)"
        )
    return given


class TwoPlayers:
    """A plan bound to the optimizers of two players; `step` once a round puts the next values of both in force.

    Args:
        plan: Drives targets that begin with ``generator`` or ``discriminator``, such as ``generator.lr``; it counts rounds.
        generator: Its optimizer.
        discriminator: Its optimizer.
        updates: Of generator and discriminator in each round: what `turns` tells.

    Raises:
        TargetError: The plan names a third player, or drives what an optimizer does not have.
        ConfigError: `updates` are not two whole numbers > 0.

    >>> import torch
    >>> g, d = (torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0) for _ in range(2))
    >>> game = TwoPlayers(waves(0.0, 0.2, total=4, count=2, shift=0.5), generator=g, discriminator=d, updates=(1, 2))
    >>> game.turns
    ('discriminator', 'discriminator', 'generator')
    >>> game.rates, game.step().cycle_end, game.rates
    ((0.0, 0.2), False, (0.2, 0.0))
    """

    def __init__(
        self, plan: Plan, *, generator: Optimizer, discriminator: Optimizer, updates: tuple[int, int] = (1, 1)
    ) -> None:
        demand_players(plan.bound)
        demand_updates(updates)
        self.updates = updates
        self.scheduler: Scheduler = plan.bind(generator=generator, discriminator=discriminator, steps_per_round=1)
        self._optimizers = generator, discriminator

    @property
    def turns(self) -> tuple[str, ...]:
        """Whose update is when in a round: the discriminator's come first."""
        return ("discriminator",) * self.updates[1] + ("generator",) * self.updates[0]

    @property
    def rates(self) -> tuple[float, float]:
        """The rates of generator and discriminator that are in force, of the first parameter group each."""
        first, second = (float(optimizer.param_groups[0]["lr"]) for optimizer in self._optimizers)
        return first, second

    def step(self) -> Tick:
        """Say that a round was played, put the next values of both players in force, and return what the round was."""
        return self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the clock as a JSON document."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state and put its values in force.

        Raises:
            StateError: It is of another plan.
        """
        self.scheduler.load_state_dict(state)


def demand_players(targets: Iterable[str]) -> None:
    """Check that nobody else than the two players is driven.

    Raises:
        TargetError: A target begins with another name.
    """
    for target in targets:
        name = Address.parse(target).root
        if name not in PLAYERS:
            raise TargetError(f"{target}: a game has two players, and {name!r} is neither{suggest(name, PLAYERS)}")


def demand_updates(updates: tuple[int, int]) -> None:
    """Check the updates of a round.

    Raises:
        ConfigError: They are not two whole numbers > 0.
    """
    if len(updates) != len(PLAYERS):
        raise ConfigError(
            f"updates: got {len(updates)} numbers, a game has two players; write (generator, discriminator)"
        )
    for player, value in zip(PLAYERS, updates, strict=True):
        whole(f"updates of the {player}", value)
