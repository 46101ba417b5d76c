"""The model of memory: its exact solution against an integrator and a loop, and constants that are found again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

import ostinato as ost
from ostinato.applications.privacy import Memory, fit_memory
from ostinato.errors import ConfigError, DataError

TRUE = Memory(learning=0.02, grip=0.5, forgetting=6.0, scale=0.2)


def rates_of(waveform: str = "cosine", steps: int = 800) -> np.ndarray:
    plan = ost.Plan(total=steps, cycle=ost.Cycle(waveform, count=4), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    return plan.table()["optimizer.lr"]


def test_the_course_is_the_solution_of_the_equations_under_any_plan() -> None:
    rates = np.concatenate([rates_of(steps=80), [0.0, 3.0, 0.5]])
    memory = Memory(learning=0.8, grip=2.0, forgetting=9.0)

    def slope(t: float, state: np.ndarray) -> list[float]:
        r = rates[min(int(t), len(rates) - 1)]
        s, m = state
        return [memory.learning * r * (1 - s), memory.grip * r * (s - m) - memory.forgetting * r**2 * m]

    state, found = np.zeros(2), []
    for t in range(len(rates)):
        state = solve_ivp(slope, (t, t + 1 - 1e-9), state, rtol=1e-11, atol=1e-13).y[:, -1]
        found.append(state[1])
    assert memory.course(rates) == pytest.approx(found, abs=1e-7)


def test_at_a_constant_rate_it_is_the_closed_form() -> None:
    r, t = 0.1, np.arange(1, 601)
    p, q = TRUE.grip * r + TRUE.forgetting * r**2, TRUE.learning * r
    wanted = TRUE.grip * r * ((1 - np.exp(-p * t)) / p - (np.exp(-q * t) - np.exp(-p * t)) / (p - q))
    assert TRUE.course(np.full(600, r)) == pytest.approx(wanted, abs=1e-12)
    held = {rate: TRUE.course(np.full(200_000, rate))[-1] for rate in (0.05, 0.1, 0.4)}
    assert held == pytest.approx({rate: 0.5 / (0.5 + 6.0 * rate) for rate in held}, abs=1e-6)


@given(
    st.lists(st.sampled_from([0.0, 1e-9, 0.01, 0.3, 5.0, 80.0]), min_size=1, max_size=60),
    st.sampled_from([(0.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.02, 0.5, 6.0), (3.0, 0.0, 1.0)]),
)
@settings(deadline=None)
def test_the_course_is_that_of_a_loop_and_stays_between_0_and_1(
    rates: list[float], constants: tuple[float, ...]
) -> None:
    memory = Memory(*constants)
    m, learnt, found = 0.0, 0.0, []
    for r in rates:
        p, q = memory.grip * r + memory.forgetting * r * r, memory.learning * r
        part = math.exp(-p) if abs(p - q) < 1e-9 else (math.exp(-q) - math.exp(-p)) / (p - q)
        whole = 1.0 if p < 1e-12 else -math.expm1(-p) / p
        m = m * math.exp(-p) + memory.grip * r * (whole - math.exp(-learnt) * part)
        learnt += q
        found.append(m)
    course = memory.course(rates)
    assert course == pytest.approx(found, abs=1e-8)
    assert ((course >= -1e-8) & (course <= 1.0 + 1e-9)).all()


def test_memory_breathes_with_the_rate_and_a_falling_rate_only_lets_it_grow() -> None:
    cycles = TRUE.course(rates_of(steps=4_000)).reshape(4, 1_000)
    assert (cycles[1:, 250] < cycles[:-1, -1] - 0.02).all()  # the restart loosens the grip
    assert (cycles[:, -1] == cycles.max(axis=1)).all()
    falling = TRUE.course(np.sort(rates_of(steps=4_000))[::-1])
    assert (np.diff(falling) > -1e-12).all()


def test_planted_constants_are_found_within_their_intervals() -> None:
    generator = np.random.default_rng(0)
    at = np.arange(19, 800, 20)
    courses, hits = [(rates, at) for rates in (rates_of() * 4, np.sort(rates_of() * 4)[::-1])], 0
    for _ in range(10):
        measured = [
            (rates, at, TRUE.leak(rates)[at][:, None] + 0.003 * generator.normal(size=(len(at), 6)))
            for rates, at in courses
        ]
        found = fit_memory(measured)
        hits += sum(getattr(TRUE, name) in interval for name, interval in found.intervals.items())
    assert set(found.intervals) == {"learning", "grip", "forgetting", "scale"}
    assert hits >= 32  # of 40; 95 % intervals give 38 in the mean
    assert found.explained > 0.98
    exact = fit_memory([(rates, at, TRUE.leak(rates)[at]) for rates, at in courses])
    assert exact.intervals == {}
    assert exact.memory.forgetting == pytest.approx(6.0, rel=1e-3)
    assert exact.explained == pytest.approx(1.0)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected finite numbers >= 0"):
        Memory(learning=-1.0, grip=1.0, forgetting=1.0)
    with pytest.raises(DataError, match="expected one row of finite numbers >= 0"):
        TRUE.course([0.1, -0.1])
    with pytest.raises(DataError, match="at least 5 measurements"):
        fit_memory([(np.ones(9), [1, 2], [0.5, 0.6])])
    with pytest.raises(DataError, match="expected places among the updates"):
        fit_memory([(np.ones(9), [1, 2, 9], [0.5, 0.6, 0.6])])
