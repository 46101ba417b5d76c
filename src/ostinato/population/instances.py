"""A member of a population as a live module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ostinato.core.address import Address
from ostinato.core.resolved import ResolvedPlan
from ostinato.population import recipes
from ostinato.targets import find

__all__ = ["instance"]


def instance(
    make_model: Callable[[], nn.Module], seed: int, state: Mapping[str, Tensor], plan: ResolvedPlan, step: int
) -> nn.Module:
    """Return a new model with a member's tensors, and the values that update `step` of its plan used, in evaluation mode.

    Args:
        make_model: Makes the model; the global random states are as before afterwards.
        seed: The member's.
        state: Parameters and buffers by the names that ``named_parameters`` and ``named_buffers`` give; tied ones once.
        plan: The member's.
        step: The last update that it made.
    """
    with recipes.kept_randomness():
        model = recipes.built(make_model, seed)
    driven = []
    for target, curve in plan.curves.items():
        if Address.parse(target).root == "model":
            value, relative = curve(step), plan.plan.bound[target].relative
            driven += [
                (slot, value * slot.read() if relative else value) for slot in find(target, {"model": model}, {})
            ]
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name in state:
                tensor.copy_(state[name])
    for slot, value in driven:  # after the buffers, one of which may hold a driven value
        slot.write(value)
    return model.eval()
