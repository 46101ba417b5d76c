"""Running statistics beside a training: what any momentum would have made of the batches that one trajectory saw.

A batch norm's momentum weighs batches in the running statistics, which training never reads. So one training serves every course of the
momentum: with the batches' means and variances on record, running statistics are running <- (1 - m) running + m batch, step by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.ensembles.recalibration import norm_layers

__all__ = ["BatchRecord", "precise", "shadows"]

Floats = NDArray[np.float64]
_STATISTICS = ("running_mean", "running_var")


class BatchRecord:
    """Means and unbiased variances of every batch that reached a model's batch norms in training mode, in order.

    A batch norm of momentum 1 keeps nothing but the last batch's statistics. So the watched model gets that momentum, which changes nothing
    in its training, and its running statistics are copied after every batch.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[Tensor]] = {}

    def watch(self, model: nn.Module) -> nn.Module:
        """Begin anew with a model's layers, and return the model."""
        self._seen = {}
        for name, layer in norm_layers(model).items():
            layer.momentum = 1.0
            for key in _STATISTICS:
                self._seen[f"{name}.{key}"] = []
            layer.register_forward_hook(partial(self._take, name))
        return model

    def _take(self, name: str, layer: nn.Module, *_: Any) -> None:
        if layer.training:
            for key in _STATISTICS:
                self._seen[f"{name}.{key}"].append(layer.get_buffer(key).clone())

    def table(self) -> dict[str, Floats]:
        """Return every batch's statistics by the buffer that they move, float64 (batches, channels)."""
        return {name: torch.stack(values).double().numpy() for name, values in self._seen.items()}


def shadows(table: Mapping[str, Floats], momenta: Floats, at: Sequence[int]) -> list[list[dict[str, Tensor]]]:
    """Return the running statistics of every course of the momentum after chosen updates.

    Running means begin at 0 and variances at 1, as torch's do.

    Args:
        table: Of `BatchRecord`, T batches.
        momenta: (A, T): the weight of each new batch under each of A courses.
        at: Updates, ascending.

    Returns:
        For each of `at`, for each course, buffers by name in float32.
    """
    widths = [values.shape[1] for values in table.values()]
    history = np.concatenate(list(table.values()), axis=1)
    start = np.concatenate(
        [np.full(width, float(name.endswith("var"))) for name, width in zip(table, widths, strict=True)]
    )
    running = np.repeat(start[None], len(momenta), axis=0)
    kept = []
    wanted = set(at)
    for step in range(max(at) + 1):
        weight = momenta[:, step, None]
        running = (1.0 - weight) * running + weight * history[step]
        if step in wanted:
            kept.append([_buffers(list(table), widths, row) for row in running])
    return kept


def _buffers(names: Sequence[str], widths: Sequence[int], row: Floats) -> dict[str, Tensor]:
    parts = torch.split(torch.from_numpy(row.astype(np.float32)), list(widths))
    return dict(zip(names, parts, strict=True))


def precise(model: nn.Module, inputs: Tensor, batch: int) -> dict[str, Tensor]:
    """Return batch-norm statistics averaged over batches that pass through the model as it is (PreciseBN); its own become these.

    Source: Wu and Johnson 2021, arXiv 2105.07576; `torch.optim.swa_utils.update_bn`.
    """
    torch.optim.swa_utils.update_bn(((part,) for part in torch.split(inputs, batch)), model)
    return {name: tensor.clone() for name, tensor in model.named_buffers() if name.endswith(_STATISTICS)}
