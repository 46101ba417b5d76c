from __future__ import annotations

import pytest
import torch
from torch import nn

import ostinato.nn as onn
from ostinato.errors import DomainError
from ostinato.nn import functional

SHAPES = {"Dropout": (5, 7), "Dropout1d": (3, 4, 5), "Dropout2d": (3, 4, 5, 2), "Dropout3d": (2, 3, 2, 2, 2)}


def seeded(module, x, seed=3):
    torch.manual_seed(seed)
    x = x.detach().clone().requires_grad_()
    y = module(x)
    y.sum().backward()
    return y, x.grad


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("p", [0.0, 0.25, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_eager_results_and_gradients_are_torchs(name, p, dtype):
    x = torch.randn(SHAPES[name], dtype=dtype)
    ours, theirs = getattr(onn, name)(p), getattr(nn, name)(p)
    for found, wanted in zip(seeded(ours, x), seeded(theirs, x), strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found, wanted, rtol=0 if p in (0.0, 0.25, 1.0) else 1e-6, atol=0)


@pytest.mark.parametrize("name", SHAPES)
def test_evaluation_returns_the_input_itself(name):
    x = torch.randn(SHAPES[name])
    assert getattr(onn, name)(0.5).eval()(x) is x


@pytest.mark.parametrize("name", ["Dropout1d", "Dropout3d"])
def test_an_input_without_a_batch_is_torchs(name):
    x = torch.randn(SHAPES[name][1:])
    for found, wanted in zip(seeded(getattr(onn, name)(0.5), x), seeded(getattr(nn, name)(0.5), x), strict=True):
        assert torch.equal(found, wanted)


def tensor_path(monkeypatch):
    monkeypatch.setattr(functional, "as_number", lambda value: None)


@pytest.mark.parametrize("name", [*SHAPES, "StochasticDepth"])
@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
def test_the_tensor_form_keeps_or_zeroes_whole_pieces(name, p, monkeypatch):
    tensor_path(monkeypatch)
    shape = {**SHAPES, "StochasticDepth": (400, 3)}[name]
    x = torch.rand((200, *shape[1:])) + 1.0
    y, grad = seeded(getattr(onn, name)(p), x)
    kept = y != 0
    torch.testing.assert_close(y[kept], (x / (1 - p) if p < 1 else x)[kept])
    torch.testing.assert_close(grad, kept / (1 - p) if p < 1 else torch.zeros_like(x))
    pieces = kept.flatten(1 if name == "StochasticDepth" else 2) if name != "Dropout" else kept.unsqueeze(-1)
    assert (pieces.all(-1) | ~pieces.any(-1)).all()
    assert pieces[..., 0].float().mean() == pytest.approx(1 - p, abs=0.1 if p not in (0.0, 1.0) else 0.0)


def test_the_tensor_form_keeps_strides_and_type_and_works_in_place(monkeypatch):
    tensor_path(monkeypatch)
    x = torch.rand(2, 3, 4, 4, dtype=torch.float16).to(memory_format=torch.channels_last)
    y = onn.Dropout(0.5, inplace=True)(x)
    assert y is x
    assert onn.Dropout2d(0.5)(x).is_contiguous(memory_format=torch.channels_last)
    assert onn.Dropout(0.5)(x).dtype == torch.float16
    assert onn.Dropout(0.5)(torch.empty(0, 3)).shape == (0, 3)


def test_drop_path_draws_what_torchvision_and_timm_draw():
    x = torch.randn(16, 2, 3)
    torch.manual_seed(1)
    mask = x.new_empty(16, 1, 1).bernoulli_(0.75).div_(0.75)
    torch.manual_seed(1)
    assert torch.equal(functional.drop_path(x, torch.tensor(0.25)), x * mask)
    torch.manual_seed(1)
    together = functional.drop_path(x, 0.5, mode="batch")
    assert torch.equal(together, torch.zeros_like(x)) or torch.equal(together, 2 * x)


def test_autocast_leaves_the_type_of_the_input():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = nn.Linear(4, 4)(torch.randn(2, 4))
        assert onn.Dropout(0.5)(hidden).dtype == torch.bfloat16 == onn.StochasticDepth(0.5)(hidden).dtype


def test_members_with_a_probability_each_are_mapped_over():
    def call(p, x):
        return functional.dropout(x, p)

    x = torch.ones(3, 1000)
    y = torch.vmap(call, randomness="different")(torch.tensor([0.0, 0.5, 1.0]), x)
    assert torch.equal(y[0], x[0])
    assert torch.equal(y[2], torch.zeros(1000))
    assert 400 < (y[1] == 2.0).sum() < 600


def test_no_probability_is_refused():
    with pytest.raises(DomainError, match=r"Dropout\.p: got 1\.5, expected a probability in \[0, 1\]"):
        onn.Dropout(1.5)
    module = onn.Dropout2d(0.1)
    for bad in (-0.1, float("nan"), True, "0.1", torch.zeros(2)):
        with pytest.raises(DomainError, match=r"Dropout2d\.p"):
            module.p = bad
    assert float(module.p) == pytest.approx(0.1)
    with pytest.raises(DomainError, match="mode"):
        onn.StochasticDepth(0.1, mode="column")
