"""Curvature and gradient noise against Hessians and covariances that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ostinato.applications.landscapes import Curvature, curvature_of, gradient_noise_of
from ostinato.errors import ConfigError, DataError, NonFiniteError
from ostinato.nn import FocalLoss


class Bowl(nn.Module):
    """A quadratic of known spectrum: outputs rows' dot products with the weights, scaled."""

    def __init__(self, spectrum: Tensor) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.ones(len(spectrum)))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("spectrum", spectrum)

    def forward(self, offsets: Tensor) -> Tensor:
        values = 0.5 * (self.spectrum * self.point**2).sum() + offsets @ self.point
        assert isinstance(values, Tensor)
        return values


def mean(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs.mean()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3))


def batches(count: int = 3, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(size, 4, generator=generator), torch.randint(0, 3, (size,), generator=generator))
        for _ in range(count)
    ]


def exact(model: nn.Module, loss: object, data: list[tuple[Tensor, Tensor]]) -> np.ndarray:
    """Return all eigenvalues of the full Hessian of the mean loss, descending, by torch.func in float64."""
    model = model.double().eval()
    names, shapes = zip(*((name, parameter.shape) for name, parameter in model.named_parameters()), strict=True)
    sizes = [shape.numel() for shape in shapes]

    def of(vector: Tensor) -> Tensor:
        parts = {n: p.reshape(s) for n, p, s in zip(names, vector.split(sizes), shapes, strict=True)}
        losses = [len(y) * loss(torch.func.functional_call(model, parts, (x.double(),)), y) for x, y in data]
        return torch.stack(losses).sum() / sum(len(y) for _, y in data)

    vector = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])
    return np.linalg.eigvalsh(torch.autograd.functional.hessian(of, vector).numpy())[::-1].copy()


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), FocalLoss(2.0)], ids=["ce", "focal"])
def test_eigenvalues_are_those_of_the_full_hessian(loss: nn.Module) -> None:
    data = [*batches(), *batches(1, 3)]
    found = curvature_of(network(), loss, data, count=4, tolerance=1e-5)
    wanted = exact(network(), loss, data)
    assert found.eigenvalues == pytest.approx(wanted[:4], rel=1e-3)
    assert list(found.eigenvalues) == sorted(found.eigenvalues, reverse=True)


@pytest.mark.parametrize("size", [6, 300])
def test_a_quadratic_has_the_spectrum_that_it_was_made_with(size: int) -> None:
    spectrum = torch.linspace(-50.0, 9.0, size)
    offsets = torch.zeros(4, size)
    found = curvature_of(Bowl(spectrum), mean, [(offsets, offsets)], count=2)
    assert found.eigenvalues == pytest.approx([9.0, float(spectrum[-2])], rel=1e-3)
    assert found.loss == pytest.approx(0.5 * float(spectrum.sum()), rel=1e-5)
    assert found.gradient_norm == pytest.approx(float(spectrum.norm()), rel=1e-5)


def test_a_loss_that_is_linear_is_flat() -> None:
    for size in (3, 100):
        offsets = torch.ones(2, size)
        assert curvature_of(Bowl(torch.zeros(size)), mean, [(offsets, offsets)]).eigenvalues == (0.0,)


def test_relative_curvature_and_the_noise_scale_do_not_know_a_factor_on_the_loss() -> None:
    data = batches()
    plain, tenth = (
        curvature_of(network(), lambda o, t, c=factor: c * F.cross_entropy(o, t), data) for factor in (1.0, 0.1)
    )
    assert tenth.sharpness == pytest.approx(0.1 * plain.sharpness, rel=1e-3)
    assert tenth.relative_to_loss == pytest.approx(plain.relative_to_loss, rel=1e-3)
    assert tenth.relative_to_gradient == pytest.approx(plain.relative_to_gradient, rel=1e-3)
    assert tenth.stability(1.0) == pytest.approx(plain.stability(0.1), rel=1e-3)
    noises = [
        gradient_noise_of(network(), lambda o, t, c=factor: c * F.cross_entropy(o, t), data) for factor in (1.0, 0.1)
    ]
    assert noises[1].scale == pytest.approx(noises[0].scale, rel=1e-4)
    assert noises[1].trace == pytest.approx(0.01 * noises[0].trace, rel=1e-4)
    flat = Curvature((1.0,), 0.0, 0.0)
    assert math.isnan(flat.relative_to_loss)
    assert math.isnan(flat.relative_to_gradient)


@pytest.mark.parametrize("size", [2, 16])
def test_planted_noise_is_found_without_bias_whatever_the_batch(size: int) -> None:
    generator = torch.Generator().manual_seed(2)
    spectrum, variances = torch.full((5,), 0.3), torch.tensor([4.0, 1.0, 0.25, 0.0, 9.0])
    found = []
    for _ in range(300):
        drawn = variances.sqrt() * torch.randn(8 * size, 5, generator=generator)
        found.append(gradient_noise_of(Bowl(spectrum), mean, [(part, part) for part in drawn.split(size)]))
    traces, norms = np.array([one.trace for one in found]), np.array([one.squared_norm for one in found])
    for values, wanted in ((traces, float(variances.sum())), (norms, 5 * 0.3**2)):
        standard_error = values.std(ddof=1) / math.sqrt(len(values))
        assert abs(values.mean() - wanted) < 4 * standard_error
        assert standard_error < 0.25 * wanted
    assert (found[0].batch_size, found[0].batches) == (size, 8)


def test_without_noise_the_scale_is_nothing_and_without_a_gradient_it_is_infinite() -> None:
    same = torch.ones(2, 3)
    assert gradient_noise_of(Bowl(torch.ones(3)), mean, [(same, same)] * 4).scale == pytest.approx(0.0, abs=1e-6)
    apart = [(sign * same, same) for sign in (1.0, -1.0)]
    lost = gradient_noise_of(Bowl(torch.zeros(3)), mean, apart)
    assert (lost.trace, lost.squared_norm, lost.scale) == (pytest.approx(12.0), pytest.approx(-3.0), math.inf)


@pytest.mark.parametrize("training", [False, True])
def test_a_model_that_was_looked_at_is_what_it_was(training: bool) -> None:
    model = network()
    model[3].eval()  # a mode of its own
    model(batches()[0][0]).sum().backward()
    modes = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    random = torch.get_rng_state()
    first = curvature_of(model, F.cross_entropy, batches(), training=training)
    noise = gradient_noise_of(model, F.cross_entropy, batches(), training=training)
    assert curvature_of(model, F.cross_entropy, batches(), training=training) == first
    assert gradient_noise_of(model, F.cross_entropy, batches(), training=training) == noise
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(
        torch.equal(parameter.grad, gradient)
        for parameter, gradient in zip(model.parameters(), gradients, strict=True)
        if parameter.grad is not None
    )


def test_training_mode_sees_what_evaluation_mode_does_not() -> None:
    training, evaluating = (
        curvature_of(network(), F.cross_entropy, batches(), training=mode).loss for mode in (True, False)
    )
    assert training != pytest.approx(evaluating)


@pytest.mark.parametrize(
    ("change", "error", "line"),
    [
        ({"count": 0}, ConfigError, "count: got 0, expected a whole number >= 1"),
        ({"count": 64}, ConfigError, "count: got 64, the model has 63 parameters that need a gradient"),
        ({"tolerance": 1.0}, ConfigError, "tolerance: got 1.0, expected a number between 0 and 1"),
        ({"batches": []}, DataError, "batches: got 0, expected at least one of (inputs, targets), none of them empty"),
        (
            {"loss": nn.CrossEntropyLoss(reduction="none")},
            DataError,
            "loss: returned (8,), expected one number; write reduction='mean'",
        ),
        (
            {"loss": lambda o, t: o.sum() * math.inf},
            NonFiniteError,
            "curvature: the loss or a derivative of it is not finite; the model has diverged",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(change: dict[str, object], error: type[Exception], line: str) -> None:
    given: dict[str, object] = {"model": network(), "loss": F.cross_entropy, "batches": batches(), **change}
    with pytest.raises(error) as caught:
        curvature_of(**given)
    assert str(caught.value) == line


def test_noise_needs_two_batches_of_one_size_and_a_model_that_learns() -> None:
    for given, sizes in ((batches(1), [8]), ([*batches(1), *batches(1, 4)], [4, 8])):
        with pytest.raises(DataError) as caught:
            gradient_noise_of(network(), F.cross_entropy, given)
        assert str(caught.value) == f"batches: got {len(given)} of sizes {sizes}, expected at least two of one size"
    with pytest.raises(ConfigError, match="no parameter needs a gradient"):
        gradient_noise_of(network().requires_grad_(False), F.cross_entropy, batches())
