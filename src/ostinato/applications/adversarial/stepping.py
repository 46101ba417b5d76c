"""One round of many games at once: a function of tensors, traced, and compiled if that pays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx

from ostinato.applications.adversarial.losses import Loss
from ostinato.population.rules import Rule

__all__ = ["Game", "Player", "Round", "State", "Traced", "traced"]

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Player:
    """A network and how it is updated.

    Attributes:
        model: The template; what it holds itself is never used.
        rule: The optimizer.
        updates: In each round.
    """

    model: nn.Module
    rule: Rule
    updates: int


@dataclass
class State:
    """What a round changes, all stacked over the games (first dimension K).

    Attributes:
        weights: Of both players, by player and name.
        moments: The optimizers' state of each, in the rule's order.
        died: The round in which a loss or gradient was not finite, -1 for none, int64 (K,).
        losses: Sums of the discriminator's and the generator's losses since they were last read, (2, K).
        below: Rounds since then in which the discriminator's loss was below the threshold, (K,).
    """

    weights: dict[str, Tensors]
    moments: dict[str, dict[str, list[Tensor]]]
    died: Tensor
    losses: Tensor
    below: Tensor

    def flat(self) -> list[Tensor]:
        """Return the tensors in a fixed order."""
        weights = [p for player in self.weights.values() for p in player.values()]
        moments = [m for player in self.moments.values() for each in player.values() for m in each]
        return [*weights, *moments, self.died, self.losses, self.below]

    def like(self, tensors: Iterator[Tensor]) -> State:
        """Return a state of this form from tensors in that order."""
        weights = {player: {name: next(tensors) for name in each} for player, each in self.weights.items()}
        moments = {
            player: {name: [next(tensors) for _ in kept] for name, kept in each.items()}
            for player, each in self.moments.items()
        }
        return State(weights, moments, next(tensors), next(tensors), next(tensors))


@dataclass(frozen=True)
class Round:
    """What a round reads; what is random in it is the same for all games of a seed.

    Attributes:
        coefficients: The rules', by player, float32 (updates, coefficients, K).
        real: Examples for the discriminator, (updates, S, B, 2).
        latent: Latent numbers by player, (updates, S, B, Z).
        seeds: Place of each game's seed, int64 (K,).
        number: The round, int64 ().
    """

    coefficients: Mapping[str, Tensor]
    real: Tensor
    latent: Mapping[str, Tensor]
    seeds: Tensor
    number: Tensor

    def flat(self) -> list[Tensor]:
        """Return the tensors in a fixed order."""
        return [*self.coefficients.values(), self.real, *self.latent.values(), self.seeds, self.number]

    def like(self, tensors: Iterator[Tensor]) -> Round:
        """Return a round of this form from tensors in that order."""
        coefficients = {player: next(tensors) for player in self.coefficients}
        real = next(tensors)
        latent = {player: next(tensors) for player in self.latent}
        return Round(coefficients, real, latent, next(tensors), next(tensors))


@dataclass(frozen=True)
class Game:
    """Two players and their losses.

    Attributes:
        players: ``generator`` and ``discriminator``.
        loss: What each minimises.
        threshold: The discriminator's loss below which a round counts as runaway.
    """

    players: Mapping[str, Player]
    loss: Loss
    threshold: float

    def generated(self, weights: Tensors, latent: Tensor) -> Tensor:
        """Return what one generator makes of latent numbers."""
        made: Tensor = functional_call(self.players["generator"].model, weights, (latent,))
        return made

    def _scores(self, weights: Tensors, points: Tensor) -> Tensor:
        scores: Tensor = functional_call(self.players["discriminator"].model, weights, (points,))
        return scores

    def _discriminator_loss(self, own: Tensors, other: Tensors, real: Tensor, latent: Tensor) -> Tensor:
        scores = self._scores(own, torch.cat([real, self.generated(other, latent)]))
        return self.loss.discriminator(scores[: len(real)], scores[len(real) :])

    def _generator_loss(self, own: Tensors, other: Tensors, latent: Tensor) -> Tensor:
        return self.loss.generator(self._scores(other, self.generated(own, latent)))

    def round(self, state: State, given: Round) -> None:
        """Play one round of all games in place: the discriminator's updates, then the generator's. A game that diverged stays as it is."""
        for turn in range(self.players["discriminator"].updates):
            real = given.real[turn][given.seeds]
            losses = self._update(self._discriminator_loss, "discriminator", state, given, turn=turn, examples=(real,))
        state.losses[0].add_(losses)
        alive = state.died < 0
        state.below.add_((alive & (losses < self.threshold)).to(state.below.dtype))
        for turn in range(self.players["generator"].updates):
            losses = self._update(self._generator_loss, "generator", state, given, turn=turn)
        state.losses[1].add_(losses)

    def _update(
        self,
        of: Callable[..., Tensor],
        player: str,
        state: State,
        given: Round,
        *,
        turn: int,
        examples: tuple[Tensor, ...] = (),
    ) -> Tensor:
        """Make one update of a player in all games; return the losses before it, 0 where a game has diverged."""
        (other,) = set(self.players) - {player}
        own, latent = state.weights[player], given.latent[player][turn][given.seeds]
        gradients, losses = vmap(grad_and_value(of))(own, state.weights[other], *examples, latent)
        finite = torch.isfinite(losses)
        for g in gradients.values():
            finite = finite & torch.isfinite(g.flatten(1).sum(1))
        good = finite & (state.died < 0)
        state.died.copy_(torch.where((state.died < 0) & ~finite, given.number, state.died))
        rule, coefficients = self.players[player].rule, given.coefficients[player][turn]
        for name, p in own.items():
            c = [each.view([-1] + [1] * (p.dim() - 1)) for each in coefficients]
            new, after = rule.update(p, gradients[name], state.moments[player][name], c)
            _replace(p, new, good)
            for kept, moment in zip(state.moments[player][name], after, strict=True):
                _replace(kept, moment, good)
        return torch.where(good, losses, torch.zeros_like(losses))


def _replace(old: Tensor, new: Tensor, good: Tensor) -> None:
    old.copy_(torch.where(good.view([-1] + [1] * (old.dim() - 1)), new, old))


def traced(game: Game, state: State, given: Round) -> Traced:
    """Return a round as a graph of tensor operations for these shapes.

    Raises:
        Exception: Whatever an operation raises that cannot be mapped over games.
    """

    def flat(*tensors: Tensor) -> list[Tensor]:
        found = iter(tensors)
        game.round(state.like(found), given.like(found))
        return []

    return Traced(make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*state.flat(), *given.flat()))


class Traced:
    """A traced round. Equal rounds are compiled once in a process."""

    _compiled: ClassVar[dict[str, Callable[..., Any]]] = {}

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        self._graph = graph
        self._run: Callable[..., Any] = graph

    def __call__(self, state: State, given: Round) -> None:
        """Play the round in place."""
        self._run(*state.flat(), *given.flat())

    def compile(self, state: State, given: Round, *, insist: bool) -> None:
        """Play the round compiled, which takes seconds, and all later ones; as it is where there is no compiler, unless one insists.

        Raises:
            Exception: The compiler's, before anything was computed.
        """
        key = self._key(state, given)
        run = self._compiled.get(key)
        self._run = torch.compile(self._graph, fullgraph=True, dynamic=False) if run is None else run
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the compiler thinks of itself
                self(state, given)
        except Exception:  # there is none, or it gives up
            if insist:
                raise
            self._run = self._graph
            self(state, given)
        else:
            if key:
                self._compiled[key] = self._run

    def _key(self, state: State, given: Round) -> str:
        """Return what two rounds have in common when one compilation serves both; empty where none may, for a graph holds tensors beside its code."""
        if [*self._graph.buffers(), *self._graph.parameters()]:
            return ""
        shapes = [(*tensor.shape, tensor.dtype) for tensor in (*state.flat(), *given.flat())]
        return f"{self._graph.code} {shapes}"
