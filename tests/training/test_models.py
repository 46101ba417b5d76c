from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ostinato.errors import ConfigError
from ostinato.nn import StochasticDepth
from ostinato.training.batches import Batches, EpochOrder
from ostinato.training.config import DataConfig, ModelConfig
from ostinato.training.datasets import Split, load
from ostinato.training.models import build


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 5, 7)])
@pytest.mark.parametrize("name", ["cnn", "mlp", "linear", "resnet"])
def test_named_models_map_a_batch_to_logits(name: str, shape: tuple[int, ...]) -> None:
    model = build(ModelConfig(name=name), shape, 4)
    assert model(torch.randn(3, *shape)).shape == (3, 4)


def test_there_is_something_to_drive() -> None:
    for name, norm in (("cnn", nn.BatchNorm2d), ("mlp", nn.BatchNorm1d)):
        kinds = {type(module) for module in build(ModelConfig(name=name), (1, 8, 8), 10).modules()}
        assert {norm, nn.Dropout} <= kinds
    cnn = build(ModelConfig(name="cnn", args={"dropout": 0.4}), (1, 8, 8), 10)
    layers = list(cnn.children())
    assert isinstance(layers[-2], nn.Dropout)
    assert layers[-2].p == 0.4
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == [16, 32]


def test_stochastic_depth_rises_with_the_depth() -> None:
    model = build(ModelConfig(name="resnet", args={"depth": 3, "stochastic_depth": 0.3}), (1, 8, 8), 10)
    drops = [float(module.p) for module in model.modules() if isinstance(module, StochasticDepth)]
    assert drops == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
    without = build(ModelConfig(name="resnet", args={"stochastic_depth": 0.0}), (1, 8, 8), 10)
    assert all(float(module.p) == 0.0 for module in without.modules() if isinstance(module, StochasticDepth))


@pytest.mark.parametrize(("shape", "kind"), [((1, 8, 8), nn.Conv2d), ((11,), nn.Flatten), ((1, 3, 9), nn.Flatten)])
def test_the_default_follows_the_shape(shape: tuple[int, ...], kind: type[nn.Module]) -> None:
    assert isinstance(next(build(ModelConfig(), shape, 2).children()), kind)


def test_weights_follow_the_global_seed() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(
            torch.cat([parameter.flatten() for parameter in build(ModelConfig(), (1, 8, 8), 10).parameters()])
        )
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(("name", "most"), [("cnn", 0.06), ("mlp", 0.08), ("linear", 0.10), ("resnet", 0.06)])
def test_named_models_learn_digits(name: str, most: float) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = load(DataConfig(name="digits"))
    assert isinstance(data.train, Split)
    assert isinstance(data.test, Split)
    model = build(ModelConfig(name=name), data.shape, data.classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batches = Batches(data.train, EpochOrder(len(data.train), 64, seed=0))
    for epoch in range(10):
        for inputs, targets in batches.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        error = (model(data.test.inputs).argmax(1) != data.test.targets).float().mean().item()
    assert error < most


@pytest.mark.parametrize(
    ("table", "shape", "message"),
    [
        ({"name": "cn"}, (1, 8, 8), "no model is named 'cn'; did you mean 'cnn'"),
        ({"name": "cnn"}, (7,), r"takes inputs of shape \(C, H, W\).*got \(7,\); write model = \"mlp\""),
        ({"name": "mlp", "args": {"hiden": 3}}, (7,), "'mlp' has no argument 'hiden'; did you mean 'hidden'"),
        ({"name": "linear", "args": {"hidden": 3}}, (7,), "'linear' has no argument 'hidden'; it takes none"),
        ({"name": "mlp", "args": {"hidden": 0}}, (7,), "got hidden = 0, expected a whole number > 0"),
        ({"name": "mlp", "args": {"dropout": 1.0}}, (7,), r"got dropout = 1.0, expected a probability in \[0, 1\)"),
        ({"name": "resnet"}, (7,), r"'resnet' takes inputs of shape \(C, H, W\)"),
        ({"name": "resnet", "args": {"stochastic_depth": 1}}, (1, 8, 8), "'resnet' got stochastic_depth = 1, expected"),
        ({"name": "resnet", "args": {"depth": 0}}, (1, 8, 8), "'resnet' got depth = 0, expected a whole number > 0"),
        ({"name": "mlp", "args": {"shape": [3]}}, (7,), "'mlp' has no argument 'shape'"),
        ({"factory": "collections:Counter"}, (7,), "returned a Counter, expected a torch.nn.Module"),
    ],
)
def test_models_that_cannot_be(table: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(ModelConfig(**table), shape, 3)


def test_a_factory_gets_args_shape_and_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "ostinato_own_model.py").write_text(
        "from torch import nn\ndef make(shape, classes, bias): return nn.Linear(shape[0], classes, bias=bias)\n"
    )
    model = build(ModelConfig(factory="ostinato_own_model:make", args={"bias": False}), (6,), 3)
    assert isinstance(model, nn.Linear)
    assert (model.in_features, model.out_features) == (6, 3)
    assert model.bias is None
    del sys.modules["ostinato_own_model"]
