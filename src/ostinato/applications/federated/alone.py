"""A federation client by client, by a plain loop: a live model, `torch.optim`, `LocalRound`, `merge`. What many at once must equal."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.applications.federated.drawing import client_seed, participants
from ostinato.applications.federated.federation import Setup
from ostinato.applications.federated.local import LocalRound
from ostinato.applications.federated.merging import Update, merge
from ostinato.applications.federated.simulated import Course
from ostinato.errors import PastTotalWarning, TruncatedCycleWarning
from ostinato.population import counted, recipes
from ostinato.population.job import criterion_of
from ostinato.population.scoring import Scorer, metrics_for, score_one

__all__ = ["simulate_alone"]


def simulate_alone(setup: Setup, f: int, told: Callable[[int], None]) -> Course:
    """Simulate federation `f`; `told` hears how many rounds are done."""
    one = setup.federations[f]
    with recipes.kept_randomness():
        model = recipes.built(setup.make_model, one.seed)
        course = Course.empty(_state(model), setup.rounds, setup.clients)
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        scorer = _scorer(setup, model)
        for round in range(1, setup.rounds + 1):
            chosen = participants(one.seed, round, setup.clients, setup.fraction).tolist()
            updates = [_local(setup, f, model, client=client, round=round, common=course.weights) for client in chosen]
            if any(update is None for update in updates):
                course.diverged = round
                break
            sent = [update for update in updates if update is not None]
            course.note(round, sent, trained)
            course.weights = merge(course.weights, sent, normalise=one.normalise, rate=setup.server_rate(f, round))
            if round in setup.scored and scorer is not None:
                _load(model, course.weights)
                course.score(round, score_one(scorer, model))
            told(round)
    return course


def _local(
    setup: Setup, f: int, model: nn.Module, *, client: int, round: int, common: dict[str, NDArray[Any]]
) -> Update | None:
    """Return what a client sends after its part of a round; None where its loss or gradient was not finite."""
    one, number = setup.federations[f], int(setup.updates[f, client])
    _load(model, common)
    frame = counted(model, client_seed(one.seed, client))
    optimizer = recipes.make_optimizer(setup.optimizer, model, setup.options)
    criterion = criterion_of(setup.loss)
    model.train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedCycleWarning)  # said once for all
        warnings.simplefilter("ignore", PastTotalWarning)  # after the last update of the last round
        part = LocalRound(
            setup.plans[f][client], round, shift=one.phase_of(client), steps=number, steps_per_epoch=setup.per_epoch(f, client),
            optimizer=optimizer, model=model, loss=criterion,
        )  # fmt: skip
        try:
            for step, rows in enumerate(torch.from_numpy(setup.rows(f, client, round))):
                frame.at((round - 1) * setup.longest + step)
                if not _updated(model, criterion, optimizer, setup.arrays.inputs[rows], setup.arrays.targets[rows]):
                    return None
                part.step()
            return Update(client, _state(model), len(setup.parts[f][client]), part.progress)
        finally:
            part.scheduler.restore()


def _updated(model: nn.Module, criterion: Any, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> bool:
    """Make one update and return True; False where loss or gradient is not finite."""
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not bool(torch.isfinite(loss)) or not all(bool(torch.isfinite(g).all()) for g in gradients):
        return False
    optimizer.step()
    return True


def _state(model: nn.Module) -> dict[str, NDArray[Any]]:
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach().clone().numpy() for name, tensor in named.items()}


def _load(model: nn.Module, weights: dict[str, NDArray[Any]]) -> None:
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            tensor.copy_(torch.from_numpy(np.asarray(weights[name])))


def _scorer(setup: Setup, model: nn.Module) -> Scorer | None:
    if setup.arrays.test is None:
        return None
    inputs, targets = setup.arrays.test
    model.eval()
    with torch.no_grad():
        outputs = model(inputs[:2])
    model.train()
    return Scorer(inputs, targets, metrics_for(targets[:2], outputs, setup.metrics), 1)
