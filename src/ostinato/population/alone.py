"""One member by itself, by a plain loop: a live model, an optimizer of `torch.optim`, a scheduler. What many at once must equal."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ostinato.errors import TruncatedCycleWarning
from ostinato.population import recipes
from ostinato.population.job import Job, criterion_of
from ostinato.population.masks import counted
from ostinato.population.scoring import Scorer, metrics_for, score_one
from ostinato.scheduler import Scheduler

__all__ = ["Alone", "Stop", "train_alone"]


@dataclass
class Alone:
    """What became of one member.

    Attributes:
        metrics: By step, then by name.
        weights: Parameters and buffers at the end, under every name of the state_dict and those of buffers beside it.
        saved: The same after each cycle's end that was asked for.
        diverged: Step at which loss or gradient was not finite, or -1.
        named: Names of the metrics, also of those that there was no time for.
        failure: Why there is nothing of all this, or empty.
    """

    metrics: dict[int, dict[str, float]] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    saved: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    diverged: int = -1
    named: tuple[str, ...] = ()
    failure: str = ""


Stop = Callable[[int, Mapping[str, float]], bool]


def train_alone(job: Job, k: int, stop: Stop | None = None) -> Alone:
    """Train member `k` of a job; `stop` is told (step, scores) after every scoring and ends it by returning True."""
    with recipes.kept_randomness():
        model = recipes.built(job.make_model, job.seeds[k])
        frame = counted(model, job.seeds[k])
        optimizer = recipes.make_optimizer(job.optimizer, model, job.options)
        criterion = criterion_of(job.loss)
        roots = {"optimizer": optimizer, "model": model, "loss": criterion}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedCycleWarning)
            scheduler = Scheduler(job.plans[k], roots)
        recipes.reseed(job.seeds[k], 1, 0)
        model.train()
        done, order, losses = Alone(), job.order(k), []
        scorer = None
        for step in range(job.totals[k]):
            epoch, index = divmod(step, order.batches)
            chosen = torch.tensor(job.examples(k, order.batch(epoch, index)))
            frame.at(step)
            loss = _update(model, criterion, optimizer, job.arrays.inputs[chosen], job.arrays.targets[chosen])
            if loss is None:
                done.diverged = step
                break
            losses.append(loss)
            if step in job.scored[k]:
                if scorer is None and job.arrays.test is not None:
                    scorer = _scorer(job, model)
                done.metrics[step] = {"train_loss": math.fsum(losses) / len(losses), **score_one(scorer, model)}
                losses = []
            if step in job.saved[k]:
                done.saved[step] = _state(model)
            if stop is not None and step in done.metrics and stop(step, done.metrics[step]):
                break
            if step + 1 < job.totals[k]:
                scheduler.step()
        trained = [p for p in model.parameters() if p.grad is not None]
        if done.diverged < 0 and not all(bool(torch.isfinite(p).all()) for p in trained):
            done.diverged = job.totals[k] - 1  # no update came after that would have noticed
        if scorer is None and job.arrays.test is not None:
            scorer = _scorer(job, model)
        done.named = () if scorer is None else tuple(scorer.metrics)
        done.weights = _state(model)
        return done


def _update(
    model: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor
) -> float | None:
    """Make one update and return its loss; None, with everything as it was, where loss or gradient is not finite."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if not bool(torch.isfinite(loss)) or not all(bool(torch.isfinite(g).all()) for g in gradients):
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                if name in before:  # others were made by this very pass
                    buffer.copy_(before[name])
        return None
    optimizer.step()
    return float(loss.detach())


def _scorer(job: Job, model: nn.Module) -> Scorer:
    assert job.arrays.test is not None
    inputs, targets = job.arrays.test
    modes = {module: module.training for module in model.modules()}
    model.eval()
    with torch.no_grad():
        outputs = model(inputs[:2])
    for module, mode in modes.items():
        module.training = mode
    return Scorer(inputs, targets, metrics_for(targets[:2], outputs, job.metrics), 1)


def _state(model: nn.Module) -> dict[str, Tensor]:
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach().clone() for name, tensor in named.items()}
