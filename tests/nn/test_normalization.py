from __future__ import annotations

import pytest
import torch
from torch import nn

import ostinato.nn as onn
from ostinato.errors import DomainError
from ostinato.nn import functional, normalization

SHAPES = {"BatchNorm1d": (6, 3, 4), "BatchNorm2d": (5, 3, 4, 2), "BatchNorm3d": (4, 3, 2, 2, 2)}


@pytest.fixture(params=["read", "tensor"])
def path(request, monkeypatch):
    """The two ways of taking the momentum: as a number that is read, and as a tensor."""
    if request.param == "tensor":
        for module in (functional, normalization):
            monkeypatch.setattr(module, "as_number", lambda value: None if isinstance(value, torch.Tensor) else value)
    return request.param


def after(module, batches):
    outputs = []
    for batch in batches:
        x = batch.clone().requires_grad_()
        y = module(x)
        y.square().sum().backward()
        outputs += [y, x.grad]
    grads = [parameter.grad for parameter in module.parameters()]
    return [*outputs, *grads, module.eval()(batches[0])], module.state_dict()


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.25, 1.0, None])
def test_results_gradients_and_statistics_are_torchs(name, momentum, path):
    batches = [torch.randn(SHAPES[name]) * 3 + 1 for _ in range(3)]
    ours, state = after(getattr(onn, name)(3, momentum=momentum), batches)
    theirs, wanted = after(getattr(nn, name)(3, momentum=momentum), batches)
    for found, expected in zip(ours[:-1], theirs[:-1], strict=True):
        assert torch.equal(found, expected)
    torch.testing.assert_close(ours[-1], theirs[-1], rtol=1e-6, atol=1e-6)
    for key, expected in wanted.items():
        exact = path == "read" and momentum in (0.0, 0.25, 1.0, None)
        torch.testing.assert_close(state[key], expected, rtol=0 if exact else 1e-6, atol=0 if exact else 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_are_torchs(dtype, path):
    x = torch.randn(8, 3, dtype=dtype)
    ours, theirs = onn.BatchNorm1d(3, momentum=0.25, dtype=dtype), nn.BatchNorm1d(3, momentum=0.25, dtype=dtype)
    assert torch.equal(ours(x), theirs(x))
    rounding = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=rounding, atol=rounding)
    assert ours.momentum.dtype == torch.float32


def test_autocast_and_memory_format_are_torchs(path):
    x = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    ours, theirs = onn.BatchNorm2d(3, momentum=0.25), nn.BatchNorm2d(3, momentum=0.25)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        convolution = nn.Conv2d(3, 3, 3)
        hidden = convolution(x)
        found, wanted = ours(hidden), theirs(hidden)
    assert found.dtype == wanted.dtype
    assert found.stride() == wanted.stride()
    assert torch.equal(found, wanted)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{"track_running_stats": False}, {"affine": False}, {"bias": False}])
def test_options_are_torchs(options, path):
    batches = [torch.randn(4, 3) for _ in range(2)]
    ours, state = after(onn.BatchNorm1d(3, momentum=0.5, **options), batches)
    theirs, wanted = after(nn.BatchNorm1d(3, momentum=0.5, **options), batches)
    assert list(state) == list(wanted)
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_a_batch_of_one_value_is_refused_as_torch_refuses_it(path):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        onn.BatchNorm1d(3)(torch.ones(1, 3))
    with pytest.raises(ValueError, match="expected 4D input"):
        onn.BatchNorm2d(3)(torch.ones(2, 3))


def test_a_cumulative_mean_can_be_given_a_momentum_and_back():
    module = onn.BatchNorm1d(2, momentum=None)
    module.momentum = 0.5
    assert float(module.momentum) == 0.5
    assert "momentum" not in module.state_dict()
    module.momentum = None
    module(torch.tensor([[0.0, 2.0], [2.0, 4.0]]))
    assert torch.equal(module.running_mean, torch.tensor([1.0, 3.0]))


def test_no_momentum_outside_its_domain():
    with pytest.raises(DomainError, match=r"BatchNorm1d\.momentum: got 1\.2, expected a probability in \[0, 1\]"):
        onn.BatchNorm1d(3, momentum=1.2)
