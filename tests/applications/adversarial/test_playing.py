from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.applications.adversarial import (
    Coverage,
    TwoPlayers,
    loss,
    mixture,
    networks,
    play,
    playing,
    stepping,
    waves,
)
from ostinato.errors import ConfigError, TargetError
from ostinato.population import recipes

RING = mixture("ring")
GENERATOR = partial(networks.generator, hidden=8, layers=2)
DISCRIMINATOR = partial(networks.discriminator, hidden=8, layers=2, octaves=2)
ANTI = waves(1e-4, 5e-3, total=30, count=3)
SMALL: dict[str, Any] = {
    "generator": GENERATOR,
    "discriminator": DISCRIMINATOR,
    "batch": 16,
    "every": 10,
    "samples": 64,
}


def alone(
    plan: ost.Plan, seed: int, rounds: int, updates: tuple[int, int], name: str, options: dict[str, Any]
) -> tuple[nn.Module, list[float]]:
    """Play one game in a plain loop over two optimizers; return its generator and the discriminator's losses."""
    setup = playing._Setup(
        RING, [plan.resolve()], [seed], makers={"generator": GENERATOR, "discriminator": DISCRIMINATOR},
        updates=dict(zip(("generator", "discriminator"), updates, strict=True)), options=options, batch=16,
    )  # fmt: skip
    with recipes.kept_randomness():
        g, d = recipes.built(GENERATOR, seed), recipes.built(DISCRIMINATOR, seed)
    optimizers = {
        player: torch.optim.Adam(model.parameters(), **options)
        for player, model in (("generator", g), ("discriminator", d))
    }
    game = TwoPlayers(plan, updates=updates, **optimizers)
    own, told = loss(name), []
    for given in setup.rounds(0, rounds):
        place = {"generator": 0, "discriminator": 0}
        for player in game.turns:
            turn = place[player]
            place[player] += 1
            fake = g(given.latent[player][turn, 0])
            optimizers[player].zero_grad()
            if player == "discriminator":
                value = own.discriminator(d(given.real[turn, 0]), d(fake.detach()))
                last = float(value.detach())
            else:
                value = own.generator(d(fake))
            value.backward()
            optimizers[player].step()
        told.append(last)
        game.step()
    return g, told


@pytest.mark.parametrize(
    ("updates", "name"), [((1, 1), "non-saturating"), ((1, 3), "hinge"), ((2, 1), "non-saturating")]
)
def test_games_become_what_two_optimizers_in_a_loop_make_of_them(updates: tuple[int, int], name: str) -> None:
    plans = {"anti": ANTI, "in-phase": waves(1e-4, 5e-3, total=30, count=3, shift=0.0)}
    # the hinge's first gradient of the last bias is 0 but for rounding, of which Adam with a small eps makes a whole step
    options = {"lr": 1e-4, "betas": (0.8, 0.999), "eps": 1e-3 if name == "hinge" else 1e-8}
    found = play("ring", plans, seeds=[3, 4], updates=updates, loss=name, options=options, keep=[9], **SMALL)
    for arm, plan in plans.items():
        for place, seed in enumerate((3, 4)):
            g, told = alone(plan, seed, 30, updates, name, options)
            asked = torch.from_numpy(np.random.default_rng([seed, 20_282]).standard_normal((64, 2)).astype(np.float32))
            with torch.no_grad():
                samples = g(asked) * RING.scale
            row = found.place(arm)
            assert found.kept[-1, row, place] == pytest.approx(samples.numpy(), abs=2e-4)
            blocks = np.reshape(told, (3, 10)).mean(axis=1)
            assert found.losses[0, :, row, place] == pytest.approx(blocks, abs=1e-4)
            assert (Coverage.of(RING, samples).counts == found.counts[-1, row, place]).all()


def test_the_compiled_round_is_the_same() -> None:
    given = {"seeds": [0], **SMALL}
    plain, compiled = (play("ring", {"anti": ANTI}, compile=choice, **given) for choice in (False, True))
    assert compiled.kept == pytest.approx(plain.kept, abs=1e-4)
    assert compiled.losses == pytest.approx(plain.losses, abs=1e-4)
    again = play(
        "ring", {"anti": ANTI}, compile=True, **{**given, "seeds": [1]}
    )  # what was compiled serves other games too
    alone = play("ring", {"anti": ANTI}, compile=False, **{**given, "seeds": [1]})
    assert again.kept == pytest.approx(alone.kept, abs=1e-4)
    assert not np.allclose(again.kept, compiled.kept)


def test_without_a_compiler_games_are_played_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*given: Any, **options: Any) -> Any:
        def compiled(*tensors: Any) -> Any:
            raise RuntimeError("no compiler here")

        return compiled

    plain = play("ring", {"anti": ANTI}, compile=False, **SMALL)
    monkeypatch.setattr(torch, "compile", none)
    monkeypatch.setattr(playing, "_PAYS", 1)
    monkeypatch.setattr(stepping.Traced, "_compiled", {})
    assert play("ring", {"anti": ANTI}, **SMALL).kept == pytest.approx(plain.kept, abs=1e-5)
    with pytest.raises(RuntimeError, match="no compiler here"):
        play("ring", {"anti": ANTI}, compile=True, **SMALL)


def test_a_game_does_not_depend_on_who_plays_beside_it() -> None:
    both = play("ring", {"a": ANTI, "b": waves(0.0, 1e-3, total=30, count=1)}, seeds=[5, 6], **SMALL)
    one = play("ring", {"a": ANTI}, seeds=[6], **SMALL)
    assert one.kept[:, 0, 0] == pytest.approx(both.kept[:, 0, 1], abs=1e-5)
    assert not np.allclose(both.kept[:, 0, 0], both.kept[:, 0, 1])


def test_a_game_that_diverges_stays_and_the_others_go_on() -> None:
    wild = waves(1e30, 1e38, total=30, count=3)
    found = play("ring", {"wild": wild, "tame": ANTI}, seeds=[0], **SMALL)
    assert found.diverged[0, 0] >= 0
    assert found.diverged[1, 0] == -1
    tame = play("ring", {"tame": ANTI}, seeds=[0], **SMALL)
    assert found.kept[-1, 1] == pytest.approx(tame.kept[-1, 0], abs=1e-5)


def test_what_is_read_of_the_last_cycle() -> None:
    found = play(
        "ring",
        {"anti": ANTI, "free": ost.Plan(total=30, bindings={"generator.lr": 1e-3})},
        seeds=[0, 1],
        **{**SMALL, "every": 5},
    )
    values = np.arange(6.0)[:, None, None] * np.ones((1, 2, 2))
    assert found.rounds.tolist() == [4, 9, 14, 19, 24, 29]
    assert found.last_cycle(values)[0].tolist() == [4.5, 4.5]
    assert found.last_cycle(values, np.max)[0].tolist() == [5.0, 5.0]
    assert found.last_cycle(values)[1].tolist() == [2.5, 2.5]  # a plan without cycles: all of it
    assert found.at(values, 0.5)[0].tolist() == [4.0, 4.0]
    assert found.at(values, 1.0)[0].tolist() == [5.0, 5.0]
    assert found.overall(values).tolist() == [[2.5, 2.5]] * 2
    assert found.coverage.jsd.shape == (6, 2, 2)
    with pytest.raises(ConfigError, match="arm: got 'anty'; did you mean 'anti'"):
        found.place("anty")


def test_a_generator_learns_what_it_is_paid_for() -> None:
    """Planted: a mixture of one broad mode is learnt, and a rate of 0 learns nothing."""
    from ostinato.applications.adversarial import Mixture

    easy = Mixture("easy", ((0.0, 0.0),), 1.0)
    plans = {"still": waves(0.0, 0.0, total=600, count=1), "moving": waves(1e-3, 1e-2, total=600, count=1, shift=0.0)}
    found = play(easy, plans, seeds=[0], **{**SMALL, "batch": 64, "every": 600, "samples": 1000})
    still, moving = found.kept[-1, :, 0]
    assert still.std() < 0.5
    assert 0.6 < moving.std() < 1.6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"updates": (0, 1)}, "updates of the generator: got 0, expected a whole number >= 1"),
        ({"batch": 0}, "batch: got 0, expected a whole number >= 1"),
        ({"seeds": []}, "seeds: got 0, expected a whole number >= 1"),
        ({"options": {"momentum": 0.9}}, "options: Adam.__init__"),
        ({"options": {"amsgrad": True}}, "options: the optimizer's option 'amsgrad' has no form for many members"),
    ],
)
def test_what_cannot_be_is_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        play("ring", {"anti": ANTI}, **{**SMALL, **given})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_plans_that_cannot_be_compared_or_name_others() -> None:
    with pytest.raises(ConfigError, match="expected equal ones"):
        play("ring", {"a": ANTI, "b": waves(0.0, 0.1, total=10, count=1)}, **SMALL)
    with pytest.raises(TargetError, match="'critic' is neither"):
        play("ring", {"a": ost.Plan(total=4, bindings={"critic.lr": 0.1})}, **SMALL)
    with pytest.raises(ConfigError, match="mixture: got 'rung'; did you mean 'ring'"):
        play("rung", {"a": ANTI}, **SMALL)
