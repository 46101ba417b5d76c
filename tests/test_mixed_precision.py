from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.errors import StateError


def pieces(count: int = 1) -> tuple[list[nn.Parameter], list[torch.optim.SGD], torch.amp.GradScaler]:
    weights = [nn.Parameter(torch.ones(1)) for _ in range(count)]
    return weights, [torch.optim.SGD([w], lr=0.1) for w in weights], torch.amp.GradScaler("cpu", init_scale=4.0)


def update(scaler: Any, weights: list[nn.Parameter], optimizers: list[Any], factors: list[float]) -> None:
    for weight, optimizer, factor in zip(weights, optimizers, factors, strict=True):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)


def test_a_skipped_update_leaves_the_clock_where_it_is() -> None:
    weights, (optimizer,), scaler = pieces()
    plan = ost.Plan(total=4, cycle=ost.Cycle("sawtooth", count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.2)})
    scheduler = plan.bind(optimizer=optimizer)
    seen = []
    for factor in (1.0, float("inf"), 1.0, float("nan"), 1.0, 1.0):
        before = weights[0].item()
        update(scaler, weights, [optimizer], [factor])
        stepped = ost.was_stepped(scaler)
        scaler.update()
        assert stepped == (weights[0].item() != before)
        tick = scheduler.step(stepped=stepped)
        seen.append((tick.advanced, tick.step, tick.cycle_end))
    assert seen == [
        (True, 0, False),
        (False, 1, False),
        (True, 1, True),
        (False, 2, False),
        (True, 2, False),
        (True, 3, True),
    ]
    assert scheduler.count == 4
    assert weights[0].item() == pytest.approx(1 - 0.2 - 0.1 - 0.2 - 0.1)


def test_two_players_are_asked_about_one_by_one() -> None:
    weights, (first, second), scaler = pieces(2)
    update(scaler, weights, [first, second], [1.0, float("inf")])
    assert (ost.was_stepped(scaler, first), ost.was_stepped(scaler, second), ost.was_stepped(scaler)) == (
        True,
        False,
        False,
    )


def test_it_cannot_be_asked_elsewhere() -> None:
    weights, optimizers, scaler = pieces()
    with pytest.raises(StateError, match=r"between scaler\.step\(optimizer\) and scaler\.update\(\)"):
        ost.was_stepped(scaler)
    update(scaler, weights, optimizers, [1.0])
    assert ost.was_stepped(scaler)
    with pytest.raises(StateError):
        ost.was_stepped(scaler, torch.optim.SGD(weights, lr=0.1))
    scaler.update()
    with pytest.raises(StateError):
        ost.was_stepped(scaler)


def test_a_disabled_scaler_never_skips() -> None:
    assert ost.was_stepped(torch.amp.GradScaler("cpu", enabled=False))
