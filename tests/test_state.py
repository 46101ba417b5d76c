from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ostinato as ost
from ostinato.errors import PastTotalWarning, StateError, TargetError

WAVEFORMS = ["cosine", "triangular", "sine", "sawtooth", "square", "exponential", "constant"]


def sgd(lr: float = 0.7, **more: Any) -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(2))], lr=lr, **more)


def plan(**changes: Any) -> ost.Plan:
    base = ost.Plan(
        total="4ep", cycle=ost.Cycle("sawtooth", period="2ep"), bindings={"optimizer.lr": ost.wave(0.0, 0.1)}
    )
    return base.replace(changes)


def bind(wanted: ost.Plan, optimizer: torch.optim.Optimizer, rate: int = 5, **roots: Any) -> ost.Scheduler:
    return wanted.bind(optimizer=optimizer, steps_per_epoch=rate, **roots)


@st.composite
def plans(draw: Any) -> ost.Plan:
    total = draw(st.integers(1, 80))
    warmup = draw(st.integers(0, max(total - 6, 0)))
    cycle = ost.Cycle(
        draw(st.sampled_from(WAVEFORMS)),
        count=draw(st.integers(1, max(1, min(5, total - warmup)))),
        amplitude_decay=draw(st.sampled_from([1.0, 0.9, 0.5])),
    )
    course = st.builds(
        draw(st.sampled_from([ost.wave, ost.mirror])),
        st.floats(1e-6, 1e-3),
        st.floats(1e-3, 0.9),
        shift=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
        scale=st.sampled_from(["linear", "geometric"]),
        relative=st.booleans(),
    )
    targets = ["optimizer.lr", "optimizer.momentum", "optimizer.weight_decay", "model:Dropout.p", "noise.sigma"]
    chosen = draw(st.lists(st.sampled_from(targets), min_size=1, unique=True))
    return ost.Plan(total=total, warmup=warmup, cycle=cycle, bindings={target: draw(course) for target in chosen})


def objects() -> dict[str, Any]:
    groups = [
        {"params": [nn.Parameter(torch.zeros(1))], "weight_decay": 0.1},
        {"params": [nn.Parameter(torch.zeros(1))], "weight_decay": 0.0, "lr": torch.tensor(0.2)},
    ]
    return {
        "optimizer": torch.optim.SGD(groups, lr=0.5, momentum=0.5),
        "model": nn.Sequential(nn.Dropout(0.5), nn.Dropout(0)),
        "noise": {"sigma": 1},
    }


def look(objects: dict[str, Any]) -> tuple[Any, ...]:
    groups = objects["optimizer"].param_groups
    rates = [(float(group["lr"]), group["momentum"], group["weight_decay"]) for group in groups]
    return rates, [module.p for module in objects["model"]], objects["noise"]["sigma"]


@settings(max_examples=50, deadline=None)
@given(wanted=plans(), stops=st.lists(st.integers(1, 40), max_size=4))
def test_resuming_anywhere_equals_never_stopping(wanted: ost.Plan, stops: list[int]) -> None:
    straight = objects()
    reference = wanted.bind(**straight)
    course = [look(straight)]
    for _ in range(wanted.resolve().total):
        reference.step()
        course.append(look(straight))
    current = objects()
    scheduler = wanted.bind(**current)
    for stop in [*stops, wanted.resolve().total]:
        for _ in range(min(stop, wanted.resolve().total - scheduler.count)):
            scheduler.step()
            assert look(current) == course[scheduler.count]
        state = json.loads(json.dumps(scheduler.state_dict()))
        optimizer_state = copy.deepcopy(current["optimizer"].state_dict())
        current = objects()
        current["optimizer"].load_state_dict(optimizer_state)
        scheduler = wanted.bind(**current)
        scheduler.load_state_dict(state)
        assert look(current) == course[scheduler.count]
    scheduler.restore()
    assert look(current) == look(objects())


# -- another plan ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"optimizer.lr/high": 0.2}, r"optimizer\.lr/high was 0\.1, is 0\.2"),
        ({"cycle.period": "1ep"}, r"cycle\.period was '2ep', is '1ep'"),
        ({"total": "8ep"}, r"total was '4ep', is '8ep'"),
        ({"warmup": "1ep"}, r"warmup was '0step', is '1ep'"),
        ({"optimizer.momentum": ost.wave(0.1, 0.2)}, r"optimizer\.momentum/relation was 'absent', is 'wave'"),
    ],
)
@pytest.mark.filterwarnings("ignore::ostinato.errors.TruncatedCycleWarning")
def test_another_plan_is_an_error_that_shows_where(change: dict[str, Any], shown: str) -> None:
    state = bind(plan(), sgd()).state_dict()
    optimizer = sgd()
    scheduler = bind(plan(**change), optimizer)
    scheduler.step()
    before = optimizer.param_groups[0]["lr"]
    with pytest.raises(StateError, match=shown) as caught:
        scheduler.load_state_dict(state)
    assert "on_mismatch='saved' or 'current'" in str(caught.value)
    assert (scheduler.count, optimizer.param_groups[0]["lr"]) == (1, before)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == scheduler.values["optimizer.lr"]


def test_another_rate_is_an_error_too() -> None:
    state = bind(plan(), sgd(), rate=5).state_dict()
    with pytest.raises(StateError, match="steps_per_epoch was 5, is 6"):
        bind(plan(), sgd(), rate=6).load_state_dict(state)


def test_the_same_plan_in_other_words_is_the_same_plan() -> None:
    state = bind(plan(), sgd()).state_dict()
    words = ost.Plan(total=20, cycle=ost.Cycle("sawtooth", period=10), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    scheduler = words.bind(optimizer=sgd())
    scheduler.load_state_dict(state)
    assert scheduler.count == 0


def test_going_on_with_the_saved_plan() -> None:
    first = bind(plan(**{"optimizer.lr/high": 0.2}), sgd())
    first.step(by=7)
    optimizer = sgd()
    second = bind(plan(), optimizer, rate=9)
    second.load_state_dict(first.state_dict(), on_mismatch="saved")
    assert (second.count, second.resolved.total, second.resolved.digest) == (7, 20, first.resolved.digest)
    assert optimizer.param_groups[0]["lr"] == first.values["optimizer.lr"]
    second.step()
    first.step()
    assert optimizer.param_groups[0]["lr"] == first.values["optimizer.lr"]


def test_going_on_with_the_current_plan() -> None:
    first = bind(plan(), sgd())
    first.step(by=7)
    optimizer = sgd()
    second = bind(plan(**{"optimizer.lr/high": 0.2}), optimizer)
    second.load_state_dict(first.state_dict(), on_mismatch="current")
    assert (second.count, optimizer.param_groups[0]["lr"]) == (7, second.resolved.values(7)["optimizer.lr"])
    second.restore()
    assert optimizer.param_groups[0]["lr"] == 0.7


def test_what_the_saved_plan_does_not_drive_gets_its_original_back() -> None:
    state = bind(plan(), sgd()).state_dict()
    model = nn.Dropout(0.4)
    optimizer = sgd(momentum=0.3)
    wider = {"model.p": ost.wave(0.1, 0.2), "optimizer.momentum": ost.wave(0.5, 0.6)}
    scheduler = bind(plan(**wider), optimizer, model=model)
    assert (model.p, optimizer.param_groups[0]["momentum"]) == (0.2, 0.6)
    scheduler.load_state_dict(state, on_mismatch="saved")
    assert (model.p, optimizer.param_groups[0]["momentum"]) == (0.4, 0.3)


def test_what_only_the_current_plan_drives_keeps_its_original() -> None:
    state = bind(plan(), sgd()).state_dict()
    model = nn.Dropout(0.4)
    scheduler = bind(plan(**{"model.p": ost.wave(0.1, 0.2)}), sgd(), model=model)
    scheduler.load_state_dict(state, on_mismatch="current")
    assert model.p == 0.2
    scheduler.restore()
    assert model.p == 0.4


def test_a_saved_plan_that_needs_more_leaves_everything_as_it_was() -> None:
    more = bind(plan(**{"model.p": ost.wave(0.1, 0.2)}), sgd(), model=nn.Dropout(0.4)).state_dict()
    optimizer = sgd()
    scheduler = bind(plan(), optimizer)
    scheduler.step()
    with pytest.raises(TargetError, match=r"bind was given no 'model'"):
        scheduler.load_state_dict(more, on_mismatch="saved")
    scheduler.step()
    assert (
        optimizer.param_groups[0]["lr"]
        == scheduler.values["optimizer.lr"]
        == scheduler.resolved.values(2)["optimizer.lr"]
    )
    optimizer.load_state_dict(sgd(5.0).state_dict())
    assert optimizer.param_groups[0]["lr"] == scheduler.values["optimizer.lr"]


def test_a_count_past_the_current_plan_is_warned_about_at_the_next_step() -> None:
    first = bind(plan(), sgd())
    first.step(by=20)
    second = bind(plan(total="2ep"), sgd())
    second.load_state_dict(first.state_dict(), on_mismatch="current")
    with pytest.warns(PastTotalWarning):
        second.step()


def test_the_warning_about_the_end_is_given_again_in_a_new_run() -> None:
    scheduler = bind(plan(), sgd())
    state = scheduler.state_dict()
    for _ in range(2):
        scheduler.load_state_dict(state)
        with pytest.warns(PastTotalWarning):
            scheduler.step(by=21)


def test_a_word_that_is_no_policy_is_refused() -> None:
    scheduler = bind(plan(), sgd())
    with pytest.raises(StateError, match="expected 'error', 'saved' or 'current'"):
        scheduler.load_state_dict(scheduler.state_dict(), on_mismatch="keep")


# -- malformed ---------------------------------------------------------------------------------------------------

BROKEN: list[tuple[Any, str]] = [
    ([], "expected what Scheduler"),
    ({}, "expected what Scheduler"),
    ({"version": 2}, "expected what Scheduler"),
    ({"count": -1}, "count is -1"),
    ({"count": 1.0}, "'count' is missing or malformed"),
    ({"count": True}, "'count' is missing or malformed"),
    ({"count": None}, "'count' is missing or malformed"),
    ({"plan": []}, "'plan' is missing or malformed"),
    ({"rates": None}, "'rates' is missing or malformed"),
    ({"digest": 5}, "'digest' is missing or malformed"),
    ({"originals": [1]}, "'originals' is missing or malformed"),
    ({"originals": {"optimizer[0].lr": "much"}}, r"original of optimizer\[0\]\.lr is 'much'"),
    ({"originals": {"optimizer[0].lr": True}}, r"original of optimizer\[0\]\.lr is True"),
    ({"rates": {"step_per_epoch": 5}}, "'step_per_epoch' is no rate; did you mean 'steps_per_epoch'"),
    ({"digest": "0" * 64}, "digest was '0000"),
    ({"digest": "0" * 64, "plan": {"bind": [3, {}]}}, "was saved under another plan"),
]


@pytest.mark.parametrize(("damage", "message"), BROKEN)
def test_a_malformed_state_is_refused_and_changes_nothing(damage: Any, message: str) -> None:
    optimizer = sgd()
    scheduler = bind(plan(), optimizer)
    scheduler.step(by=3)
    state = {**scheduler.state_dict(), **damage} if damage else damage
    with pytest.raises(StateError, match=message):
        scheduler.load_state_dict(state)
    assert scheduler.count == 3
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == scheduler.values["optimizer.lr"]


@pytest.mark.parametrize(
    "damage", [{"plan": {"bind": [3]}}, {"plan": {"total": "4ep"}, "rates": {}}, {"rates": {"steps_per_epoch": -1}}]
)
def test_a_saved_plan_that_cannot_be_is_refused(damage: Any) -> None:
    scheduler = bind(plan(), sgd())
    state = {**scheduler.state_dict(), **damage, "digest": "0" * 64}
    with pytest.raises(StateError, match="its plan cannot be resolved"):
        scheduler.load_state_dict(state, on_mismatch="saved")


def test_the_state_is_a_document_of_its_own() -> None:
    scheduler = bind(plan(), sgd())
    state = scheduler.state_dict()
    kept = copy.deepcopy(state)
    state["originals"].clear()
    state["plan"]["bind"].clear()
    state["rates"].clear()
    assert scheduler.state_dict() == kept
    assert set(kept) == {"version", "count", "plan", "rates", "digest", "originals"}
    assert kept["originals"] == {"optimizer[0].lr": 0.7}
