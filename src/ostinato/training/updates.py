"""One optimizer update: gradients of its batches added up, checked, clipped, and stepped."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ostinato.core.clock import Tick
from ostinato.errors import NonFiniteError
from ostinato.training.session import Session
from ostinato.training.signals import StopRequest

__all__ = ["make_update"]

_SMALLEST_SCALE = 2.0**-10


def make_update(session: Session, group: list[tuple[Any, Tensor]], stop: StopRequest) -> tuple[Tick, float, bool]:
    """Make an update; return its tick, its loss and whether to stop after it.

    One that mixed precision skips is made again from the same batches at the lower scale, so that the order of the data stays a pure
    function of the count.
    """
    clip = session.config.train.clip_norm
    while True:
        loss, stopping = _gradients(session, group, stop)
        if clip is not None:
            session.fabric.clip_gradients(session.module, session.stepper, max_norm=clip, error_if_nonfinite=False)
        before = _scale(session)
        session.stepper.step()
        after = _scale(session)
        tick = session.scheduler.step(stepped=after >= before)
        if tick.advanced:
            return tick, loss, stopping
        if after < _SMALLEST_SCALE:
            raise _not_finite(session, f"a gradient is not finite at any loss scale down to {after:g}")


def _gradients(session: Session, group: list[tuple[Any, Tensor]], stop: StopRequest) -> tuple[float, bool]:
    """Add up the gradients of an update; return its mean loss and whether to stop after it, agreed by all processes."""
    session.module.train()
    session.optimizer.zero_grad()
    total = torch.zeros((), device=session.fabric.device)
    examples = session.examples_of_update(session.scheduler.count)
    for place, batch in enumerate(group, 1):
        inputs, targets = session.to_device(batch)
        share = (
            len(targets) * session.fabric.world_size / examples
        )  # processes are averaged, so that every example counts the same
        with session.fabric.no_backward_sync(session.module, enabled=place < len(group)):
            loss = session.criterion(session.module(inputs), targets) * share
            session.fabric.backward(loss)
        total += loss.detach()
    finite = bool(torch.isfinite(total)) and (_scales(session) or _finite_gradients(session))
    loss_value, bad, stopping = _agreed(session, float(total), not finite, stop.name is not None)
    if bad:
        finite_loss = math.isfinite(loss_value)
        raise _not_finite(session, "a gradient is not finite" if finite_loss else f"the loss is {loss_value}")
    return loss_value, stopping


def _scale(session: Session) -> float:
    """Return the loss scale of mixed precision; it falls when an update was skipped."""
    scaler = getattr(session.precision, "scaler", None)
    return 0.0 if scaler is None else float(scaler.get_scale())


def _scales(session: Session) -> bool:
    return getattr(session.precision, "scaler", None) is not None


def _finite_gradients(session: Session) -> bool:
    gradients = [parameter.grad for parameter in session.model.parameters() if parameter.grad is not None]
    if torch.isfinite(torch.nn.utils.get_total_norm(gradients)):
        return True
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients)  # the norm alone may overflow


def _not_finite(session: Session, what: str) -> NonFiniteError:
    values = ", ".join(f"{target} = {value:g}" for target, value in session.scheduler.values.items())
    return NonFiniteError(
        f"step {session.scheduler.count}: {what}, with {values}; the update was not made and the last checkpoint stands."
        " Look for values in the data that are not finite, lower the highest rate, or clip gradients ([train] clip_norm), and start again"
    )


def _agreed(session: Session, loss: float, bad: bool, stopping: bool) -> tuple[float, bool, bool]:
    """Return the mean loss, and whether any process has found it bad or was told to stop."""
    fabric = session.fabric
    if fabric.world_size == 1:
        return loss, bad, stopping
    sums = torch.tensor([loss, float(bad), float(stopping)], dtype=torch.float64, device=fabric.device)
    torch.distributed.all_reduce(sums)
    total, any_bad, any_stopping = sums.tolist()
    return total / fabric.world_size, any_bad > 0, any_stopping > 0
