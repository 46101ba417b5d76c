"""Smoothing without delay, the noise that is left, and stopping early."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ostinato.search.sweeps.smoothing import EarlyStop, left_noise, noise_of, smoothed


@given(arrays(np.float64, st.integers(2, 40), elements=st.floats(-10, 10)), st.floats(0.0, 0.99))
def test_it_is_the_mean_weighted_by_distance(losses: np.ndarray, smoothing: float) -> None:
    distance = np.abs(np.subtract.outer(np.arange(len(losses)), np.arange(len(losses))))
    weights = smoothing**distance if smoothing else np.eye(len(losses))
    start = np.median(losses[:3])
    cut = np.minimum(losses, 2 * start - min(start, losses.min())) if smoothing else losses
    assert smoothed(losses, smoothing) == pytest.approx(weights @ cut / weights.sum(1), rel=1e-9, abs=1e-9)


def test_it_does_not_lag() -> None:
    x = np.linspace(-1, 1, 101)
    assert int(np.argmin(smoothed(x**2, 0.9))) == 50


def test_a_blow_up_does_not_drown_what_came_before() -> None:
    losses = np.concatenate([np.linspace(2.0, 1.0, 30), [1e12]])
    assert int(np.argmin(smoothed(losses, 0.5))) >= 26


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.7, 0.9])
def test_the_noise_and_what_is_left_of_it(smoothing: float) -> None:
    losses = np.random.default_rng(0).normal(0.0, 0.3, 20_000)
    assert noise_of(losses) == pytest.approx(0.3, rel=0.03)
    middle = smoothed(np.concatenate([np.full(2_000, 5.0), losses + 5.0]), smoothing)[4_000:]
    assert middle.std() == pytest.approx(0.3 * left_noise(smoothing), rel=0.05)


def test_stopping_early() -> None:
    stop = EarlyStop(4.0, 0.0)
    assert [stop.reason(0.1, loss) for loss in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 1.5)] == [""] * 8
    assert stop.reason(0.2, 1.7) == "the loss has risen far above its lowest at 0.2"
    assert EarlyStop(4.0, 0.9).reason(3e-5, math.nan) == "the loss is nan at 3e-05"
    patient = EarlyStop(4.0, 0.9)
    assert patient.reason(0.1, 1.0) == patient.reason(0.2, 6.0) == ""  # one value is no mean
    noisy = np.random.default_rng(1).normal(0.0, 1.0, 300)
    restless = EarlyStop(4.0, 0.7)
    assert {restless.reason(0.1, loss) for loss in noisy.tolist()} == {""}
    never = EarlyStop(math.inf, 0.0)
    assert never.reason(0.1, 1.0) == never.reason(0.2, 1e300) == ""
