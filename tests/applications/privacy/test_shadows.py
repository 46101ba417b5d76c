"""Shadow models: trained by halves, attacked at their own phase, and what they leak is what they memorised."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ostinato as ost
from ostinato.applications import privacy
from ostinato.errors import ConfigError, DataError, RunInterruptedError
from ostinato.population import single

POINTS, MODELS = 96, 6


def points(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Points whose labels are drawn: what can be known of them is memorised."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 8, generator=generator), torch.randint(0, 3, (count,), generator=generator)


POOL, FRESH = points(POINTS, 0), points(200, 1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 3))


def plan(high: float = 0.2) -> ost.Plan:
    return ost.Plan(total="60ep", cycle=ost.Cycle("cosine", count=2), bindings={"optimizer.lr": ost.wave(0.0, high)})


INSIDE = privacy.halves(POINTS, MODELS, 3)


def test_models_that_memorise_leak_and_models_that_do_not_learn_do_not() -> None:
    still = ost.Plan(total="60ep", cycle=ost.Cycle("cosine", count=2), bindings={"optimizer.lr": 0.0})
    (learnt, unlearnt), result = privacy.train_shadows(
        mlp, [plan(), still], POOL, INSIDE, fresh=FRESH, batch_size=16, optimizer_options={"momentum": 0.9}
    )
    assert len(result) == 2 * MODELS
    assert learnt.cycle.tolist() == [0] * 8 + [1] * 8
    assert learnt.phase[7] == learnt.phase[15] == 1.0
    assert learnt.phase[0] == pytest.approx(1 / 8, abs=0.02)
    assert learnt.rate[0] > 0.19
    assert learnt.rate[7] < 0.01
    assert unlearnt.rate.tolist() == [0.0] * 16
    areas = {name: learnt.auc(name) for name in ("lira", "lira-offline", "rmia", "loss")}
    assert all(area.shape == (16, MODELS) for area in areas.values())
    assert min(area[-1].mean() for area in areas.values()) > 0.8
    assert min(areas["lira"][-1].mean(), areas["rmia"][-1].mean()) > 0.9
    assert areas["lira"][-1].mean() > areas["lira"][0].mean() + 0.1
    none = unlearnt.auc("lira")
    assert np.array_equal(none[0], none[-1])
    assert abs(none.mean() - 0.5) < 0.12
    assert learnt.accuracy[-1].mean() == pytest.approx(1 / 3, abs=0.1)
    assert np.isnan(learnt.tpr(0.01)).all()  # 48 non-members resolve no 1 %
    assert learnt.tpr(0.25)[-1].mean() > 0.7


def test_a_shadow_is_the_model_that_it_would_be_alone() -> None:
    (first, again), _ = privacy.train_shadows(
        mlp, [plan(), plan()], POOL, INSIDE, fresh=FRESH, batch_size=16, seeds=range(10, 16)
    )
    assert np.array_equal(first.confidences, again.confidences)
    for k in (0, 3):
        alone = single(
            mlp, plan(), POOL, optimizer="sgd", seed=10 + k, batch_size=16, drop_last=True, evaluate="last", subset=np.flatnonzero(INSIDE[k])
        ).model(0)  # fmt: skip
        with torch.no_grad():
            logits, fresh = alone(POOL[0]), alone(FRESH[0])
        assert privacy.confidence(logits, POOL[1].numpy()) == pytest.approx(first.confidences[-1, k], abs=1e-4)
        assert (fresh.argmax(-1) == FRESH[1]).float().mean().item() == pytest.approx(first.accuracy[-1, k])


def test_without_fresh_points_accuracy_is_that_outside_each_models_half() -> None:
    (found,), _ = privacy.train_shadows(mlp, [plan()], POOL, INSIDE, batch_size=16, when="ends", keep_weights=True)
    assert found.confidences.shape == (2, MODELS, POINTS)
    assert found.fresh.shape == (2, MODELS, 0)
    assert len(found.weights) == 2
    model = mlp()
    model.load_state_dict({name: tensor[4] for name, tensor in found.weights[1].items()})
    with torch.no_grad():
        right = (model(POOL[0]).argmax(-1) == POOL[1]).numpy()
    assert found.accuracy[1, 4] == pytest.approx(right[~INSIDE[4]].mean())
    with pytest.raises(ConfigError, match="points that no model was trained with"):
        found.auc("rmia")


def test_only_some_points_can_be_asked_about() -> None:
    (found,), _ = privacy.train_shadows(mlp, [plan()], POOL, INSIDE, batch_size=16, when="last")
    some = np.arange(POINTS) < 40
    scores = next(iter(found.scores("lira")))
    assert found.auc("lira", points=some)[0] == pytest.approx(privacy.auc(scores[:, :40], INSIDE[:, :40]))


def test_what_cannot_be_attacked_is_said() -> None:
    with pytest.raises(RunInterruptedError, match="shadows: model 0 of plan 0 diverged; lower the rate"):
        privacy.train_shadows(mlp, [plan(1e30)], POOL, INSIDE, batch_size=16)
    with pytest.raises(DataError, match="for a pool of 96 points"):
        privacy.train_shadows(mlp, [plan()], POOL, INSIDE[:, :50], batch_size=16)
