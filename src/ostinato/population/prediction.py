"""Predictions of members whose weights are stacked: one architecture, K sets of weights, the same inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ostinato.errors import ConfigError, PopulationFallbackWarning, suggest
from ostinato.population import recipes

__all__ = ["predict"]

Forward = Callable[[Mapping[str, Tensor], Tensor], Tensor]
_BYTES = 256 << 20  # outputs of a layer for the members and inputs that are computed at once, roughly


def predict(
    make_model: Callable[[], nn.Module],
    weights: Mapping[str, Tensor],
    inputs: Tensor,
    *,
    chunk: int = 512,
    members: int | None = None,
) -> Tensor:
    """Return what K members give for the same inputs, each in evaluation mode: (K, N, ...) for outputs (N, ...) of one model.

    The members are computed at once by ``vmap``. A model that cannot be mapped so is called member by member, with one warning; the
    numbers are the same within rounding.

    Args:
        make_model: Makes the model; what it draws leaves the global random states as they were.
        weights: Parameters and buffers by the model's names, each stacked: (K, ...). What is missing keeps the value that the model is made
            with; with tied tensors one name is enough.
        inputs: (N, ...).
        chunk: Inputs of one call.
        members: Members of one call; by default as many as keep inputs and weights below 256 MiB.

    Raises:
        ConfigError: The weights are not stacked equally, or do not belong to the model.

    >>> model = nn.Linear(3, 2)
    >>> stacked = {name: torch.stack([tensor, 2 * tensor]) for name, tensor in model.state_dict().items()}
    >>> outputs = predict(lambda: nn.Linear(3, 2), stacked, torch.ones(5, 3))
    >>> outputs.shape, torch.allclose(outputs[1], 2 * outputs[0])
    (torch.Size([2, 5, 2]), True)
    """
    with recipes.kept_randomness():
        model = recipes.built(make_model, 0).to(inputs.device).eval()
    weights, count = _checked(model, weights)
    if chunk < 1 or (members is not None and members < 1):
        raise ConfigError(f"chunk, members: got {chunk} and {members}, expected whole numbers > 0")
    size = members or _members_at_once(weights, inputs[:chunk], count)

    def forward(tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
        outputs: Tensor = functional_call(model, dict(tensors), (x,))
        return outputs

    many: Forward = vmap(forward, in_dims=(0, None))
    parts = []
    with torch.no_grad():
        for first in range(0, count, size):
            held = {name: tensor[first : first + size] for name, tensor in weights.items()}
            try:
                parts.append(torch.cat([many(held, x) for x in torch.split(inputs, chunk)], dim=1))
            except Exception as error:  # whatever the model's operations raise under vmap
                parts.append(_one_by_one(forward, held, inputs, chunk))
                reason = (str(error).strip().splitlines() or ["no message"])[0][:200]
                warnings.warn(
                    f"torch.vmap cannot take the model ({type(error).__name__}: {reason}); members predict one by one",
                    PopulationFallbackWarning,
                    stacklevel=2,
                )
                many = _looped(forward)
    return torch.cat(parts)


def _one_by_one(forward: Forward, held: Mapping[str, Tensor], inputs: Tensor, chunk: int) -> Tensor:
    each = _looped(forward)
    return torch.cat([each(held, x) for x in torch.split(inputs, chunk)], dim=1)


def _looped(forward: Forward) -> Forward:
    """Return a function of stacked weights that calls `forward` for one member after another."""

    def each(held: Mapping[str, Tensor], x: Tensor) -> Tensor:
        count = len(next(iter(held.values())))
        return torch.stack([forward({name: tensor[k] for name, tensor in held.items()}, x) for k in range(count)])

    return each


def _checked(model: nn.Module, weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
    """Return the weights, each tied one once, and the number of members, after checking that they are the model's, stacked."""
    known = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    kept: dict[int, str] = {}
    counts = {tensor.shape[0] if tensor.dim() else 0 for tensor in weights.values()}
    if len(counts) != 1 or counts == {0}:
        raise ConfigError(f"weights: got {sorted(counts)} members, expected as many, at least one, of every tensor")
    count = counts.pop()
    for name, tensor in weights.items():
        if name not in known:
            raise ConfigError(f"weights: the model has no {name!r}{suggest(name, known, most=1)}")
        wanted = (count, *known[name].shape)
        if tuple(tensor.shape) != wanted:
            raise ConfigError(f"weights: {name} has shape {tuple(tensor.shape)}, expected {wanted}")
        kept.setdefault(id(known[name]), name)
    return {name: weights[name] for name in kept.values()}, count


def _members_at_once(weights: Mapping[str, Tensor], batch: Tensor, count: int) -> int:
    each = sum(tensor[0].numel() * tensor.element_size() for tensor in weights.values())
    each += 32 * batch.numel() * batch.element_size()
    return max(1, min(count, _BYTES // max(each, 1)))
