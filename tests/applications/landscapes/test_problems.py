"""Test problems: gradients against finite differences, minima where they are said to be, random numbers that follow from their count."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ostinato.applications import landscapes
from ostinato.applications.landscapes import Problem
from ostinato.errors import ConfigError

PROBLEMS: dict[str, Problem] = {
    "quadratic": landscapes.Quadratic.draw(1, dimension=4, condition=50.0),
    "quadratics": landscapes.Quadratic.draw(1, 5, dimension=4, condition=(2.0, 50.0)),
    "moving": landscapes.MovingQuadratic.draw(1, 5, total=20, growth=7.0, dimension=3),
    "rosenbrock": landscapes.Rosenbrock.draw(1, dimension=2),
    "rosenbrock-5": landscapes.Rosenbrock.draw(1, 5, dimension=5, steepness=(10.0, 1000.0)),
    "saddle": landscapes.Saddle.draw(1, 5, dimension=3),
    "plateau": landscapes.Plateau.draw(1, 5, dimension=3),
    "wells": landscapes.DoubleWells.draw(1, 5),
    "logistic": landscapes.Logistic.of("breast-cancer", examples=60, features=5),
    "digits": landscapes.Logistic.of("digits", examples=50),
}


def differences(problem: Problem, x: Tensor, step: int, size: float = 1e-6) -> Tensor:
    """Central differences in every coordinate."""
    columns = []
    for d in range(x.shape[-1]):
        off = torch.zeros_like(x)
        off[..., d] = size
        columns.append((problem.value(x + off, step) - problem.value(x - off, step)) / (2 * size))
    return torch.stack(columns, -1)


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_are_those_of_the_values(name: str) -> None:
    problem = PROBLEMS[name]
    starts = problem.starts(seed=3, count=5)
    problem.demand_starts(starts)
    x = torch.stack([starts, starts + 0.3 * torch.randn(starts.shape, generator=torch.Generator().manual_seed(0))])
    for step in (0, 9):
        exact = problem.gradient(x, step)
        assert exact.shape == x.shape
        assert exact.dtype == torch.float64
        scale = float(exact.abs().max())
        assert exact.numpy() == pytest.approx(differences(problem, x, step).numpy(), abs=1e-7 * scale + 1e-9)
        assert Problem.gradient(problem, x, step).numpy() == pytest.approx(exact.numpy(), rel=1e-9, abs=1e-11 * scale)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name not in ("logistic", "digits")])
def test_each_instance_is_its_own(name: str) -> None:
    problem = PROBLEMS[name]
    if problem.instances == 1:
        assert problem.gradient(torch.ones(7, problem.dimension, dtype=torch.float64)).unique(dim=0).shape[0] == 1
        return
    same = torch.full((problem.instances, problem.dimension), 0.7, dtype=torch.float64)
    assert problem.value(same, 1).unique().numel() == problem.instances
    with pytest.raises(ConfigError, match=r"starts: got the shape \(4, .*expected \(5, "):
        problem.demand_starts(same[:4])


def test_minima_are_where_they_are_said_to_be() -> None:
    at: dict[str, Tensor] = {
        name: torch.zeros(5, PROBLEMS[name].dimension, dtype=torch.float64) for name in ("quadratic", "quadratics", "moving", "plateau")
    }  # fmt: skip
    at["rosenbrock-5"] = torch.ones(5, 5, dtype=torch.float64)
    saddle, wells = PROBLEMS["saddle"], PROBLEMS["wells"]
    assert isinstance(saddle, landscapes.Saddle)
    assert isinstance(wells, landscapes.DoubleWells)
    z = torch.zeros(5, 3, dtype=torch.float64)
    z[:, 0] = -saddle.widths
    at["saddle"] = torch.einsum("nij,nj->ni", saddle.rotation.mT, z)
    at["wells"] = wells.deep
    for name, x in at.items():
        problem = PROBLEMS[name]
        assert problem.least is not None
        assert problem.gradient(x).abs().max() < 1e-12
        assert (problem.value(x) - problem.least).abs().max() < 1e-12
        near = x + 0.1 * torch.randn(200, *x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        assert (problem.value(near) >= problem.least).all()


def test_curvatures_and_rotations_are_what_was_asked_for() -> None:
    problem = landscapes.Quadratic.draw(2, 200, dimension=6, condition=(10.0, 1000.0))
    assert (problem.rotation @ problem.rotation.mT - torch.eye(6)).abs().max() < 1e-12
    condition = (problem.curvatures.amax(-1) / problem.curvatures.amin(-1)).log10()
    assert 1.0 <= condition.min() < 1.1
    assert 2.9 < condition.max() <= 3.0
    hessian = torch.autograd.functional.hessian(
        lambda x: problem.value(x.expand(200, 6))[7], torch.zeros(6, dtype=torch.float64)
    )
    assert torch.linalg.eigvalsh(hessian).numpy() == pytest.approx(problem.curvatures[7].sort().values.numpy())
    moving = landscapes.MovingQuadratic.draw(2, total=10, growth=100.0, noise_growth=4.0, noise=1.0)
    at, draw = torch.zeros(1, 10, dtype=torch.float64), torch.ones(1, 10, dtype=torch.float64)
    assert moving.curvature(5).item() == pytest.approx(10.0)
    assert moving.seen(at, 5, draw).tolist() == [[2.0] * 10]


def test_saddles_and_plateaus_start_where_they_are_flat() -> None:
    saddle, plateau = landscapes.Saddle.draw(0, 50), landscapes.Plateau.draw(0, 50)
    x = saddle.starts(0, 50)
    across = torch.einsum("nij,nj->ni", saddle.rotation, x)[:, 0] / saddle.widths
    assert across.abs().max() < 0.01
    zeros = torch.zeros(50, 10, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(lambda x: saddle.value(x.expand(50, 10))[3], zeros[0])
    assert torch.linalg.eigvalsh(hessian)[0].item() == pytest.approx(-4.0 / saddle.widths[3].item() ** 2)
    assert plateau.value(plateau.starts(0, 50)).numpy() == pytest.approx(30 / 31)


def test_wells_are_of_the_stated_places_and_depths() -> None:
    wells = landscapes.DoubleWells(
        torch.tensor([3.0]).double(), torch.tensor([[0.5, 2.0]]).double(), torch.tensor([[0.4, 1.5]]).double()
    )
    grid = torch.linspace(1.0, 6.0, 50_001, dtype=torch.float64)
    value = wells.value(grid[:, None, None])[:, 0]
    for place, side in enumerate((grid < 3.0, grid > 3.0)):
        assert value[side].min().item() == pytest.approx(-wells.depths[0, place].item())
        assert grid[side][value[side].argmin()].item() == pytest.approx(wells.places[0, place].item(), abs=1e-4)
    assert value[(grid > 2.5) & (grid < 5.0)].max().item() == pytest.approx(0.0, abs=1e-9)
    assert (wells.deep.item(), wells.shallow.item()) == (5.0, 2.5)
    other = wells.mirrored()
    assert (other.deep.item(), other.shallow.item()) == (1.0, 3.5)
    assert other.value(3.0 - (grid[:, None, None] - 3.0)).numpy() == pytest.approx(value[:, None].numpy())
    moved = wells.shifted(-10.0)
    assert moved.value(grid[:, None, None] - 10.0).numpy() == pytest.approx(value[:, None].numpy())


def test_where_the_deeper_well_lies_says_nothing_unless_asked_to() -> None:
    wells = landscapes.DoubleWells.draw(0, 20_000)
    nearer = (wells.deep.abs() < wells.shallow.abs()).double().mean().item()
    right = (wells.deep > wells.shallow).double().mean().item()
    width = wells.widths.gather(-1, wells.depths.argmax(-1, keepdim=True)).mean().item()
    zero_in_deep = wells.in_deep(torch.zeros(20_000, 1)).double().mean().item()
    for found in (nearer, right, width / 2, zero_in_deep):
        assert found == pytest.approx(0.5, abs=0.012)  # more than three standard deviations
    inner = landscapes.DoubleWells.draw(0, 500, deeper="inner")
    assert inner.in_deep(torch.zeros(500, 1)).all()
    assert not inner.mirrored().in_deep(torch.zeros(500, 1)).any()
    assert not landscapes.DoubleWells.draw(0, 500, deeper="outer").in_deep(torch.zeros(500, 1)).any()
    assert not inner.in_deep(inner.starts(0, 500)).any()


@pytest.mark.parametrize("data", ["breast-cancer", "digits"])
@pytest.mark.parametrize("seed", range(3))
def test_the_logistic_optimum_is_the_only_stationary_point(data: str, seed: int) -> None:
    problem = landscapes.Logistic.of(data, seed=seed, examples=300, scales=(0.1, 10.0))
    assert problem.gradient(problem.optimum).norm() < 1e-12
    hessian = torch.autograd.functional.hessian(problem.value, problem.optimum)
    assert torch.linalg.eigvalsh(hessian).min() > 0.999 * problem.ridge
    near = problem.optimum + 1e-3 * torch.randn(100, problem.dimension, generator=torch.Generator().manual_seed(0))
    assert (problem.value(near) > problem.least).all()


def test_minibatches_are_counted_and_their_mean_gradient_is_the_exact_one() -> None:
    problem = landscapes.Logistic.of("breast-cancer", examples=100, features=4, batch=8)
    first, again, later = (problem.draws(seed=5, block=block, starts=3) for block in (0, 0, 1))
    assert first is not None
    assert again is not None
    assert later is not None
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    x = torch.ones(1, 5, dtype=torch.float64)
    seen = torch.stack([problem.seen(x, 0, draw)[0] for block in range(40) for draw in _draws(problem, block)])
    error = (seen.mean(0) - problem.gradient(x)[0]) / (seen.std(0) / len(seen) ** 0.5)
    assert error.abs().max() < 4.5
    assert seen.std() > 0.01
    full = landscapes.Logistic.of("breast-cancer", examples=100, features=4, batch=0)
    assert full.draws(0, 0, 3) is None
    assert torch.equal(full.seen(x, 0, None), full.gradient(x))


def _draws(problem: Problem, block: int) -> Tensor:
    found = problem.draws(5, block, 1)
    assert found is not None
    return found


def test_noise_has_the_stated_deviation() -> None:
    problem = landscapes.Quadratic.draw(0, dimension=3, noise=0.2)
    draws = torch.cat([_draws(problem, block) for block in range(20)])
    assert draws.std().item() == pytest.approx(0.2, rel=0.03)
    assert draws.shape[1:] == (1, 3)


def test_what_cannot_be_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"noise: got -1.0, expected a standard deviation >= 0"):
        landscapes.Quadratic.draw(0, noise=-1.0)
    with pytest.raises(ConfigError, match=r"condition: got 0\.5, expected at least 1"):
        landscapes.Quadratic.draw(0, condition=0.5)
    with pytest.raises(ConfigError, match="dimension: got 1, expected at least 2"):
        landscapes.Rosenbrock.draw(0, dimension=1)
    with pytest.raises(ConfigError, match=r"range: got \(2.0, 1.0\)"):
        landscapes.Rosenbrock.draw(0, steepness=(2.0, 1.0))
    with pytest.raises(ConfigError, match=r"moving: got total=0"):
        landscapes.MovingQuadratic.draw(0, total=0)
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        landscapes.Logistic.of("digit")
    with pytest.raises(ConfigError, match="features: got 31, expected 1 to 30"):
        landscapes.Logistic.of("breast-cancer", features=31)
    with pytest.raises(ConfigError, match="expected ridge > 0"):
        landscapes.Logistic.of("breast-cancer", ridge=0.0)
    with pytest.raises(ConfigError, match=r"starts: got the shape \(3,\), expected \(N, 2\)"):
        PROBLEMS["rosenbrock"].demand_starts(torch.zeros(3))
