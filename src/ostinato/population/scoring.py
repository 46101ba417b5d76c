"""Scores on test data: the same numbers as `ostinato.evaluation` gives, for many members at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from ostinato.errors import ConfigError, DataError

__all__ = ["Scorer", "metrics_for", "score_one"]

Metric = Callable[[Tensor, Tensor], Any]
_SLICE = 1024
_EPSILON = 2.0**-52


def error_rate(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of wrong classes among logits (N, C)."""
    return (outputs.argmax(-1) != targets).to(torch.float64).mean()


def negative_log_likelihood(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of -log p, clipped as `ostinato.evaluation.nll` does."""
    p = outputs.float().softmax(-1).to(torch.float64)
    p = p / p.sum(-1, keepdim=True)
    chosen = p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return -torch.log(chosen.clamp(_EPSILON, 1 - _EPSILON)).mean()


def metrics_for(targets: Tensor, outputs: Any, own: Mapping[str, Metric] | None) -> dict[str, Metric]:
    """Return the metrics: the caller's, or error and NLL for logits (N, C) of class numbers, or the mean squared error."""
    if own is not None:
        return dict(own)
    if (
        targets.dtype == torch.int64
        and targets.dim() == 1
        and isinstance(outputs, Tensor)
        and outputs.dim() == 2
        and outputs.shape[1] > 1
    ):
        return {"error": error_rate, "nll": negative_log_likelihood}
    if isinstance(outputs, Tensor) and outputs.shape == targets.shape:
        return {"mse": lambda o, t: ((o - t) ** 2).to(torch.float64).mean()}
    raise DataError(
        "metrics: the outputs are no logits (N, C) of classes; say metrics={'name': function of (outputs, targets)}"
    )


@dataclass(frozen=True)
class Scorer:
    """Scores members on test data.

    Attributes:
        inputs: (N, ...).
        targets: (N, ...).
        metrics: Functions of all outputs and targets that give one number.
        members: Members whose outputs fit into memory at once.
    """

    inputs: Tensor
    targets: Tensor
    metrics: Mapping[str, Metric]
    members: int

    def many(self, forward: Callable[..., Tensor], tensors: Mapping[str, Tensor], values: Tensor) -> dict[str, Tensor]:
        """Score stacked members.

        Args:
            forward: One member's outputs from (tensors, values, inputs).
            tensors: Stacked parameters and buffers, (K, ...).
            values: Values of attributes, (K, places).
        """
        found: dict[str, list[Tensor]] = {name: [] for name in self.metrics}
        with torch.no_grad():
            for first in range(0, len(values), self.members):
                part = slice(first, first + self.members)
                held = {name: tensor[part] for name, tensor in tensors.items()}
                call = vmap(forward, in_dims=(0, 0, None))
                outputs = torch.cat([call(held, values[part], x) for x in torch.split(self.inputs, _SLICE)], dim=1)
                for name, metric in self.metrics.items():
                    found[name].append(_of_each(name, metric, outputs, self.targets))
        return {name: torch.cat(parts) for name, parts in found.items()}

    def one(self, forward: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Score one model."""
        with torch.no_grad():
            outputs = torch.cat([forward(x) for x in torch.split(self.inputs, _SLICE)])
            return {name: _number(name, metric(outputs, self.targets)) for name, metric in self.metrics.items()}


def _of_each(name: str, metric: Metric, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return a metric of stacked outputs, float64 (K,); member by member where it is no function of tensors alone."""
    try:
        values = vmap(metric, in_dims=(0, None))(outputs, targets)
    except Exception:  # .item(), numpy, scikit-learn, branches on values: a metric may do what it likes
        values = None
    if isinstance(values, Tensor) and values.shape == outputs.shape[:1]:
        return values.to(torch.float64)
    return torch.tensor([_number(name, metric(member, targets)) for member in outputs], dtype=torch.float64)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ConfigError(f"metrics: {name!r} returned {what}, expected one number") from error


def score_one(scorer: Scorer | None, model: torch.nn.Module) -> dict[str, float]:
    """Score one model in evaluation mode and put its modes back."""
    if scorer is None:
        return {}
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        return scorer.one(model)
    finally:
        for module, mode in modes.items():
            module.training = mode
