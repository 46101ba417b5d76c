"""Which fields are searched: what is drawn, what plans come of it, and what cannot be."""

from __future__ import annotations

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

import ostinato as ost
from ostinato.errors import DomainError, PlanError
from ostinato.search import Choice, Range, Space

BASE = ost.Plan(
    total="30ep",
    cycle=ost.Cycle("cosine", period="6ep"),
    bindings={
        "optimizer.lr": ost.wave(0.001, 0.1),
        "optimizer.weight_decay": ost.wave(1e-5, 1e-3, shift=0.25, scale="geometric"),
        "model:Dropout.p": ost.mirror(0.05, 0.3),
    },
)


def test_every_kind_of_field_of_the_plan_can_be_searched() -> None:
    values = {
        "cycle.period": "3ep",
        "cycle.mult": 2,
        "cycle.amplitude_decay": 0.9,
        "cycle.waveform": "triangular",
        "cycle.up": 0.2,
        "optimizer.lr/low": 0.01,
        "optimizer.lr/high": 0.5,
        "optimizer.weight_decay/shift": 0.75,
        "model:Dropout.p": False,
    }
    plan = Space({name: Choice([value]) for name, value in values.items()}).plan(BASE, values)
    assert plan.cycle is not None
    assert (plan.cycle.waveform, plan.cycle.period, plan.cycle.mult, plan.cycle.up) == ("triangular", "3ep", 2, 0.2)
    lr = plan.bound["optimizer.lr"].schedule
    assert (lr.low, lr.high) == (0.01, 0.5)
    assert plan.bound["optimizer.weight_decay"].schedule.shift == 0.75
    assert list(plan.bound) == ["optimizer.lr", "optimizer.weight_decay"]


@given(amplitude=st.floats(0.0, 0.99), middle=st.floats(1e-4, 1.0))
def test_amplitude_and_middle_are_what_they_say_on_both_scales(amplitude: float, middle: float) -> None:
    space = Space({f"{target}/{key}": Range(0.0, 1.0) for target in BASE.bound for key in ("amplitude", "middle")})
    for target in ("optimizer.lr", "optimizer.weight_decay"):
        plan = space.plan(BASE, {f"{target}/amplitude": amplitude, f"{target}/middle": middle})
        wave = plan.bound[target].schedule
        low, high = wave.low, wave.high
        assert (high - low) / (high + low) == pytest.approx(amplitude, abs=1e-9)
        found = math.sqrt(low * high) if target.endswith("decay") else (low + high) / 2
        assert found == pytest.approx(middle, rel=1e-9)


def test_amplitude_alone_keeps_the_middle() -> None:
    plan = Space({"optimizer.lr/amplitude": Range(0.0, 1.0)}).plan(BASE, {"optimizer.lr/amplitude": 0.0})
    wave = plan.bound["optimizer.lr"].schedule
    assert wave.low == wave.high == pytest.approx(0.0505)


def test_conditions_decide_what_is_drawn() -> None:
    space = Space(
        {
            "cycle.waveform": Choice(["cosine", "triangular"]),
            "cycle.up": Range(0.1, 0.9, when={"cycle.waveform": "triangular"}),
            "model:Dropout.p": Choice([True, False]),
            "model:Dropout.p/high": Range(0.1, 0.5),
        }
    )
    drawn = {"cycle.waveform": "triangular", "cycle.up": 0.25, "model:Dropout.p": True, "model:Dropout.p/high": 0.5}
    assert space.suggest(FixedTrial(drawn)) == drawn
    assert list(space.suggest(FixedTrial({**drawn, "cycle.waveform": "cosine"}))) == [
        "cycle.waveform", "model:Dropout.p", "model:Dropout.p/high",
    ]  # fmt: skip
    assert "model:Dropout.p/high" not in space.suggest(FixedTrial({**drawn, "model:Dropout.p": False}))
    grid = space.grid()
    assert len(grid) == len({tuple(sorted(point.items())) for point in grid}) == (1 + 5) * (1 + 5)


def test_durations_are_drawn_in_their_unit_and_whole_ones_stay_whole() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = Space({"cycle.period": Range("2ep", "10ep"), "total": Range("10.0ep", "20.0ep")})
    for _ in range(20):
        values = space.suggest(study.ask())
        assert str(values["cycle.period"]).removesuffix("ep").isdigit()
        assert 10 <= float(str(values["total"]).removesuffix("ep")) <= 20
        plan = space.plan(BASE, values)
        assert plan.cycle is not None
        assert (plan.cycle.period, plan.total) == (values["cycle.period"], ost.Plan(total=values["total"]).total)
    assert Range(0.1, 0.3, step=0.1).grid() == [0.1, 0.2, 0.3]
    assert Range("2ep", "6ep", step="2ep").grid() == ["2ep", "4ep", "6ep"]
    assert Range(1, 100, log=True, points=3).grid() == [1, 10, 100]


@given(
    st.dictionaries(
        st.sampled_from(["optimizer.lr/high", "cycle.mult", "optimizer.weight_decay/shift"]),
        st.one_of(
            st.tuples(st.floats(0.1, 1.0), st.floats(1.5, 9.0)).map(lambda ends: Range(*ends, log=True)),
            st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(Choice),
        ),
        min_size=1,
    )
)
def test_a_space_survives_its_document(fields: dict[str, Range | Choice]) -> None:
    space = Space(fields)
    assert Space.from_document(space.to_document()).to_document() == space.to_document()


WRONG = {
    "space: names no field; write [[search.space]] with field = 'optimizer.lr/high', low = 0.01, high = 1.0": lambda: Space({}),
    "space: 1: names no field; write field = 'optimizer.lr/high'": lambda: Space.from_document([{"low": 1, "high": 2}]),
    "space: a/high: write low = ... and high = ..., or choices = [...]": lambda: Space.from_document([{"field": "a/high"}]),
    "space: a: unknown key 'hihg'; did you mean 'high'?": lambda: Space.from_document([{"field": "a", "low": 1, "hihg": 2}]),
    "low, high: got 2 and 1, expected low < high": lambda: Range(2, 1),
    "low, high: got '1ep' and '2step', expected one unit": lambda: Range("1ep", "2step"),
    "low: got 0 on a logarithmic scale, expected a number above 0": lambda: Range(0, 1, log=True),
    "choices: got [1, 1], in which a value stands twice": lambda: Choice([1, 1]),
    "space: cycle.up: when names 'cycle.waveform', which is no field before it": lambda: Space(
        {"cycle.up": Range(0.1, 0.9, when={"cycle.waveform": "triangular"})}
    ),
    "space: cycle.up: when wants cycle.waveform = 'sine', which is none of its choices ['cosine']": lambda: Space(
        {"cycle.waveform": Choice(["cosine"]), "cycle.up": Range(0.1, 0.9, when={"cycle.waveform": "sine"})}
    ),
    "space: optimizer.lr: is a whole binding; write choices = [true, false], or one of its fields: 'optimizer.lr/high'": lambda: Space(
        {"optimizer.lr": Range(0.1, 1.0)}
    ).check(BASE),
    "space: optimizer.momentum/high: optimizer.momentum/high: no binding drives 'optimizer.momentum'; did you mean "
    "'optimizer.lr' or 'optimizer.weight_decay'?": lambda: Space({"optimizer.momentum/high": Range(0.1, 0.9)}).check(BASE),
    "space: cycle.periode: cycle.periode: there is no field 'periode' to replace; known: amplitude_decay, count, duty, mult, period, ratio, up, waveform": lambda: (
        Space({"cycle.periode": Range(1, 9)}).check(BASE)
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", list(WRONG))
def test_what_cannot_be_is_said_in_one_line(message: str) -> None:
    with pytest.raises(PlanError) as caught:
        WRONG[message]()
    assert str(caught.value) == message


def test_an_end_outside_what_its_target_accepts_is_found_before_any_trial() -> None:
    with pytest.raises(
        DomainError,
        match=r"^space: model:Dropout.p/high: model:Dropout.p: 1\.\d+ at step \d+, expected a probability in \[0, 1\]",
    ):
        Space({"model:Dropout.p/high": Range(0.1, 1.5)}).check(BASE, lambda plan: plan.resolve(steps_per_epoch=10))
