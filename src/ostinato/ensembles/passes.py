"""All members over given batches: scoring them, measuring their batch-norm statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.ensembles.prediction import (
    Average,
    average_outputs,
    default_output,
    isolated,
    run_batch,
    split_batch,
    to_device,
    to_probabilities,
)
from ostinato.ensembles.recalibration import Statistics, norm_layers, observing
from ostinato.ensembles.scores import Evaluation, columns, plain_labels, score
from ostinato.errors import DataError

__all__ = ["Forward", "evaluated", "recalibrated"]

Forward = Callable[[Callable[..., Any], Any], Any]
"""``forward(model, inputs)`` returns the model's result; ``model`` is called like the model."""


def evaluated(
    model: nn.Module,
    calls: Mapping[int, Callable[..., Any]],
    batches: Iterable[Any],
    *,
    forward: Forward | None,
    average: Average,
    device: torch.device,
) -> Evaluation:
    """Score members, each a function by its step, and their average on labelled batches; see `SnapshotEnsemble.evaluate`."""
    members, ensembles, labels = [], [], []
    with isolated(model):
        for batch in batches:
            inputs, target = split_batch(batch)
            inputs = to_device(inputs, device)
            outputs = torch.stack([default_output(run_batch(call, inputs, forward)) for call in calls.values()])
            probabilities = torch.stack([to_probabilities(member) for member in outputs])
            labels.append(plain_labels(target, tuple(probabilities.shape[1:-1])))
            members.append(columns(probabilities))
            ensembles.append(columns(average_outputs(outputs, average)[None]))
        if not labels:
            raise DataError("there is no batch to evaluate on; an iterator that was used up gives none")
        joined, ensemble = np.concatenate(members, axis=1), np.concatenate(ensembles, axis=1)[0]
        return score(tuple(calls), joined, ensemble, np.concatenate(labels), average)


def recalibrated(
    model: nn.Module,
    members: Sequence[tuple[dict[str, Tensor], Callable[..., Any]]],
    batches: Iterable[Any],
    *,
    forward: Forward | None,
    device: torch.device,
) -> list[dict[str, Tensor]]:
    """Return the batch-norm buffers of members, each its tensors and a function, that are the exact averages over batches."""
    layers = norm_layers(model)
    statistics = [Statistics() for _ in members]
    empty = True
    with isolated(model):
        for batch in batches:
            empty = False
            inputs = batch[0] if isinstance(batch, list | tuple) else batch
            inputs = to_device(inputs, device)
            for (_, call), collected in zip(members, statistics, strict=True):
                with observing(layers, collected):
                    run_batch(call, inputs, forward)
    if empty:
        raise DataError("there is no batch to recalibrate on; an iterator that was used up gives none")
    return [collected.buffers(state) for (state, _), collected in zip(members, statistics, strict=True)]
