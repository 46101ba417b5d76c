from __future__ import annotations

import numpy as np
import pytest
import torch

from ostinato.applications.adversarial import Coverage, Mixture, mixture
from ostinato.errors import ConfigError, DataError

GRID, RING = mixture("grid"), mixture("ring")


def drawn(of: Mixture, count: int = 2500) -> np.ndarray:
    return of.sample(np.random.default_rng(0), count)


@pytest.mark.parametrize("of", [GRID, RING], ids=lambda of: of.name)
def test_a_perfect_sampler_covers_everything(of: Mixture) -> None:
    found = Coverage.of(of, drawn(of, 50_000))
    assert found.modes == of.modes
    assert found.high_quality == pytest.approx(1 - np.exp(-4.5), abs=0.003)
    assert found.jsd < 5e-4
    assert found.reverse_kl < 1e-3


def test_a_collapsed_sampler_covers_one() -> None:
    found = Coverage.of(GRID, drawn(Mixture("one", ((2.0, -4.0),), 0.05)))
    assert found.modes == 1
    assert found.high_quality > 0.98
    assert found.reverse_kl == pytest.approx(np.log(25))
    assert 0.55 < found.jsd < np.log(2)


def test_two_missing_modes_are_the_studys_margin() -> None:
    found = Coverage.of(GRID, drawn(Mixture("fewer", GRID.centres[2:], 0.05), 100_000))
    assert found.modes == 23
    assert found.jsd == pytest.approx(0.0285, abs=0.001)


def test_junk_is_no_mode_and_nothing_good_is_no_number() -> None:
    far = np.full((100, 2), 1.0)  # between the modes
    found = Coverage.of(GRID, far)
    assert (found.modes, found.high_quality) == (0, 0.0)
    assert np.isnan(found.reverse_kl)
    assert found.jsd == pytest.approx(0.6624, abs=1e-3)  # log 2, less the mixture's own share of junk
    half = Coverage.of(GRID, np.concatenate([far, drawn(GRID, 100)]))
    assert half.high_quality == pytest.approx(0.5, abs=0.02)
    assert Coverage.of(GRID, np.full((10, 2), np.nan)).counts[-1] == 10


def test_three_sigma_is_the_border() -> None:
    at = np.array([[0.149, 0.0], [0.151, 0.0], [0.0, -0.149], [0.11, 0.11]])
    assert Coverage.of(GRID, at).high_quality == pytest.approx(0.5)


def test_many_generators_are_counted_at_once() -> None:
    several = torch.from_numpy(np.stack([drawn(GRID), drawn(Mixture("one", ((0.0, 0.0),), 0.05))]))
    found = Coverage.of(GRID, several)
    assert found.counts.shape == (2, 26)
    assert found.counts.sum(-1).tolist() == [2500, 2500]
    assert found.modes.tolist() == [25, 1]


def test_the_published_mixtures() -> None:
    assert sorted({x for x, _ in GRID.centres}) == [-4.0, -2.0, 0.0, 2.0, 4.0]
    assert (GRID.modes, GRID.sigma) == (25, 0.05)
    assert np.linalg.norm(RING.centres, axis=1) == pytest.approx(np.ones(8))
    assert (RING.modes, RING.sigma) == (8, 0.01)
    assert drawn(GRID, 20_000).std() == pytest.approx(GRID.scale, rel=0.01)
    assert GRID.shares.sum() == pytest.approx(1.0)


def test_what_cannot_be_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^mixture: got 'gird'; did you mean 'grid'\?$"):
        mixture("gird")
    with pytest.raises(ConfigError, match=r"^sigma: got 0.0, expected a standard deviation > 0$"):
        Mixture("none", ((0.0, 0.0),), 0.0)
    with pytest.raises(ConfigError, match=r"^centres: got \(\), expected"):
        Mixture("none", (), 0.1)
    with pytest.raises(DataError, match=r"^coverage: got no samples"):
        _ = Coverage.of(GRID, np.zeros((0, 2))).jsd
