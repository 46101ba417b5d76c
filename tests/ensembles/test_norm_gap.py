"""The gap between training and inference of batch norm: against models run by hand, and without a trace."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, TensorDataset

import ostinato as ost
from ostinato import evaluation
from ostinato.ensembles import GapByPhase, norm_gap
from ostinato.errors import ConfigError, DataError, PlanError

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(2.0 + 3.0 * torch.randn(16, 3, 4, 4, generator=GENERATOR), torch.arange(16) % 5) for _ in range(4)]
OTHERS = [(1.0 + 2.0 * torch.randn(16, 3, 4, 4, generator=GENERATOR), torch.arange(16) % 5) for _ in range(3)]


def net(norm: type[nn.Module] = nn.BatchNorm2d, momentum: float = 0.1) -> nn.Sequential:
    torch.manual_seed(1)
    first, second = norm(4, momentum=momentum), norm(6, momentum=momentum)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), first, nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 6, 2), second, nn.ReLU(), nn.Flatten(), nn.Linear(6, 5)
    )  # fmt: skip


def frozen(model: nn.Module) -> dict[str, Any]:
    return {
        "values": {name: value.clone() for name, value in model.state_dict().items()},
        "ids": {name: id(value) for name, value in [*model.named_parameters(), *model.named_buffers()]},
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._forward_pre_hooks) for module in model.modules()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "random": (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()),  # noqa: NPY002 - the global one is meant
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def by_hand(model: nn.Module, batches: Any, *, batch_statistics: bool) -> float:
    clone = copy.deepcopy(model).eval()
    for module in clone.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train(batch_statistics)
    with torch.no_grad():
        return float(torch.cat([F.cross_entropy(clone(x), y, reduction="none") for x, y in batches]).double().mean())


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, ost.nn.BatchNorm2d])
@pytest.mark.parametrize("calibrate", [None, OTHERS])
def test_it_is_what_three_models_by_hand_have(norm: type[nn.Module], calibrate: Any) -> None:
    model = net(norm)
    for x, _ in BATCHES[:2]:
        model(x)
    found = norm_gap(model, BATCHES, calibrate=calibrate)
    assert found.running_nll == pytest.approx(by_hand(model, BATCHES, batch_statistics=False), rel=1e-5)
    assert found.batch_nll == pytest.approx(by_hand(model, BATCHES, batch_statistics=True), rel=1e-5)
    assert found.gap == found.running_nll - found.batch_nll
    precise = copy.deepcopy(model)
    for module in precise.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # update_bn trains; PreciseBN leaves dropout out
    update_bn(calibrate or BATCHES, precise)
    assert found.precise_nll == pytest.approx(by_hand(precise, BATCHES, batch_statistics=False), rel=1e-5)
    for name, (mean, variance) in found.layers.items():
        own, true = model.get_submodule(name), precise.get_submodule(name)
        assert mean == pytest.approx(
            float(((own.running_mean - true.running_mean).abs() / (true.running_var + 1e-5).sqrt()).mean()), rel=1e-4
        )
        assert variance == pytest.approx(
            float(((own.running_var + 1e-5) / (true.running_var + 1e-5)).log().abs().mean()), rel=1e-4
        )
    assert list(found.layers) == ["1", "5"]
    assert found.mean_distance == pytest.approx(np.mean([mean for mean, _ in found.layers.values()]))
    assert found.examples == 64
    assert found.to_document()["gap"] == found.gap


def test_a_precise_model_has_no_distance() -> None:
    model = net()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    update_bn(BATCHES, model)
    found = norm_gap(model, BATCHES)
    assert found.mean_distance < 1e-5
    assert found.variance_distance < 1e-5
    assert found.running_nll == pytest.approx(found.precise_nll, rel=1e-6)


class Failing(nn.Module):
    def __init__(self, calls: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.calls, self.seen = calls, 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1  # a buffer that the forward changes, in evaluation too
        self.seen += 1
        if self.seen > self.calls:
            raise RuntimeError("broken off")
        return x


def loader() -> DataLoader[Any]:
    data = TensorDataset(torch.randn(32, 3, 4, 4, generator=torch.Generator().manual_seed(2)), torch.arange(32) % 5)
    return DataLoader(data, batch_size=16, shuffle=True)


@pytest.mark.parametrize("calls", [10**6, 1, 3, 5, 7])
@pytest.mark.parametrize("training", [True, False])
def test_it_leaves_no_trace_also_where_it_fails(calls: int, training: bool) -> None:
    model = net().train(training)
    model.append(Failing(calls))
    model[1].eval()  # modes are kept module by module
    before = frozen(model)
    if calls < 10**6:
        with pytest.raises(RuntimeError, match="broken off"):
            norm_gap(model, loader(), calibrate=loader())
    else:
        norm_gap(model, loader(), calibrate=loader())
    assert same(frozen(model), before)


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ConfigError, match="Sequential has no batch norm with running statistics"):
        norm_gap(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)), BATCHES)
    with pytest.raises(DataError, match="no batch to measure the gap on"):
        norm_gap(net(), iter([]))
    with pytest.raises(DataError, match="no batch to calibrate on"):
        norm_gap(net(), BATCHES, calibrate=[])
    flat = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    with pytest.raises(DataError, match=r"one value a channel has no statistics; .*drop_last=True"):
        norm_gap(flat, [(torch.ones(1, 3), torch.zeros(1).long())])
    with pytest.raises(TypeError, match="a batch must be"):
        norm_gap(net(), [torch.zeros(2, 3, 4, 4)])


# -- along a run ---------------------------------------------------------------------------------------------------


def run(momentum: Any, total: int = 40, **options: Any) -> tuple[GapByPhase, nn.Module, list[Tensor]]:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bindings = {"optimizer.lr": ost.wave(0.001, 0.3), "model:BatchNorm.momentum": momentum}
    plan = ost.Plan(total=total, cycle=ost.Cycle("cosine", count=2), bindings=bindings)
    scheduler = plan.bind(optimizer=optimizer, model=model)
    gaps = GapByPhase(model, BATCHES, scheduler.resolved, **options)
    torch.manual_seed(3)
    for step in range(total):
        x, y = BATCHES[step % 4]
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        gaps.observe(scheduler.step())
    return gaps, model, [parameter.detach().clone() for parameter in model.parameters()]


def test_along_a_run_it_measures_at_peaks_troughs_and_eight_phases() -> None:
    gaps, model, _ = run(ost.schedules.hold(0.1))
    assert gaps.steps == tuple(record.step for record in gaps.records)
    assert [record.step for record in gaps.records if record.event == "peak"] == [0, 20]
    assert [record.step for record in gaps.records if record.event == "trough"] == [19, 39]
    assert len(gaps.records) == 2 * 9
    assert [record.cycle for record in gaps.records] == [0] * 9 + [1] * 9
    assert gaps.records[-1].found == norm_gap(model, BATCHES)
    for event in ("peak", "trough"):
        chosen = [record.found.gap for record in gaps.records if record.event == event]
        assert gaps.mean(event)["gap"] == pytest.approx(np.mean(chosen))
    assert gaps.mean()["mean_distance"] > 0
    assert math.isnan(gaps.mean("start")["gap"])


def test_measuring_does_not_change_the_run() -> None:
    assert same(run(ost.mirror(0.01, 0.3))[2], run(ost.mirror(0.01, 0.3), at=[5])[2])


def test_slow_statistics_are_further_from_the_precise_ones_where_weights_move() -> None:
    slow, fast = (run(ost.schedules.hold(momentum), total=80)[0].mean("peak") for momentum in (0.01, 0.5))
    assert slow["mean_distance"] > fast["mean_distance"]
    assert slow["variance_distance"] > fast["variance_distance"]


def test_timings_and_steps_of_ones_own() -> None:
    assert run(ost.schedules.hold(0.1), at=evaluation.at_troughs)[0].steps == (19, 39)
    gaps, _, _ = run(ost.schedules.hold(0.1), at=[3, 7, 400])
    assert [record.step for record in gaps.records] == [3, 7]
    assert gaps.steps == (3, 7)


def test_what_a_run_cannot_have() -> None:
    plan = ost.Plan(total=10, cycle=ost.Cycle(count=1)).resolve()

    def batches() -> Iterator[Any]:
        yield from BATCHES

    with pytest.raises(DataError, match="batches: an iterator can be read once only"):
        GapByPhase(net(), batches(), plan)
    with pytest.raises(DataError, match="calibrate: an iterator"):
        GapByPhase(net(), BATCHES, plan, calibrate=batches())
    with pytest.raises(DataError, match="n: got 0"):
        GapByPhase(net(), BATCHES, plan, at=0)
    with pytest.raises(PlanError, match="cycle"):
        GapByPhase(net(), BATCHES, ost.Plan(total=10).resolve())
