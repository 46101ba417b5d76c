"""Schedules read in another order."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato import schedules
from ostinato.core import reordering
from ostinato.core.reordering import MOST_ROWS, Reordered
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import PlanError
from strategies import RATES, courses, cycles, totals, warmups, waves

EVALUATED: Counter[str] = Counter()


@ost.schedule("test_reordering.row", version=1)
def row(t: IntArray, *, name: str = "") -> FloatArray:
    """The count itself, so that values show the permutation; counts what it is asked for."""
    EVALUATED[name] += t.size
    return t.astype(np.float64)


ORDERS: dict[str, dict[str, Any]] = {
    "descending": {},
    "ascending": {},
    "comonotone": {},
    "shuffled": {"block": 7, "seed": 3},
    "rotated": {"seed": 3},
}


def reordered(own: Any, key: Any, order: str) -> Reordered:
    parts = [own, key] if order in ("descending", "ascending", "comonotone") else [own]
    return Reordered(parts, order, **ORDERS[order])


def plan_of(course: Any, **given: Any) -> ost.Plan:
    known = {"total": 100, "cycle": ost.Cycle("sine", count=5), "bindings": {"loss.x": course}}
    return ost.Plan(**(known | given))


def permutation(course: Reordered, **given: Any) -> list[int]:
    found: list[int] = plan_of(course, **given).table()["loss.x"].astype(int).tolist()
    return found


# -- permutations -----------------------------------------------------------------------------------------------


@st.composite
def reordered_plans(draw: st.DrawFn) -> tuple[ost.Plan, str]:
    """A plan whose row numbers are put into each order by a key of any kind, with two cycles at least."""
    order = draw(st.sampled_from(sorted(ORDERS)))
    key = draw(st.one_of(waves().map(lambda binding: binding.schedule), courses))
    cycle = draw(cycles().filter(lambda cycle: cycle.count != 1))
    course = ost.Binding(reordered(row(), key, order), domain=(-1.0, 1e6))
    bindings = {"loss.key": ost.Binding(key, domain=(-9.0, 9.0)), "loss.row": course}
    return ost.Plan(total=draw(totals), warmup=draw(warmups), cycle=cycle, bindings=bindings), order


@settings(max_examples=80, deadline=None)
@given(reordered_plans())
def test_every_order_is_a_permutation_of_what_it_says(case: tuple[ost.Plan, str]) -> None:
    plan, order = case
    resolved = plan.resolve(**RATES)
    table = resolved.table(resolved.warmup)
    rows, key = table["loss.row"].astype(int), table["loss.key"]
    assert np.array_equal(np.sort(rows), np.arange(len(rows)))
    assert resolved.curves["loss.row"](np.arange(resolved.warmup)).tolist() == [0.0] * resolved.warmup
    if order == "descending":
        assert (np.diff(key[rows]) <= 0).all()
        assert (np.diff(rows)[np.diff(key[rows]) == 0] > 0).all()
    elif order == "ascending":
        assert (np.diff(key[rows]) >= 0).all()
        assert (np.diff(rows)[np.diff(key[rows]) == 0] > 0).all()
    elif order in ("comonotone", "rotated"):
        for span in resolved.cycles:
            steps = slice(span.start - resolved.warmup, span.end - resolved.warmup)
            own = rows[steps]
            assert np.array_equal(np.sort(own), np.arange(len(rows))[steps])
            if order == "rotated":
                assert (np.diff(own) == 1).sum() >= len(own) - 2
            else:
                assert np.array_equal(np.argsort(key[steps], kind="stable"), np.argsort(own, kind="stable"))
    else:
        assert (np.diff(rows) == 1).sum() >= len(rows) - 1 - len(rows) // 7


@settings(max_examples=40, deadline=None)
@given(reordered_plans(), st.integers(1, 9))
def test_values_do_not_depend_on_how_they_are_asked_for(case: tuple[ost.Plan, str], stride: int) -> None:
    plan = case[0].replace(
        {"loss.third": ost.Binding(reordered(waves_of(case[0]), row(), case[1]), domain=(-9.0, 9.0))}
    )
    table = plan.table(**RATES)
    again = plan.resolve(**RATES)
    assert np.array_equal(again.table(stride, None, stride), table[stride::stride])
    for step in (0, len(table) // 2, len(table) - 1):
        assert tuple(again.values(step).values()) == tuple(table[step].tolist())[1:]
    beyond = again.table(0, len(table) + 9)[len(table) :]
    assert all((beyond[name] == table[name][-1]).all() for name in again.targets)


def waves_of(plan: ost.Plan) -> Any:
    return plan.bound["loss.key"].schedule


@settings(max_examples=40, deadline=None)
@given(reordered_plans())
def test_documents_round_trip(case: tuple[ost.Plan, str]) -> None:
    plan, _ = case
    for other in (ost.Plan.from_toml(plan.to_toml()), ost.Plan.from_json(plan.to_json())):
        assert other == plan
        assert other.digest == plan.digest
        assert other.resolve(**RATES).digest == plan.resolve(**RATES).digest
        assert hash(other) == hash(plan)


# -- random orders ----------------------------------------------------------------------------------------------


def test_random_orders_are_pinned() -> None:
    """These follow from the raw stream of PCG64 alone, which NumPy keeps: a change here changes what saved plans mean."""
    raw = [14849682912918955432, 14903876974979881461, 9506078739185184192, 5272104914398938230, 994845864549814509]
    assert np.random.PCG64(5).random_raw(5).tolist() == raw
    shuffled = Reordered([row()], "shuffled", block=3, seed=5)
    assert permutation(shuffled, total=14) == [12, 13, 9, 10, 11, 6, 7, 8, 0, 1, 2, 3, 4, 5]
    rotated = Reordered([row()], "rotated", seed=5)
    assert permutation(rotated, total=12, cycle=ost.Cycle(count=3)) == [3, 0, 1, 2, 4, 5, 6, 7, 9, 10, 11, 8]
    assert permutation(Reordered([row()], "shuffled", block=1, seed=2**63 - 1), total=6) == [0, 3, 1, 4, 5, 2]


def test_each_order_of_blocks_is_as_likely() -> None:
    found = Counter(
        tuple(permutation(Reordered([row()], "shuffled", block=1, seed=seed), total=3, cycle=None))
        for seed in range(600)
    )
    assert len(found) == 6
    assert all(70 < count < 130 for count in found.values())  # mean 100, SD 9


def test_each_turn_is_as_likely_and_the_turns_of_a_run_lie_evenly() -> None:
    firsts = np.array(
        [
            permutation(Reordered([row()], "rotated", seed=seed), total=40, cycle=ost.Cycle(count=4))[::10]
            for seed in range(500)
        ]
    )
    turns = firsts % 10
    for cycle in range(4):
        assert all(25 < count < 75 for count in np.bincount(turns[:, cycle], minlength=10))  # mean 50, SD 6.7
    spread = np.sort(turns, axis=1)
    gaps = np.diff(spread, axis=1)
    assert gaps.min() >= 2
    assert gaps.max() <= 3
    assert len({tuple(np.argsort(turn)) for turn in turns.tolist()}) == 24


@pytest.mark.parametrize(("waveform", "tolerance"), [("sine", 1e-12), ("cosine", 0.06), ("triangular", 0.02)])
def test_turns_take_away_the_correlation_over_a_run(waveform: str, tolerance: float) -> None:
    plan = ost.Plan(
        total=500,
        cycle=ost.Cycle(waveform, count=5),
        bindings={"loss.x": ost.wave(0.0, 1.0), "loss.y": ost.wave(0.0, 1.0)},
    )
    for seed in range(20):
        y = Reordered([ost.wave(0.0, 1.0)], "rotated", seed=seed)
        table = plan.replace({"loss.y": ost.Binding(y)}).table()
        assert abs(np.corrcoef(table["loss.x"], table["loss.y"])[0, 1]) < tolerance


def test_a_block_in_cycles_is_a_share_of_the_first_one() -> None:
    by_cycle = Reordered([row()], "shuffled", block="0.5cycle", seed=1)
    cycle = ost.Cycle(period=10, mult=2)
    assert permutation(by_cycle, cycle=cycle) == permutation(
        Reordered([row()], "shuffled", block=5, seed=1), cycle=cycle
    )
    tiny = Reordered([row()], "shuffled", block="0.001cycle", seed=1)
    assert permutation(tiny) == permutation(Reordered([row()], "shuffled", block=1, seed=1))


def test_blocks_in_epochs_are_counted_where_the_plan_is_resolved() -> None:
    plan = plan_of(Reordered([row()], "shuffled", block="0.1ep"), total="2ep")
    assert (np.diff(plan.table(steps_per_epoch=50)["loss.x"]) == 1).sum() >= 100 - 20
    assert plan.resolve(steps_per_epoch=50).to_document()["bind"][0]["schedule"]["block"] == "5"
    bare = plan_of(Reordered([row()], "shuffled", block=2), unit="ep", total=8)
    assert bare.bound["loss.x"].schedule.to_document(lambda duration, what: str(duration))["block"] == "2ep"


# -- beside other schedules, and the warm-up --------------------------------------------------------------------


def test_the_warm_up_is_that_of_the_schedule_in_its_own_order() -> None:
    triangle = ost.Cycle("triangular", period=10)
    bindings: dict[str, Any] = {"optimizer.lr": ost.wave(0.1, 1.0), "loss.x": ost.wave(1.0, 2.0, shift=0.3)}
    plan = ost.Plan(total=45, warmup=5, cycle=triangle, bindings=bindings)
    key = ost.wave(0.1, 1.0).schedule
    other = plan.replace(
        {name: ost.Binding(reordered(course.schedule, key, "descending")) for name, course in bindings.items()}
    )
    before, after = plan.resolve(), other.resolve()
    assert np.array_equal(before.table(0, 5), after.table(0, 5))
    assert after.values(5)["optimizer.lr"] == 1.0
    assert before.values(5)["optimizer.lr"] == 0.1
    for curve in after.curves.values():
        assert curve.low <= min(curve(np.arange(45)))
        assert max(curve(np.arange(45))) <= curve.high


def test_a_binding_that_asks_for_the_warm_up_climbs_to_its_own_first_value() -> None:
    course = ost.Binding(Reordered([ost.wave(1.0, 2.0)], "descending"), warmup=True)
    found = plan_of(course, total=104, warmup=4).table()["loss.x"]
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 2.0])


def test_inside_a_join_the_rows_from_there_on_are_put_in_order() -> None:
    later = Reordered([row()], "descending")
    found = plan_of(schedules.join(schedules.hold(0.0), later, at=[90])).table()["loss.x"]
    assert found[90:].tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    nested = Reordered([Reordered([row()], "descending")], "descending")
    assert np.array_equal(plan_of(nested).table()["loss.x"], np.arange(100)[::-1])
    assert plan_of(nested, warmup=3).table()["loss.x"][:4].tolist() == [0, 0, 0, 96]


def test_a_factor_multiplies_values_and_bounds_but_not_the_warm_up() -> None:
    plan = plan_of(Reordered([ost.wave(1.0, 2.0)], "descending", factor=3.0), warmup=2)
    curve = plan.resolve().curves["loss.x"]
    assert (curve.low, curve.high) == (1.0, 6.0)
    assert curve(np.arange(3)).tolist() == [1.0, 1.0, 6.0]


def test_shifting_rotates_the_schedule_and_its_key() -> None:
    course = Reordered([ost.wave(0.0, 1.0), ost.mirror(0.0, 2.0, shift=0.2)], "comonotone")
    shifted = Reordered([ost.wave(0.0, 1.0, shift=0.4), ost.mirror(0.0, 2.0, shift=0.6)], "comonotone")
    assert course.shifted(Fraction("0.4")) == shifted


def test_one_permutation_serves_every_binding() -> None:
    key = row(name="shared")
    bindings: dict[str, Any] = {f"loss.x{i}": Reordered([schedules.hold(i), key], "descending") for i in range(5)}
    resolved = plan_of(None, bindings=bindings).resolve()
    EVALUATED["shared"] = 0
    resolved.table()
    assert EVALUATED["shared"] == 100
    resolved.table()
    resolved.values(7)
    assert EVALUATED["shared"] == 100


def test_nothing_is_put_in_order_before_a_value_is_asked_for() -> None:
    own = schedules.clip(row(name="lazy"), 0.0, 1.0)
    EVALUATED["lazy"] = 0
    resolved = plan_of(Reordered([own], "descending"), total=MOST_ROWS, cycle=ost.Cycle(count=1000)).resolve()
    assert (len(resolved.cycles), len(resolved.digest)) == (1000, 64)
    assert EVALUATED["lazy"] <= 1


# -- errors -----------------------------------------------------------------------------------------------------

HOLD = schedules.hold(1.0)
LR = "schedule = { kind = 'reordered', "
FIELDS: list[tuple[Any, str]] = [
    (lambda: Reordered([HOLD], "descnding"), "order: got 'descnding'; did you mean 'descending'"),
    (lambda: Reordered([HOLD], 3), "order: got 3; known: ascending, comonotone, descending, rotated, shuffled"),
    (lambda: Reordered([], "descending"), "of: order 'descending' takes one or two, [own] or [own, key], got 0 schedules"),
    (lambda: Reordered([HOLD], "comonotone"), "of: order 'comonotone' takes two, [own, key], got 1 schedules"),
    (lambda: Reordered([HOLD, HOLD], "rotated"), "of: order 'rotated' takes one schedule, got 2 schedules"),
    (lambda: Reordered([HOLD], "shuffled"), "block: missing; write block = '0.1cycle' or '100step'"),
    (lambda: Reordered([HOLD], "shuffled", block=0), "block: got 0, expected more than 0"),
    (lambda: Reordered([HOLD], "shuffled", block="x"), "block: got 'x', expected a"),
    (lambda: Reordered([HOLD], "descending", block=4), "block: order 'descending' has no blocks; leave it out"),
    (lambda: Reordered([HOLD], "descending", seed=4), "seed: order 'descending' is not random; leave it out"),
    (lambda: Reordered([HOLD], "rotated", seed=-1), "seed: got -1, expected a whole number from 0 to 2^63 - 1"),
    (lambda: Reordered([HOLD], "rotated", seed=2**63), "seed: got 9223372036854775808, expected a whole number from 0 to 2^63 - 1"),
    (lambda: Reordered([HOLD], "rotated", seed=True), "seed: got True, expected a whole number from 0 to 2^63 - 1"),
    (lambda: Reordered([HOLD], "rotated", seed=1.0), "seed: got 1.0, expected a whole number from 0 to 2^63 - 1"),
    (lambda: Reordered([HOLD], "descending", factor=0.0), "factor: got 0.0, expected more than 0"),
    (lambda: Reordered([HOLD], "descending", factor=float("nan")), "factor: got nan, expected a finite number"),
    (lambda: Reordered([HOLD], "descending")(3), "a reordered schedule needs a total; resolve it in a plan that has one: Plan(total=...)"),
    (lambda: plan_of(Reordered([HOLD], "descending"), total=None).resolve(), "total: missing"),
    (lambda: plan_of(Reordered([HOLD], "descending"), total=MOST_ROWS + 1).resolve(), "loss.x: reordered: 50000001 steps after the warm-up are more than 50000000, the most that are reordered; shorten the total"),
    (lambda: plan_of(Reordered([HOLD], "shuffled", block="0.1cycle"), cycle=None).resolve(), "loss.x: block: 0.1cycle is a share of the shared cycle, which the plan does not have; write '100step'"),
    (lambda: plan_of(Reordered([HOLD], "shuffled", block="2ep")).resolve(), "loss.x: block: 2ep needs steps_per_epoch"),
    (lambda: plan_of(Reordered([HOLD], "rotated"), cycle=None).resolve(), "loss.x: order 'rotated' needs the shared cycle; write Plan(cycle=Cycle('cosine', count=5), ...)"),
    (lambda: plan_of(Reordered([HOLD, HOLD], "comonotone"), cycle=None).resolve(), "loss.x: order 'comonotone' needs the shared cycle"),
    (lambda: plan_of(Reordered([HOLD], "rotated"), cycle=ost.Cycle(count=1)).resolve(), "loss.x: order 'rotated' needs two cycles at least"),
    (lambda: plan_of(Reordered([HOLD], "rotated"), cycle=ost.Cycle(period=100, mult=2)).resolve(), "loss.x: order 'rotated' needs two cycles at least"),
    (lambda: ost.Plan.from_toml("[[bind]]\ntarget = 'loss.x'\n" + LR + "of = [] }"), "loss.x/schedule.order: missing; write order = ..."),
    (lambda: ost.Plan.from_toml("[[bind]]\ntarget = 'loss.x'\n" + LR + "order = 'rotated' }"), "loss.x/schedule.of: missing; write of = ["),
    (lambda: ost.Plan.from_toml("[[bind]]\ntarget = 'loss.x'\n" + LR + "order = 'rotated', of = [], sed = 3 }"), "loss.x/schedule.sed: unknown key; did you mean 'seed'?"),
    (lambda: ost.Plan.from_toml("[[bind]]\ntarget = 'loss.x'\n" + LR + "order = 'rotated', of = [{ kind = 'hold' }] }"), "loss.x/schedule.of.0.value: missing"),
    (lambda: ost.schedule("reordered", version=1)(lambda t: t), "schedule: the name 'reordered' cannot be used"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), FIELDS)
def test_what_cannot_be_is_answered_in_one_line(call: Any, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_limit_is_on_what_follows_the_warm_up() -> None:
    assert reordering.MOST_ROWS == 50_000_000
    plan = plan_of(Reordered([HOLD], "descending"), total=MOST_ROWS + 10, warmup=10, cycle=None)
    assert plan.resolve().total == MOST_ROWS + 10
