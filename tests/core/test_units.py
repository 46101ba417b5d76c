"""Durations, rates and exact numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ostinato as ost
from ostinato.core.units import Duration, Rates, exact, finite, number_text, plain_number, rounded
from ostinato.errors import PlanError

WRITINGS = [
    ("10ep", "10ep"), ("10 epochs", "10ep"), ("10Epoch", "10ep"), ("1e1ep", "10ep"), ("20/2ep", "10ep"), ("10.0ep", "10ep"),
    ("500", "500"), (500, "500"), (500.0, "500"), ("5e2", "500"), (Fraction(500), "500"), (np.int64(500), "500"), (np.float64(500), "500"),
    ("500steps", "500step"), ("1_000step", "1000step"), ("1e6samples", "1000000sample"), ("2e9token", "2000000000token"),
    ("0.5dur", "0.5dur"), ("1/3dur", "1/3dur"), ("3rounds", "3round"), ("2cycles", "2cycle"), (".5ep", "0.5ep"), ("1e-3dur", "0.001dur"),
    (0.1, "0.1"), (np.float64(0.1), "0.1"), ("0.30000000000000004ep", "0.30000000000000004ep"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "canonical"), WRITINGS)
def test_a_duration_has_one_canonical_text(written: Any, canonical: str) -> None:
    assert str(Duration.parse(written)) == canonical
    assert Duration.parse(canonical) == Duration.parse(written)


@given(
    st.one_of(st.fractions(0, 10**9), st.floats(0, 1e25, allow_nan=False).filter(lambda x: x == 0 or x > 1e-25)),
    st.sampled_from(["", "step", "ep", "dur"]),
)
def test_every_duration_reads_back_what_it_writes(value: Any, unit: str) -> None:
    duration = Duration(exact(value), unit or None)
    assert Duration.parse(str(duration)) == duration


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or 1e-30 < abs(x) < 1e30))
def test_a_float_is_the_rational_of_its_shortest_text(value: float) -> None:
    assert float(exact(value)) == value
    assert exact(value) == exact(repr(value)) == exact(np.float64(value))
    assert float(plain_number(exact(value))) == value


def test_plain_numbers_are_the_plainest_that_read_back() -> None:
    for value, plain in [
        (Fraction(3), 3),
        (Fraction(1, 4), 0.25),
        (Fraction(1, 3), "1/3"),
        (Fraction(1, 10**35), f"1/{10**35}"),
        (Fraction(0), 0),
    ]:
        assert plain_number(value) == plain
        assert type(plain_number(value)) is type(plain)
        assert exact(plain_number(value)) == value
    assert number_text(Fraction(5, 2)) == "2.5"


@pytest.mark.parametrize(
    ("value", "expected"), [("5/2", 3), ("7/5", 1), ("3/2", 2), ("1/2", 1), ("0", 0), ("49/100", 0), ("12.499999", 12)]
)
def test_halves_round_up(value: str, expected: int) -> None:
    assert rounded(Fraction(value)) == expected


@pytest.mark.parametrize("value", [1, 1.0, Fraction(1), np.float32(1), np.float64(1), np.int32(1)])
def test_every_kind_of_real_number_is_taken(value: Any) -> None:
    assert exact(value) == 1
    assert finite(value, "low") == 1.0
    assert type(finite(value, "low")) is float


@pytest.mark.parametrize(
    "value", [True, None, [1], 1j, np.bool_(True), float("nan"), float("inf"), 10**400, "nan", "1..2", "", "1/0"]
)
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(PlanError, match=r"^low: got "):
        exact(value, "low")
    with pytest.raises(PlanError, match=r"^low: got "):
        finite(value, "low")


def test_minus_zero_is_zero() -> None:
    assert str(finite(-0.0, "low")) == "0.0"


RATES = Rates(steps_per_epoch=10, samples_per_step=32, tokens_per_step="4096", steps_per_round=20)
CONVERSIONS = [
    ("3ep", "step", 30), ("64sample", "step", 2), ("1sample", "step", Fraction(1, 32)), ("8192token", "step", 2), ("5step", "step", 5),
    ("30step", "ep", 3), ("320sample", "ep", 1), ("2ep", "sample", 640), ("1ep", "token", 40960), ("32sample", "token", 4096), ("7", "ep", 7),
    ("0.25dur", "step", 25), ("0.1dur", "ep", 10), ("3round", "round", 3), ("0.5dur", "round", 50),
    ("3round", "step", 60), ("3round", "ep", 6), ("1ep", "round", Fraction(1, 2)), ("40step", "round", 2),
]  # fmt: skip


@pytest.mark.parametrize(("written", "unit", "expected"), CONVERSIONS)
def test_durations_convert_exactly_by_constant_rates(written: str, unit: str, expected: Any) -> None:
    assert RATES.counts(Duration.parse(written), unit, "total", span=100) == expected


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("3ep", "steps_per_epoch"),
        ("3sample", "samples_per_step"),
        ("3token", "tokens_per_step"),
        ("3round", "steps_per_round"),
    ],
)
def test_a_missing_rate_is_named(written: str, rate: str) -> None:
    with pytest.raises(
        PlanError, match=f"^total: {written} needs {rate}; pass {rate}=... where the plan is resolved or bound$"
    ):
        ost.Plan(total=written).resolve()


@pytest.mark.parametrize("unit", ["step", "round", "ep", "sample", "token"])
def test_a_plan_counts_in_its_own_unit_without_any_rate(unit: str) -> None:
    cycle = ost.Cycle("sawtooth", period=5)
    table = ost.Plan(total=20, warmup=5, unit=unit, cycle=cycle, bindings={"loss.x": ost.wave(0.0, 1.0)}).table()
    assert table["loss.x"][5:].tolist() == [1.0, 0.8, 0.6, 0.4, pytest.approx(0.2)] * 3
    assert ost.Plan(total=20, unit=unit) == ost.Plan(total=f"20{unit}", unit=unit)


def test_units_of_one_plan_mix() -> None:
    plan = ost.Plan(
        total="640sample", warmup="1ep", cycle=ost.Cycle(period="0.5dur"), bindings={"optimizer.lr": ost.wave(0.0, 1.0)}
    )
    resolved = plan.resolve(steps_per_epoch=4, samples_per_step=32)
    assert (resolved.total, resolved.warmup, [span.start for span in resolved.cycles]) == (20, 4, [4, 12])


def test_in_a_period_dur_is_the_total_less_the_warm_up_and_in_a_warm_up_the_total() -> None:
    resolved = ost.Plan(total=100, warmup="0.2dur", cycle=ost.Cycle(period="0.25dur")).resolve()
    assert resolved.warmup == 20
    assert [(span.start, span.end) for span in resolved.cycles] == [(20, 40), (40, 60), (60, 80), (80, 100)]


@pytest.mark.parametrize(
    ("rate", "expected"), [(391, 391), ("391", 391), (390.5, 391), ("2/3", 1), (np.int64(7), 7), (np.float64(2.5), 3)]
)
def test_rates_may_be_any_number(rate: Any, expected: int) -> None:
    assert ost.Plan(total="1ep").resolve(steps_per_epoch=rate).total == expected


def test_known_rates_are_a_document() -> None:
    assert RATES.to_document() == {
        "steps_per_epoch": 10,
        "samples_per_step": 32,
        "tokens_per_step": 4096,
        "steps_per_round": 20,
    }
    assert Rates(steps_per_epoch=0.5).to_document() == {"steps_per_epoch": 0.5}
