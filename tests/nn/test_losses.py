from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ostinato.nn as onn
from ostinato.errors import DataError, DomainError
from ostinato.nn import _cross_entropy, functional

WEIGHT = torch.tensor([0.5, 1.0, 2.0, 4.0])
CASES = {
    "rows": ((6, 4), (6,)),
    "one": ((4,), ()),
    "images": ((3, 4, 2, 5), (3, 2, 5)),
}


@pytest.fixture(params=["read", "tensor"])
def path(request, monkeypatch):
    if request.param == "tensor":
        monkeypatch.setattr(_cross_entropy, "as_number", lambda value: None)
    return request.param


def compare(ours, theirs, logits, target, tolerance=1e-6):
    results = []
    for function in (ours, theirs):
        x = logits.clone().requires_grad_()
        value = function(x, target)
        value.sum().backward()
        results.append((value, x.grad))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    return results


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["classes", "ignored", "all ignored", "probabilities"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("setting", [(0.0, WEIGHT), (0.25, None), (0.25, WEIGHT), (1.0, None)])
def test_smoothed_cross_entropy_is_torchs(case, kind, reduction, setting, path):
    smoothing, weight = setting
    shape, target_shape = CASES[case]
    logits = torch.randn(shape)
    if kind == "probabilities":
        target = torch.softmax(torch.randn(shape), 0 if case == "one" else 1)
    else:
        target = torch.randint(0, 4, target_shape)
        if kind != "classes":
            target[... if kind == "all ignored" or case == "one" else 0] = -100
    ours = onn.LabelSmoothingCrossEntropy(weight, reduction=reduction, label_smoothing=smoothing)
    theirs = nn.CrossEntropyLoss(weight, reduction=reduction, label_smoothing=smoothing)
    results = compare(ours, theirs, logits, target)
    if path == "read":
        assert all(torch.equal(found.nan_to_num(), wanted.nan_to_num()) for found, wanted in zip(*results, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_are_torchs(dtype, path):
    logits, target = torch.randn(6, 4, dtype=dtype), torch.randint(0, 4, (6,))
    (found, _), (wanted, _) = compare(
        onn.LabelSmoothingCrossEntropy(label_smoothing=0.25),
        nn.CrossEntropyLoss(label_smoothing=0.25),
        logits,
        target,
        4 * torch.finfo(dtype).eps if dtype != torch.float64 else 1e-12,
    )
    assert found.dtype == wanted.dtype == dtype


def test_autocast_is_torchs(path):
    x, target = torch.randn(6, 4), torch.randint(0, 4, (6,))
    layer = nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = layer(x)
        found = onn.LabelSmoothingCrossEntropy(label_smoothing=0.25)(logits, target)
        wanted = nn.CrossEntropyLoss(label_smoothing=0.25)(logits, target)
        focal = onn.FocalLoss(0.0)(logits, target)
    assert found.dtype == wanted.dtype == focal.dtype
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(focal.float(), F.cross_entropy(logits.float(), target), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_an_empty_batch_is_torchs(reduction, path):
    logits, target = torch.empty(0, 4), torch.empty(0, dtype=torch.int64)
    ours = onn.LabelSmoothingCrossEntropy(reduction=reduction, label_smoothing=0.25)
    compare(ours, nn.CrossEntropyLoss(reduction=reduction, label_smoothing=0.25), logits, target)
    compare(onn.FocalLoss(0.0, reduction=reduction), nn.CrossEntropyLoss(reduction=reduction), logits, target)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("alpha", [None, WEIGHT])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_focus_of_0_is_cross_entropy(case, alpha, reduction, ignored):
    shape, target_shape = CASES[case]
    target = torch.randint(0, 4, target_shape)
    if ignored:
        target[... if case == "one" else 0] = 7
    compare(
        onn.FocalLoss(0.0, alpha=alpha, ignore_index=7, reduction=reduction),
        nn.CrossEntropyLoss(alpha, ignore_index=7, reduction=reduction),
        torch.randn(shape),
        target,
    )


def sigmoid_focal_loss(x, y, alpha, gamma):
    """Equation 5 of the paper, element by element."""
    p = torch.sigmoid(x)
    p_t, alpha_t = torch.where(y == 1, p, 1 - p), torch.where(y == 1, alpha, 1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * torch.log(p_t)


def test_two_classes_are_the_papers_form():
    x, y = torch.randn(50, dtype=torch.float64), torch.randint(0, 2, (50,))
    logits = torch.stack((torch.zeros_like(x), x), 1)
    loss = onn.FocalLoss(2.0, alpha=torch.tensor([0.75, 0.25]), reduction="none")
    torch.testing.assert_close(loss(logits, y), sigmoid_focal_loss(x, y, torch.tensor(0.25, dtype=torch.float64), 2.0))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_gradients_are_finite_for_certain_answers(gamma):
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0], [20.0, 0.0]], requires_grad=True)
    loss = onn.FocalLoss(gamma, reduction="none")(logits, torch.zeros(3, dtype=torch.int64))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad.isfinite().all()
    assert float(loss[1].detach()) == pytest.approx(200.0)


def test_focal_gradients_are_those_of_the_formula():
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 3, 1])
    assert torch.autograd.gradcheck(lambda x: functional.focal_loss(x, target, 1.5, alpha=WEIGHT.double()), (logits,))


def test_temperature_divides_logits():
    logits = torch.randn(3, 4)
    module = onn.Temperature(4.0)
    assert torch.equal(module(logits), logits / 4)
    assert torch.equal(functional.temperature_softmax(logits, module.temperature), torch.softmax(logits / 4, -1))
    assert module(logits.half()).dtype == torch.float16


def test_bad_values_are_refused():
    with pytest.raises(DomainError, match=r"LabelSmoothingCrossEntropy\.label_smoothing: got 1\.5"):
        onn.LabelSmoothingCrossEntropy(label_smoothing=1.5)
    with pytest.raises(DomainError, match=r"FocalLoss\.gamma: got -1, expected a number in \[0, inf\)"):
        onn.FocalLoss(-1.0)
    with pytest.raises(DomainError, match=r"Temperature\.temperature: got 0"):
        onn.Temperature(0.0)
    with pytest.raises(DataError, match="expected classes"):
        onn.FocalLoss()(torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(DataError, match=r"reduction: got 'median'"):
        functional.focal_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), reduction="median")
