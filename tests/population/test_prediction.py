"""Predictions of stacked members against each member alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

import ostinato as ost
from ostinato.errors import ConfigError, PopulationFallbackWarning
from ostinato.evaluation import error, nll
from ostinato.population import predict, train
from ostinato.training.randomness import random_states


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.second(self.first(x))
        return outputs


class Branching(nn.Module):
    """Its control flow depends on data, which cannot be mapped."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y if float(y.detach().sum()) > 0 else -y


def stacked(make: Any, count: int) -> dict[str, Tensor]:
    states = []
    for seed in range(count):
        torch.manual_seed(seed)
        states.append(make().state_dict())
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def alone(make: Any, weights: dict[str, Tensor], k: int, inputs: Tensor) -> Tensor:
    model = make()
    model.load_state_dict({name: tensor[k] for name, tensor in weights.items()})
    with torch.no_grad():
        outputs: Tensor = model.eval()(inputs)
    return outputs


@pytest.mark.parametrize("make", [mlp, Tied])
def test_every_member_predicts_what_it_predicts_alone(make: Any) -> None:
    weights, inputs = stacked(make, 3), torch.randn(7, 4)
    outputs = predict(make, weights, inputs)
    for k in range(3):
        torch.testing.assert_close(outputs[k], alone(make, weights, k, inputs))
    assert not torch.allclose(outputs[0], outputs[1])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.integers(1, 6))
def test_how_the_work_is_shared_changes_nothing(count: int, examples: int, chunk: int, members: int) -> None:
    weights, inputs = stacked(mlp, count), torch.randn(examples, 4)
    outputs = predict(mlp, weights, inputs, chunk=chunk, members=members)
    assert outputs.shape == (count, examples, 3)
    torch.testing.assert_close(outputs, predict(mlp, weights, inputs))


def test_trained_members_score_as_the_population_scored_them() -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 4)
    data = (x[:40], (x[:40, 0] > 0).long()), (x[40:], (x[40:, 0] > 0).long())
    plans = [ost.Plan(total=12, cycle=ost.Cycle(count=2), bindings={"optimizer.lr": r}) for r in (0.003, 0.03)]
    result = train(mlp, plans, data, batch_size=10, snapshots=True)
    probabilities = predict(mlp, result.weights, data[1][0]).softmax(-1).numpy()
    targets = data[1][1].numpy()
    for k in range(2):
        assert error(probabilities[k], targets) == pytest.approx(result.last("error")[k], abs=1e-9)
        assert nll(probabilities[k], targets) == pytest.approx(result.last("nll")[k], rel=1e-5)
    saved = [result.snapshots(k)[11] for k in range(2)]
    again = predict(mlp, {name: torch.stack([state[name] for state in saved]) for name in saved[0]}, data[1][0])
    torch.testing.assert_close(again.softmax(-1).numpy(), probabilities)


def test_a_model_that_cannot_be_mapped_is_called_member_by_member_and_says_so_once() -> None:
    weights, inputs = stacked(Branching, 4), torch.randn(6, 4)
    with pytest.warns(PopulationFallbackWarning, match="members predict one by one") as said:
        outputs = predict(Branching, weights, inputs, members=1, chunk=6)
    assert len(said) == 1
    for k in range(4):
        torch.testing.assert_close(outputs[k], alone(Branching, weights, k, inputs))


def test_the_random_states_stay_and_dropout_is_off() -> None:
    weights, inputs = stacked(mlp, 2), torch.randn(5, 4)
    before = random_states()["torch"].clone()
    first = predict(mlp, weights, inputs)
    assert torch.equal(random_states()["torch"], before)
    assert torch.equal(predict(mlp, weights, inputs), first)


def test_what_is_missing_keeps_the_models_own_value() -> None:
    def made() -> nn.Module:
        model = nn.Linear(4, 2)
        with torch.no_grad():
            model.bias.fill_(3.0)
        return model

    inputs = torch.randn(5, 4)
    weights = {"weight": torch.randn(2, 2, 4)}
    expected = functional_call(made(), {"weight": weights["weight"][1]}, (inputs,))
    torch.testing.assert_close(predict(made, weights, inputs)[1], expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {}, "weights: got .* members"),
        (lambda w: {**w, "0.weigt": w["0.weight"]}, "no '0.weigt'; did you mean '0.weight'"),
        (lambda w: {**w, "0.weight": w["0.weight"][:1]}, r"got \[1, 2\] members"),
        (lambda w: {**w, "0.weight": w["0.weight"][:, :3]}, r"0.weight has shape \(2, 3, 4\), expected \(2, 6, 4\)"),
    ],
)
def test_weights_that_are_not_the_models_are_refused(change: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        predict(mlp, change(stacked(mlp, 2)), torch.randn(3, 4))


def test_no_member_at_once_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected whole numbers > 0"):
        predict(mlp, stacked(mlp, 2), torch.randn(3, 4), members=0)
