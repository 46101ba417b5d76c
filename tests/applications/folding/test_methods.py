"""Descents against scipy, searches that keep to their budget, annealing that follows its plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import ostinato as ost
from ostinato.applications.folding import (
    BasinHopping,
    Descent,
    Energy,
    Multistart,
    anneal,
    fibonacci,
    polish,
    random_angles,
    search,
)
from ostinato.errors import PlanError, TargetError

F13 = fibonacci(13)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("model", "dim"), [("I", 2), ("II", 3), ("azimuth", 3)])
def test_descents_end_where_those_of_scipy_end(model: str, dim: int) -> None:
    energy = Energy(F13, model, dim)
    rough = polish(energy, random_angles(energy, 6, draws()), 2_000, tolerance=1e-3)[1]
    starts = rough + 0.02 * torch.randn(rough.shape, generator=draws(1), dtype=torch.float64)
    energy.evaluations = 0
    values, angles = polish(energy, starts, 500, tolerance=1e-6)
    ours = energy.evaluations / 6

    def one(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = energy.with_gradient(torch.from_numpy(x)[None])
        return float(value), gradient[0].numpy()

    options = {"gtol": 1e-6, "ftol": 0.0, "maxfun": 5_000, "maxcor": 8}
    peers = [minimize(one, start.numpy(), jac=True, method="L-BFGS-B", options=options) for start in starts]
    assert values.numpy() == pytest.approx([peer.fun for peer in peers], abs=1e-9)
    assert (energy.with_gradient(angles)[1].abs() <= 1e-6).all()
    assert ours < 2.0 * np.mean([peer.nfev for peer in peers])


def test_finished_chains_cost_nothing_and_a_budget_is_kept() -> None:
    energy = Energy(F13, "azimuth")
    starts = random_angles(energy, 10, draws())
    _, angles = polish(energy, starts, 50)
    assert energy.evaluations == 500
    values, ends = polish(energy, angles, 2_000)
    spent = energy.evaluations
    again, _ = polish(energy, ends, 2_000)
    assert energy.evaluations == spent + 10  # one look each
    assert again.tolist() == values.tolist()
    assert spent < 500 + 10 * 2_000


def test_a_restart_leaves_the_other_chains_alone() -> None:
    energy = Energy(F13, "I", 2)
    starts = random_angles(energy, 4, draws())
    alone, mixed = Descent(energy, starts), Descent(energy, starts)
    which = torch.tensor([True, False, False, True])
    for step in range(60):
        if step == 20:
            mixed.restart(which, random_angles(energy, 2, draws(5)))
            assert torch.isinf(mixed.values[which]).all()
        alone.step()
        mixed.step()
    assert mixed.values[~which].tolist() == alone.values[~which].tolist()
    fresh = Descent(energy, random_angles(energy, 2, draws(5)))
    for _ in range(40):
        fresh.step()
    assert mixed.values[which].numpy() == pytest.approx(fresh.values.numpy(), rel=1e-9)


@pytest.mark.parametrize("rule", ["multistart", "hopping"])
def test_a_search_uses_its_budget_to_the_last_evaluation(rule: str) -> None:
    energy, generator = Energy(F13, "azimuth"), draws()
    starts = random_angles(energy, 12, generator)
    found = search(energy, starts, Multistart(generator) if rule == "multistart" else BasinHopping(12, generator), 1_500, target=-5.0)  # fmt: skip
    assert energy.evaluations == 12 * 1_500
    assert energy(found.angles).numpy() == pytest.approx(found.values.numpy(), rel=1e-9)
    assert (found.minima >= 2).all()
    assert (np.diff(found.mean) <= 0).all()
    assert found.lowest[-1] == found.values.min()
    hit = found.reached > 0
    assert 0 < hit.sum() < 12 or hit.all()
    assert (found.values.numpy()[hit] <= -5.0).all()
    assert (found.values.numpy()[~hit] > -5.0).all()


def test_hopping_at_no_temperature_never_leaves_a_minimum_for_a_higher_one() -> None:
    energy = Energy(F13, "azimuth")
    rule = BasinHopping(3, draws(), size=0.0, temperature=1e-9)
    which, low = torch.arange(3), torch.ones(3, energy.angles, dtype=torch.float64)
    values = torch.tensor([-1.0, -2.0, -3.0], dtype=torch.float64)
    assert rule.next_starts(energy, which, low, values).equal(low)
    assert rule.next_starts(energy, which, 2 * low, values + 0.1).equal(low)
    assert rule.next_starts(energy, which, 3 * low, values - 0.1).equal(3 * low)


def plan(total: int = 300, **bindings: Any) -> ost.Plan:
    return ost.Plan(total=total, cycle=ost.Cycle("cosine", count=3), bindings=bindings)


def test_annealing_is_adam_under_the_plan() -> None:
    """Parity with torch's loop, written out, on chains whose gradients need no shortening."""
    energy = Energy("ABBAB", "I", 2)
    starts = random_angles(energy, 5, draws()) / 4
    given = plan(90, **{"optimizer.lr": ost.wave(1e-4, 0.02)})
    course = anneal(energy, starts, given)
    angles = starts.clone().requires_grad_(True)
    optimizer, rates = torch.optim.Adam([angles], betas=(0.9, 0.99)), given.table()["optimizer.lr"]
    for step, rate in enumerate(rates):
        value, angles.grad = energy.with_gradient(angles.detach())
        assert course.mean[step] == pytest.approx(float(value.mean()), rel=1e-9)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    assert course.angles.numpy() == pytest.approx(angles.detach().numpy(), rel=1e-9)


def test_noise_follows_its_own_binding_and_seed() -> None:
    energy = Energy(F13, "azimuth")
    starts = random_angles(energy, 8, draws())
    rate = ost.wave(0.0, 0.05)

    def ends(seed: int, high: float) -> torch.Tensor:
        return anneal(
            energy, starts, plan(**{"optimizer.lr": rate, "noise.scale": ost.wave(0.0, high)}), seed=seed
        ).angles

    silent = anneal(energy, starts, plan(**{"optimizer.lr": rate})).angles
    assert ends(1, 0.0).equal(silent)
    assert ends(1, 3.0).equal(ends(1, 3.0))
    assert not ends(1, 3.0).equal(ends(2, 3.0))
    assert not ends(1, 3.0).equal(silent)


def test_a_plan_without_the_rate_or_with_another_target_is_refused() -> None:
    energy = Energy(F13)
    starts = random_angles(energy, 2, draws())
    with pytest.raises(PlanError, match=r"plan: got the targets noise\.scale, expected optimizer\.lr"):
        anneal(energy, starts, plan(**{"noise.scale": ost.wave(0.0, 1.0)}))
    with pytest.raises(TargetError, match="model"):
        anneal(energy, starts, plan(**{"optimizer.lr": ost.wave(0.0, 0.1), "model:Dropout.p": ost.wave(0.0, 0.1)}))
