"""One binding turned, and the dose of weight decay kept while its course changes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato import controls
from ostinato.controls import Control, make
from ostinato.core.schedules import Hold, Wave
from ostinato.errors import PlanError
from strategies import RATES, cycles, shifts, totals, warmups

LR, WD, P = "optimizer.lr", "optimizer.weight_decay", "model:Dropout.p"
DECAYS = st.sampled_from([
    ost.wave(1e-4, 0.1), ost.mirror(0.001, 0.2, shift=0.25), ost.wave(1e-3, 0.1, scale="geometric"),
    ost.wave(0.5, 2.0, relative=True), ost.wave(1e-5, 1e-3, effective=True), ost.mirror(1e-5, 1e-3, effective=True, shift=0.3),
    ost.schedules.product(ost.wave(0.5, 1.0), ost.schedules.linear(0.1, 0.2)), ost.wave(1e-4, 0.1, cycle=ost.Cycle("sine", period="2cycle")),
])  # fmt: skip


def plan_of(decay: Any = None, **given: Any) -> ost.Plan:
    bindings = {LR: ost.wave(0.01, 0.1), WD: ost.mirror(0.0, 0.2) if decay is None else decay, P: ost.mirror(0.0, 0.3)}
    return ost.Plan(**({"total": 80, "cycle": ost.Cycle("sine", count=4), "bindings": bindings} | given))


def dose(plan: ost.Plan, product: bool, **rates: Any) -> float:
    table = plan.resolve(**(rates or RATES)).table()
    return float(np.mean(table[WD] * (table[LR] if product else 1.0)))


@settings(max_examples=80, deadline=None)
@given(cycles(), totals, warmups, DECAYS, st.none() | shifts, st.booleans())
def test_the_dose_is_the_plans_to_the_last_digits(
    cycle: ost.Cycle, total: Any, warmup: Any, decay: Any, shift: float | None, product: bool
) -> None:
    plan = plan_of(decay, total=total, warmup=warmup, cycle=cycle)
    name = "matched_product" if product else "matched_decay"
    control = make(name, plan, shift=shift, **RATES)
    assert dose(control.plan, product) == pytest.approx(dose(plan, product), rel=1e-12)
    table, own = control.plan.resolve(**RATES).table(), plan.resolve(**RATES).table()
    for other in (LR, P):
        assert table[other].tobytes() == own[other].tobytes()
    if shift is None:
        assert isinstance(control.plan.bound[WD].schedule, Hold)
        assert np.ptp(table[WD]) == 0.0
    elif shift:
        assert control.plan.bound[WD].effective == plan.bound[WD].effective
    document = control.to_document()
    assert set(document) == {"transform", "source", "seed", "options"}
    again = Control.from_document(document)
    assert (again.plan, again.plan.digest) == (control.plan, control.plan.digest)


def test_the_shift_turns_the_decay_and_nothing_else() -> None:
    plan = plan_of(ost.wave(1e-4, 0.1, shift=0.25))
    control = controls.shifted(plan, shift=0.5)
    assert control == plan.replace({f"{WD}/shift": 0.75})
    assert controls.shifted(plan, target=P, shift=Fraction(1, 8)) == plan.replace({f"{P}/shift": 0.125})
    assert controls.shifted(plan, shift=1) == plan
    assert controls.shifted(plan.replace({WD: None})).bound[P].shifted(Fraction(1, 2)) == plan.bound[P]
    with pytest.raises(PlanError, match="steps_per_epoch: got"):
        controls.shifted(plan, steps_per_epoch=-1)


def test_a_sweep_has_every_shift_once() -> None:
    plan = plan_of(ost.wave(1e-4, 0.1, shift=0.2))
    sweep = controls.shifts(plan, WD, 8)
    assert list(sweep) == [place / 8 for place in range(8)]
    assert sweep[0.0] == plan
    schedules = [each.bound[WD].schedule for each in sweep.values()]
    assert [each.shift for each in schedules if isinstance(each, Wave)] == pytest.approx(
        [(0.2 + place / 8) % 1 for place in range(8)]
    )
    assert len({each.digest for each in sweep.values()}) == 8
    assert controls.shifts(plan, n=2) == {0.0: plan, 0.5: controls.shifted(plan)}


@pytest.mark.parametrize("effective", [False, True])
def test_the_two_sweeps_separate_phase_from_dose(effective: bool) -> None:
    decay = ost.wave(1e-4, 0.1, effective=effective)
    plan = plan_of(decay, warmup=9)
    by_decay, by_product = (controls.shifts(plan, WD, 8, match=match) for match in ("decay", "product"))
    for shift in by_decay:
        assert dose(by_decay[shift], False) == pytest.approx(dose(plan, False), rel=1e-12)
        assert dose(by_product[shift], True) == pytest.approx(dose(plan, True), rel=1e-12)
        assert by_product[shift] == (controls.matched_product(plan, shift=shift) if shift else plan)
    if not effective:  # turned, the same mean decay is another dose: that is what the second sweep is for
        assert dose(by_decay[0.5], True) < 0.6 * dose(plan, True)


def test_several_groups_keep_their_own_doses() -> None:
    bindings = {
        "optimizer[0].lr": ost.wave(0.01, 0.1), "optimizer[1].lr": ost.wave(0.1, 0.3),
        "optimizer[0].weight_decay": ost.wave(0.0, 0.1), "optimizer[1].weight_decay": ost.mirror(0.0, 0.5),
    }  # fmt: skip
    plan = ost.Plan(total=60, cycle=ost.Cycle("sine", count=3), bindings=bindings)
    before, after = plan.table(), controls.matched_product(plan, shift=0.25).table()
    for group in (0, 1):
        one, other = (
            float(np.mean(table[f"optimizer[{group}].lr"] * table[f"optimizer[{group}].weight_decay"]))
            for table in (before, after)
        )
        assert other == pytest.approx(one, rel=1e-12)


def test_reordered_decays_are_multiplied() -> None:
    plan = controls.phase_shuffled(plan_of(), seed=3)
    control = controls.matched_product(plan, shift=0.25)
    assert dose(control, True) == pytest.approx(dose(plan, True), rel=1e-12)
    assert control.bound[WD].schedule != plan.bound[WD].schedule


@pytest.mark.parametrize(
    ("make_control", "message"),
    [
        (lambda: controls.shifted(plan_of(), target="x.y"), "shifted: target: no binding drives 'x.y'"),
        (lambda: controls.shifted(plan_of(0.1), target=WD), "shifted: shift: optimizer.weight_decay has no wave that could be turned"),
        (lambda: controls.shifted(plan_of(), shift="x"), "shifted: shift: got 'x'"),
        (lambda: controls.shifted(ost.Plan(bindings={LR: 0.1})), "shifted: target: all bindings are rates"),
        (lambda: controls.shifts(plan_of(), n=1), "shifts: n: got 1, expected a whole number from 2 to 1,000"),
        (lambda: controls.shifts(plan_of(), n=True), "shifts: n: got True"),
        (lambda: controls.shifts(plan_of(), match="dose"), "shifts: match: got 'dose', expected 'decay', 'product' or None"),
        (lambda: controls.shifts(plan_of(), P, match="decay"), "shifts: match: 'model:Dropout.p' is no weight decay"),
        (lambda: controls.matched_decay(plan_of().replace({WD: None})), "matched_decay: the plan drives no weight decay"),
        (lambda: controls.matched_product(plan_of(0.0)), "the mean of optimizer.lr·optimizer.weight_decay is 0 in the plan and 0.055 here"),
        (lambda: controls.matched_decay(plan_of(total="3ep")), "matched_decay: total: .*steps_per_epoch"),
        (lambda: make("matched_decay", plan_of(), shfit=0.5), "matched_decay: shfit: unknown option; did you mean 'shift'"),
        (lambda: controls.matched_decay(ost.Plan()), "matched_decay: the plan drives nothing"),
        (lambda: controls.shifts([], n=3), "shifts: got list, expected an ostinato.Plan"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_line(make_control: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        make_control()
    assert "\n" not in str(caught.value)
