"""One model in place of an ensemble: averaged weights, or a student of its predictions; always measured."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ostinato.checks import is_whole
from ostinato.ensembles.prediction import default_output, isolated, run_batch, split_batch, to_device, to_probabilities
from ostinato.ensembles.recalibration import Statistics, norm_layers, observing
from ostinato.ensembles.scores import columns, plain_labels
from ostinato.errors import DataError, NonFiniteError, SingleModelWarning
from ostinato.evaluation.metrics import nll, summarise

if TYPE_CHECKING:
    from ostinato.ensembles.ensemble import SnapshotEnsemble

__all__ = ["SingleModel", "average_weights", "distil_into"]


@dataclass(frozen=True, eq=False)
class SingleModel:
    """One model made of an ensemble, and what it costs in quality.

    Attributes:
        model: in evaluation mode.
        kind: ``"averaged"`` or ``"distilled"``.
        steps: the members that it was made of.
        scores: {"single", "last", "ensemble"}, each {error, nll, ece}; None where no labelled batches were given.
        losses: of distillation, the mean loss of each epoch.
    """

    model: nn.Module
    kind: str
    steps: tuple[int, ...]
    scores: Mapping[str, Mapping[str, float]] | None
    losses: tuple[float, ...] = ()

    @property
    def hurts(self) -> bool | None:
        """Whether error or nll is worse than the last member's; None where it was not measured."""
        if self.scores is None:
            return None
        single, last = self.scores["single"], self.scores["last"]
        return any(not single[metric] <= last[metric] for metric in ("error", "nll"))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model without gradients."""
        with torch.no_grad():
            return self.model(*args, **kwargs)

    def __str__(self) -> str:
        if self.scores is None:
            return f"{self.kind} from {len(self.steps)} members, not measured"
        words = ", ".join(
            f"{name} {score['error']:.4f} / {score['nll']:.4f}"
            for name, score in ((self.kind, self.scores["single"]), *list(self.scores.items())[1:])
        )
        return f"error / nll: {words}"


def average_weights(
    snapshots: SnapshotEnsemble,
    model: nn.Module,
    states: Sequence[Mapping[str, Tensor]],
    batches: Iterable[Any] | None,
    *,
    on: Iterable[Any] | None,
    last: int | None,
    how: str,
) -> SingleModel:
    """Make what `SnapshotEnsemble.averaged` returns."""
    if how not in ("uniform", "greedy"):
        raise ValueError(f"how={how!r} is unknown; use 'uniform' or 'greedy'")
    if how == "greedy" and on is None:
        raise DataError("a greedy average chooses members by their nll; give labelled batches in on=")
    if norm_layers(model) and batches is None:
        raise DataError(
            "the model has batch norm, whose statistics do not fit averaged weights; give training data in batches="
        )
    single = copy.deepcopy(model)
    single.requires_grad_(False)
    labelled = None if on is None else _kept(on)
    training = None if batches is None else (_kept(batches) if how == "greedy" else batches)
    chosen = list(range(len(states)))
    if how == "greedy":
        chosen = _greedy(single, states, training, labelled or [])
    _assign(single, _mean([states[index] for index in chosen]), training)
    members = snapshots.select(last=last)
    steps = tuple(members[index].step for index in chosen)
    return _measured(SingleModel(single.eval(), "averaged", steps, None), snapshots, labelled, last)


def _greedy(single: nn.Module, states: Sequence[Mapping[str, Tensor]], training: Any, labelled: list[Any]) -> list[int]:
    """Return the members of the greedy average, ascending."""

    def quality(chosen: Sequence[int]) -> float:
        _assign(single, _mean([states[index] for index in chosen]), training)
        value = nll(*_predictions(single, labelled))
        return value if np.isfinite(value) else float("inf")

    alone = [quality([index]) for index in range(len(states))]
    order = sorted(range(len(states)), key=lambda index: (alone[index], -index))
    chosen, best = [order[0]], alone[order[0]]
    for index in order[1:]:
        value = quality([*chosen, index])
        if value <= best:
            chosen, best = [*chosen, index], value
    return sorted(chosen)


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of floating tensors, in double precision; whole numbers are the last member's."""
    mean = {}
    for name, tensor in states[-1].items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            mean[name] = tensor
            continue
        wide = torch.complex128 if tensor.is_complex() else torch.float64
        wide = tensor.dtype if tensor.device.type == "mps" else wide
        mean[name] = torch.stack([state[name].to(wide) for state in states]).mean(dim=0).to(tensor.dtype)
    return mean


def _assign(model: nn.Module, state: Mapping[str, Tensor], training: Iterable[Any] | None) -> None:
    """Give the model these weights, and statistics of batch norm measured with them."""
    places = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    with torch.no_grad():
        for name, tensor in state.items():
            places[name].copy_(tensor)
    layers = norm_layers(model)
    if training is None or not layers:
        return
    statistics, empty = Statistics(), True
    with isolated(model):
        for batch in training:
            empty = False
            with observing(layers, statistics):
                run_batch(model, to_device(_inputs(batch), _device(model)))
        for name, tensor in statistics.buffers({**dict(model.named_buffers())}).items():
            places[name].copy_(tensor)
    if empty:
        raise DataError("there is no batch to measure batch norm on; an iterator that was used up gives none")


def _inputs(batch: Any) -> Any:
    return batch[0] if isinstance(batch, list | tuple) else batch


def _device(model: nn.Module) -> torch.device:
    return next((tensor.device for tensor in chain(model.parameters(), model.buffers())), torch.device("cpu"))


def _kept(batches: Iterable[Any]) -> list[Any]:
    kept = list(batches)
    if not kept:
        raise DataError("there is no batch to measure on; an iterator that was used up gives none")
    return kept


def _predictions(model: nn.Module, labelled: Iterable[Any]) -> tuple[Any, Any]:
    """Return probabilities (N, C) and labels (N,)."""
    found, labels = [], []
    with isolated(model):
        for batch in labelled:
            inputs, target = split_batch(batch)
            values = to_probabilities(default_output(run_batch(model, to_device(inputs, _device(model)))))[None]
            labels.append(plain_labels(target, tuple(values.shape[1:-1])))
            found.append(columns(values)[0])
    return np.concatenate(found), np.concatenate(labels)


def _measured(
    made: SingleModel, snapshots: SnapshotEnsemble, labelled: list[Any] | None, last: int | None
) -> SingleModel:
    """Score the model beside its last member and the ensemble, and warn where it is worse than the member."""
    if labelled is None:
        warnings.warn(
            f"the {made.kind} model was not measured against the ensemble; give labelled batches in on=",
            SingleModelWarning,
            stacklevel=4,
        )
        return made
    probabilities, labels = _predictions(made.model, labelled)
    finite = bool(np.isfinite(probabilities).all())
    worst = {"error": 1.0, "nll": float("inf"), "ece": 1.0}
    peers = snapshots.evaluate(labelled, last=last)
    scores = {
        "single": summarise(probabilities, labels) if finite else worst,
        "last": peers.last,
        "ensemble": peers.ensemble,
    }
    made = SingleModel(made.model, made.kind, made.steps, scores, made.losses)
    if made.hurts:
        warnings.warn(
            f"the {made.kind} model is worse than the last member ({made}); use the last member or the ensemble",
            SingleModelWarning,
            stacklevel=4,
        )
    return made


def distil_into(
    snapshots: SnapshotEnsemble,
    student: nn.Module,
    batches: Iterable[Any],
    *,
    on: Iterable[Any] | None,
    last: int | None,
    epochs: int,
    optimizer: torch.optim.Optimizer | None,
    temperature: float,
) -> SingleModel:
    """Make what `SnapshotEnsemble.distil` returns."""
    if not is_whole(epochs, 1):
        raise ValueError(f"epochs must be a whole number of at least 1; got {epochs!r}")
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be a number above 0; got {temperature!r}")
    labelled = None if on is None else _kept(on)
    again: Iterable[Any] = list(batches) if iter(batches) is batches else batches
    steps = tuple(member.step for member in snapshots.select(last=last))
    stepper = optimizer or torch.optim.AdamW(student.parameters(), lr=1e-3)
    student.train()
    losses = tuple(
        _epoch(snapshots, student, stepper, each, last=last, temperature=temperature) for each in repeat(again, epochs)
    )
    return _measured(SingleModel(student.eval(), "distilled", steps, None, losses), snapshots, labelled, last)


def _epoch(
    snapshots: SnapshotEnsemble,
    student: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Any],
    *,
    last: int | None,
    temperature: float,
) -> float:
    """Make one pass and return its mean loss."""
    total, count = 0.0, 0
    for batch in batches:
        inputs = to_device(_inputs(batch), _device(student))
        teacher = run_batch(lambda *args, **kwargs: snapshots.member_outputs(*args, last=last, **kwargs), inputs)
        targets = _softened(teacher, temperature).mean(dim=0)
        optimizer.zero_grad()
        logits = default_output(run_batch(student, inputs))
        loss = temperature**2 * _divergence(logits / temperature, targets)
        if not torch.isfinite(loss):
            raise NonFiniteError(f"distilling: the loss is {float(loss.detach())}; lower the rate of the optimizer")
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
        optimizer.step()
        total, count = total + float(loss.detach()), count + 1
    if not count:
        raise DataError("there is no batch to distil on; an iterator that was used up gives none")
    return total / count


def _softened(outputs: Tensor, temperature: float) -> Tensor:
    """Return (M, N, C) probabilities at a temperature; one column becomes two."""
    values = outputs.float() / temperature
    if values.shape[-1] == 1:
        values = torch.cat([torch.zeros_like(values), values], dim=-1)
    return values.softmax(dim=-1)


def _divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """Return KL(targets || softmax(logits)), the mean over examples."""
    values = logits.float()
    if values.shape[-1] == 1:
        values = torch.cat([torch.zeros_like(values), values], dim=-1)
    logs = values.log_softmax(dim=-1).flatten(0, -2)
    return F.kl_div(logs, targets.flatten(0, -2), reduction="batchmean")
