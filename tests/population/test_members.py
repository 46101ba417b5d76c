"""What a result tells of its members: live modules, phases, and who has diverged."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ostinato as ost
import ostinato.nn as onn
from ostinato.errors import ConfigError, StateError
from ostinato.population import single, train

STEPS = 24


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def examples(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 6, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()


DATA = examples(70), examples(30, seed=1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def plan(high: float = 0.02, count: int = 2, **more: Any) -> ost.Plan:
    bindings = {"optimizer.lr": ost.wave(1e-4, high), **more}
    return ost.Plan(total=STEPS, cycle=ost.Cycle("cosine", count=count), bindings=bindings)


# -- live modules ----------------------------------------------------------------------------------------------


class Sharp(nn.Module):
    """An attribute, a buffer of ours and one that is not saved decide what comes out, in evaluation too."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 3))
        self.heat = onn.Temperature(1.0)
        self.sharpness = 1.0
        self.register_buffer("scale", torch.rand(3) + 0.5, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.heat(self.body(x)) * self.sharpness * self.scale


def driven(high: float, count: int) -> ost.Plan:
    return plan(
        high,
        count,
        **{
            "model.sharpness": ost.wave(0.5, 3.0, shift=0.3),
            "model:Temperature.temperature": ost.wave(1.0, 4.0, relative=True),
            "model:Dropout.p": ost.mirror(0.0, 0.4),
        },
    )


def nll(model: nn.Module) -> float:
    with torch.no_grad():
        return float(nn.functional.cross_entropy(model(DATA[1][0]), DATA[1][1]))


@pytest.mark.parametrize("how", [train, single])
def test_a_member_as_a_module_gives_what_was_scored(how: Callable[..., Any]) -> None:
    plans = [driven(0.05, 2), driven(0.01, 3)]
    given: dict[str, Any] = {"batch_size": 16, "snapshots": True}
    if how is train:
        results = [(train(Sharp, plans, DATA, compile=False, **given), k) for k in range(2)]
        assert results[0][0].how == "stacked"
    else:
        results = [(single(Sharp, course, DATA, seed=k, **given), 0) for k, course in enumerate(plans)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for result, k in results:
        model = result.model(k)
        assert not any(module.training for module in model.modules())
        assert nll(model) == pytest.approx(float(result.last("nll")[k]), rel=1e-4)
        assert model.sharpness == pytest.approx(result._plans[k].values(STEPS - 1)["model.sharpness"])
        ends = list(result.snapshots(k))
        for step in ends:
            column = result.steps.tolist().index(step)
            assert nll(result.model(k, step=step)) == pytest.approx(result.metrics["nll"][k, column], rel=1e-4)
        assert nll(result.model(k, step=ends[0])) != pytest.approx(nll(model), rel=1e-3)
        with torch.no_grad():
            next(model.parameters()).zero_()
        assert bool(next(result.model(k).parameters()).any())  # the module is the caller's own
        with pytest.raises(StateError, match=rf"step: member {k} has no snapshot of step 3; it has: \[{ends[0]}"):
            result.model(k, step=3)
        with pytest.raises(StateError, match="member: got 7"):
            result.model(7)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_pickled_result_needs_make_model_again() -> None:
    result = train(mlp, [plan()], DATA, batch_size=16, compile=False, snapshots=True)
    again = pickle.loads(pickle.dumps(result))  # noqa: S301 - our own bytes
    assert nll(again.model(0, make_model=mlp)) == nll(result.model(0))
    assert list(again.snapshots(0)) == list(result.snapshots(0))
    assert np.array_equal(again.phase, result.phase)
    with pytest.raises(StateError, match=r"pickled without make_model; write result.model\(0, make_model=...\)"):
        again.model(0)


# -- phases ----------------------------------------------------------------------------------------------------


def test_scores_have_their_phase_in_each_members_own_cycle() -> None:
    plans = [plan(count=2), plan(count=3), ost.Plan(total=STEPS)]
    result = train(mlp, plans, DATA, batch_size=16, compile=False, evaluate=[5, 7, 11, 23])
    assert result.cycle.tolist() == [[0, 0, 0, 1], [0, 0, 1, 2], [-1] * 4]
    np.testing.assert_array_equal(result.phase[0], np.array([5, 7, 11, 11]) / 12)
    np.testing.assert_array_equal(result.phase[1], np.array([5, 7, 3, 7]) / 8)
    assert np.isnan(result.phase[2]).all()
    late = result.metrics["error"][1][result.phase[1] >= 1 - 1 / 8]
    assert late.tolist() == result.metrics["error"][1][[1, 3]].tolist()


def test_steps_at_which_a_member_was_not_scored_have_no_phase() -> None:
    plans = [plan(count=2), plan(count=3), plan(1e30)]
    options = {"momentum": 0.0, "nesterov": False}
    result = train(mlp, plans, DATA, optimizer="sgd", optimizer_options=options, batch_size=16, compile=False)
    assert result.steps.tolist() == [7, 11, 15, 23]
    assert np.isnan(result.phase).tolist() == [[True, False, True, False], [False, True, False, False], [True] * 4]
    assert result.cycle.tolist() == [[-1, 0, -1, 1], [0, -1, 1, 2], [-1] * 4]


@pytest.mark.parametrize(
    ("choice", "phases"),
    [("peaks", [0.0, 11 / 12]), ("troughs", [11 / 12]), ("ends", [11 / 12])],
)
def test_events_come_at_their_phases(choice: str, phases: list[float]) -> None:
    result = train(mlp, [plan(count=2)], DATA, batch_size=16, compile=False, evaluate=choice)
    assert sorted(set(result.phase[0])) == phases


# -- who has diverged ------------------------------------------------------------------------------------------


def test_a_member_whose_data_is_not_finite_is_masked_and_the_others_are_as_alone() -> None:
    inputs = DATA[0][0].clone()
    inputs[55] = torch.nan
    data = (inputs, DATA[0][1]), DATA[1]
    rows = [range(40), range(30, 70), range(10, 50)]
    result = train(mlp, [plan()] * 3, data, subsets=rows, batch_size=16, compile=False, evaluate=1)
    assert result.status == ("done", "diverged", "done")
    step = int(result.diverged[1])
    assert 0 <= step < 3
    assert bool(torch.isfinite(torch.cat([value.flatten() for value in result.member(1).values()])).all())
    for k in range(3):
        own = (inputs[list(rows[k])], DATA[0][1][list(rows[k])]), DATA[1]
        alone = single(mlp, plan(), own, seed=k, batch_size=16, evaluate=1)
        assert alone.diverged[0] == result.diverged[k]
        for name, value in alone.member(0).items():
            torch.testing.assert_close(result.member(k)[name], value, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(result.curve(k, "nll")[1], alone.curve(0, "nll")[1], rtol=1e-4)


def steep(outputs: Tensor, targets: Tensor) -> Tensor:
    return 1000 * nn.functional.cross_entropy(outputs, targets)


@pytest.mark.parametrize("how", [train, single])
def test_weights_that_the_last_update_made_infinite_are_not_called_done(how: Callable[..., Any]) -> None:
    course = ost.Plan(total=3, bindings={"optimizer.lr": ost.schedules.join(0.01, 3e38, at=[2])})
    options = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    plans = [course] if how is train else course
    extra = {"compile": False} if how is train else {}
    result = how(
        mlp,
        plans,
        DATA,
        loss=steep,
        optimizer="sgd",
        optimizer_options=options,
        batch_size=16,
        evaluate="last",
        **extra,
    )
    assert result.status == ("diverged",)
    assert result.diverged.tolist() == [2]


class Masking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.register_buffer("mask", torch.tensor([0.0, 0.0, 0.0, -torch.inf]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.mask[:3]


def test_a_buffer_that_holds_infinities_on_purpose_is_no_divergence() -> None:
    for result in (
        train(Masking, [plan()], DATA, batch_size=16, compile=False),
        single(Masking, plan(), DATA, batch_size=16),
    ):
        assert result.status == ("done",)


# -- what is given ---------------------------------------------------------------------------------------------


def test_adam_with_decoupled_decay_is_adamw() -> None:
    options = {"weight_decay": 0.3, "decoupled_weight_decay": True}
    result = train(mlp, [plan()], DATA, optimizer="adam", optimizer_options=options, batch_size=16, compile=False)
    alone = single(mlp, plan(), DATA, optimizer="adam", optimizer_options=options, batch_size=16)
    for name, value in alone.member(0).items():
        torch.testing.assert_close(result.member(0)[name], value, rtol=1e-5, atol=1e-5)


def test_metrics_may_leave_tensors_behind() -> None:
    def wrong(outputs: Tensor, targets: Tensor) -> float:
        return int(np.sum(outputs.numpy().argmax(-1) != targets.numpy())) / len(targets)

    plans = [plan(), plan(0.1)]
    result = train(mlp, plans, DATA, batch_size=16, compile=False, metrics={"wrong": wrong})
    usual = train(mlp, plans, DATA, batch_size=16, compile=False)
    np.testing.assert_allclose(result.metrics["wrong"], usual.metrics["error"], rtol=1e-12)


@pytest.mark.parametrize("how", [train, single])
def test_a_metric_that_is_no_number_is_named(how: Callable[..., Any]) -> None:
    given = [plan(), plan()] if how is train else plan()
    with pytest.raises(ConfigError, match=r"metrics: 'each' returned shape \(30, 3\), expected one number"):
        how(mlp, given, DATA, batch_size=16, metrics={"each": lambda outputs, targets: outputs})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subsets": [[True, False] * 35]}, r"subsets: got bool values, expected indices; of a mask write numpy"),
        ({"subsets": [[0.0, 1.5]]}, "subsets: got float64 values, expected indices"),
        ({"evaluate": 2.5}, "evaluate: got 2.5, expected a whole number > 0 of steps, or the steps themselves"),
        ({"evaluate": [3, STEPS]}, "evaluate: got the step 24, expected whole numbers from 0 to 23"),
        ({"evaluate": [-1]}, "evaluate: got the step -1, expected whole numbers"),
        ({"evaluate": [1.5]}, "evaluate: got the step 1.5, expected whole numbers"),
        ({"evaluate": True}, "evaluate: got True, expected a whole number"),
    ],
)
def test_what_would_be_misread_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        train(mlp, [plan()], DATA, batch_size=16, **change)
    assert "\n" not in str(caught.value)


def test_numpy_numbers_are_numbers() -> None:
    result = train(
        mlp, [plan()], DATA, batch_size=16, compile=False, evaluate=np.int64(10), steps=np.int64(20), seeds=np.arange(1)
    )
    assert result.steps.tolist() == [9, 19]
    steps = train(mlp, [plan()], DATA, batch_size=16, compile=False, evaluate=np.array([2, 4])).steps
    assert steps.tolist() == [2, 4, 23]
