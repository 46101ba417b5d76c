"""Parameter groups: weight decay only where it belongs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.errors import ConfigError

__all__ = ["decayed", "parameter_groups"]


def parameter_groups(
    parameters: nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]],
) -> list[dict[str, Any]]:
    """Split parameters into the groups ``"decay"`` and ``"no_decay"``, the latter with weight_decay 0: what an optimizer takes.

    Without decay are biases, the parameters of normalisation layers, and those with at most one dimension: decay does not regularise them,
    and under batch norm that of the weights acts as a learning rate (van Laarhoven 2017, arXiv 1706.05350). A plan's
    ``optimizer.weight_decay`` then drives the first group alone, and ``optimizer[decay].weight_decay`` says so. The key ``"name"`` of a
    group is its name.

    Args:
        parameters: A model; or its parameters, or named parameters, of which only names and dimensions can tell what they are.

    Returns:
        The groups, without those that are empty. Frozen parameters are left out, shared ones appear once.

    Raises:
        ConfigError: Something is no tensor and no (name, tensor) pair.

    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    >>> optimizer = torch.optim.AdamW(parameter_groups(model), lr=1e-3, weight_decay=0.01)
    >>> [(group["name"], group["weight_decay"], len(group["params"])) for group in optimizer.param_groups]
    [('decay', 0.01, 2), ('no_decay', 0.0, 4)]
    """
    decay: list[Tensor] = []
    no_decay: list[Tensor] = []
    seen: set[int] = set()
    for name, parameter, normalises in _walk(parameters):
        if id(parameter) in seen or not parameter.requires_grad:
            continue
        seen.add(id(parameter))
        spared = normalises or parameter.ndim <= 1 or name.rpartition(".")[2].endswith("bias")
        (no_decay if spared else decay).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decay, "name": "decay"}]
    groups.append({"params": no_decay, "name": "no_decay", "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _walk(
    parameters: nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]],
) -> Iterator[tuple[str, Tensor, bool]]:
    """Yield (name, parameter, whether its module normalises)."""
    if isinstance(parameters, nn.Module):
        for prefix, module in parameters.named_modules():
            normalises = any("Norm" in base.__name__ for base in type(module).__mro__)
            for name, parameter in module.named_parameters(prefix, recurse=False):
                yield name, parameter, normalises
        return
    for item in parameters:
        if isinstance(item, Tensor):
            yield "", item, False
        elif isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Tensor):
            yield str(item[0]), item[1], False
        else:
            kind = type(item).__name__
            raise ConfigError(f"optimizer: got a {kind} among the parameters, expected tensors or (name, tensor) pairs")


def decayed(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the parameters of the group ``"decay"``, those that a weight decay acts on; none where no group has that name.

    >>> [tuple(each.shape) for each in decayed(torch.optim.SGD(parameter_groups(nn.Linear(3, 2)), lr=0.1))]
    [(2, 3)]
    """
    return [each for group in optimizer.param_groups if group.get("name") == "decay" for each in group["params"]]
