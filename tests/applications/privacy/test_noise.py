"""Noise on the clock: Opacus' optimizer driven by a plan, and its epsilon against an independent accountant."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.applications.privacy import ScheduledNoise, epsilon
from ostinato.errors import ConfigError, DataError

RATE, DELTA = 0.02, 1e-5


def plan(total: int = 12) -> ost.Plan:
    return ost.Plan(
        total=total,
        cycle=ost.Cycle("cosine", count=2),
        bindings={
            "optimizer.lr": ost.wave(0.01, 0.2),
            "privacy.noise_multiplier": ost.mirror(0.8, 2.0),
            "privacy.max_grad_norm": ost.wave(0.5, 1.5, shift=0.25),
        },
    )


def independent(noise: Any) -> float:
    """The epsilon of dp-accounting, update by update."""
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant
    from opacus.accountants import RDPAccountant

    accountant = RdpAccountant(RDPAccountant.DEFAULT_ALPHAS)
    for value in noise:
        accountant.compose(dp_accounting.PoissonSampledDpEvent(RATE, dp_accounting.GaussianDpEvent(float(value))))
    return float(accountant.get_epsilon(DELTA))


def test_epsilon_under_scheduled_noise_is_that_of_another_accountant() -> None:
    noise = plan().table()["privacy.noise_multiplier"]
    assert len(np.unique(noise)) == 6  # both cycles have the same
    found = epsilon(noise, sample_rate=RATE, delta=DELTA)
    assert found == pytest.approx(independent(noise), rel=1e-4)
    assert found == epsilon(noise[::-1], sample_rate=RATE, delta=DELTA)
    assert (
        epsilon([2.0] * 12, sample_rate=RATE, delta=DELTA) < found < epsilon([0.8] * 12, sample_rate=RATE, delta=DELTA)
    )
    assert epsilon([*noise, 0.0], sample_rate=RATE, delta=DELTA) == math.inf


def test_rounding_gives_an_upper_bound_that_is_near() -> None:
    noise = np.linspace(0.9, 1.6, 40)
    exact, rounded = (epsilon(noise, sample_rate=RATE, delta=DELTA, levels=levels) for levels in (512, 12))
    assert exact <= rounded < 1.06 * exact


def test_a_plan_drives_opacus_and_its_accountant_sees_what_each_step_used() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Opacus warns of its own hooks and generators
        from opacus import GradSampleModule
        from opacus.accountants import RDPAccountant
        from opacus.optimizers import DPOptimizer

        torch.manual_seed(0)
        model = GradSampleModule(nn.Linear(4, 2))
        optimizer = DPOptimizer(
            torch.optim.SGD(model.parameters(), lr=0.1), noise_multiplier=1.0, max_grad_norm=1.0, expected_batch_size=8
        )
        accountant = RDPAccountant()
        optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=RATE))
        scheduler = plan().bind(optimizer=optimizer, privacy=ScheduledNoise(optimizer))
        table, used = plan().table(), []
        for _ in range(12):
            used.append((optimizer.param_groups[0]["lr"], optimizer.noise_multiplier, optimizer.max_grad_norm))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.arange(8) % 2).backward()
            optimizer.step()
            scheduler.step()
    names = ("optimizer.lr", "privacy.noise_multiplier", "privacy.max_grad_norm")
    assert np.array(used) == pytest.approx(np.stack([table[name] for name in names], axis=1), abs=1e-12)
    seen = [value for value, _, count in accountant.history for _ in range(count)]
    assert seen == pytest.approx(table["privacy.noise_multiplier"].tolist())
    assert accountant.get_epsilon(DELTA) == pytest.approx(epsilon(seen, sample_rate=RATE, delta=DELTA))


def test_what_is_no_private_optimizer_is_refused() -> None:
    with pytest.raises(ConfigError, match="got a SGD without noise_multiplier"):
        ScheduledNoise(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1))
    with pytest.raises(DataError, match="one for each update"):
        epsilon([-1.0], sample_rate=RATE, delta=DELTA)
    with pytest.raises(ConfigError, match="expected a chance in"):
        epsilon([1.0], sample_rate=1.5, delta=DELTA)
