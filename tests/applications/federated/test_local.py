"""A client's part in a round lies at the right place of the clock, whatever it missed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ostinato as ost
from ostinato.applications.federated import LocalRound
from ostinato.errors import ConfigError


def plan_of(**more: object) -> ost.Plan:
    return ost.Plan(
        total="12round",
        cycle=ost.Cycle("triangular", period="4round"),
        bindings={"optimizer.lr": ost.wave(0.1, 0.9), **more},
    )


def sgd(**options: float) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=7.0, **options)


def rates(plan: ost.Plan, round: int, steps: int, shift: float = 0.0) -> list[float]:
    optimizer = sgd()
    part = LocalRound(plan, round, shift=shift, steps=steps, optimizer=optimizer)
    used = []
    for _ in range(steps):
        used.append(optimizer.param_groups[0]["lr"])
        part.step()
    return used


def test_the_rounds_of_a_client_join_to_its_plan_on_the_clock() -> None:
    joined = [rate for round in range(1, 13) for rate in rates(plan_of(), round, 5)]
    assert joined == plan_of().table(steps_per_round=5)["optimizer.lr"].tolist()


def test_a_round_does_not_depend_on_what_was_before() -> None:
    alone = rates(plan_of(), 7, 5, shift=0.25)
    assert alone == [rate for round in range(1, 8) for rate in rates(plan_of(), round, 5, shift=0.25)][-5:]


def test_clients_of_unequal_data_go_through_the_same_part_of_the_cycle() -> None:
    few, many = rates(plan_of(), 3, 2), rates(plan_of(), 3, 200)
    assert few == [many[0], many[100]]


def test_several_local_epochs_are_counted_as_updates_of_the_round() -> None:
    plan = ost.Plan(
        total="6round", cycle=ost.Cycle("sawtooth", period="1ep"), bindings={"optimizer.lr": ost.wave(0.0, 1.0)}
    )
    optimizer = sgd()
    part = LocalRound(plan, 2, steps=12, steps_per_epoch=4, optimizer=optimizer)  # three local epochs
    ends = [part.step().cycle_end for _ in range(12)]
    assert ends == [False, False, False, True] * 3


def test_a_plan_that_counts_rounds_has_one_value_a_round() -> None:
    plan = ost.Plan(
        total=4, unit="round", cycle=ost.Cycle("sawtooth", period=4), bindings={"optimizer.lr": ost.wave(0.0, 1.0)}
    )
    assert rates(plan, 3, 5) == [0.5] * 5
    part = LocalRound(plan, 4, steps=2, optimizer=sgd())
    assert part.step() is None
    assert part.step().cycle_end


def test_what_is_the_servers_is_left_to_it() -> None:
    assert rates(plan_of(**{"server.lr": ost.wave(0.5, 1.0)}), 1, 3) == rates(plan_of(), 1, 3)


def test_progress_is_the_weight_of_the_gradients_in_the_way_that_sgd_went() -> None:
    """Under a constant gradient of 1 the way itself is the sum of the gradients' weights."""
    optimizer = sgd(momentum=0.9)
    weight = optimizer.param_groups[0]["params"][0]
    part = LocalRound(plan_of(), 2, steps=6, optimizer=optimizer)
    for _ in range(6):
        weight.grad = torch.ones(2)
        optimizer.step()
        part.step()
    assert part.progress == pytest.approx(-weight[0].item(), rel=1e-6)


def test_without_momentum_progress_is_the_sum_of_the_rates() -> None:
    part = LocalRound(plan_of(), 2, steps=6, shift=0.5, optimizer=sgd())
    used = rates(plan_of(), 2, 6, shift=0.5)
    for _ in range(6):
        part.step()
    assert part.progress == pytest.approx(np.sum(used), rel=1e-12)


def test_a_round_has_no_more_updates_than_were_said() -> None:
    part = LocalRound(plan_of(), 1, steps=1, optimizer=sgd())
    part.step()
    with pytest.raises(
        ConfigError, match=r"^step: the round has 1 updates, and all are done; pass steps= as many as there are$"
    ):
        part.step()


@pytest.mark.parametrize(("name", "value"), [("round", 0), ("steps", 0), ("steps", 2.5), ("round", True)])
def test_what_cannot_be_is_said_in_one_line(name: str, value: object) -> None:
    given = {"round": 1, "steps": 1} | {name: value}
    with pytest.raises(ConfigError, match=rf"^{name}: got {value}, expected a whole number >= 1$"):
        LocalRound(plan_of(), given["round"], steps=given["steps"], optimizer=sgd())
