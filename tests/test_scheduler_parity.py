"""Training under a scheduler is training with the table's values written by hand, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ostinato as ost

STEPS = 60


def run(make: Callable[[Any], torch.optim.Optimizer], drive: Callable[..., Callable[[int], None]]) -> list[Tensor]:
    torch.set_num_threads(1)
    torch.manual_seed(7)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer, loss = make(model), nn.CrossEntropyLoss()
    x, y = torch.randn(256, 8), torch.randint(0, 3, (256,))
    before = drive(model, optimizer, loss)
    for step in range(STEPS):
        before(step)
        rows = torch.arange(step * 16, step * 16 + 16) % 256
        optimizer.zero_grad()
        loss(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return [tensor.clone() for tensor in [*model.parameters(), *model.buffers()]]


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 1e-3}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW([{"params": decayed}, {"params": others, "weight_decay": 0.0}], lr=0.01, weight_decay=0.1)


PLAN = ost.Plan(
    total=STEPS,
    warmup=10,
    cycle=ost.Cycle("cosine", count=5),
    bindings={
        "optimizer.lr": ost.wave(1e-4, 0.05),
        "optimizer.weight_decay": ost.wave(1e-4, 0.2, shift=0.25),
        "optimizer.momentum": ost.mirror(0.85, 0.95),
        "model:Dropout.p": ost.mirror(0.05, 0.3),
        "model:BatchNorm.momentum": ost.mirror(0.01, 0.3),
        "loss.label_smoothing": ost.mirror(0.0, 0.1),
    },
)


def by_scheduler(model: nn.Module, optimizer: torch.optim.Optimizer, loss: nn.Module) -> Callable[[int], None]:
    scheduler = PLAN.bind(optimizer=optimizer, model=model, loss=loss)

    def before(step: int) -> None:
        if step:
            scheduler.step()

    return before


def by_hand(model: nn.Module, optimizer: torch.optim.Optimizer, loss: nn.Module) -> Callable[[int], None]:
    table = PLAN.table()

    def before(step: int) -> None:
        row = table[step]
        for place, group in enumerate(optimizer.param_groups):
            group["lr"] = float(row["optimizer.lr"])
            if place == 0:
                group["weight_decay"] = float(row["optimizer.weight_decay"])
            if "betas" in group:
                group["betas"] = (float(row["optimizer.momentum"]), group["betas"][1])
            else:
                group["momentum"] = float(row["optimizer.momentum"])
        model[3].p = float(row["model:Dropout.p"])
        model[1].momentum = float(row["model:BatchNorm.momentum"])
        loss.label_smoothing = float(row["loss.label_smoothing"])

    return before


def by_nobody(*_: Any) -> Callable[[int], None]:
    return lambda step: None


@pytest.mark.parametrize("make", [sgd, adamw])
def test_weights_are_those_of_a_bare_loop(make: Any) -> None:
    ours, theirs, plain = (run(make, drive) for drive in (by_scheduler, by_hand, by_nobody))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
@pytest.mark.parametrize("stop", [1, 7, 30])
def test_a_run_that_is_stopped_and_resumed_ends_in_the_same_weights(kind: Any, stop: int) -> None:
    plan = PLAN.replace({key: None for key in PLAN.bindings if not key.startswith("optimizer")})

    def build() -> tuple[nn.Module, torch.optim.Optimizer, ost.Scheduler]:
        torch.manual_seed(3)
        model = nn.Linear(4, 2)
        more = {"momentum": 0.5} if kind is torch.optim.SGD else {}
        optimizer = kind(model.parameters(), lr=0.3, weight_decay=0.01, **more)
        return model, optimizer, plan.bind(optimizer=optimizer)

    def train(model: nn.Module, optimizer: Any, scheduler: ost.Scheduler, until: int) -> None:
        while scheduler.count < until:
            source = torch.Generator().manual_seed(scheduler.count)
            optimizer.zero_grad()
            F.mse_loss(model(torch.randn(8, 4, generator=source)), torch.ones(8, 2)).backward()
            optimizer.step()
            scheduler.step()

    straight = build()
    train(*straight, STEPS)
    first = build()
    train(*first, stop)
    model, optimizer, scheduler = build()
    scheduler.load_state_dict(first[2].state_dict())
    optimizer.load_state_dict(first[1].state_dict())
    model.load_state_dict(first[0].state_dict())
    train(model, optimizer, scheduler, STEPS)
    assert torch.equal(model.weight, straight[0].weight)
