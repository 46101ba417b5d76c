"""Whether mixed precision skipped an update."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ostinato.errors import StateError
from ostinato.targets import as_optimizer

if TYPE_CHECKING:
    from torch.amp.grad_scaler import GradScaler
    from torch.optim import Optimizer

__all__ = ["was_stepped"]


def was_stepped(scaler: GradScaler, optimizer: Optimizer | None = None) -> bool:
    """Return whether ``scaler.step(optimizer)`` made the update, or skipped it because a gradient was not finite.

    Call it between ``scaler.step(optimizer)`` and ``scaler.update()``, which forgets. A disabled scaler never skips.

    Args:
        scaler: The scaler.
        optimizer: Which optimizer's update is meant where the scaler serves several; without it, whether all were made.

    Raises:
        StateError: It is called elsewhere, where the scaler does not know.

    >>> import torch
    >>> was_stepped(torch.amp.GradScaler("cpu", enabled=False))
    True
    """
    if not scaler.is_enabled():
        return True
    known = scaler._per_optimizer_states
    meant = known if optimizer is None else {id(optimizer), id(as_optimizer(optimizer))} & set(known)
    states = [known[key] for key in meant]
    found = [flag for state in states for flag in state["found_inf_per_device"].values()]
    if not found:
        raise StateError(
            "was_stepped: the scaler has made no step since its last update; call it between scaler.step(optimizer) and scaler.update()"
        )
    return not any(bool(flag.item()) for flag in found)
