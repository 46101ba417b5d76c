"""Playing games: two small networks under every plan and seed at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import vmap

from ostinato.applications.adversarial import losses, networks
from ostinato.applications.adversarial.coverage import count_modes
from ostinato.applications.adversarial.mixtures import Mixture, mixture
from ostinato.applications.adversarial.outcome import Games
from ostinato.applications.adversarial.players import PLAYERS, demand_players, demand_updates
from ostinato.applications.adversarial.stepping import Game, Player, Round, State, traced
from ostinato.applications.arms import last_cycle, resolved_arms
from ostinato.checks import whole
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError
from ostinato.population import recipes
from ostinato.population.rules import rule_of
from ostinato.population.values import GroupPlace, Values, place_plans

__all__ = ["play"]

BLOCK = 250
"""Rounds whose random numbers are drawn together."""
_PAYS = 2000
"""From so many rounds on, compiling is worth its seconds, however few games there are."""
_ADAM = {"lr": 1e-4, "betas": (0.8, 0.999)}

Floats = NDArray[np.float32]
Compile = Literal["auto"] | bool


def play(
    target: Mixture | str,
    plans: Mapping[str, Plan | ResolvedPlan],
    *,
    seeds: Iterable[int] = (0,),
    generator: Callable[[], nn.Module] = networks.generator,
    discriminator: Callable[[], nn.Module] = networks.discriminator,
    loss: str = "non-saturating",
    updates: tuple[int, int] = (1, 1),
    options: Mapping[str, Any] | None = None,
    batch: int = 100,
    every: int = 100,
    samples: int = 2500,
    keep: Sequence[int] = (),
    threshold: float = 0.2,
    compile: Compile = "auto",
) -> Games:
    """Train a generator against a discriminator on a mixture, under every plan and every seed at once.

    A plan drives ``generator.lr``, ``discriminator.lr``, ``generator.betas.0``, ... and counts rounds: in each the discriminator makes its updates, then
    the generator. Both have Adam of their own, as in ``torch.optim``; each game becomes what two optimizers in a loop would make of it, to rounding.
    What is random follows from seed and round alone: all arms of a seed begin with the same weights and meet the same examples and latent numbers.

    Networks see and make points divided by the mixture's `scale`. They may not draw random numbers, and hold no running statistics. A game
    with a loss or gradient that is not finite stays as it was; the others go on.

    Args:
        target: A `Mixture`, or the name of one.
        plans: From the arm's name to its plan, all of one total.
        seeds: Of the games of each arm.
        generator: Makes a network from (B, Z) latent numbers to (B, 2); its first parameter's last dimension is Z.
        discriminator: Makes one from (B, 2) to (B, 1) scores.
        loss: ``"non-saturating"`` or ``"hinge"``.
        updates: Of the generator and of the discriminator in each round.
        options: Of both Adams, what no plan drives; by default PacGAN's, lr 1e-4 and betas (0.8, 0.999).
        batch: Examples of each update.
        every: Samples are counted after every so many rounds, and after the last.
        samples: How many; the same latent numbers each time.
        keep: Rounds after which samples are kept, rounded up to the next reading.
        threshold: A round counts as runaway where the discriminator's loss, before its last update, is below this share of what it is in balance.
        compile: ``"auto"`` decides from the number of rounds.

    Returns:
        Counts by mode, losses, samples, and what follows from them.

    Raises:
        ConfigError: An argument cannot be; plans are missing or of unequal totals.
        TargetError: A plan drives what neither player has.

    >>> import ostinato as ost
    >>> from ostinato.applications import adversarial
    >>> plan = adversarial.waves(1e-4, 2e-3, total=40, count=2)
    >>> found = adversarial.play("ring", {"anti": plan}, seeds=[0, 1], every=10, samples=200)
    >>> found.rounds.tolist(), found.counts.shape
    ([9, 19, 29, 39], (4, 1, 2, 9))
    """
    learnt = mixture(target) if isinstance(target, str) else target
    resolved = resolved_arms(plans)
    chosen = tuple(int(seed) for seed in seeds)
    for name, value in {"batch": batch, "every": every, "samples": samples, "seeds": len(chosen)}.items():
        whole(name, value)
    demand_updates(updates)
    made = _Setup(
        learnt, tuple(resolved.values()), chosen, makers={"generator": generator, "discriminator": discriminator},
        updates=dict(zip(PLAYERS, updates, strict=True)), options={**_ADAM, **(options or {})}, batch=batch,
    )  # fmt: skip
    total = next(iter(resolved.values())).total
    read = np.array(sorted({*range(every - 1, total, every), total - 1}))
    own = losses.loss(loss)
    game = Game(made.players, own, threshold * own.balance)
    with torch.no_grad():
        compiled = compile is True or (compile == "auto" and total >= _PAYS)
        told = _played(game, made, read, samples, keep, compiled=compiled, insist=compile is True)
    shape = (len(resolved), len(chosen))
    gaps = np.diff(read, prepend=-1)[:, None, None]
    return Games(
        learnt, tuple(resolved), chosen, read,
        counts=told.counts.reshape(len(read), *shape, -1),
        losses=told.losses.reshape(2, len(read), *shape) / gaps,
        below=told.below.reshape(len(read), *shape) / gaps,
        diverged=told.died.reshape(shape),
        kept=told.kept.reshape(-1, *shape, samples, 2),
        spans=tuple(last_cycle(plan) for plan in resolved.values()),
        digests=tuple(plan.digest for plan in resolved.values()),
    )  # fmt: skip


class _Setup:
    """The games before they begin: networks, rules, values, and what is drawn."""

    def __init__(
        self,
        target: Mixture,
        plans: Sequence[ResolvedPlan],
        seeds: Sequence[int],
        *,
        makers: Mapping[str, Callable[[], nn.Module]],
        updates: Mapping[str, int],
        options: Mapping[str, Any],
        batch: int,
    ) -> None:
        for plan in plans:
            demand_players(plan.targets)
        self.target, self.seeds, self.arms, self.batch = target, seeds, len(plans), batch
        with recipes.kept_randomness():
            self._models = {player: [recipes.built(make, seed) for seed in seeds] for player, make in makers.items()}
        optimizers = {player: _adam(models[0], options) for player, models in self._models.items()}
        games = [plan for plan in plans for _ in seeds]
        self.players: dict[str, Player] = {}
        self._values: dict[str, tuple[Values, Mapping[str, Any]]] = {}
        for player, optimizer in optimizers.items():
            (group,) = optimizer.param_groups
            placement = place_plans(games, optimizers, only=player)
            rule = rule_of("adam", [group], momentum_driven=False)
            if isinstance(rule, str):
                raise ConfigError(f"options: {rule}")
            self.players[player] = Player(self._models[player][0], rule, updates[player])
            self._values[player] = Values(placement.driven), group
        self.latent = int(next(self._models["generator"][0].parameters()).shape[-1])

    def start(self) -> State:
        """Return the games' state before the first round: equal for all arms of a seed."""
        weights = {
            player: {
                name: torch.stack([dict(model.named_parameters())[name].detach() for model in models]).repeat(
                    self.arms, *[1] * parameter.dim()
                )
                for name, parameter in models[0].named_parameters()
            }
            for player, models in self._models.items()
        }
        moments = {
            player: {name: [torch.zeros_like(p) for _ in self.players[player].rule.states] for name, p in own.items()}
            for player, own in weights.items()
        }
        games = self.arms * len(self.seeds)
        return State(weights, moments, torch.full((games,), -1), torch.zeros(2, games), torch.zeros(games))

    def rounds(self, first: int, stop: int) -> Iterator[Round]:
        """Yield what some rounds read; they are drawn by the block, whose first `first` must be."""
        coefficients = {player: self._coefficients(player, first, stop) for player in PLAYERS}
        drawn = [self._drawn(seed, first // BLOCK) for seed in self.seeds]
        real = torch.from_numpy(np.stack([each[0] for each in drawn], axis=2))
        latent = {player: torch.from_numpy(np.stack([each[1][player] for each in drawn], axis=2)) for player in PLAYERS}
        seeds = torch.arange(len(self.seeds)).repeat(self.arms)
        for place in range(stop - first):
            yield Round(
                {player: own[place] for player, own in coefficients.items()},
                real[place],
                {player: own[place] for player, own in latent.items()},
                seeds,
                torch.tensor(first + place),
            )

    def _coefficients(self, player: str, first: int, stop: int) -> Tensor:
        """Return a player's coefficients, float32 (rounds, updates, coefficients, K): a round's values hold for all its updates."""
        own, (values, group) = self.players[player], self._values[player]
        rounds = np.repeat(np.arange(first, stop, dtype=np.int64), own.updates)
        found = {}
        for key, element in own.rule.keys:
            original = group[key] if element is None else group[key][element]
            found[key, element] = values.block(GroupPlace(0, key, element), float(original), rounds)
        steps = np.arange(first * own.updates, stop * own.updates, dtype=np.int64)
        with np.errstate(over="ignore"):  # a rate beyond float32 is infinite, and its game diverges
            stacked = np.stack(own.rule.coefficients(found, steps, 0), axis=1).astype(np.float32)
        return torch.from_numpy(stacked.reshape(stop - first, own.updates, *stacked.shape[1:]))

    def _drawn(self, seed: int, block: int) -> tuple[Floats, dict[str, Floats]]:
        """Return a block's examples and latent numbers of one seed, float32 (rounds, updates, B, .)."""
        rng = np.random.default_rng([seed, 20_281, block])
        shapes = {player: (BLOCK, own.updates, self.batch) for player, own in self.players.items()}
        real = self.target.sample(rng, shapes["discriminator"]) / self.target.scale
        latent = {
            player: rng.standard_normal((*shape, self.latent), dtype=np.float32) for player, shape in shapes.items()
        }
        return real.astype(np.float32), latent

    def asked(self, samples: int) -> Tensor:
        """Return the latent numbers that samples are made of, (S, N, Z)."""
        drawn = [np.random.default_rng([seed, 20_282]).standard_normal((samples, self.latent)) for seed in self.seeds]
        return torch.from_numpy(np.stack(drawn).astype(np.float32))


@dataclass(frozen=True)
class _Told:
    """What was read, by reading and game."""

    counts: NDArray[np.int64]
    losses: NDArray[np.float64]
    below: NDArray[np.float64]
    died: NDArray[np.int64]
    kept: NDArray[np.float32]


def _played(
    game: Game,
    setup: _Setup,
    read: NDArray[np.int64],
    samples: int,
    keep: Sequence[int],
    *,
    compiled: bool,
    insist: bool,
) -> _Told:
    """Play all rounds, reading after some."""
    state, step = setup.start(), None
    asked = setup.asked(samples).repeat(setup.arms, 1, 1)
    wanted = {int(read[np.searchsorted(read, number)]) for number in keep if number <= read[-1]} | {int(read[-1])}
    counts, told, below, kept = [], [], [], []
    upcoming = iter(read.tolist())
    reading = next(upcoming)
    for first in range(0, int(read[-1]) + 1, BLOCK):
        for number, given in enumerate(setup.rounds(first, min(first + BLOCK, int(read[-1]) + 1)), first):
            if step is None:
                step = traced(game, state, given)
                (partial(step.compile, insist=insist) if compiled else step)(state, given)
            else:
                step(state, given)
            if number == reading:
                made = vmap(game.generated)(state.weights["generator"], asked) * setup.target.scale
                counts.append(count_modes(setup.target, made).numpy())
                told.append(state.losses.double().numpy().copy())
                below.append(state.below.double().numpy().copy())
                if number in wanted:
                    kept.append(made.numpy())
                state.losses.zero_()
                state.below.zero_()
                reading = next(upcoming, -1)
    return _Told(np.stack(counts), np.stack(told, axis=1), np.stack(below), state.died.numpy(), np.stack(kept))


def _adam(model: nn.Module, options: Mapping[str, Any]) -> torch.optim.Optimizer:
    try:
        return torch.optim.Adam(model.parameters(), **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"options: {error}") from error
