from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import ostinato as ost
from ostinato.applications.adversarial import TwoPlayers, loss, waves
from ostinato.errors import ConfigError, StateError, TargetError


def adam() -> torch.optim.Adam:
    return torch.optim.Adam([torch.nn.Parameter(torch.ones(2))], lr=0.5)


def game(**given: Any) -> TwoPlayers:
    plan = waves(0.0, 0.2, total=8, count=2, shift=given.pop("shift", 0.5))
    return TwoPlayers(plan, generator=adam(), discriminator=adam(), **given)


def test_both_rates_are_in_force_and_move_together() -> None:
    played = game()
    seen = []
    for _ in range(8):
        seen.append(played.rates)
        played.step()
    assert [g + d for g, d in seen] == pytest.approx([0.2] * 8)  # in a sine, half a cycle is the mirror image
    assert seen[0] == pytest.approx((0.0, 0.2))
    assert seen[2] == pytest.approx((0.2, 0.0))


@pytest.mark.parametrize(
    ("shift", "first", "second"),
    [(0.0, 0.0, 0.0), (0.25, 0.0, 0.1), ((0.5, 0.5), 0.2, 0.2), ({"generator": 0.5, "discriminator": 0.0}, 0.2, 0.0)],
)
def test_any_shift(shift: Any, first: float, second: float) -> None:
    assert game(shift=shift).rates == pytest.approx((first, second))


def test_each_player_has_a_range_of_its_own() -> None:
    plan = waves((0.0, 0.1), {"generator": 0.2, "discriminator": 0.3}, total=4, count=1, shift=0.0)
    table = plan.table()
    assert table["generator.lr"] == pytest.approx([0.0, 0.1, 0.2, 0.1])
    assert table["discriminator.lr"] == pytest.approx([0.1, 0.2, 0.3, 0.2])


def test_a_round_has_its_turns() -> None:
    assert game(updates=(1, 3)).turns == ("discriminator",) * 3 + ("generator",)


def test_a_plan_in_rounds_needs_no_rate() -> None:
    plan = waves(0.0, 0.2, total="8round", period="4round")
    played = TwoPlayers(plan, generator=adam(), discriminator=adam())
    assert [played.step().cycle_end for _ in range(8)] == [False, False, False, True] * 2


def test_the_clock_goes_on_where_it_stopped() -> None:
    first = game()
    for _ in range(3):
        first.step()
    second = game()
    second.load_state_dict(first.state_dict())
    assert second.rates == first.rates
    with pytest.raises(StateError, match="another plan"):
        game(shift=0.25).load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: game(shift=(0.0, 0.3, 0.6)), "shift: got 3 numbers, a game has two players; write one for both or a pair (generator, discriminator)"),
        (lambda: game(shift={"generator": 0.0, "critic": 0.3}), "shift: got generator, critic, expected generator and discriminator"),
        (lambda: game(updates=(0, 1)), "updates of the generator: got 0, expected a whole number >= 1"),
        (lambda: game(updates=(1, 1.5)), "updates of the discriminator: got 1.5, expected a whole number >= 1"),
        (lambda: game(updates=(1, 1, 1)), "updates: got 3 numbers, a game has two players; write (generator, discriminator)"),
        (lambda: loss("hinges"), "loss: got 'hinges'; did you mean 'hinge'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value) == message


def test_a_third_player_is_refused() -> None:
    plan = ost.Plan(total=4, bindings={"generator.lr": 0.1, "encoder.lr": 0.1})
    with pytest.raises(TargetError) as caught:
        TwoPlayers(plan, generator=adam(), discriminator=adam())
    assert (
        str(caught.value)
        == "encoder.lr: a game has two players, and 'encoder' is neither; known: discriminator, generator"
    )


@pytest.mark.parametrize("name", ["non-saturating", "hinge"])
def test_a_loss_is_in_balance_where_scores_are_level_and_each_player_pulls_its_own_way(name: str) -> None:
    own = loss(name)
    level = torch.zeros(5)
    assert float(own.discriminator(level, level)) == pytest.approx(own.balance)
    assert own.discriminator(level + 1, level - 1) < own.discriminator(level, level)
    assert own.generator(level + 1) < own.generator(level)
