from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ostinato as ost
from ostinato.comparison.arms import PLAN, arms_of, check_controls, roles_of
from ostinato.comparison.endpoints import check_margin, endpoint_of, endpoints
from ostinato.comparison.training import blocks_of
from ostinato.controls import NAMES
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, PlanError


def resolved(**more: object) -> ResolvedPlan:
    bindings = {"optimizer.lr": ost.wave(0.01, 0.1), **more}
    return ost.Plan(total="4ep", cycle=ost.Cycle(count=2), bindings=bindings).resolve(steps_per_epoch=6)


def test_every_arm_has_the_plans_clock_and_a_document() -> None:
    plan = resolved()
    arms = arms_of(plan, ["sorted", "cosine", "constant", "linear", "shuffled"], {})
    assert [arm.name for arm in arms] == [PLAN, "sorted", "cosine", "constant", "linear", "shuffled"]
    assert arms[0].course(0) == (plan, None)
    for arm in arms[1:]:
        course, document = arm.course(3)
        assert course.total == plan.total
        assert list(course.snapshots) == list(plan.snapshots)
        assert document is not None
        assert document["transform"] == arm.name
        assert document["source"] == plan.plan.to_document()
    twin = arms[1].course(0)[0].table()["optimizer.lr"]
    assert sorted(twin, reverse=True) == list(twin)
    assert sorted(twin) == sorted(plan.table()["optimizer.lr"])


def test_what_is_random_is_drawn_for_each_seed_and_what_is_not_stays() -> None:
    shuffled, twin = arms_of(resolved(), ["shuffled", "sorted"], {})[1:]
    orders = [shuffled.course(seed)[0].table()["optimizer.lr"] for seed in (0, 1, 0)]
    assert not np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], orders[2])
    assert twin.course(0)[0].digest == twin.course(5)[0].digest


def test_a_control_that_the_plan_cannot_have_is_refused_at_once() -> None:
    with pytest.raises(PlanError, match="in_phase"):
        arms_of(resolved(), ["sorted", "in_phase"], {})
    flat = ost.Plan(total=10, bindings={"model:Dropout.p": 0.1}).resolve()
    with pytest.raises(PlanError, match="sorted: the plan drives no learning rate"):
        arms_of(flat, ["sorted"], {})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "controls: got none"),
        (["", " "], "controls: got none"),
        (["sortd"], "got 'sortd'; did you mean 'sorted'"),
        (["plan"], "got 'plan'"),
        (["cosine", "sorted", "cosine"], "'cosine' is given twice"),
    ],
)
def test_controls_that_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_controls(names)


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_there_is_one_comparator_and_the_sorted_twin_is_it_where_it_is_there(names: list[str]) -> None:
    roles = roles_of(check_controls(names))
    assert list(roles) == names
    assert [name for name, role in roles.items() if role == "primary"] == ["sorted" if "sorted" in names else names[0]]
    assert all(role != "literal" for name, role in roles.items() if not name.endswith("constant"))


@given(st.integers(0, 60), st.integers(2, 9))
def test_blocks_hold_every_seed_once_and_what_remains_is_shared_in_the_same_way(count: int, arms: int) -> None:
    seeds = list(range(5, 5 + count))
    blocks = blocks_of(seeds, arms)
    assert [seed for block in blocks for seed in block] == seeds
    assert all(len(block) * arms <= max(32, arms) for block in blocks)
    for done in range(len(blocks)):
        rest = [seed for block in blocks[done:] for seed in block]
        assert blocks_of(rest, arms) == blocks[done:]


def test_endpoints_that_are_refused() -> None:
    assert endpoint_of("nll@2", 2).words == "test NLL after cycle 2"
    for name, cycles, words in [
        ("eror", 2, "did you mean 'error'"),
        ("nll@3", 2, "got 'nll@3'"),
        ("ensemble_error", 0, "got 'ensemble_error'"),
        ("accuracy", 0, "known: area, ece, error, nll"),
    ]:
        with pytest.raises(ConfigError, match=words):
            endpoint_of(name, cycles)
    for margin in (0, -1.0, float("nan"), True, "1"):
        with pytest.raises(ConfigError, match="margin: got"):
            check_margin(margin)


def test_endpoints_write_what_they_are_measured_in() -> None:
    known = endpoints(1)
    assert known["error"].amount(-0.0031) == "0.31 percentage points"
    assert known["error"].number(-0.0031) == "-0.31"
    assert known["error"].score(0.0312) == "3.12%"
    assert known["nll"].amount(0.1) == "0.1000 nats"
    assert known["ece"].amount(0.01) == "0.0100"
    assert {endpoint.margin for endpoint in known.values() if endpoint.family == "error"} == {0.002}
