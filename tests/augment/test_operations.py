"""Each operation: nothing at strength 0, its maximum at 1, and what its formula says in between."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import ostinato.nn as onn
from ostinato import augment
from ostinato.augment import generator
from ostinato.errors import ConfigError, DataError, DomainError

torch.set_num_threads(1)

IMAGES = ("shift", "flip", "cutout", "colour")
NUMBERS = ("noise", "feature_noise", "feature_dropout")
MIXING = ("mixup", "cutmix")


def plain(name: str) -> Callable[..., Tensor]:
    """Return an operation as a function of (inputs, strength, generator, maximum)."""
    function = getattr(augment, name)
    if name == "token_dropout":
        return lambda *given: function(*given, mask_id=-1)
    return function


def batch(name: str, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    if name == "token_dropout":
        return torch.randint(0, 100, (64, 12), generator=draws)
    return torch.rand((64, 3, 8, 10), generator=draws) if name in IMAGES else torch.rand((64, 5), generator=draws)


def states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 - the global one is meant


@pytest.mark.parametrize("name", [*IMAGES, *NUMBERS, "token_dropout"])
def test_strength_0_gives_back_the_very_inputs_and_draws_nothing(name: str) -> None:
    inputs, draws = batch(name), generator(0, 0)
    copy, before = inputs.clone(), draws.get_state()
    assert plain(name)(inputs, 0.0, draws) is inputs
    assert torch.equal(inputs, copy)
    assert torch.equal(draws.get_state(), before)


@pytest.mark.parametrize("name", [*IMAGES, *NUMBERS, "token_dropout"])
def test_an_operation_is_a_function_of_its_generator_and_leaves_the_rest_alone(name: str) -> None:
    inputs = batch(name)
    copy, before = inputs.clone(), states()
    first = plain(name)(inputs, 0.7, generator(3, 5))
    assert states() == before
    assert torch.equal(inputs, copy)
    assert not torch.equal(first, inputs)
    assert (first.shape, first.dtype) == (inputs.shape, inputs.dtype)
    torch.rand(3)
    assert torch.equal(first, plain(name)(inputs, 0.7, generator(3, 5)))
    assert not torch.equal(first, plain(name)(inputs, 0.7, generator(3, 6)))
    assert not torch.equal(first, plain(name)(inputs, 0.7, generator(4, 5)))


strengths, maxima, counts = st.floats(0.0, 1.0), st.floats(0.05, 0.6), st.integers(0, 10**9)
RAMP = torch.arange(32.0).expand(200, 1, 32, 32)


@settings(max_examples=25, deadline=None)
@given(strengths, maxima, counts)
def test_a_shift_is_never_longer_than_strength_times_maximum(s: float, m: float, count: int) -> None:
    middle = (RAMP - augment.shift(RAMP.contiguous(), s, generator(0, count), 0.4 * m))[:, 0, 16, 16]
    assert middle.abs().max() <= s * 0.4 * m * 32 + 1e-4


def test_the_longest_shifts_reach_the_maximum_in_both_directions_and_along_both_sides() -> None:
    for image, side in ((RAMP, 32), (RAMP.transpose(2, 3), 32)):
        moved = (image - augment.shift(image.contiguous(), 1.0, generator(0, 0), 0.25))[:, 0, 16, 16] / side
        assert -0.25 <= moved.min() < -0.24
        assert 0.24 < moved.max() <= 0.25


def test_zeros_come_in_from_outside() -> None:
    moved = augment.shift(torch.ones(500, 1, 8, 8), 1.0, generator(0, 0), 1.0)
    assert moved.min() == 0.0
    assert moved.max() <= 1.0 + 1e-6


@settings(max_examples=25, deadline=None)
@given(strengths, maxima, counts)
def test_what_is_chosen_by_a_probability_is_chosen_by_the_same_draws(s: float, m: float, count: int) -> None:
    drawn = torch.rand(64, 5, generator=generator(0, count))
    left_out = augment.feature_dropout(torch.ones(64, 5), s, generator(0, count), m) == 0
    assert torch.equal(left_out, drawn < s * m)
    tokens = augment.token_dropout(torch.ones(64, 5, dtype=torch.int64), s, generator(0, count), m, mask_id=9) == 9
    assert torch.equal(tokens, left_out)
    images = torch.tensor([[[[0.0, 1.0]]]]).expand(64, 1, 1, 2)
    flipped = augment.flip(images, s, generator(0, count), m)[:, 0, 0, 0] == 1
    assert torch.equal(flipped, torch.rand(64, generator=generator(0, count)) < s * m)


def test_probability_1_takes_all() -> None:
    images = torch.rand(50, 1, 4, 4)
    assert torch.equal(augment.flip(images, 1.0, generator(0, 0), 1.0), images.flip(-1))
    assert not augment.feature_dropout(torch.ones(50, 4), 1.0, generator(0, 0), 1.0).any()


@settings(max_examples=25, deadline=None)
@given(strengths, maxima, counts)
def test_a_cut_is_one_rectangle_of_at_most_the_maximum(s: float, m: float, count: int) -> None:
    gone = augment.cutout(torch.ones(64, 2, 8, 10), s, generator(0, count), m) == 0
    assert torch.equal(gone[:, 0], gone[:, 1])
    tall, wide = gone[:, 0].any(2).sum(1), gone[:, 0].any(1).sum(1)
    assert torch.equal(gone[:, 0].sum((1, 2)), tall * wide)
    assert tall.max() <= round(s * m * 8)
    assert wide.max() <= round(s * m * 10)


def test_the_largest_cut_reaches_the_maximum_and_cuts_come_everywhere() -> None:
    gone = augment.cutout(torch.ones(2000, 1, 8, 10), 1.0, generator(0, 0), 0.5) == 0
    sizes = {(int(a), int(b)) for a, b in zip(gone[:, 0].any(2).sum(1), gone[:, 0].any(1).sum(1), strict=True)}
    assert max(sizes) == (4, 5)
    assert min(sizes) == (0, 0)
    assert gone.any(0).all()


@settings(max_examples=25, deadline=None)
@given(strengths, maxima, counts)
def test_gains_of_colour_stay_within_the_maximum_and_are_one_for_each_channel(s: float, m: float, count: int) -> None:
    images = torch.rand(64, 3, 2, 2) + 0.5
    gains = augment.colour(images, s, generator(0, count), m) / images
    assert torch.allclose(gains, gains[..., :1, :1].expand_as(gains), atol=1e-6)
    assert ((gains - 1.0).abs() <= s * m + 1e-6).all()


def test_gains_reach_the_maximum_and_differ_between_channels() -> None:
    gains = augment.colour(torch.ones(500, 3, 1, 1), 1.0, generator(0, 0), 0.5)
    assert 0.5 <= gains.min() < 0.51
    assert 1.49 < gains.max() <= 1.5
    assert not torch.allclose(gains[:, 0], gains[:, 1])


@settings(max_examples=25, deadline=None)
@given(strengths, st.floats(0.0, 10.0), counts)
def test_noise_is_strength_times_maximum_times_the_same_normal_draws(s: float, m: float, count: int) -> None:
    inputs = torch.rand(8, 3)
    drawn = torch.randn(8, 3, generator=generator(0, count))
    assert torch.equal(augment.noise(inputs, s, generator(0, count), m), inputs + s * m * drawn)
    spread = torch.tensor([0.0, 1.0, 2.0])
    changed = augment.feature_noise(inputs, s, generator(0, count), m, spread=spread)
    assert torch.equal(changed, inputs + s * m * spread * drawn)


def test_without_a_spread_it_is_the_batchs_own() -> None:
    inputs = torch.randn(50, 4) * torch.tensor([0.0, 1.0, 10.0, 100.0])
    changed = augment.feature_noise(inputs, 1.0, generator(0, 0), 0.5)
    told = augment.feature_noise(inputs, 1.0, generator(0, 0), 0.5, spread=inputs.std(0, correction=0))
    torch.testing.assert_close(changed, told)
    assert torch.equal(changed[:, 0], inputs[:, 0])
    with pytest.raises(DataError, match=r"spread of shape \(3,\), expected \(4,\)"):
        augment.feature_noise(inputs, 1.0, generator(0, 0), spread=[1.0, 2.0, 3.0])


# -- mixing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXING)
def test_mixing_at_strength_0_gives_back_inputs_and_targets(name: str) -> None:
    inputs, targets = torch.rand(6, 3, 4, 4), torch.arange(6) % 3
    mixed = getattr(augment, name)(inputs, targets, 0.0, generator(0, 0), classes=3)
    assert mixed[0] is inputs
    assert mixed[1] is targets


@settings(max_examples=25, deadline=None)
@given(strengths, maxima, counts, st.sampled_from(MIXING))
def test_targets_are_mixed_as_the_inputs_are(s: float, m: float, count: int, name: str) -> None:
    """Every image is its class, one-hot over its channels: its mean is what its target must be."""
    targets = torch.arange(40) % 4
    inputs = torch.eye(4)[targets].reshape(40, 4, 1, 1).expand(40, 4, 8, 8).contiguous()
    mixed, soft = getattr(augment, name)(inputs, targets, s, generator(0, count), m, classes=4)
    torch.testing.assert_close(mixed.mean((2, 3)), augment.soft(soft, 4), atol=1e-6, rtol=0)
    own = augment.soft(soft, 4)[range(40), targets]
    most = s * m if name == "mixup" else round((s * m) ** 0.5 * 8) ** 2 / 64
    assert own.min() >= 1.0 - most - 1e-6
    assert torch.allclose(augment.soft(soft, 4).sum(1), torch.ones(40))


def test_mixing_reaches_its_maximum() -> None:
    targets = torch.arange(2000) % 2
    inputs = torch.eye(2)[targets].reshape(2000, 2, 1, 1).expand(2000, 2, 8, 8).contiguous()
    mixed = augment.mixup(inputs, targets, 1.0, generator(0, 0), 0.5, classes=2)[1][range(2000), targets]
    assert 0.5 <= mixed.min() < 0.51
    cut = augment.cutmix(inputs, targets, 1.0, generator(0, 0), 0.5, classes=2)[1][range(2000), targets]
    assert cut.min() == 1.0 - 6 * 6 / 64


@pytest.mark.parametrize("name", MIXING)
def test_mixing_twice_mixes_probabilities(name: str) -> None:
    inputs, targets = torch.rand(6, 1, 4, 4), torch.arange(6) % 3
    once = augment.mixup(inputs, targets, 1.0, generator(0, 0), classes=3)
    twice = getattr(augment, name)(*once, 1.0, generator(0, 1), 1.0)
    assert twice[1].shape == (6, 3)
    assert torch.allclose(twice[1].sum(1), torch.ones(6))
    assert not torch.equal(twice[1], once[1])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_losses_take_mixed_targets(smoothing: float) -> None:
    logits, targets = torch.randn(6, 3), torch.arange(6) % 3
    _, mixed = augment.mixup(torch.rand(6, 2), targets, 1.0, generator(0, 0), classes=3)
    theirs = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, mixed)
    ours = onn.LabelSmoothingCrossEntropy(label_smoothing=smoothing)(logits, mixed)
    shares = mixed * (1 - smoothing) + smoothing / 3
    torch.testing.assert_close(theirs, -(shares * logits.log_softmax(1)).sum(1).mean())
    torch.testing.assert_close(ours, theirs)
    hard = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, augment.soft(targets, 3))
    torch.testing.assert_close(hard, torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, targets))


# -- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*IMAGES, *NUMBERS, "token_dropout"])
@pytest.mark.parametrize("strength", [-0.1, 1.0001, float("nan"), float("inf"), "much", None])
def test_a_strength_that_is_none_is_one_clear_line(name: str, strength: Any) -> None:
    with pytest.raises(DomainError, match=rf"^{name}: strength: got .*, expected a strength in \[0, 1\]$"):
        plain(name)(batch(name), strength, generator(0, 0))


@pytest.mark.parametrize("name", [*IMAGES, *NUMBERS, "token_dropout"])
@pytest.mark.parametrize("maximum", [-0.1, float("nan"), True, "most"])
def test_a_maximum_that_cannot_be_is_one_clear_line(name: str, maximum: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^augment: {name}: got a maximum of .*, expected a "):
        plain(name)(batch(name), 0.5, generator(0, 0), maximum)


def test_images_on_a_table_say_what_came_and_what_fits() -> None:
    said = r"'shift' takes images \(N, C, H, W\) of floating numbers, got inputs of shape \(64, 13\) and torch.float32; operations that fit: mixup, noise, feature_noise, feature_dropout$"
    with pytest.raises(DataError, match=said):
        augment.shift(torch.rand(64, 13), 0.5, generator(0, 0))
    with pytest.raises(
        DataError, match=r"got inputs of shape \(2, 3\) and torch.int64; operations that fit: token_dropout$"
    ):
        augment.noise(torch.ones(2, 3, dtype=torch.int64), 0.0, generator(0, 0))
    with pytest.raises(DataError, match=r"'noise' takes floating numbers .*, got a list"):
        augment.noise([1.0], 0.5, generator(0, 0))


def test_targets_that_cannot_be_mixed_are_one_clear_line() -> None:
    inputs = torch.rand(4, 2)
    with pytest.raises(DataError, match="got targets a NoneType, expected one for each of 4 inputs"):
        augment.mixup(inputs, None, 0.5, generator(0, 0), classes=2)
    with pytest.raises(DataError, match=r"got targets of shape \(3,\)"):
        augment.mixup(inputs, torch.zeros(3), 0.5, generator(0, 0), classes=2)
    with pytest.raises(ConfigError, match="write classes=10"):
        augment.mixup(inputs, torch.zeros(4, dtype=torch.int64), 0.5, generator(0, 0))
    with pytest.raises(DataError, match="got classes 0 to 3, expected 0 to 1"):
        augment.mixup(inputs, torch.arange(4), 0.5, generator(0, 0), classes=2)
    with pytest.raises(DataError, match=r"got targets of shape \(4,\) and torch.float32, expected classes"):
        augment.mixup(inputs, torch.rand(4), 0.5, generator(0, 0), classes=2)


def test_a_generator_needs_whole_numbers() -> None:
    with pytest.raises(ConfigError, match="count: got -1, expected a whole number >= 0"):
        generator(0, -1)
    with pytest.raises(ConfigError, match=r"seed: got 0\.5"):
        generator(0.5, 0)


def test_half_precision_stays_half() -> None:
    for name in IMAGES:
        assert plain(name)(torch.rand(2, 1, 8, 8, dtype=torch.bfloat16), 1.0, generator(0, 0)).dtype == torch.bfloat16
    for name in NUMBERS:
        assert plain(name)(torch.rand(4, 2, dtype=torch.float64), 1.0, generator(0, 0)).dtype == torch.float64
