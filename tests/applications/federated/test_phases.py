"""A client's phase is a pure function of who it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ostinato as ost
from ostinato.applications.federated import Phases
from ostinato.applications.federated.phases import ASSIGNMENTS
from ostinato.errors import ConfigError


def phases_of(phases: Phases) -> list[float]:
    return [phases.of(client) for client in range(phases.clients)]


@given(st.integers(1, 40), st.one_of(st.none(), st.integers(0, 10**6)))
def test_equispaced_phases_are_the_shares_of_a_cycle_whoever_gets_which(clients: int, seed: int | None) -> None:
    assert sorted(phases_of(Phases(clients, seed=seed))) == [place / clients for place in range(clients)]


def test_a_seed_draws_who_gets_which_phase() -> None:
    drawn = {tuple(phases_of(Phases(10, seed=seed))) for seed in range(20)}
    assert len(drawn) > 15
    firsts = np.mean([[phase == 0.0 for phase in phases] for phases in drawn], axis=0)
    assert (firsts < 0.5).all()


def test_fewer_phases_than_clients_are_shared_evenly() -> None:
    found = phases_of(Phases(10, phases=5, seed=3))
    assert sorted(found) == sorted([0.0, 0.2, 0.4, 0.6, 0.8] * 2)


def test_golden_phases_move_nobody_when_clients_join() -> None:
    few, many = Phases(5, "golden"), Phases(500, "golden")
    assert phases_of(few) == phases_of(many)[:5]
    gaps = np.diff(np.sort([*phases_of(many), 1.0]))
    assert gaps.max() < 2 / 500 * 1.7  # Steinhaus: three different gaps, none far from 1/n
    turned = np.array(phases_of(Phases(500, "golden", seed=1))) - phases_of(many)
    assert np.ptp(turned % 1.0) == pytest.approx(0.0, abs=1e-12)


def test_random_phases_are_uniform_and_the_same_everywhere() -> None:
    found = np.sort(phases_of(Phases(2_000, "random", seed=1)))
    assert np.abs(found - np.arange(2_000) / 2_000).max() < 1.63 / np.sqrt(2_000)  # Kolmogorov and Smirnov, 1 %
    assert Phases(3, "random", seed=1).of(2) == 0.8485347291036912


def test_together_is_no_phase_at_all() -> None:
    assert phases_of(Phases(3, "together", seed=5)) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_a_document_says_all(assignment: str) -> None:
    phases = Phases(6, assignment, seed=4)
    assert Phases.from_document(phases.to_document()) == phases
    assert all(0.0 <= phase < 1.0 for phase in phases_of(phases))


def test_a_clients_plan_is_the_common_one_late_by_its_phase() -> None:
    plan = ost.Plan(total=8, cycle=ost.Cycle("triangular", period=8), bindings={"optimizer.lr": ost.wave(0.0, 1.0)})
    own = Phases(4).plan_of(1, plan).table()["optimizer.lr"]
    assert own.tolist() == np.roll(plan.table()["optimizer.lr"], 2).tolist()


BAD: list[tuple[Any, str]] = [
    (lambda: Phases(10, phases=12), "phases: got 12 for 10 clients, so that some would be nobody's; expected at most 10"),
    (lambda: Phases(0), "clients: got 0, expected a whole number >= 1"),
    (lambda: Phases(3, "equispacd"), "assignment: got 'equispacd'; did you mean 'equispaced'"),
    (lambda: Phases(3, "golden", phases=2), "phases: 'golden' has as many as clients; leave it out, or write assignment='equispaced'"),
    (lambda: Phases(3, seed=-1), "seed: got -1, expected a whole number >= 0"),
    (lambda: Phases(3).of(3), "client: got 3, expected a number from 0 to 2"),
    (lambda: Phases(3).of(True), "client: got True, expected a number from 0 to 2"),
    (lambda: Phases.from_document({"client": 3}), "phases: got {'client': 3}, expected what Phases.to_document() returned"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "line"), BAD, ids=[line for _, line in BAD])
def test_what_cannot_be_is_said_in_one_line(call: Any, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        call()
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)
