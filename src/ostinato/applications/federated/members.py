"""Federations whose clients are members of one population: every client of every federation makes its update at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostinato.applications.federated.drawing import client_seed, participants
from ostinato.applications.federated.federation import Setup
from ostinato.applications.federated.merging import Update, merge
from ostinato.applications.federated.progress import grown
from ostinato.applications.federated.simulated import Course
from ostinato.core.plan import Plan
from ostinato.population import recipes
from ostinato.population.job import make_job
from ostinato.population.masks import layer_keys
from ostinato.population.stacked import Feed, Steps
from ostinato.population.stepping import Batch, State
from ostinato.population.template import Template, prepare
from ostinato.population.values import GroupPlace, Values

__all__ = ["Members", "template_of"]

Floats = NDArray[np.float64]


def template_of(setup: Setup) -> Template | str:
    """Return what the clients of all federations share, one member of a population for each; or why there cannot be one.

    Raises:
        ConfigError: An option cannot be.
        TargetError: A plan's target matches nothing.
    """
    plans = tuple(resolved for own in setup.curves for resolved in own)
    seeds = [one.seed for one in setup.federations for _ in range(setup.clients)]
    data = ((setup.arrays.inputs, setup.arrays.targets), setup.arrays.test)
    job = make_job(
        setup.make_model, [Plan(total=1)] * len(plans), data if setup.arrays.test is not None else data[0], loss=setup.loss,
        optimizer=setup.optimizer, options=setup.options, seeds=seeds, batch_size=setup.batch_size, drop_last=False, steps=None,
        evaluate="last", metrics=setup.metrics, snapshots=False, subsets=None,
    )  # fmt: skip
    job = replace(job, plans=plans, totals=(setup.longest,) * len(plans))
    with recipes.kept_randomness():
        model = recipes.built(setup.make_model, seeds[0])
    return prepare(job, model)


class Members:
    """Some federations of a setup, whose clients are computed at once, round by round.

    Args:
        setup: The federations.
        template: `template_of` the setup.
        chosen: Their places in the setup.
        width: How many to compute; what `chosen` lacks is filled up with copies, so that all have one shape.
    """

    def __init__(self, setup: Setup, template: Template, chosen: Sequence[int], width: int) -> None:
        self.setup, self.template, self.chosen = setup, template, list(chosen)
        self.padded = [*chosen, *[chosen[-1]] * (width - len(chosen))]
        start = template.start([f * setup.clients for f in self.padded]).tensors()
        weights = [{name: tensor[place].cpu().numpy() for name, tensor in start.items()} for place in range(width)]
        self.courses = [Course.empty(own, setup.rounds, setup.clients) for own in weights]
        self._feed = Feed(setup.arrays)

    def simulate(self, steps: Steps, told: Callable[[int], None]) -> list[Course]:
        """Go through all rounds and return the course of each chosen federation; `told` hears how many rounds are done."""
        self.template.machine.model.train()
        with torch.no_grad():
            for round in range(1, self.setup.rounds + 1):
                self._round(round, steps)
                if round in self.setup.scored:
                    self._score(round)
                told(round)
        return self.courses[: len(self.chosen)]

    def _round(self, round: int, steps: Steps) -> None:
        setup = self.setup
        taking = [
            participants(setup.federations[f].seed, round, setup.clients, setup.fraction).tolist() for f in self.padded
        ]
        members = [(f, client) for f, clients in zip(self.padded, taking, strict=True) for client in clients]
        numbers = np.array([setup.updates[member] for member in members])
        counts = self._counts(members, round, numbers)
        values = self._values_of(members)
        state = self._begun(len(taking[0]))
        self._train(state, members, round, steps, numbers=numbers, counts=counts, values=values)
        progress = self._progress(values, counts, numbers)
        self._merge(round, state, taking, progress)

    def _counts(self, members: Sequence[tuple[int, int]], round: int, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where on its clock each client is at each update of the round, (updates, K)."""
        by_round = np.array([self.setup.curves[f][client].plan.unit == "round" for f, client in members])
        start = (round - 1) * np.where(by_round, 1, numbers)
        step = np.arange(numbers.max())[:, None]
        return np.asarray(start + np.where(by_round, 0, np.minimum(step, numbers - 1)))

    def _values_of(self, members: Sequence[tuple[int, int]]) -> Values:
        driven = self.template.placement.driven
        return Values([driven[f * self.setup.clients + client] for f, client in members])

    def _begun(self, each: int) -> State:
        """Return the clients' state before the round: the common model of their federation, and an empty optimizer."""
        device = self.setup.arrays.inputs.device

        def stacked(name: str) -> Tensor:
            common = np.stack([course.weights[name] for course in self.courses])
            return torch.from_numpy(common).to(device).repeat_interleave(each, dim=0)

        parameters = {name: stacked(name) for name in self.template.machine.groups}
        return self.template.fresh(parameters, {name: stacked(name) for name in self.template.buffers})

    def _train(
        self,
        state: State,
        members: Sequence[tuple[int, int]],
        round: int,
        steps: Steps,
        *,
        numbers: NDArray[np.int64],
        counts: NDArray[np.int64],
        values: Values,
    ) -> None:
        """Make the updates of a round. Whoever makes fewer than others waits."""
        setup, template, device = self.setup, self.template, state.died.device
        length, first = len(counts), (round - 1) * setup.longest
        template.machine.rule.restart()
        coefficients, attributes = template.block(values, np.arange(length), counts)
        rows = torch.from_numpy(self._rows(members, round, length)).to(device)
        totals = torch.from_numpy(first + numbers).to(device)
        keys = self._keys(members).to(device)
        uses = partial(int, setup.rounds * setup.longest)
        for step in range(length):
            inputs, targets = self._feed(rows[:, step])
            batch = Batch(
                coefficients[step], attributes[step], keys, totals, torch.tensor(first + step), inputs, targets
            )
            steps.run(state, batch, uses)

    def _rows(self, members: Sequence[tuple[int, int]], round: int, length: int) -> NDArray[np.int32]:
        """Return every client's batches, (K, updates, batch); equal ones are drawn once."""
        setup = self.setup
        known: dict[tuple[int, int, int], NDArray[np.int64]] = {}
        result = np.zeros((len(members), length, setup.batch_size), np.int32)
        for place, (f, client) in enumerate(members):
            key = setup.federations[f].seed, client, id(setup.parts[f][client])
            if key not in known:
                known[key] = setup.rows(f, client, round)
            result[place, : len(known[key])] = known[key]
        return result

    def _keys(self, members: Sequence[tuple[int, int]]) -> Tensor:
        """Return the keys of the clients' masks, int64 (K, layers, 2)."""
        layers = self.template.layers
        if not layers:
            return torch.zeros(len(members), 0, 2, dtype=torch.int64)
        seeds = (client_seed(self.setup.federations[f].seed, client) for f, client in members)
        return torch.stack([layer_keys(seed, layers) for seed in seeds])

    def _progress(self, values: Values, counts: NDArray[np.int64], numbers: NDArray[np.int64]) -> Floats:
        """Return how far each client went, as `LocalRound.progress` has it, (K,)."""
        driven = np.array([any(isinstance(place, GroupPlace) for place in own) for own in values.driven])
        group = self.template.groups[0]
        rates = values.block(GroupPlace(0, "lr"), float(group["lr"]), counts)
        momenta = values.block(GroupPlace(0, "momentum"), float(group.get("momentum", 0.0)), counts)
        memory, progress = np.zeros(len(numbers)), np.zeros(len(numbers))
        for step in range(len(counts)):
            farther, memory = grown(progress, memory, rates[step], momenta[step])
            progress = np.where(step < numbers, farther, progress)
        return np.asarray(np.where(driven, progress, numbers))

    def _merge(self, round: int, state: State, taking: Sequence[Sequence[int]], progress: Floats) -> None:
        setup, trained = self.setup, list(self.template.machine.groups)
        sent = {name: tensor.cpu().numpy() for name, tensor in state.tensors().items()}
        finite = self._finite(state)
        place = 0
        for course, f, clients in zip(self.courses, self.padded, taking, strict=True):
            own = range(place, place + len(clients))
            place += len(clients)
            if course.diverged >= 0:
                continue
            if not finite[own].all():
                course.diverged = round
                continue
            updates = [
                Update(
                    client, {name: array[k] for name, array in sent.items()}, len(setup.parts[f][client]), progress[k]
                )
                for client, k in zip(clients, own, strict=True)
            ]
            course.note(round, updates, trained)
            normalise = setup.federations[f].normalise
            course.weights = merge(course.weights, updates, normalise=normalise, rate=setup.server_rate(f, round))

    @staticmethod
    def _finite(state: State) -> NDArray[np.bool_]:
        """Return which clients' training was finite throughout, (K,)."""
        fine = state.died < 0
        for p in state.parameters.values():
            fine &= torch.isfinite(p.flatten(1)).all(1)
        return np.asarray(fine.cpu().numpy())

    def _score(self, round: int) -> None:
        device = self.setup.arrays.inputs.device
        tensors = {
            name: torch.from_numpy(np.stack([course.weights[name] for course in self.courses])).to(device)
            for name in self.courses[0].weights
        }
        originals = [self.template.placement.originals[place] for place in self.template.placement.attributes]
        held = torch.tensor(originals, device=device).reshape(-1, 1).expand(-1, len(self.courses))
        scores = self.template.scores(tensors, held, (round - 1) * self.setup.longest)
        for place, course in enumerate(self.courses):
            if course.diverged < 0:
                course.score(round, {name: float(value[place]) for name, value in scores.items()})
