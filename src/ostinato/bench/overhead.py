"""What a step costs: `Scheduler.step` against torch's schedulers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.optim import lr_scheduler

from ostinato.bench.harness import Row, Timing, interleaved
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.scheduler import Scheduler

__all__ = ["best_of_torch", "measure_growth", "measure_overhead", "measure_overhead_100", "measure_overhead_tensor"]

_TOTAL = 100_000_000
_PERIOD = 10_000
_CALLS = 2_000


class Focus(nn.Module):
    """A loss with a plain attribute to drive."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = 2.0


def _parameters(count: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(1)) for _ in range(count)]


def _sgd(groups: int = 1) -> torch.optim.SGD:
    return torch.optim.SGD(
        [{"params": [parameter]} for parameter in _parameters(groups)],
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        nesterov=False,
    )


def _plan(bindings: Mapping[str, Binding]) -> Plan:
    return Plan(total=_TOTAL, cycle=Cycle("cosine", period=_PERIOD), bindings=bindings)


EIGHT = {
    "optimizer.lr": wave(1e-4, 0.1),
    "optimizer.momentum": mirror(0.85, 0.95),
    "optimizer.weight_decay": wave(1e-5, 5e-4, shift=0.25),
    "optimizer.dampening": mirror(0.0, 0.1),
    "model:Dropout.p": mirror(0.05, 0.3),
    "model:BatchNorm.momentum": mirror(0.01, 0.3),
    "loss.label_smoothing": mirror(0.0, 0.1),
    "focus.gamma": wave(0.0, 2.0),
}


def eight_bindings() -> Scheduler:
    """Return a scheduler of four optimizer keys and four plain attributes."""
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.1))
    return _plan(EIGHT).bind(optimizer=_sgd(), model=model, loss=nn.CrossEntropyLoss(), focus=Focus())


def _stepped(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Return the optimizer after a step, which torch's schedulers look for."""
    optimizer.step()
    return optimizer


def warm_restarts(groups: int = 1) -> lr_scheduler.LRScheduler:
    """Return torch's scheduler of the same course."""
    return lr_scheduler.CosineAnnealingWarmRestarts(_stepped(_sgd(groups)), T_0=_PERIOD, eta_min=1e-4)


def _row(name: str, timing: Timing, peer: str, reach: float | None, aim: float | None) -> Row:
    detail = {"peer": peer, "ours_us": timing.ours * 1e6, "peer_us": timing.peer * 1e6}
    return Row(name, timing.ratio, timing.spread, reach, aim, detail=detail)


def measure_overhead() -> Row:
    """Measure eight bindings against one ``CosineAnnealingWarmRestarts`` on one group."""
    scheduler, peer = eight_bindings(), warm_restarts()
    return _row(
        "overhead",
        interleaved(scheduler.step, peer.step, calls=_CALLS),
        "CosineAnnealingWarmRestarts, 1 group",
        1.0,
        0.5,
    )


def measure_overhead_tensor() -> Row:
    """Measure eight tensors (four optimizer keys, four buffers), filled in place, against the same peer."""
    names = ("lr", "weight_decay", "momentum", "dampening")
    optimizer = _sgd()
    for name in names:
        optimizer.param_groups[0][name] = torch.tensor(0.1)
    model = nn.Module()
    for name in ("p", "momentum", "gamma", "temperature"):
        model.register_buffer(name, torch.tensor(0.1), persistent=False)
    bindings = {f"optimizer.{name}": wave(0.0, 0.1) for name in names} | {
        f"model.{name}": wave(0.0, 0.1) for name, _ in model.named_buffers()
    }
    scheduler, peer = _plan(bindings).bind(optimizer=optimizer, model=model), warm_restarts()
    return _row(
        "overhead-tensor",
        interleaved(scheduler.step, peer.step, calls=_CALLS // 4),
        "CosineAnnealingWarmRestarts, 1 group",
        None,
        None,
    )


def torch_schedulers(groups: int) -> dict[str, Callable[[], lr_scheduler.LRScheduler]]:
    """Return how to make each of torch's schedulers that could do the job, over so many groups."""

    def sequence() -> lr_scheduler.LRScheduler:
        optimizer = _stepped(_sgd(groups))
        parts = [
            lr_scheduler.LinearLR(optimizer, total_iters=10),
            lr_scheduler.CosineAnnealingWarmRestarts(optimizer, _PERIOD),
        ]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[10])

    return {
        "LambdaLR": lambda: lr_scheduler.LambdaLR(_stepped(_sgd(groups)), lambda t: 1.0 - t % _PERIOD / _PERIOD),
        "CosineAnnealingWarmRestarts": lambda: warm_restarts(groups),
        "CosineAnnealingLR": lambda: lr_scheduler.CosineAnnealingLR(_stepped(_sgd(groups)), _PERIOD),
        "CyclicLR": lambda: lr_scheduler.CyclicLR(
            _stepped(_sgd(groups)), 1e-4, 0.1, step_size_up=_PERIOD // 2, cycle_momentum=False
        ),
        "OneCycleLR": lambda: lr_scheduler.OneCycleLR(
            _stepped(_sgd(groups)), 0.1, total_steps=_TOTAL, cycle_momentum=False
        ),
        "SequentialLR": sequence,
    }


def best_of_torch(groups: int, *, calls: int = 200, rounds: int = 5) -> str:
    """Return the name of torch's fastest scheduler over so many groups, measured here and now."""
    live = {name: make() for name, make in torch_schedulers(groups).items()}
    seconds: dict[str, list[float]] = {name: [] for name in live}
    for _ in range(rounds):
        for name, scheduler in live.items():
            begun = time.perf_counter()
            for _ in range(calls):
                scheduler.step()
            seconds[name].append(time.perf_counter() - begun)
    return min(seconds, key=lambda name: statistics.median(seconds[name]))


def measure_overhead_100() -> Row:
    """Measure one binding of the rate over 100 groups against torch's fastest scheduler there, and a bare loop of writes beside it."""
    optimizer = _sgd(100)
    scheduler = _plan({"optimizer.lr": wave(1e-4, 0.1)}).bind(optimizer=optimizer)
    name = best_of_torch(100)
    peer = torch_schedulers(100)[name]()
    groups = _sgd(100).param_groups

    def bare() -> None:
        for group in groups:
            group["lr"] = 0.1

    row = _row(
        "overhead-100", interleaved(scheduler.step, peer.step, calls=_CALLS // 10), f"{name}, 100 groups", 0.3, 0.1
    )
    row.detail["bare_loop_ratio"] = interleaved(bare, peer.step, calls=_CALLS // 10).ratio
    return row


def measure_growth(sizes: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)) -> dict[str, list[tuple[int, float]]]:
    """Return microseconds a step by the number of bindings (of one attribute each) and of groups (of one binding)."""
    growth: dict[str, list[tuple[int, float]]] = {"bindings": [], "groups": []}
    for size in sizes:
        objects = {f"object{place}": Focus() for place in range(size)}
        many = _plan({f"{name}.gamma": wave(0.0, 1.0) for name in objects}).bind(**objects)
        wide = _plan({"optimizer.lr": wave(1e-4, 0.1)}).bind(optimizer=_sgd(size))
        timing = interleaved(many.step, wide.step, calls=max(50, _CALLS // size), rounds=9)
        growth["bindings"].append((size, timing.ours * 1e6))
        growth["groups"].append((size, timing.peer * 1e6))
    return growth
