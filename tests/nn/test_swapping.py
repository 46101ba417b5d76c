from __future__ import annotations

import pytest
import torch
from torch import nn

import ostinato as ost
import ostinato.nn as onn
from ostinato.errors import DomainError, TargetError
from ostinato.nn.swapping import SAFE, convert


def plan(**targets):
    bindings = {target: ost.wave(0.01, 0.1) for target in targets["targets"]}
    return ost.Plan(total=10, cycle=ost.Cycle(count=1), bindings=bindings)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.25))
        self.head = nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(4, 2))
        self.shared = [self.head[0]]

    def forward(self, x):
        return self.head(self.body(x))


def test_exactly_the_scheduled_modules_change_where_they_are():
    model = Net()
    before, names, state = list(model.modules()), [n for n, _ in model.named_parameters()], model.state_dict()
    report = onn.compile_safe(model, plan(targets=["model.head:Dropout.p", "model:BatchNorm.momentum"]))
    assert [id(module) for module in model.modules()] == [id(module) for module in before]
    assert type(model.head[0]) is onn.Dropout
    assert type(model.shared[0]) is onn.Dropout
    assert type(model.body[1]) is onn.BatchNorm1d
    assert type(model.body[2]) is nn.Dropout
    assert float(model.head[0].p) == 0.5
    assert model.head[0].inplace
    assert [n for n, _ in model.named_parameters()] == names
    assert list(model.state_dict()) == list(state)
    assert report.modules == (
        ("model.head.0.p", "Dropout", "ostinato.nn.Dropout"),
        ("model.body.1.momentum", "BatchNorm1d", "ostinato.nn.BatchNorm1d"),
    )
    assert report.unsafe == ()
    assert "model.body.1.momentum: BatchNorm1d became ostinato.nn.BatchNorm1d" in str(report).splitlines()
    assert str(onn.compile_safe(model, plan(targets=["model.head:Dropout.p"]))) == "nothing had to change"


def test_hooks_training_flag_and_results_are_kept():
    torch.manual_seed(0)
    model, x, seen = Net(), torch.randn(8, 4), []
    model.body[1].register_forward_hook(lambda module, args, output: seen.append(type(module)))
    model.body[1].eval()
    reference = Net()
    reference.load_state_dict(model.state_dict())
    reference.body[1].eval()
    onn.compile_safe(model, plan(targets=["model:Dropout.p", "model:BatchNorm.momentum"]))
    assert not model.body[1].training
    assert model.body[2].training
    results = []
    for module in (model, reference):
        torch.manual_seed(1)
        results.append(module(x))
    assert torch.equal(*results)
    assert seen == [onn.BatchNorm1d]


def test_a_loss_that_is_the_root_changes_too_and_then_binds():
    criterion = nn.CrossEntropyLoss(weight=torch.ones(2), reduction="sum", label_smoothing=0.125)
    wanted = plan(targets=["loss.label_smoothing"])
    report = onn.compile_safe(nn.Linear(1, 1), wanted, loss=criterion)
    assert type(criterion) is onn.LabelSmoothingCrossEntropy
    assert float(criterion.label_smoothing) == 0.125
    assert criterion.reduction == "sum"
    assert report.modules[0][0] == "loss.label_smoothing"
    scheduler = wanted.bind(loss=criterion)
    buffer = criterion.label_smoothing
    scheduler.step()
    assert criterion.label_smoothing is buffer
    assert float(buffer) == pytest.approx(scheduler.values["loss.label_smoothing"])


@pytest.mark.parametrize("kind", SAFE)
def test_every_safe_class_is_found_by_the_names_of_the_one_it_replaces(kind):
    module = kind(3) if "Norm" in kind.__name__ else kind()
    convert(module)
    (name,) = type(module).scheduled
    family = "Dropout" if "Dropout" in kind.__name__ else "BatchNorm" if "Norm" in kind.__name__ else kind.__name__
    for text in (kind.__name__, family):
        scheduler = plan(targets=[f"model:{text}.{name}"]).bind(model=nn.Sequential(module))
        assert scheduler.slots == {f"model:{text}.{name}": (f"model.0.{name}",)}


class Focus(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = 2.0


class Mine(nn.Dropout):
    pass


def test_what_cannot_be_made_safe_is_listed_with_the_reason():
    model = nn.ModuleDict(
        {"a": nn.AlphaDropout(0.1), "b": nn.MultiheadAttention(2, 1, dropout=0.1), "c": Focus(), "d": Mine(0.1)}
    )
    targets = ["model:Dropout.p", "model:MultiheadAttention.dropout", "model.c.gamma", "other.lr"]
    report = onn.compile_safe(model, plan(targets=targets))
    reasons = dict(report.unsafe)
    assert list(reasons) == ["model.a.p", "model.d.p", "model.b.dropout", "model.c.gamma"]
    assert "torch's AlphaDropout takes p as a constant" in reasons["model.a.p"]
    assert "self.register_buffer('gamma'" in reasons["model.c.gamma"]
    assert "plain number of Mine" in reasons["model.d.p"]
    assert report.unseen == ("other.lr",)
    assert "other.lr: not looked at, its object was not given" in str(report)
    assert type(model["a"]) is nn.AlphaDropout
    with pytest.raises(TargetError, match="matches nothing"):
        onn.compile_safe(model, plan(targets=["model:BatchNorm.momentum"]))


def test_optimizers_get_the_form_that_torch_takes():
    parameter = nn.Parameter(torch.ones(2))
    sgd = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.1)
    report = onn.compile_safe(
        nn.Linear(1, 1), plan(targets=[f"optimizer.{key}" for key in ("lr", "momentum", "weight_decay")]), optimizer=sgd
    )
    (group,) = sgd.param_groups
    assert isinstance(group["lr"], torch.Tensor)
    assert isinstance(group["momentum"], float)
    assert report.groups == (("optimizer[0].lr", "tensor"),)
    ((label, why),) = report.unsafe
    assert label == "optimizer[0].weight_decay"
    assert "in every form" in why
    adam = torch.optim.AdamW([parameter])
    report = onn.compile_safe(
        nn.Linear(1, 1), plan(targets=["optimizer.lr", "optimizer.betas.0", "optimizer.weight_decay"]), optimizer=adam
    )
    (group,) = adam.param_groups
    assert [type(group[key]) for key in ("lr", "weight_decay")] == [float, float]
    assert all(isinstance(beta, torch.Tensor) for beta in group["betas"])
    assert report.unsafe == ()
    again = onn.compile_safe(nn.Linear(1, 1), plan(targets=["optimizer.betas.0"]), optimizer=adam)
    assert str(again) == "nothing had to change"


def test_an_unknown_optimizer_is_not_guessed_at():
    class Own(torch.optim.SGD):
        pass

    own = Own([nn.Parameter(torch.ones(1))], lr=0.1)
    ((label, why),) = onn.compile_safe(nn.Linear(1, 1), plan(targets=["optimizer.lr"]), optimizer=own).unsafe
    assert label == "optimizer[0].lr"
    assert "Own has not been measured" in why


def test_a_module_with_a_bad_value_is_left_as_it_was():
    module = nn.Dropout(0.5)
    module.p = 1.5
    with pytest.raises(DomainError):
        convert(module)
    assert type(module) is nn.Dropout
    assert module.p == 1.5
    with pytest.raises(TargetError, match="has no compile-safe form"):
        convert(nn.Linear(1, 1))
