"""Many members at once against each of them alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ostinato as ost
import ostinato.nn as onn
from ostinato.errors import (
    ConfigError,
    DataError,
    PlanError,
    PopulationFallbackWarning,
    TargetError,
    TruncatedCycleWarning,
)
from ostinato.evaluation import error, nll
from ostinato.population import counted, single, train
from ostinato.training import optimizers
from ostinato.training.batches import EpochOrder
from ostinato.training.randomness import seed_everything

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


def plain_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def full_mlp() -> nn.Module:
    hidden = nn.Linear(
        6, 8, bias=False
    )  # a bias before a batch norm has no gradient but rounding, which Adam makes large
    return nn.Sequential(hidden, nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def plan(high: float = 0.02, count: int = 2, **more: Any) -> ost.Plan:
    bindings = {"optimizer.lr": ost.wave(1e-4, high), **more}
    return ost.Plan(total=STEPS, cycle=ost.Cycle("cosine", count=count), bindings=bindings)


def everything(high: float, count: int) -> ost.Plan:
    return plan(
        high,
        count,
        **{
            "optimizer.weight_decay": ost.wave(0.01, 0.2, shift=0.25),
            "optimizer.momentum": ost.mirror(0.8, 0.95),
            "model:Dropout.p": ost.mirror(0.0, 0.5),
            "model:BatchNorm.momentum": ost.wave(0.02, 0.3),
            "loss.label_smoothing": ost.mirror(0.0, 0.2),
        },
    )


def bare_loop(
    make_model: Callable[[], nn.Module],
    course: ost.Plan,
    seed: int,
    name: str,
    options: dict[str, Any],
    batch_size: int = 16,
) -> dict[str, Tensor]:
    """What a person would write: nothing of `ostinato.population` but the masks."""
    inputs, targets = DATA[0]
    order = EpochOrder(len(targets), batch_size, seed)
    seed_everything(seed)
    model = make_model()
    frame = counted(model, seed)
    optimizer = optimizers.build(name, model, **options)
    criterion = nn.CrossEntropyLoss()
    scheduler = course.bind(optimizer=optimizer, model=model, loss=criterion, steps_per_epoch=order.steps())
    for step in range(scheduler.resolved.total):
        chosen = torch.tensor(order.batch(*divmod(step, order.batches)))
        frame.at(step)
        optimizer.zero_grad()
        criterion(model(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()
        if step + 1 < scheduler.resolved.total:
            scheduler.step()
    return dict(model.state_dict())


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype
        torch.testing.assert_close(
            ours[name], value, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sgd", {}),
        ("sgd", {"momentum": 0.9, "dampening": 0.3, "nesterov": False, "weight_decay": 0.05}),
        ("adam", {"weight_decay": 0.05}),
        ("adamw", {"weight_decay": 0.1}),
    ],
)
def test_members_equal_a_bare_loop(name: str, options: dict[str, Any]) -> None:
    plans = [everything(high, count) for high, count in ((0.02, 2), (0.01, 4), (0.03, 3))]
    result = train(
        full_mlp, plans, DATA, optimizer=name, optimizer_options=options, seeds=[5, 0, 5], batch_size=16, compile=False
    )
    assert result.how == "stacked"
    assert result.reason == ""
    for k, (course, seed) in enumerate(zip(plans, (5, 0, 5), strict=True)):
        assert_same(result.member(k), bare_loop(full_mlp, course, seed, name, options))


@pytest.mark.parametrize(
    ("name", "options"),
    [("sgd", {"momentum": 0.0, "weight_decay": 0.0}), ("adam", {"betas": (0.8, 0.9), "eps": 1e-4}), ("adamw", {})],
)
def test_members_with_constant_values_equal_a_bare_loop(name: str, options: dict[str, Any]) -> None:
    result = train(
        plain_mlp,
        [plan(0.1), plan(0.02, 4)],
        DATA,
        optimizer=name,
        optimizer_options=options,
        batch_size=16,
        compile=False,
    )
    for k, course in enumerate((plan(0.1), plan(0.02, 4))):
        assert_same(result.member(k), bare_loop(plain_mlp, course, k, name, options))


def test_momentum_that_passes_through_zero_equals_torch() -> None:
    course = plan(0.05, **{"optimizer.momentum": ost.wave(0.0, 0.9, cycle=ost.Cycle("square", period=8))})
    options = {"momentum": 0.0, "nesterov": False, "dampening": 0.2}
    result = train(
        plain_mlp, [course, plan(0.05)], DATA, optimizer="sgd", optimizer_options=options, batch_size=16, compile=False
    )
    assert_same(result.member(0), bare_loop(plain_mlp, course, 0, "sgd", options))
    assert_same(result.member(1), bare_loop(plain_mlp, plan(0.05), 1, "sgd", options))


def test_compiled_members_equal_those_that_are_not() -> None:
    plans = [everything(0.02, 2), everything(0.01, 4)]
    given: dict[str, Any] = {
        "optimizer_options": {"weight_decay": 0.1},
        "batch_size": 16,
        "drop_last": True,
        "steps": 6,
    }
    result = train(full_mlp, plans, DATA, compile=True, **given)
    eager = train(full_mlp, plans, DATA, compile=False, **given)
    assert result.how == "compiled"
    for k in range(2):
        assert_same(result.member(k), eager.member(k))


def test_single_equals_a_bare_loop_exactly() -> None:
    course = everything(0.02, 2)
    result = single(full_mlp, course, DATA, optimizer="sgd", seed=3, batch_size=16)
    theirs = bare_loop(full_mlp, course, 3, "sgd", {})
    assert all(torch.equal(result.member(0)[name], value) for name, value in theirs.items())


def test_chunks_give_the_same_results() -> None:
    plans = [everything(0.01 + 0.002 * k, 2) for k in range(5)]
    whole = train(full_mlp, plans, DATA, batch_size=16, compile=False)
    need = 40_000
    chunked = train(full_mlp, plans, DATA, batch_size=16, compile=False, memory_limit=need)
    assert whole.chunks == (5,)
    assert len(chunked.chunks) > 1
    assert sum(chunked.chunks) == 5
    for name, value in whole.weights.items():
        torch.testing.assert_close(chunked.weights[name], value, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(chunked.metrics["nll"], whole.metrics["nll"], rtol=1e-6)
    with pytest.raises(ConfigError, match="memory_limit: got 10 bytes, one member needs about"):
        train(full_mlp, plans, DATA, memory_limit=10, batch_size=16)


def test_a_diverged_member_stays_as_it_was_and_the_others_go_on() -> None:
    plans = [plan(0.1), plan(1e30), plan(0.05)]
    options = {"momentum": 0.0, "nesterov": False}
    result = train(
        plain_mlp, plans, DATA, optimizer="sgd", optimizer_options=options, batch_size=16, compile=False, evaluate=1
    )
    assert result.status == ("done", "diverged", "done")
    step = int(result.diverged[1])
    assert 0 < step < STEPS - 1
    assert result.diverged.tolist() == [-1, step, -1]
    assert all(bool(torch.isfinite(value).all()) for value in result.member(1).values())
    assert np.isnan(result.metrics["nll"][1, step:]).all()
    assert not np.isnan(result.metrics["error"][1, :step]).any()
    assert np.isnan(result.last("error")).tolist() == [False, True, False]
    alone = single(
        plain_mlp, plans[1], DATA, optimizer="sgd", optimizer_options=options, seed=1, batch_size=16, evaluate=1
    )
    assert alone.diverged.tolist() == [step]
    for k in (0, 2):
        assert_same(result.member(k), bare_loop(plain_mlp, plans[k], k, "sgd", options))


def test_members_of_different_length_stop_where_their_plans_do() -> None:
    plans = [plan().replace({"total": total}) for total in (20, 6, 11)]
    result = train(plain_mlp, plans, DATA, batch_size=16, compile=False, evaluate="last")
    assert result.totals.tolist() == [20, 6, 11]
    assert result.steps.tolist() == [5, 10, 19]
    for k, course in enumerate(plans):
        assert_same(result.member(k), bare_loop(plain_mlp, course, k, "adamw", {}))
        assert result.curve(k, "error")[0].tolist() == [course.resolve().total - 1]
    assert not np.isnan(result.last("nll")).any()


def test_scores_are_those_of_evaluation_and_come_at_the_steps_asked_for() -> None:
    plans = [plan(count=2), plan(count=3)]
    result = train(plain_mlp, plans, DATA, batch_size=16, compile=False, snapshots=True)
    assert result.steps.tolist() == [7, 11, 15, 23]
    assert result.curve(0, "error")[0].tolist() == [11, 23]
    assert result.curve(1, "train_loss")[0].tolist() == [7, 15, 23]
    assert list(result.snapshots(1)) == [7, 15, 23]
    model = plain_mlp()
    for k in range(2):
        for step, state in result.snapshots(k).items():
            model.load_state_dict(state)
            p = model(DATA[1][0]).softmax(-1).detach().numpy()
            column = result.steps.tolist().index(step)
            assert result.metrics["error"][k, column] == pytest.approx(error(p, DATA[1][1].numpy()))
            assert result.metrics["nll"][k, column] == pytest.approx(nll(p, DATA[1][1].numpy()), rel=1e-6)
    every = train(
        plain_mlp, plans, DATA, batch_size=16, compile=False, evaluate=10, metrics={"top": lambda o, t: o.amax()}
    )
    assert every.steps.tolist() == [9, 19, 23]
    assert set(every.metrics) == {"train_loss", "top"}


def test_weights_are_kept_at_the_steps_asked_for() -> None:
    plans = [plan(count=2), plan(count=3)]
    kept = train(plain_mlp, plans, DATA, batch_size=16, compile=False, snapshots=[3, 10])
    assert [list(kept.snapshots(k)) for k in range(2)] == [[3, 10, 23]] * 2
    troughs = train(plain_mlp, plans, DATA, batch_size=16, compile=False, snapshots="troughs")
    assert list(troughs.snapshots(1)) == [7, 15, 23]
    assert_same(kept.snapshots(1)[23], kept.member(1))
    stopped = train(plain_mlp, plans, DATA, batch_size=16, compile=False, steps=4)
    assert_same(kept.snapshots(0)[3], stopped.member(0))
    with pytest.raises(ConfigError, match="snapshots: got the step 24, expected whole numbers from 0 to 23"):
        train(plain_mlp, plans, DATA, batch_size=16, snapshots=[24])


def test_training_leaves_the_random_states_alone_and_tells_progress() -> None:
    torch.manual_seed(3)
    before, told = torch.get_rng_state(), []
    train(
        full_mlp,
        [plan(), plan()],
        DATA,
        batch_size=16,
        compile=False,
        progress=lambda done, total: told.append((done, total)),
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert told[-1] == (2 * STEPS, 2 * STEPS)
    assert told == sorted(told)


def test_subsets_give_each_member_examples_of_its_own() -> None:
    rows = [list(range(40)), list(range(30, 70))]
    result = train(plain_mlp, [plan(), plan()], DATA, subsets=rows, batch_size=16, compile=False)
    for k, row in enumerate(rows):
        own = (DATA[0][0][row], DATA[0][1][row]), DATA[1]
        assert_same(result.member(k), single(plain_mlp, plan(), own, seed=k, batch_size=16).member(0))
    with pytest.raises(ConfigError, match=r"subsets: got 2 of sizes \[3, 4\]"):
        train(plain_mlp, [plan(), plan()], DATA, subsets=[[0, 1, 2], [0, 1, 2, 3]])


class Tied(nn.Module):
    """Shared weights, a frozen parameter, an unused one, a driven attribute of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.again = self.first
        self.head = nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.ones(6), requires_grad=False)
        self.unused = nn.Linear(2, 2)
        self.sharpness = 1.0

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.again(torch.tanh(self.first(x))))
        return self.head(x * self.scale) * self.sharpness


def test_tied_frozen_and_unused_parameters_and_attributes_of_ones_own() -> None:
    courses = [plan(**{"model.sharpness": ost.wave(0.5, 2.0)}), plan()]
    result = train(Tied, courses, DATA, batch_size=16, compile=False, optimizer_options={"weight_decay": 0.5})
    assert result.how == "stacked"
    for k, course in enumerate(courses):
        assert_same(result.member(k), bare_loop(Tied, course, k, "adamw", {"weight_decay": 0.5}))
        Tied().load_state_dict(result.member(k))


def test_relative_bindings_multiply_the_originals() -> None:
    course = plan(
        **{"optimizer[*].eps": ost.wave(0.5, 1.0, relative=True), "model:Dropout.p": ost.wave(0.1, 1.0, relative=True)}
    )
    result = train(full_mlp, [course], DATA, batch_size=16, compile=False)
    assert_same(result.member(0), bare_loop(full_mlp, course, 0, "adamw", {}))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out * 2 if float(out.detach().mean()) > 0 else out


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.layer(x)


class Noisy(Branching):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x + 0.1 * torch.randn_like(x))


class Alternating(Branching):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x) * (1.0 + self.calls % 2)


def augmented() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), onn.RandomShift(1, 0.5), onn.InputNoise(0.3), nn.Flatten(), nn.Linear(6, 8), onn.StochasticDepth(0.3), nn.Linear(8, 3)
    )  # fmt: skip


@pytest.mark.parametrize("compile", [False, True])
def test_members_with_random_layers_of_their_own_strength_equal_each_alone(compile: bool) -> None:
    plans = [
        plan(**{"model:RandomShift.strength": ost.mirror(0.0, high), "model:InputNoise.strength": ost.wave(0.1, high)})
        for high in (0.2, 1.0, 0.6)
    ]
    result = train(augmented, plans, DATA, seeds=[5, 0, 5], batch_size=16, drop_last=True, compile=compile)
    assert result.how == ("compiled" if compile else "stacked")
    for k, (course, seed) in enumerate(zip(plans, (5, 0, 5), strict=True)):
        alone = single(augmented, course, DATA, seed=seed, batch_size=16, drop_last=True)
        assert_same(result.member(k), alone.member(0))
        np.testing.assert_allclose(result.curve(k, "nll")[1], alone.curve(0, "nll")[1], rtol=1e-5)
    still = train(
        augmented, [plan(**{"model:RandomShift.strength": 0.0})] * 2, DATA, seeds=[5, 0], batch_size=16, compile=False
    )
    assert not torch.equal(still.member(0)["4.weight"], result.member(0)["4.weight"])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Branching, "torch.vmap cannot take the model or the loss"),
        (Counting, "changes its buffer 'seen'"),
        (Noisy, "draws random numbers outside of dropout layers"),
        (Alternating, "not the same every time"),
    ],
)
def test_what_cannot_be_mapped_is_trained_in_processes_and_said(make: Callable[[], nn.Module], reason: str) -> None:
    plans = [plan(0.05), plan(0.01), plan(1e-3)]
    with pytest.warns(PopulationFallbackWarning, match=reason) as told:
        result = train(make, plans, DATA, batch_size=16, snapshots=True)
    assert len(told) == 1
    assert result.how == "processes"
    assert reason in result.reason
    for k, course in enumerate(plans):
        alone = single(make, course, DATA, seed=k, batch_size=16, snapshots=True)
        assert_same(result.member(k), alone.member(0))
        assert list(result.snapshots(k)) == list(alone.snapshots(0))
        np.testing.assert_allclose(result.curve(k, "nll")[1], alone.curve(0, "nll")[1], rtol=1e-6)


def test_another_optimizer_is_trained_in_processes() -> None:
    with pytest.warns(PopulationFallbackWarning, match="'rmsprop' has no form for many members"):
        result = train(plain_mlp, [plan()], DATA, optimizer="rmsprop", batch_size=16)
    assert_same(result.member(0), bare_loop(plain_mlp, plan(), 0, "rmsprop", {}))


def test_an_error_of_the_model_itself_is_raised_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes"):
        train(lambda: nn.Linear(5, 3), [plan()], DATA)


def test_a_run_that_ends_inside_a_cycle_is_warned_about_once() -> None:
    course = ost.Plan(total=10, cycle=ost.Cycle(period=4), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    with pytest.warns(TruncatedCycleWarning, match="2 of 3 runs end inside a cycle") as told:
        train(plain_mlp, [course, course.replace({"total": 8}), course], DATA, batch_size=16, compile=False)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"plans": []}, ConfigError, "plans: got none"),
        ({"plans": ["x"]}, ConfigError, "plans: got a str for member 0, expected a Plan"),
        ({"seeds": [1, 2]}, ConfigError, "seeds: got 2 for 1 plans"),
        ({"seeds": [-1]}, ConfigError, "seeds: got -1, expected whole numbers >= 0"),
        ({"steps": 0}, ConfigError, "steps: got 0"),
        ({"steps": 100}, PlanError, "steps: got 100, but plan 0 has a total of 24"),
        ({"evaluate": "end"}, ConfigError, "evaluate: got 'end'; did you mean 'ends'"),
        ({"evaluate": 0}, ConfigError, "evaluate: got 0"),
        ({"compile": "yes"}, ConfigError, "compile: got 'yes'"),
        ({"data": [1, 2, 3]}, DataError, "train: got a list"),
        ({"plans": [plan(**{"model:Missing.p": 0.5})]}, TargetError, "matches nothing"),
        ({"plans": [plan(**{"other.p": 0.5})]}, TargetError, "no 'other'"),
        ({"plans": [plan(**{"optimizer[0].lr": 0.5})]}, TargetError, "driven by both"),
        ({"loss": lambda o, t: F.cross_entropy(o, t, reduction="none")}, ConfigError, "loss: returned"),
    ],
)
def test_bad_input_is_refused_in_one_line(change: dict[str, Any], kind: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"make_model": plain_mlp, "plans": [plan()], "data": DATA} | change
    with pytest.raises(kind, match=message) as caught, warnings.catch_warnings():
        train(**given)
    assert "\n" not in str(caught.value)
