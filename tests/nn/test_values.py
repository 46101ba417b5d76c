from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

import ostinato.nn as onn

PAIRS = [
    (onn.Dropout, nn.Dropout, (), "p"),
    (onn.Dropout1d, nn.Dropout1d, (), "p"),
    (onn.Dropout2d, nn.Dropout2d, (), "p"),
    (onn.Dropout3d, nn.Dropout3d, (), "p"),
    (onn.BatchNorm1d, nn.BatchNorm1d, (3,), "momentum"),
    (onn.BatchNorm2d, nn.BatchNorm2d, (3,), "momentum"),
    (onn.BatchNorm3d, nn.BatchNorm3d, (3,), "momentum"),
    (onn.LabelSmoothingCrossEntropy, nn.CrossEntropyLoss, (torch.ones(3),), "label_smoothing"),
]
OWN = [(onn.FocalLoss, "gamma"), (onn.Temperature, "temperature"), (onn.StochasticDepth, "p")]
WITH_STRENGTH = [(onn.RandomShift, (2,), "strength"), (onn.InputNoise, (0.1,), "strength")]
ALL = [(kind, arguments, name) for kind, _, arguments, name in PAIRS] + [(kind, (), name) for kind, name in OWN]
ALL += WITH_STRENGTH


@pytest.mark.parametrize(("kind", "arguments", "name"), ALL)
def test_a_number_fills_the_buffer_in_place(kind, arguments, name):
    module = kind(*arguments)
    buffer = getattr(module, name)
    setattr(module, name, 0.3)
    assert getattr(module, name) is buffer
    assert buffer.dtype == torch.float32
    assert buffer.dim() == 0
    assert float(buffer) == pytest.approx(0.3)
    assert f"{name}=0.3" in repr(module)
    setattr(module, name, torch.tensor([0.25], dtype=torch.float64))
    assert getattr(module, name) is buffer
    assert float(buffer) == 0.25


@pytest.mark.parametrize(("kind", "arguments", "name"), ALL)
@pytest.mark.parametrize("convert", ["half", "double", "bfloat16"])
def test_conversions_leave_the_value_as_it_is(kind, arguments, name, convert):
    module = kind(*arguments)
    setattr(module, name, 0.3)
    buffer = getattr(module, name)
    getattr(module, convert)()
    assert getattr(module, name) is buffer
    assert buffer.dtype == torch.float32


@pytest.mark.parametrize(("kind", "arguments", "name"), ALL)
def test_a_module_built_without_memory_gets_its_value_back(kind, arguments, name):
    with torch.device("meta"):
        module = kind(*(value.to("meta") if isinstance(value, torch.Tensor) else value for value in arguments))
        setattr(module, name, 0.3)
    assert getattr(module, name).is_meta
    module.to_empty(device="cpu")
    assert float(getattr(module, name)) == pytest.approx(0.3)


@pytest.mark.parametrize(("kind", "arguments", "name"), ALL)
def test_copies_and_pickles_have_a_value_of_their_own(kind, arguments, name):
    module = kind(*arguments)
    setattr(module, name, 0.25)
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    for other in (copy.deepcopy(module), torch.load(stream, weights_only=False)):
        assert float(getattr(other, name)) == 0.25
        setattr(other, name, 0.5)
        assert repr(other) == repr(other).replace("0.25", "0.5")
        assert float(getattr(module, name)) == 0.25


@pytest.mark.parametrize(("kind", "standard", "arguments", "name"), PAIRS)
def test_state_dicts_go_both_ways(kind, standard, arguments, name):
    ours, theirs = kind(*arguments), standard(*arguments)
    assert isinstance(ours, standard)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for tensor in theirs.state_dict().values():
        tensor.add_(1)
    setattr(ours, name, 0.75)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert float(getattr(ours, name)) == 0.75
    for found, wanted in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(found, wanted)


def test_values_follow_the_module_to_another_device():
    module = nn.Sequential(onn.BatchNorm1d(2, momentum=0.3), onn.Dropout(0.2)).to("meta")
    assert module[0].momentum.is_meta
    assert module[1].p.is_meta
    assert repr(module[1]) == "Dropout(p=..., inplace=False)"
    assert onn.BatchNorm1d(2, device="meta").momentum.is_meta


def test_a_trained_value_takes_the_place_of_the_buffer():
    module = onn.Temperature(2.0)
    module.temperature = nn.Parameter(torch.tensor(2.0))
    module(torch.ones(3)).sum().backward()
    assert module.temperature.grad is not None
    assert [name for name, _ in module.named_parameters()] == ["temperature"]
