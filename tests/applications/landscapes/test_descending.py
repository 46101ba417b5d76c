"""Descents: torch's update rules, plans followed exactly, readings where they are said to be, censored and diverged runs kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato import controls
from ostinato.applications import landscapes
from ostinato.applications.landscapes import Problem
from ostinato.errors import ConfigError, DataError, TargetError

LOGISTIC = landscapes.Logistic.of("breast-cancer", examples=80, features=4, batch=8)
CYCLES = ost.Cycle("cosine", count=3)


def plan_of(total: int = 60, high: float = 0.1, **more: Any) -> ost.Plan:
    return ost.Plan(total=total, cycle=CYCLES, bindings={"optimizer.lr": ost.wave(0.0, high), **more})


@pytest.mark.parametrize(
    ("name", "options", "more"),
    [
        ("adam", {}, {}),
        ("adam", {"weight_decay": 0.1, "eps": 1e-3}, {"optimizer.momentum": ost.mirror(0.8, 0.95)}),
        ("adamw", {}, {"optimizer.weight_decay": ost.wave(0.0, 2.0, shift=0.25)}),
        ("sgd", {}, {}),
        ("sgd", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}, {}),
        ("sgd", {"momentum": 0.5, "dampening": 0.1}, {"optimizer.momentum": ost.mirror(0.5, 0.9)}),
    ],
)
def test_a_run_is_the_run_of_torchs_optimizer(name: str, options: dict[str, Any], more: dict[str, Any]) -> None:
    plan, total = plan_of(600, **more), 600
    starts = LOGISTIC.starts(0, 3)
    found = landscapes.descend(
        LOGISTIC, starts, {"plan": plan, "other": plan_of(600, 0.3)}, optimizer=name, options=options, seed=7
    )
    x = nn.Parameter(starts[1].clone())
    optimizer = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]([x], **options)
    scheduler = plan.bind(optimizer=optimizer)
    values = []
    for step in range(total):
        block, place = divmod(step, 256)
        draws = LOGISTIC.draws(7, block, 3)
        assert draws is not None
        x.grad = LOGISTIC.seen(x.detach(), step, draws[place])
        optimizer.step()
        scheduler.step()
        values.append(LOGISTIC.value(x.detach()).item())
    assert found.positions[0, 1] == pytest.approx(x.detach().numpy(), rel=1e-9, abs=1e-12)
    assert found.values[:, 0, 1] == pytest.approx(np.array(values)[found.steps], rel=1e-10)


def test_an_arm_does_not_depend_on_its_company() -> None:
    starts = LOGISTIC.starts(0, 4)
    arms = {"a": plan_of(), "b": plan_of(high=0.3), "c": controls.constant(plan_of())}
    together = landscapes.descend(LOGISTIC, starts, arms, seed=1)
    for name, plan in arms.items():
        alone = landscapes.descend(LOGISTIC, starts, {name: plan}, seed=1)
        assert alone.positions[0] == pytest.approx(together.positions[together.place(name)], rel=1e-12)
    other = landscapes.descend(LOGISTIC, starts, arms, seed=2)
    assert not np.allclose(other.positions, together.positions)


def test_values_are_read_every_few_steps_over_the_last_cycle_and_at_its_events() -> None:
    plan = ost.Plan(total=301, cycle=ost.Cycle("triangular", period=100), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    flat = ost.Plan(total=301, bindings={"optimizer.lr": ost.schedules.hold(0.1)})
    problem = landscapes.Rosenbrock.draw(0)
    found = landscapes.descend(problem, problem.starts(0, 2), {"cycles": plan, "flat": flat}, every=50)
    span = found.spans[0]
    assert span is not None
    assert (span.start, span.end) == (200, 300)  # the last complete one
    assert found.spans[1] is None
    assert found.windows == (tuple(range(201, 300, 2)), ())
    assert set(found.steps) == {*range(49, 301, 50), *range(201, 300, 2), span.peak, span.trough, 300}
    row = dict(zip(found.steps.tolist(), found.values, strict=True))
    assert np.array_equal(found.trough[0], row[span.trough][0])
    assert np.array_equal(found.peak[0], row[span.peak][0])
    assert found.cycle_mean[0] == pytest.approx(np.mean([row[step][0] for step in range(201, 300, 2)], axis=0))
    assert np.isnan(found.trough[1]).all()
    assert np.isnan(found.cycle_mean[1]).all()
    assert np.array_equal(found.excess, row[300])


def test_a_run_that_never_arrives_is_censored_and_stays_in_the_median() -> None:
    problem = landscapes.Quadratic.draw(0, dimension=2, condition=1.0)
    starts = torch.tensor([[0.0, 0.5], [0.0, 1.0], [0.0, 500.0]], dtype=torch.float64)
    plan = ost.Plan(total=100, bindings={"optimizer.lr": ost.schedules.hold(0.1)})
    found = landscapes.descend(problem, starts, {"sgd": plan}, optimizer="sgd", every=1)
    times = found.times(1e-6)
    expected = [int(np.ceil(np.log(0.5 * r**2 / 1e-6) / (-2 * np.log(0.9)))) for r in (0.5, 1.0)]
    assert times.steps[0].tolist() == [*expected, 100]
    assert times.reached[0].tolist() == [True, True, False]
    assert times.median.tolist() == [expected[1]]
    assert landscapes.Times(np.array([[5, 9, 9]]), np.array([[True, False, False]])).median.tolist() == [np.inf]
    hits = found.hits(1e-6)["sgd"]
    assert (hits.value, hits.n) == (pytest.approx(2 / 3), 3)
    assert 0.0 < hits.low < 2 / 3 < hits.high < 1.0


def test_a_diverged_run_is_frozen_and_the_others_go_on() -> None:
    problem = landscapes.Rosenbrock.draw(0)
    starts = torch.tensor([[1.001, 1.002], [2.0, -2.0], [0.999, 0.998]], dtype=torch.float64)
    plan = ost.Plan(total=400, bindings={"optimizer.lr": ost.schedules.hold(2e-3)})
    found = landscapes.descend(problem, starts, {"sgd": plan}, optimizer="sgd", options={"momentum": 0.5}, every=1)
    died = found.diverged[0]
    assert died[1] >= 0
    assert died[[0, 2]].tolist() == [-1, -1]
    assert np.isfinite(found.positions).all()
    assert np.isinf(found.excess[0, 1])
    assert np.isinf(found.values[died[1] :, 0, 1]).all()
    assert np.isfinite(found.excess[0, [0, 2]]).all()
    assert not found.times(0.1).reached[0, 1]
    alone = landscapes.descend(problem, starts[[0, 2]], {"sgd": plan}, optimizer="sgd", options={"momentum": 0.5})
    assert np.array_equal(alone.positions[0], found.positions[0, [0, 2]])


class Bowl(Problem):
    """A problem of one's own, with a gradient by torch and a minimum that nobody knows."""

    dimension = 2

    def value(self, x: torch.Tensor, step: landscapes.problem.Count = 0) -> torch.Tensor:
        return (x**4).sum(-1) + 1.0


def test_a_problem_of_ones_own_needs_a_value_alone() -> None:
    problem = Bowl()
    found = landscapes.descend(problem, problem.starts(0, 5), {"plan": plan_of()})
    assert (found.values[-1] < found.values[0]).all()
    with pytest.raises(DataError, match="the problem does not know its minimum"):
        found.excess  # noqa: B018 - reading it is the test


def test_what_cannot_be_is_refused_in_one_line() -> None:
    starts = LOGISTIC.starts(0, 2)
    plan = plan_of()
    with pytest.raises(ConfigError, match=r"plans: got the totals .*, expected equal ones"):
        landscapes.descend(LOGISTIC, starts, {"a": plan, "b": plan_of(30)})
    with pytest.raises(ConfigError, match="plans: expected a table"):
        landscapes.descend(LOGISTIC, starts, {})
    with pytest.raises(ConfigError, match="did you mean 'adam' or 'adamw'"):
        landscapes.descend(LOGISTIC, starts, {"a": plan}, optimizer="adamm")
    with pytest.raises(ConfigError, match=r"options: .*momentum"):
        landscapes.descend(LOGISTIC, starts, {"a": plan}, options={"momentum": 0.9})
    with pytest.raises(ConfigError, match="every: got 0"):
        landscapes.descend(LOGISTIC, starts, {"a": plan}, every=0)
    with pytest.raises(TargetError, match="model"):
        landscapes.descend(LOGISTIC, starts, {"a": plan_of(**{"model.p": ost.wave(0.0, 0.1)})})
    with pytest.raises(TargetError, match="nesterov: holds False, expected a number"):
        landscapes.descend(
            LOGISTIC, starts, {"a": plan_of(**{"optimizer.nesterov": ost.wave(0.0, 1.0)})}, optimizer="sgd"
        )
    found = landscapes.descend(LOGISTIC, starts, {"restarts": plan})
    with pytest.raises(ConfigError, match="did you mean 'restarts'"):
        found.place("restart")
    with pytest.raises(DataError, match="share: got no runs"):
        landscapes.share(np.array([], dtype=np.bool_))
