from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ostinato import parameter_groups
from ostinato.errors import ConfigError
from ostinato.training.optimizers import build


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.LayerNorm((2, 4))
        self.scale = nn.Parameter(torch.ones(()))
        self.table_bias = nn.Parameter(torch.ones(2, 2))
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.first.weight
        self.frozen = nn.Parameter(torch.ones(3, 3), requires_grad=False)
        self.last = nn.Conv2d(1, 2, 3)


def _named(optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    return {group["name"]: group for group in optimizer.param_groups}


def test_biases_norms_and_vectors_do_not_decay() -> None:
    net = Net()
    groups = {group["name"]: group["params"] for group in parameter_groups(net)}
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    assert [names[id(p)] for p in groups["decay"]] == ["first.weight", "last.weight"]
    assert {names[id(p)] for p in groups["no_decay"]} == {
        "scale", "table_bias", "first.bias", "norm.weight", "norm.bias", "last.bias",
    }  # fmt: skip


def test_parameters_without_a_model_are_told_apart_by_name_and_dimension() -> None:
    net = Net()
    assert [len(group["params"]) for group in parameter_groups(net.parameters())] == [5, 3]
    assert [len(group["params"]) for group in parameter_groups(net.named_parameters())] == [3, 5]
    with pytest.raises(ConfigError, match="got a int among the parameters"):
        parameter_groups([3])


def test_empty_groups_are_left_out() -> None:
    assert [group["name"] for group in parameter_groups(nn.Linear(2, 2, bias=False))] == ["decay"]
    assert [group["name"] for group in parameter_groups(nn.BatchNorm1d(2))] == ["no_decay"]


def test_defaults() -> None:
    sgd = _named(build("sgd", Net()))
    assert {key: sgd["decay"][key] for key in ("lr", "momentum", "nesterov", "weight_decay")} == {
        "lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4,
    }  # fmt: skip
    assert sgd["no_decay"]["weight_decay"] == 0
    adamw = _named(build("AdamW", Net(), weight_decay=0.2))
    assert (adamw["decay"]["lr"], adamw["decay"]["weight_decay"], adamw["no_decay"]["weight_decay"]) == (1e-3, 0.2, 0)
    assert _named(build("sgd", Net(), momentum=0.0))["decay"]["nesterov"] is False
    assert _named(build("sgd", Net(), dampening=0.1))["decay"]["nesterov"] is False
    assert _named(build("adam", Net(), betas=[0.8, 0.9]))["decay"]["betas"] == (0.8, 0.9)


def _matters(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.abs().max() > 1e-3)


@pytest.mark.parametrize("name", ["sgd", "adamw", "RMSprop", "rprop", "nadam", "ADAGRAD", "adafactor", "radam", "asgd"])
def test_every_optimizer_by_name_makes_an_update(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = build(name, model)
    assert type(optimizer).__name__.lower() == name.lower()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    model(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True) if _matters(new))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("adamx", {}, "torch.optim has no 'adamx'; did you mean 'adam"),
        ("optimizer", {}, "torch.optim has no 'optimizer'"),
        ("LBFGS", {}, "LBFGS evaluates the loss several times"),
        (
            "sgd",
            {"momentun": 0.9},
            "SGD has no option 'momentun'; did you mean 'momentum'.; it has: lr, momentum, damp",
        ),
        ("sgd", {"params": []}, "SGD has no option 'params'"),
        ("sgd", {"lr": -1.0}, "SGD refused lr = -1.0, .*: Invalid learning rate: -1.0"),
        ("sgd", {"lr": "x"}, "SGD refused lr = 'x'"),
        ("muon", {}, "Muon refused these parameters: Muon only supports 2D parameters"),
    ],
)
def test_what_is_refused_takes_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(name, Net(), **options)
    assert "\n" not in str(caught.value)


def test_nothing_to_train() -> None:
    with pytest.raises(ConfigError, match="no parameter that requires a gradient"):
        build("sgd", nn.Flatten())
