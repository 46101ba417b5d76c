from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import ostinato as ost
import ostinato.nn as onn
from ostinato.errors import DataError, DomainError
from ostinato.population import counted
from ostinato.population.masks import layer_keys, uniforms

LAYERS = [lambda strength: onn.RandomShift(3, strength), lambda strength: onn.InputNoise(0.5, strength)]


def dot(size=9):
    """Return many images with one lit pixel in the middle, beside a second channel of twice that."""
    images = torch.zeros(4000, 2, size, size)
    images[:, 0, size // 2, size // 2] = 1.0
    images[:, 1, size // 2, size // 2] = 2.0
    return images


@pytest.mark.parametrize("make", LAYERS)
def test_strength_0_and_evaluation_are_the_identity(make):
    x = torch.randn(5, 2, 4, 6)
    assert torch.equal(make(0.0)(x), x)
    assert make(1.0).eval()(x) is x
    assert not torch.equal(make(1.0)(x), x)
    assert make(1.0)(x).dtype == make(1.0).half()(x).dtype == torch.float32
    assert make(1.0)(x.half()).dtype == torch.float16


@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
def test_images_move_whole_by_distances_of_the_stated_mean_and_spread(strength):
    torch.manual_seed(0)
    size, reach = 9, 3 * strength
    y = onn.RandomShift(3, strength)(dot(size))
    assert torch.equal(y[:, 1], 2 * y[:, 0])  # channels move together
    assert (y[:, 0].flatten(1).sum(1) == 1).all()  # no pixel is lost in the middle
    place = y[:, 0].flatten(1).argmax(1)
    moves = torch.stack([place // size, place % size]).double() - size // 2
    assert moves.abs().max() <= 3
    assert moves.mean(1).abs().max() < 5 * (reach / 4000**0.5)
    # uniform of reach r: r^2/3; rounding at random adds E[f(1-f)] of the fraction f
    real = (2 * torch.rand(200_000, dtype=torch.float64) - 1) * reach
    fraction = real - real.floor()
    assert moves.var(1).mean() == pytest.approx(float(reach**2 / 3 + (fraction * (1 - fraction)).mean()), rel=0.1)
    assert abs(float(torch.corrcoef(moves)[0, 1])) < 0.06  # the two directions are independent


def test_what_leaves_an_image_is_gone_and_zeros_come_in():
    torch.manual_seed(1)
    x = torch.arange(1.0, 17.0).view(1, 1, 4, 4)
    seen = set()
    for _ in range(300):
        y = onn.RandomShift(2)(x)[0, 0]
        down, right = next((d, r) for d in range(-2, 3) for r in range(-2, 3) if torch.equal(y, shifted(x[0, 0], d, r)))
        seen.add((down, right))
    assert {abs(d) for d, _ in seen} == {abs(r) for _, r in seen} == {0, 1, 2}
    assert any(d < 0 for d, _ in seen)
    assert any(d > 0 for d, _ in seen)


def shifted(image, down, right):
    """What slices and padding make of it."""
    size = image.shape[0]
    padded = nn.functional.pad(image, (2, 2, 2, 2))
    return padded[2 - down : 2 - down + size, 2 - right : 2 - right + size]


def test_noise_is_normal_with_the_stated_deviation():
    torch.manual_seed(2)
    noise = onn.InputNoise(2.0, 0.25)(torch.zeros(200_000)).double()
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(0.5, rel=0.01)
    assert float((noise.abs() > 0.98).double().mean()) == pytest.approx(0.05, abs=0.003)  # 1.96 deviations
    assert float(noise.pow(4).mean() / noise.var() ** 2) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("make", LAYERS)
def test_by_itself_a_layer_follows_torchs_generator(make):
    x, layer = torch.randn(8, 1, 5, 5), make(1.0)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert torch.equal(copy.deepcopy(layer)(x), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("make", [*LAYERS, lambda p: onn.StochasticDepth(p / 2)])
def test_counted_numbers_are_a_function_of_seed_step_layer_and_call(make):
    x = torch.randn(16, 1, 6, 6)
    model = nn.Sequential(make(1.0), make(1.0))
    frame = counted(model, seed=2)

    def at(step, layer=0):
        frame.at(step)
        return model[layer](x)

    assert torch.equal(at(5), at(5))
    assert not torch.equal(at(5), at(6))
    assert not torch.equal(at(5), at(5, layer=1))
    frame.at(5)
    assert not torch.equal(model[0](x), model[0](x))
    other = make(1.0)
    counted(other, seed=3).at(5)
    assert not torch.equal(other(x), at(5))


def test_a_counted_shift_uses_the_numbers_that_the_formula_says():
    x = dot()[:50]
    layer = onn.RandomShift(3, 0.8)
    counted(layer, seed=9).at(4)
    y = layer(x)
    place, rounding = uniforms((2, 2, 50), layer_keys(9, 1)[0], 4)
    down, right = torch.floor((2 * place - 1) * torch.tensor(3 * 0.8) + rounding).long()
    for image, moved, d, r in zip(x, y, down.tolist(), right.tolist(), strict=True):
        assert moved[0].argmax() == image[0].argmax() + 9 * d + r


def test_a_layer_of_ones_own_says_what_it_makes_of_the_numbers():
    class Dimmed(onn.RandomLayer):
        def transformed(self, input, draw):
            return input * draw((len(input), 1))

    layer = Dimmed()
    counted(layer, seed=1).at(0)
    assert torch.equal(layer(torch.ones(4, 2))[:, :1], uniforms((4, 1), layer_keys(1, 1)[0], 0))
    assert layer.eval()(torch.ones(1, 1)) == 1.0


def test_a_compiled_shift_is_not_compiled_again_when_its_strength_changes():
    compiled, layer = 0, onn.RandomShift(2, 0.0)

    def count(graph, inputs):
        nonlocal compiled
        compiled += 1
        return graph.forward

    run = torch.compile(layer, backend=count)
    x = torch.randn(4, 1, 5, 5)
    assert torch.equal(run(x), x)
    for strength in (0.3, 0.9):
        layer.strength = strength
        run(x)
    assert compiled == 1


def test_a_plan_drives_the_strength_and_leaves_its_domain_to_no_one():
    model = nn.Sequential(onn.RandomShift(2, 0.0), nn.Flatten(), nn.Linear(9, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bindings = {"optimizer.lr": ost.wave(0.0, 0.1), "model:RandomShift.strength": ost.mirror(0.0, 1.0)}
    scheduler = ost.Plan(total=10, cycle=ost.Cycle("cosine", count=2), bindings=bindings).bind(
        model=model, optimizer=optimizer
    )
    strengths = []
    for _ in range(10):
        strengths.append(float(model[0].strength))
        optimizer.step()
        scheduler.step()
    assert strengths[0] == strengths[5] == 0.0
    assert strengths[4] == max(strengths) > 0.9
    with pytest.raises(
        DomainError, match=r"model:RandomShift\.strength: 1\.2 at step 0, expected a strength in \[0, 1\]"
    ):
        ost.Plan(total=4, bindings={"model:RandomShift.strength": 1.2}).bind(model=model)


def test_what_cannot_be_is_refused():
    for most in (0, -1, 1.5, True, "2"):
        with pytest.raises(DomainError, match=r"RandomShift\.most: got .*, expected a whole number of pixels > 0"):
            onn.RandomShift(most)
    for deviation in (0, -1.0, float("nan"), "x"):
        with pytest.raises(DomainError, match=r"InputNoise\.deviation: got .*, expected a finite number > 0"):
            onn.InputNoise(deviation)
    for make in LAYERS:
        with pytest.raises(DomainError, match=r"strength: got 1\.5, expected a strength in \[0, 1\]"):
            make(1.5)
    with pytest.raises(DataError, match=r"RandomShift: got an input of shape \(4, 9\), expected images \(N, C, H, W\)"):
        onn.RandomShift(1)(torch.ones(4, 9))
