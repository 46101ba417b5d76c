from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

import ostinato as ost
import ostinato.nn as onn
from ostinato.bench.compile import CONCERT, SEVEN, CompiledStep, measure_one
from ostinato.bench.optimizer_forms import cases, recompiles_of
from ostinato.compilation import count_recompiles, recompiling, warn_of
from ostinato.errors import RecompileWarning, TargetError
from ostinato.nn.optimizers import FORMS


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def plan(*targets):
    return ost.Plan(total=12, cycle=ost.Cycle(period=4), bindings={target: ost.wave(0.05, 0.1) for target in targets})


class Net(nn.Sequential):
    """A sequence with a code object of its own: the limit of recompilations is one for each."""

    def forward(self, x):
        for module in self:
            x = module(x)
        return x


def counted(module, target, steps=12):
    model = Net(nn.Linear(4, 4), module)
    scheduler = plan(target).bind(model=model)
    compiled = torch.compile(model, backend="eager")

    def call(place):
        compiled(torch.ones(4, 4)).sum().backward()
        scheduler.step()

    return count_recompiles(call, steps)


def test_a_plain_number_is_compiled_until_dynamo_gives_up_and_a_buffer_once(caplog):
    plain = counted(nn.Dropout(0.1), "model:Dropout.p")
    assert plain.recompiles > 0
    torch._dynamo.reset()
    ours = counted(onn.Dropout(0.1), "model:Dropout.p")
    assert ours.graphs == (1, *[0] * 11)
    assert ours.steady
    assert not plain.steady


def test_a_tensor_in_torchs_own_module_compiles_nothing_and_counts_as_unsteady():
    module = nn.Dropout(0.1)
    module.p = torch.tensor(0.1)
    model = torch.compile(Net(module), backend="eager")
    counts = count_recompiles(lambda place: model(torch.ones(4)), 3)
    assert sum(counts.graphs) == 0
    assert not counts.steady


@pytest.mark.parametrize("name", ["dropout", "bn_momentum", "label_smoothing", "gamma"])
def test_no_value_of_ours_is_compiled_again(name):
    counts = measure_one([name], ours=True, backend="eager")
    assert counts.steady
    assert counts.recompiles == 0


def test_nothing_is_compiled_again_when_six_targets_move_augmentation_among_them():
    counts = measure_one(CONCERT, ours=True, backend="eager")
    assert counts.steady
    assert counts.graphs[2:] == (0,) * 34
    step = CompiledStep.make(CONCERT, ours=True, backend="eager")
    assert step.roots["augment"] is step.augment is not None
    assert CompiledStep.make(SEVEN, ours=True, backend="eager").augment is None


def test_a_compiled_model_uses_the_value_of_each_step():
    model = Net(onn.Dropout(0.0), onn.BatchNorm1d(2, momentum=0.0), onn.Temperature(1.0))
    compiled = torch.compile(model, backend="aot_eager")
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    compiled(x)
    assert torch.equal(model[1].running_mean, torch.zeros(2))
    model[1].momentum, model[2].temperature = 1.0, 1e6
    assert compiled(x).abs().max() < 1e-5
    assert torch.equal(model[1].running_mean, torch.tensor([2.0, 4.0]))
    model[0].p = 1.0
    compiled(x)
    assert torch.equal(model[1].running_mean, torch.zeros(2))


def test_compiled_losses_are_the_eager_ones():
    losses = [onn.LabelSmoothingCrossEntropy(label_smoothing=0.1), onn.FocalLoss(2.0)]
    logits, target = torch.randn(6, 4), torch.randint(0, 4, (6,))
    for loss, name in zip(losses, ("label_smoothing", "gamma"), strict=True):
        compiled = torch.compile(lambda x, y, loss=loss: loss(x, y), backend="eager")
        for value in (0.0, 0.3, 0.7):
            setattr(loss, name, value)
            torch.testing.assert_close(compiled(logits, target), loss(logits, target), rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_dropout_draws_what_torchs_compiled_dropout_draws():
    x = torch.randn(100, 100)
    results = []
    for module in (onn.Dropout(0.25), nn.Dropout(0.25)):
        compiled = torch.compile(Net(module))
        torch.manual_seed(5)
        results.append(compiled(x))
    torch.testing.assert_close(*results, rtol=1e-6, atol=0)


def test_compiled_models_are_detected_and_each_binding_named():
    targets = ["model:Dropout.p", "model:BatchNorm.momentum", "loss.label_smoothing"]
    model, loss = Net(nn.BatchNorm1d(2), nn.Dropout(0.1)), nn.CrossEntropyLoss()
    scheduler = plan(*targets).bind(model=model, loss=loss)
    assert recompiling(scheduler) == []
    model.compile(backend="eager")
    assert [finding.label for finding in recompiling(scheduler)] == ["model.1.p", "model.0.momentum"]
    assert {finding.target for finding in recompiling(scheduler, ["loss"])} == set(targets)
    with pytest.warns(RecompileWarning, match=r"model\.1\.p: torch's Dropout takes p as a constant; call"):
        warn_of(recompiling(scheduler))
    onn.compile_safe(model, scheduler.plan, loss=loss)
    again = scheduler.plan.bind(model=model, loss=loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of(recompiling(again, ["model", "loss"]))
    with pytest.raises(TargetError, match=r"compiled: got 'modle'.*did you mean 'model'"):
        recompiling(again, ["modle"])


def test_only_the_compiled_part_of_a_model_counts():
    model = nn.ModuleDict({"a": Net(nn.Dropout(0.1)), "b": Net(nn.Dropout(0.1))})
    model["b"] = torch.compile(model["b"], backend="eager")
    with pytest.warns(RecompileWarning, match=r"because of model\.b\.0\.p: torch's Dropout") as told:
        scheduler = plan("model:Dropout.p").bind(model=model)
    assert len(told) == 1
    assert [finding.label for finding in recompiling(scheduler)] == ["model.b.0.p"]


def test_binding_what_is_compiled_warns_once_at_the_line_of_bind():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))])
    optimizer.step = torch.compile(optimizer.step, backend="eager")
    with pytest.warns(RecompileWarning) as told:
        plan("model:Dropout.p", "optimizer.betas.0").bind(
            model=torch.compile(Net(nn.Dropout(0.1)), backend="eager"), optimizer=optimizer
        )
    (warning,) = told
    assert warning.filename == __file__
    assert "model.0.p: torch's Dropout" in str(warning.message)
    assert "optimizer[0].betas.0: " in str(warning.message)
    assert "\n" not in str(warning.message)


def test_binding_what_is_compiled_and_safe_does_not_warn():
    model = Net(onn.Dropout(0.1), onn.Temperature(1.0))
    plan("model:Dropout.p").bind(model=torch.compile(model, backend="eager"))
    plan("optimizer.lr").bind(optimizer=torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1))


def test_binding_looks_for_nothing_and_loads_nothing_where_dynamo_is_not_loaded():
    code = """
import sys, torch, ostinato as ost
model = torch.nn.Sequential(torch.nn.Dropout(0.1))
ost.Plan(total=2, cycle=ost.Cycle(count=1), bindings={"model:Dropout.p": ost.mirror(0.0, 0.3)}).bind(model=model).step()
print("torch._dynamo" in sys.modules, "ostinato.compilation" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_compiled_optimizer_step_is_detected():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))])
    scheduler = plan("optimizer.lr", "optimizer.betas.0").bind(optimizer=optimizer)
    assert recompiling(scheduler) == []
    optimizer.step = torch.compile(optimizer.step, backend="eager")
    (finding,) = recompiling(scheduler)
    assert finding.label == "optimizer[0].betas.0"
    assert "compile_safe(model, plan, optimizer=optimizer)" in finding.why


def test_an_optimizer_of_a_form_that_torch_refuses_says_so():
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1, weight_decay=0.1, momentum=0.5)
    scheduler = plan("optimizer.lr", "optimizer.weight_decay", "optimizer.momentum").bind(optimizer=optimizer)
    whys = {finding.label: finding.why for finding in recompiling(scheduler, ["optimizer"])}
    assert set(whys) == {"optimizer[0].lr", "optimizer[0].weight_decay"}
    assert "in every form" in whys["optimizer[0].weight_decay"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("names", [tuple(SEVEN), CONCERT, *((name,) for name in SEVEN)])
def test_no_recompiles_over_three_cycles_with_inductor(names):
    counts = measure_one(names, ours=True)
    assert counts.steady
    assert counts.graphs[2:] == (0,) * 34


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", FORMS)
def test_the_table_of_forms_is_what_is_measured(name):
    for key, form in FORMS[name].items():
        working = [case[2] for case in cases((name,)) if case[1] == key and recompiles_of(*case).works]
        assert (form in working) if form else not working
