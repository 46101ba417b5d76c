"""The range test: a mock run in which one value is swept, what it suggests, and no trace left."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
from torch import Tensor, nn

from ostinato.checks import is_number, whole
from ostinato.core.address import Address
from ostinato.errors import ConfigError
from ostinato.scheduler import Scheduler
from ostinato.search.sweeps import suggestions
from ostinato.search.sweeps.mock_run import Judge, MockRun, with_originals
from ostinato.search.sweeps.result import RangeTest
from ostinato.search.sweeps.smoothing import EarlyStop, left_noise, smoothed
from ostinato.search.sweeps.sweep import Sweep
from ostinato.search.sweeps.untouched import Memory, untouched
from ostinato.search.sweeps.updates import Updates, as_number, endless
from ostinato.targets import as_optimizer

__all__ = ["range_test"]


def range_test(
    data: Iterable[Any],
    *,
    model: nn.Module | None = None,
    optimizer: Any = None,
    loss: Callable[[Any, Any], Tensor] | None = None,
    target: str = "optimizer.lr",
    low: float | None = None,
    high: float | None = None,
    steps: int | None = None,
    sweep: str | None = None,
    restart: int | None = None,
    relative: bool = False,
    judge: str | None = None,
    validation: Iterable[Any] | Callable[[], float] | None = None,
    smoothing: float = 0.7,
    stop_factor: float = 4.0,
    accumulation: int = 1,
    step: Callable[[Any], Any] | None = None,
    scaler: Any = None,
    keep: Iterable[Any] = (),
    seed: int | None = None,
    progress: Callable[[int, float, float], object] | None = None,
    **roots: Any,
) -> RangeTest:
    """Sweep one value in a mock run and return the losses, and suggestions with their reasons; everything is as before afterwards.

    A learning rate is swept in one run, one update at each value (L. N. Smith, arXiv 1506.01186). For any other target that would show the
    progress of training and not the effect of the value, so that there each value gets `restart` updates of its own, all from the same
    weights, on the same batches, with the same random numbers. Restored is what `untouched` names: also after Ctrl-C and exceptions,
    which are let through.

    Args:
        data: A loader or a list of batches ``(inputs, targets)``, gone through again and again. Not an iterator, which cannot be wound back.
        model: A root of addresses, and what is trained.
        optimizer: A root, and what trains it.
        loss: A root, called ``loss(model(inputs), targets)``.
        target: The address of what is swept, as in plans: ``"optimizer.lr"``, ``"model:Dropout.p"``, ``"loss.label_smoothing"``, ...
        low: First value. By default 1e-7 for a rate, 1e-6 for a weight decay, 0 for a probability, 0.5 for a beta.
        high: Last value. By default 10, 10, 0.9, 0.99.
        steps: Number of values; by default 100 in one run, 20 apart.
        sweep: ``"exponential"`` or ``"linear"``; by default exponential for rates and decays above 0, else linear.
        restart: Updates that each value gets from the same weights; 0 for one run through all. By default 0 for ``*.lr``, else 20.
        relative: The values multiply the original of each place that the address matches, so that groups keep their ratio.
        judge: ``"train"`` (the loss that is trained; of each value's later half of updates where they are apart) or ``"validation"``. By default
            validation where it is given. A regulariser needs it: it raises the training loss by what it is.
        validation: Batches, scored in evaluation mode with the swept value back at its original; or a function that returns a loss.
        smoothing: β of the two-sided exponential mean, in [0, 1); see `ostinato.search.sweeps.smoothing.smoothed`.
        stop_factor: Stop where the mean loss exceeds so many times its lowest, and its first; infinite for never.
        accumulation: Batches of one update.
        step: One whole update of the caller's, ``step(batch) -> loss`` before it, for any other kind of training.
        scaler: A ``GradScaler``; an update that it skips is made again.
        keep: More objects to restore: schedulers (an `ostinato.Scheduler` is paused meanwhile), weight averages, samplers, ...
        seed: Seed torch, numpy and Python for the mock run; without it, it draws what the next training step would have drawn.
        progress: Called after each value with its place, the value and the loss.
        **roots: More objects under the names that addresses begin with, as in `Plan.bind`.

    Raises:
        ConfigError: An argument cannot be, or contradicts another.
        PlanError: The target is no address; `DomainError`: it does not accept a value.
        TargetError: It matches nothing.
        DataError: There is no batch.

    Limits: a few dozen updates say little about where a long training ends; they overrate small rates and weak regularisers (Y. Wu et
    al., arXiv 1803.02021). Suggestions bound a cycle and replace no comparison.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model, inputs = nn.Linear(4, 1), torch.randn(64, 4)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> found = range_test([(inputs, inputs @ torch.ones(4, 1))], model=model, optimizer=optimizer, loss=nn.functional.mse_loss)
    >>> found.suggestion.name, 0.001 < found.suggestion.value < 1.0, optimizer.param_groups[0]["lr"]
    ('peak', True, 0.5)
    """
    chosen = Sweep.of(target, low=low, high=high, steps=steps, scale=sweep, restart=restart, relative=relative)
    _check_training(model, optimizer, loss, own_step=step is not None)
    _check_data(data, accumulation, scaler, own_step=step is not None)
    by = _judge_of(chosen, judge, validation, model, loss)
    beta = _between("smoothing", smoothing, 0.0, 1.0)
    stop = EarlyStop(_between("stop_factor", stop_factor, 1.0, math.inf), 0.0 if chosen.restart else beta)
    everything = {"model": model, "optimizer": optimizer, "loss": loss, **roots}
    others = [*everything.values(), scaler, data, *(() if callable(validation) else (validation,)), *keep]
    with untouched(*others), ExitStack() as stack:
        for each in keep:
            if isinstance(each, Scheduler):
                stack.enter_context(each.paused())
        _reseed(seed)
        scheduler = chosen.plan().bind(**everything)
        stack.callback(scheduler.restore)
        updates = Updates(model, optimizer, loss, accumulation, scaler, step)
        inner = as_optimizer(everything[Address.parse(target).root]) is not None
        scored = _scoring(scheduler, updates, validation, inner) if by == "validation" else None
        run = MockRun(chosen, scheduler, updates, endless(data), scored, stop, progress or _silent)
        if chosen.restart:
            run.apart(Memory(*everything.values(), scaler, *keep))
        else:
            run.in_one(late=inner and scored is None)
        originals = dict(scheduler.state_dict()["originals"])
    return _result(run, by, beta, originals)


def _result(run: MockRun, judge: str, smoothing: float, originals: Mapping[str, float]) -> RangeTest:
    values, losses = (np.array(column, dtype=np.float64) for column in (run.values, run.losses))
    if run.sweep.restart:
        smooth, found = losses.copy(), suggestions.apart(run.sweep, values, losses, run.stopped)
    else:
        smooth = smoothed(losses, smoothing)
        left = left_noise(smoothing)
        found = suggestions.in_one_run(run.sweep, values, losses, run.stopped, smooth=smooth, left=left)
    for array in (values, losses, smooth):
        array.flags.writeable = False
    return RangeTest(run.sweep, judge, values, losses, smooth, run.stopped, originals, found)


# -- arguments -------------------------------------------------------------------------------------------------


def _check_training(model: Any, optimizer: Any, loss: Any, *, own_step: bool) -> None:
    if own_step:
        return
    for name, value in (("model", model), ("optimizer", optimizer), ("loss", loss)):
        if value is None:
            raise ConfigError(f"{name}: missing; pass {name}=..., or step=your_update for another kind of training")
    if not isinstance(model, nn.Module) or as_optimizer(optimizer) is None or not callable(loss):
        shown = ", ".join(type(each).__name__ for each in (model, optimizer, loss))
        raise ConfigError(f"model, optimizer, loss: got {shown}, expected a module, an optimizer and a function")


def _check_data(data: Any, accumulation: Any, scaler: Any, *, own_step: bool) -> None:
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise ConfigError(f"data: got a {type(data).__name__}, expected a loader or a list of batches")
    whole("accumulation", accumulation)
    for name, given in (("accumulation", accumulation != 1), ("scaler", scaler is not None)):
        if own_step and given:
            raise ConfigError(f"{name}: step makes the whole update; do it there, and leave {name} out")


def _judge_of(sweep: Sweep, judge: str | None, validation: Any, model: Any, loss: Any) -> str:
    """Return which loss counts."""
    if judge not in (None, "train", "validation"):
        raise ConfigError(f"judge: got {judge!r}, expected 'train' or 'validation'")
    if judge == "validation" and validation is None:
        raise ConfigError("judge: 'validation' needs validation=batches, or a function that returns a loss")
    if validation is not None and not callable(validation) and (model is None or loss is None):
        raise ConfigError(
            "validation: scoring batches needs model=... and loss=...; or pass a function that returns a loss"
        )
    if judge is None and validation is None and not Address.parse(sweep.target).is_rate and _regularises(sweep):
        raise ConfigError(
            f"{sweep.target}: a regulariser raises the training loss by what it is; pass validation=batches to judge it by,"
            " or judge='train' if that is meant"
        )
    return judge or ("train" if validation is None else "validation")


def _regularises(sweep: Sweep) -> bool:
    """Whether a target is known to act on the training loss itself, or against it."""
    address = Address.parse(sweep.target)
    return (
        address.key in ("weight_decay", "label_smoothing") or "Drop" in (address.owner or "") or "drop" in address.key
    )


def _between(name: str, value: Any, low: float, high: float) -> float:
    if (
        not is_number(value)
        or not (low <= value < high or (value == high == math.inf))
        or (name == "stop_factor" and value == 1)
    ):
        span = "more than 1" if name == "stop_factor" else f"a number in [{low:g}, {high:g})"
        raise ConfigError(f"{name}: got {value!r}, expected {span}")
    return float(value)


def _scoring(scheduler: Scheduler, updates: Updates, validation: Any, inner: bool) -> Judge:
    """Return what gives the validation loss; the swept value is back at its original meanwhile, unless it is an optimizer's (`inner`)."""

    def score() -> float:
        value = validation() if callable(validation) else updates.score(validation)
        return as_number(value, "validation")

    def score_with_originals() -> float:
        with with_originals(scheduler):
            return score()

    return score if inner else score_with_originals


def _reseed(seed: int | None) -> None:
    if seed is None:
        return
    whole("seed", seed, 0)
    from ostinato.training.randomness import seed_everything

    seed_everything(seed)


def _silent(place: int, value: float, loss: float) -> None:
    """Tell nobody."""
