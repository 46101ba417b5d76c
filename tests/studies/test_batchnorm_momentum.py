"""Study ``batchnorm-momentum``: one training, many courses of the momentum beside it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ostinato import population
from ostinato.ensembles.recalibration import Statistics, norm_layers, observing
from ostinato.studies import find
from ostinato.studies.batchnorm_momentum.measuring import plan_of, together, trajectory_of
from ostinato.studies.batchnorm_momentum.remarks import remarks
from ostinato.studies.batchnorm_momentum.shadows import BatchRecord, precise, shadows
from ostinato.studies.batchnorm_momentum.spec import RATIO
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.study import perform

SPEC = find("batchnorm-momentum").spec
STEPS = 80
SETTINGS = {"peak": 0.1, "high": 0.3, "momentum": 0.03}
MOMENTUM = "model:BatchNorm.momentum"


def model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64, 8),
        nn.BatchNorm1d(8),
        nn.Linear(8, 3),
    )


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(96, 1, 6, 6, generator=generator), torch.arange(96) % 3


def trained(make: Any, plan: Any) -> dict[str, torch.Tensor]:
    return population.single(make, plan, data(), optimizer="sgd", batch_size=16, drop_last=True, seed=4).member(0)


def test_a_shadow_is_what_torch_keeps_under_the_momentum_that_a_model_is_trained_with() -> None:
    arms = ("constant", "anti", "in-phase")
    plans = [plan_of(arm, SETTINGS, STEPS) for arm in arms]
    record = BatchRecord()
    shadowed = trained(lambda: record.watch(model()), trajectory_of(SETTINGS["peak"], STEPS))
    momenta = np.stack([plan.table()[MOMENTUM] for plan in plans])
    running = shadows(record.table(), momenta, [STEPS - 1])[0]
    for plan, found in zip(plans, running, strict=True):
        real = trained(model, plan)
        for name, tensor in real.items():
            if "running" in name:
                torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6)
            elif "tracked" not in name:
                assert torch.equal(tensor, shadowed[name]), name  # momentum never touches training
    assert not torch.equal(running[0]["1.running_mean"], running[1]["1.running_mean"])


def test_precise_statistics_are_the_averages_over_the_batches() -> None:
    torch.manual_seed(0)
    net, inputs = model(), data()[0]
    statistics = Statistics()
    with torch.no_grad(), observing(norm_layers(net), statistics):
        for part in torch.split(inputs, 16):
            net(part)
    wanted = statistics.buffers(net.state_dict())
    found = precise(net, inputs, 16)
    assert set(found) == {"1.running_mean", "1.running_var", "5.running_mean", "5.running_var"}
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-5, atol=1e-6)


def test_the_courses_are_what_they_are_called() -> None:
    tables = {arm: plan_of(arm, SETTINGS, STEPS).table() for arm in SPEC.arms}
    rate = tables["constant"]["optimizer.lr"]
    assert all(np.array_equal(table["optimizer.lr"], rate) for table in tables.values())
    assert np.array_equal(trajectory_of(SETTINGS["peak"], STEPS).table()["optimizer.lr"], rate)
    anti, in_phase = tables["anti"][MOMENTUM], tables["in-phase"][MOMENTUM]
    assert np.corrcoef(rate, anti)[0, 1] == pytest.approx(-1.0)
    assert np.corrcoef(rate, in_phase)[0, 1] > 0.99
    assert np.sort(in_phase) == pytest.approx(np.sort(anti), abs=1e-12)
    assert anti.max() == pytest.approx(0.3, abs=0.01)
    assert anti.min() == pytest.approx(0.3 / RATIO)
    assert set(tables["constant-low"][MOMENTUM]) == {0.3 / RATIO}
    assert set(tables["constant"][MOMENTUM]) == {0.1}
    assert set(tables["best-constant"][MOMENTUM]) == {0.03}
    ends = trajectory_of(0.1, STEPS).resolve().snapshots
    assert list(ends) == list(range(1, STEPS, 2))
    assert set(plan_of("anti", SETTINGS, STEPS).resolve().snapshots) <= set(ends)


def test_cells_of_one_seed_and_peak_share_a_training() -> None:
    cells = [Cell("constant", seed, {"peak": peak}) for seed in (0, 1) for peak in (0.1, 0.2)]
    cells.append(Cell("anti", 1, SETTINGS))
    assert [len(group) for group in together(SPEC.regimes[0], "tuning", tuple(cells))] == [1, 1, 2, 1]


def test_the_remarks_say_whether_there_is_anything_to_gain() -> None:
    def record(gap: float) -> dict[str, Any]:
        metrics = {"nll_gap": gap, "nll_precise": 0.4, "nll": 0.4 + gap, "nll_inference": gap, "distance": 0.1}
        return {"arm": "constant", "status": "done", "metrics": metrics, "curves": {"nll_gap_by_phase": [0.5, gap]}}

    assert "nothing to gain" in remarks([record(0.0001), record(0.0003)])[0]
    assert "0.00020 nat (largest of a seed 0.00030)" in remarks([record(0.0001), record(0.0003)])[0]
    assert "there is something to gain" in remarks([record(0.1)])[0]


@pytest.mark.skipif("OSTINATO_DATA" not in os.environ, reason="needs Fashion-MNIST (OSTINATO_DATA)")
def test_tuning_sees_no_test_image_and_refuses_an_unstable_peak() -> None:
    regime = SPEC.regimes[1]
    parameters = {**regime.parameters, **regime.smoke}
    request = Request(
        SPEC.name,
        regime.name,
        parameters,
        "tuning",
        (Cell("constant", 9500, {"peak": 0.1}), Cell("constant", 9500, {"peak": 1e9})),
    )
    calm, wild = perform(request)
    assert (calm.status, wild.status) == ("done", "diverged")
    assert calm.metrics == {"criterion": -0.1}
    momenta = perform(Request(SPEC.name, regime.name, parameters, "tuning", (Cell("anti", 9500, SETTINGS),)))[0]
    assert set(momenta.metrics) == {"criterion"}
    assert momenta.correct == calm.correct == ""
