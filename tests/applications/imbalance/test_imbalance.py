"""Long-tailed data sets, reports, and a focus that many members follow at once."""

from __future__ import annotations

import builtins
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import gmean
from torch import nn

import ostinato as ost
from ostinato.applications.imbalance import FocalLoss, long_tailed, report
from ostinato.errors import ConfigError, DataError
from ostinato.training import datasets, parse_config
from ostinato.training.datasets import Split

DIGITS = datasets.load(parse_config({}).data)


def test_a_long_tailed_set_keeps_its_test_examples_and_says_that_it_is_another() -> None:
    found = long_tailed(DIGITS, ratio=20, seed=1, order=range(9, -1, -1))
    assert isinstance(found.train, Split)
    counts = found.train.targets.bincount()
    assert (int(counts[9]), int(counts[0])) == (int(counts.max()), int(counts.min()))
    assert found.test is DIGITS.test
    assert found.name == "digits-lt"
    digests = {DIGITS.digest, found.digest, long_tailed(DIGITS, ratio=20, seed=2, order=range(9, -1, -1)).digest}
    assert len(digests) == 3
    with pytest.raises(DataError) as caught:
        long_tailed(replace(DIGITS, train=torch.utils.data.TensorDataset(torch.ones(2, 1))))
    assert (
        str(caught.value)
        == "digits: a long tail is cut from examples in memory; let the factory return (inputs, targets)"
    )


def test_the_geometric_mean_is_that_of_the_recalls_and_nothing_where_a_class_is_never_found() -> None:
    generator = np.random.default_rng(0)
    p, y = generator.dirichlet(np.ones(4), 200), generator.choice(3, 200, p=[0.6, 0.3, 0.1])
    found = report(p, y, ["a", "b", "c", "d"])
    assert found.geometric_mean == pytest.approx(gmean(found.classes.recall[:3]))
    assert found.to_document()["geometric_mean"] == found.geometric_mean
    assert str(found).endswith(f"geometric mean {100 * found.geometric_mean:.1f}%")
    lazy = np.tile([0.9, 0.05, 0.05], (200, 1))
    assert report(lazy, y).geometric_mean == 0.0
    assert report(lazy, y).classes.balanced_error == pytest.approx(2 / 3)


def test_without_imbalanced_learn_a_report_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("imblearn"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError) as caught:
        report([[0.5, 0.5]], [0])
    assert (
        str(caught.value)
        == "geometric mean: imbalanced-learn is not installed; type: pip install 'ostinato[imbalance]'"
    )


def test_members_follow_gammas_of_their_own_and_become_what_they_become_alone() -> None:
    plans = [
        ost.Plan(total=8, cycle=ost.Cycle(count=2), bindings={"optimizer.lr": 0.1, "loss.gamma": ost.Binding(ost.schedules.hold(gamma))})
        for gamma in (0.0, 2.0)
    ]  # fmt: skip
    plans.append(plans[0].replace({"loss.gamma": ost.mirror(0.0, 4.0, cycle=ost.Cycle("sawtooth", count=1))}))
    data = long_tailed(DIGITS, ratio=20)

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    options: dict[str, Any] = {"loss": FocalLoss(), "optimizer": "sgd", "batch_size": 32}
    result = ost.population.train(make, plans, data, seeds=[3, 3, 3], compile=False, **options)
    assert (result.how, result.reason) == ("stacked", "")
    ends = [result.member(k)["1.weight"] for k in range(3)]
    for plan, end in zip(plans, ends, strict=True):
        alone = ost.population.single(make, plan, data, seed=3, **options).member(0)["1.weight"]
        assert torch.allclose(end, alone, atol=1e-5)
    assert not torch.allclose(ends[0], ends[1], atol=1e-3)
    assert not torch.allclose(ends[1], ends[2], atol=1e-3)
