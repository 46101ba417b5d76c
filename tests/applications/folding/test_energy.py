"""Energies against plain loops, gradients against finite differences, overlaps that stay finite."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from ostinato.applications.folding import Energy, fibonacci
from ostinato.errors import ConfigError, DataError
from plain_folding import energy as plain

SHAPES = [("I", 2), ("I", 3), ("II", 3), ("azimuth", 3)]


def starts(energy: Energy, chains: int = 100, spread: float = 0.6, seed: int = 0) -> torch.Tensor:
    """Chains that do not overlap."""
    generator = torch.Generator().manual_seed(seed)
    angles = spread * torch.randn(50 * chains, energy.angles, generator=generator, dtype=torch.float64)
    least = torch.tensor([pdist(points).min() for points in energy.coordinates(angles).numpy()])
    apart = angles[least > 0.55]
    assert len(apart) >= chains
    return apart[:chains]


@pytest.mark.parametrize(("model", "dim"), SHAPES)
@pytest.mark.parametrize("sequence", ["ABA", "BABB", fibonacci(13)])
def test_energies_are_those_of_plain_loops(sequence: str, model: str, dim: int) -> None:
    energy = Energy(sequence, model, dim)
    angles = starts(energy)
    expected = [plain(sequence, model, row, dim) for row in angles.numpy()]
    assert energy(angles).numpy() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert energy.with_gradient(angles)[0].tolist() == energy(angles).tolist()


@pytest.mark.parametrize(("model", "dim"), SHAPES)
def test_gradients_are_those_of_finite_differences(model: str, dim: int) -> None:
    energy = Energy(fibonacci(13), model, dim)
    angles = starts(energy, 5)
    shift = 1e-6 * torch.eye(energy.angles, dtype=torch.float64)
    for row, found in zip(angles, energy.with_gradient(angles)[1], strict=True):
        central = (energy(row + shift) - energy(row - shift)) / 2e-6
        assert found.numpy() == pytest.approx(central.numpy(), rel=1e-6, abs=1e-6 * float(found.abs().max()))


@pytest.mark.parametrize(("model", "dim"), SHAPES)
def test_overlapping_beads_are_finite_and_pushed_apart(model: str, dim: int) -> None:
    energy = Energy("A" * 9, model, dim)
    bend = torch.full((1, energy.angles), torch.pi / 2, dtype=torch.float64)  # four bonds and back at the start
    if dim == 3:
        bend = torch.zeros(1, energy.angles, dtype=torch.float64)
        bend[0, :7] = torch.pi / 2 * torch.arange(2, 9)
    value, gradient = energy.with_gradient(bend)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()
    near = bend + 0.01 * torch.randn(20, energy.angles, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    value, gradient = energy.with_gradient(near)
    assert (value > 10_000).all()
    steps = near - 1e-3 * gradient / gradient.norm(dim=1, keepdim=True)
    assert (energy(steps) < value).all()
    shift = 1e-7 * torch.eye(energy.angles, dtype=torch.float64)  # also inside the floor, the gradient is the energy's
    central = (energy(near[0] + shift) - energy(near[0] - shift)) / 2e-7
    assert gradient[0].numpy() == pytest.approx(central.numpy(), rel=1e-4, abs=1e-4 * float(gradient[0].abs().max()))


def test_a_chain_as_its_own_mirror_image_has_the_same_energy() -> None:
    for model, dim in SHAPES:
        energy = Energy(fibonacci(13), model, dim)
        angles = starts(energy, 10)
        mirrored = -angles if dim == 2 else torch.cat((angles[:, :11], -angles[:, 11:]), dim=1)
        assert energy(mirrored).numpy() == pytest.approx(energy(angles).numpy(), rel=1e-12)


def test_the_models_are_different_functions() -> None:
    energies = [Energy(fibonacci(13), model, 3) for model in ("I", "II", "azimuth")]
    angles = starts(energies[0], 3)
    values = torch.stack([energy(angles) for energy in energies])
    assert (torch.pdist(values) > 0.1).all()


def test_evaluations_are_counted_by_chain_and_blocks_change_nothing() -> None:
    energy = Energy(fibonacci(13))
    angles = starts(energy, 500)
    together, gradient = energy.with_gradient(angles)
    alone = torch.cat([energy(angles[k : k + 1]) for k in range(500)])
    assert energy.evaluations == 1000
    assert together.numpy() == pytest.approx(alone.numpy(), rel=1e-12)
    assert gradient[499:].numpy() == pytest.approx(energy.with_gradient(angles[499:])[1].numpy(), rel=1e-9)


def test_beads_lie_at_unit_distance_from_the_origin_on() -> None:
    for model, dim in SHAPES:
        energy = Energy(fibonacci(21), model, dim)
        points = energy.coordinates(starts(energy, 4, spread=0.3))
        assert points.shape == (4, 21, dim)
        assert np.array_equal(points[:, 0], np.zeros((4, dim)))
        assert points.diff(dim=1).norm(dim=2).numpy() == pytest.approx(np.ones((4, 20)), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Energy("ABBA", "X"), "model: got 'X'; known: I, II, azimuth"),
        (lambda: Energy("ABBA", "azimut"), "model: got 'azimut'; did you mean 'azimuth'?"),
        (lambda: Energy("ABBA", "II", 2), "dim: got 2 with model II, which is defined in space alone; type 3, or model I"),
        (lambda: Energy("ABBA", "I", 4), "dim: got 4, expected 2 or 3"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused(call: object, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        call()


def test_angles_of_another_shape_are_refused() -> None:
    with pytest.raises(
        DataError,
        match=re.escape("angles: got (2, 4) torch.float64, expected (chains, 3) torch.float64 for 4 beads in 3D"),
    ):
        Energy("ABBA")(torch.zeros(2, 4, dtype=torch.float64))
