"""Warm-up, domains, effective and relative values: what `resolve` settles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ostinato as ost
from ostinato import schedules
from ostinato.errors import DomainError, PlanError
from strategies import decimals

# -- warm-up ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 60), decimals(0.001, 2.0), st.sampled_from(["cosine", "sine", "triangular", "constant"]))
def test_update_t_of_a_warm_up_uses_first_times_t_plus_1_over_w_plus_1(w: int, high: float, name: str) -> None:
    cycle = ost.Cycle(name, period=10)
    bindings = {
        "optimizer.lr": ost.wave(0.001, high),
        "loss.x": ost.wave(0.001, high),
        "loss.y": ost.wave(0.001, high, warmup=True),
    }
    if high < 0.001:
        return
    resolved = ost.Plan(total=w + 20, warmup=w, cycle=cycle, bindings=bindings).resolve()
    table = resolved.table()
    first = high if name in ("cosine", "constant") else 0.001
    climb = [first * (t + 1) / (w + 1) for t in range(w)]
    assert np.allclose(table["optimizer.lr"][:w], climb, rtol=1e-14, atol=0)
    assert table["loss.y"].tolist() == table["optimizer.lr"].tolist()
    assert table["loss.x"][:w].tolist() == [first] * w
    assert table["optimizer.lr"][w:].tolist() == table["loss.x"][w:].tolist()
    assert table["optimizer.lr"][w] == first
    assert (resolved.warmup, resolved.cycles[0].start) == (w, w)


@pytest.mark.parametrize(
    ("target", "warms"),
    [("optimizer.lr", True), ("optimizer[0].lr", True), ("generator.lr", True), ("optimizer.weight_decay", False), ("model:Net.lr", False), ("loss.alpha", False)],
)  # fmt: skip
def test_the_warm_up_is_for_rates(target: str, warms: bool) -> None:
    plan = ost.Plan(total=10, warmup=4, bindings={target: 1.0})
    assert plan.table()[target][0] == (0.2 if warms else 1.0)
    assert plan.replace({f"{target}/warmup": not warms}).table()[target][0] == (1.0 if warms else 0.2)


@pytest.mark.parametrize(("w", "expected"), [("0.25ep", 3), ("1ep", 10), (0, 0), ("0.04ep", 0), ("0.05ep", 1)])
def test_a_warm_up_is_rounded_to_whole_steps(w: Any, expected: int) -> None:
    assert ost.Plan(total=50, warmup=w).resolve(steps_per_epoch=10).warmup == expected


def test_five_cycles_after_a_warm_up_of_one_epoch_fill_51_epochs() -> None:
    resolved = ost.Plan(total="51ep", warmup="1ep", cycle=ost.Cycle(period="10ep")).resolve(steps_per_epoch=391)
    assert resolved.total == 51 * 391
    assert resolved.snapshots == [391 + 3910 * k - 1 for k in range(1, 6)]
    assert not resolved.truncated
    assert resolved.plan.replace({"cycle.count": 5}).resolve(steps_per_epoch=391).snapshots == resolved.snapshots


# -- domains ----------------------------------------------------------------------------------------------------

DOMAINS = [
    ("optimizer.lr", -0.1, "a number in [0, inf)"),
    ("optimizer.weight_decay", -0.1, "a number in [0, inf)"),
    ("optimizer.eps", -1e-9, "a number in [0, inf)"),
    ("optimizer.momentum", 1.0, "a number in [0, 1)"),
    ("optimizer[0].betas.0", 1.0, "a number in [0, 1)"),
    ("optimizer.dampening", 1.5, "a probability in [0, 1]"),
    ("model:Dropout.p", 1.5, "a probability in [0, 1]"),
    ("model.encoder:Dropout2d.p", -0.5, "a probability in [0, 1]"),
    ("model:DropPath.drop_prob", 1.01, "a probability in [0, 1]"),
    ("model:BatchNorm.momentum", 1.5, "a probability in [0, 1]"),
    ("loss.label_smoothing", 2.0, "a probability in [0, 1]"),
]


@pytest.mark.parametrize(("target", "value", "domain"), DOMAINS)
def test_a_value_outside_its_domain_is_refused_with_target_step_and_value(
    target: str, value: float, domain: str
) -> None:
    with pytest.raises(DomainError) as caught:
        ost.Plan(total=10, bindings={target: value}).resolve()
    assert (
        str(caught.value)
        == f"{target}: {value:g} at step 0, expected {domain}; change low and high, or say domain=[low, high]"
    )
    ost.Plan(total=10, bindings={target: ost.Binding(schedules.hold(value), domain=(-5.0, 5.0))}).resolve()


@pytest.mark.parametrize(
    ("target", "value"),
    [("model:Dropout.p", 1.0), ("optimizer.momentum", 0.999), ("optimizer.lr", 1e9), ("optimizer.lr", 0.0), ("model:BatchNorm.momentum", 1.0), ("loss.gamma", -3.0)],
)  # fmt: skip
def test_the_ends_of_a_domain_belong_to_it_and_unknown_keys_need_only_be_finite(target: str, value: float) -> None:
    assert ost.Plan(total=3, bindings={target: value}).table()[target].tolist()[-1] == value


def test_a_schedule_of_ones_own_is_looked_at_by_blocks_to_its_last_step() -> None:
    @ost.schedule("test_resolved.late", version=1)
    def late(t: Any, *, at: int, value: float) -> Any:
        return np.where(t == at, value, 0.5)

    total = 40_000
    for at, value in [(total - 1, 1.5), (17_000, float("1e300")), (0, -0.25)]:
        plan = ost.Plan(total=total, bindings={"model:Dropout.p": late(at=at, value=value)})
        with pytest.raises(DomainError, match=rf"^model:Dropout.p: .* at step {at}, expected a probability in"):
            plan.resolve()
    ost.Plan(total=total, bindings={"model:Dropout.p": late(at=total, value=1.5)}).resolve()  # never reached


def test_a_schedule_that_is_not_finite_is_refused() -> None:
    @ost.schedule("test_resolved.hole", version=1)
    def hole(t: Any, *, at: int) -> Any:
        return np.where(t == at, np.nan, 0.5)

    with pytest.raises(DomainError, match=r"^loss.x: nan at step 7, expected a finite number"):
        ost.Plan(total=10, bindings={"loss.x": hole(at=7)}).resolve()
    ost.Plan(total=7, bindings={"loss.x": hole(at=7)}).resolve()


def test_a_domain_is_checked_on_the_values_and_not_on_bounds_that_are_only_possible() -> None:
    never_above_one = schedules.linear(0.0, 1.0, over=10) + schedules.linear(1.0, 0.0, over=10)
    table = ost.Plan(total=20, bindings={"model:Dropout.p": ost.Binding(never_above_one)}).table()
    assert table["model:Dropout.p"].max() <= 1.0


# -- effective and relative -------------------------------------------------------------------------------------


def decay(**options: Any) -> ost.Plan:
    rate = options.pop("rate", ost.wave(0.01, 0.1))
    return ost.Plan(
        total=45,
        warmup=5,
        cycle=ost.Cycle(period=10),
        bindings={"optimizer.weight_decay": ost.wave(1e-4, 1e-3, shift=0.5, effective=True), "optimizer.lr": rate}
        | options,
    )


def test_an_effective_decay_makes_the_product_with_the_rate_follow_the_schedule() -> None:
    table = decay().table()
    plain = decay().replace({"optimizer.weight_decay/effective": False}).table()
    assert np.allclose(
        table["optimizer.weight_decay"] * table["optimizer.lr"], plain["optimizer.weight_decay"], rtol=1e-14, atol=0
    )
    assert table["optimizer.lr"].tolist() == plain["optimizer.lr"].tolist()
    curve = decay().resolve().curves["optimizer.weight_decay"]
    assert curve.low <= table["optimizer.weight_decay"].min() <= table["optimizer.weight_decay"].max() <= curve.high


@pytest.mark.parametrize(
    "rate",
    [ost.wave(0.0, 0.1), ost.wave(0.5, 1.0, relative=True), None],
)
def test_an_effective_decay_needs_a_rate_that_is_absolute_and_stays_above_zero(rate: Any) -> None:
    plan = decay().replace({"optimizer.lr": rate})
    with pytest.raises(
        PlanError, match=r"^optimizer.weight_decay/effective: needs a binding of 'optimizer.lr' on the same groups"
    ):
        plan.resolve()


def test_only_a_decay_is_effective() -> None:
    plan = ost.Plan(
        total=9, bindings={"optimizer.lr": 0.1, "optimizer.eps": ost.Binding(schedules.hold(1.0), effective=True)}
    )
    with pytest.raises(PlanError, match=r"^optimizer.eps/effective: only a weight decay has an effective value"):
        plan.resolve()
    with pytest.raises(PlanError, match=r"needs a binding of 'other\[head\].lr'"):
        decay(**{"other[head].weight_decay": ost.Binding(schedules.hold(0.1), effective=True)}).resolve()


def test_a_relative_binding_resolves_to_its_factor_whose_domain_waits_for_the_originals() -> None:
    plan = ost.Plan(
        total=4, bindings={"optimizer.momentum": ost.Binding(schedules.linear(0.5, 1.1, over=3), relative=True)}
    )
    assert plan.table()["optimizer.momentum"][-1] == pytest.approx(1.1)


# -- totals -----------------------------------------------------------------------------------------------------


def test_a_total_is_rounded_to_whole_counts() -> None:
    assert ost.Plan(total="2.5ep").resolve(steps_per_epoch=3).total == 8
    assert ost.Plan(total="0.5ep").resolve(steps_per_epoch=1).total == 1
    with pytest.raises(PlanError, match=r"^total: 0.4ep is less than one step$"):
        ost.Plan(total="0.4ep").resolve(steps_per_epoch=1)


def test_a_plan_is_immutable_and_hashable() -> None:
    plan = decay()
    with pytest.raises(AttributeError):
        plan.total = 3
    with pytest.raises(TypeError):
        plan.bindings["optimizer.lr"] = 3
    assert {plan, decay()} == {plan}
    given = {"loss.x": 0.5}
    made = ost.Plan(bindings=given)
    given["loss.y"] = 0.1
    assert list(made.bindings) == ["loss.x"]


def test_a_bound_wave_inside_another_schedule_must_have_no_options() -> None:
    assert schedules.join(ost.wave(0.0, 1.0), 0.5, at=[3]) == schedules.join(ost.wave(0.0, 1.0).schedule, 0.5, at=[3])
    with pytest.raises(PlanError, match="relative, effective, warmup and domain belong to the whole binding"):
        schedules.join(ost.wave(0.0, 1.0, relative=True), 0.5, at=[3])
