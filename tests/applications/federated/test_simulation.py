"""Simulated federations: clients at once are what a plain loop over `LocalRound` and `merge` gives, and so is the loop of the package."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ostinato as ost
from ostinato.applications.federated import Federation, LocalRound, Phases, batches_of, merge, partitions, simulate
from ostinato.applications.federated.drawing import participants, updates_of
from ostinato.applications.federated.merging import Update
from ostinato.errors import ConfigError, PopulationFallbackWarning, StateError, TruncatedCycleWarning
from ostinato.training.randomness import seed_everything

SEED = 7
BATCH = 8
LABELS = np.arange(120) % 4


def data() -> Any:
    generator = torch.Generator().manual_seed(1)
    targets = torch.from_numpy(LABELS)
    inputs = torch.randn(120, 6, generator=generator) + F.one_hot(targets, 6) * 1.5
    return (inputs, targets), (inputs[:40], targets[:40])


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def plan(**more: Any) -> ost.Plan:
    return ost.Plan(
        total="4round",
        cycle=ost.Cycle("cosine", period="2round"),
        bindings={"optimizer.lr": ost.wave(0.01, 0.2), **more},
    )


def parts() -> partitions.Parts:
    return partitions.dirichlet(LABELS, 4, 0.5, seed=3, least=5)


def by_hand(
    one: Federation, *, rounds: int = 4, epochs: int = 2, fraction: float = 1.0, options: Any
) -> dict[str, Any]:
    """Return the common model after federated averaging, written out."""
    (inputs, targets), _ = data()
    torch.manual_seed(0)
    ost.population.single(
        make, ost.Plan(total=1), ((inputs, targets),) * 2, seed=SEED
    )  # what seeding means is population's

    seed_everything(one.seed)
    common = {name: tensor.numpy().copy() for name, tensor in make().state_dict().items()}
    assert isinstance(one.plan, ost.Plan)
    server = one.plan.bound.get("server.lr")
    for round in range(1, rounds + 1):
        sent = []
        for client in participants(one.seed, round, len(one.parts), fraction).tolist():
            own = np.asarray(one.parts[client])
            rows = batches_of(one.seed, client, round, len(own), BATCH, epochs=epochs)
            model = make()
            model.load_state_dict({name: torch.from_numpy(array) for name, array in common.items()})
            optimizer = torch.optim.SGD(ost.parameter_groups(model), lr=0.5, **options)
            part = LocalRound(
                one.plan, round, shift=one.phase_of(client), steps=len(rows), optimizer=optimizer, model=model
            )
            for row in rows:
                optimizer.zero_grad()
                F.cross_entropy(model(inputs[own[row]]), targets[own[row]]).backward()
                optimizer.step()
                part.step()
            after = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
            sent.append(Update(client, after, len(own), part.progress))
        rate = 1.0 if server is None else 0.5
        common = merge(common, sent, normalise=one.normalise, rate=rate)
    return common


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "together": ({}, {"phases": None}, {}),
    "shifted": ({}, {}, {}),
    "normalised": ({}, {"normalise": True}, {}),
    "a part of the clients": ({}, {"normalise": True}, {"fraction": 0.5}),
    "the server's own rate": ({"server.lr": ost.schedules.hold(0.5)}, {}, {}),
    "momentum and decay": ({"optimizer[decay].weight_decay": ost.mirror(0.0, 0.1)}, {"normalise": True}, {"options": {"momentum": 0.9}}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_clients_at_once_are_what_a_plain_loop_gives(name: str) -> None:
    bindings, fields, more = CASES[name]
    one = Federation(plan(**bindings), parts(), **{"phases": Phases(4, seed=1), "seed": SEED, **fields})
    options, fraction = more.get("options", {}), more.get("fraction", 1.0)
    expected = by_hand(one, fraction=fraction, options=options)
    given = {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False, **options}
    found = simulate(make, one, data(), local_epochs=2, batch_size=BATCH, optimizer_options=given, fraction=fraction)
    assert found.how == "stacked"
    for key, array in expected.items():
        assert found.common(0)[key].numpy() == pytest.approx(array, abs=1e-6), key


def test_federations_beside_each_other_are_what_each_is_alone() -> None:
    kinds = [
        Federation(plan(), parts(), phases, seed=seed, normalise=normalise)
        for seed in (1, 2)
        for phases, normalise in ((None, False), (Phases(4), True))
    ]
    options = {"momentum": 0.9, "nesterov": True}
    several = simulate(make, kinds, data(), batch_size=BATCH, optimizer_options=options)
    for f, one in enumerate(kinds):
        alone = simulate(make, one, data(), batch_size=BATCH, optimizer_options=options)
        assert several.drift[f] == pytest.approx(alone.drift[0], abs=1e-6)
        assert several.progress[f] == pytest.approx(alone.progress[0])
        assert several.metrics["nll"][f] == pytest.approx(alone.metrics["nll"][0], abs=1e-6)
    assert not np.isclose(several.drift[0], several.drift[2]).any()  # seeds differ


class Counting(nn.Module):
    """A batch norm, and dropout whose probability is driven."""

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__()
        self.norm, self.drop, self.last = nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 4)
        self.refused = refused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.refused and float(x.sum()) == 0.1:  # control flow that depends on data
            return self.last(x)
        return self.last(self.drop(self.norm(x)))


def test_client_by_client_gives_what_all_at_once_give() -> None:
    driven = {"model:Dropout.p": ost.mirror(0.0, 0.4), "server.lr": ost.wave(0.5, 1.0)}
    one = Federation(plan(**driven), parts(), Phases(4, "golden"), seed=3, normalise=True)
    given: Any = {"batch_size": BATCH, "evaluate": 2, "fraction": 0.75}
    at_once = simulate(Counting, one, data(), **given)
    told: list[tuple[int, int]] = []
    with pytest.warns(PopulationFallbackWarning, match="the clients are trained one after another"):
        alone = simulate(lambda: Counting(refused=True), one, data(), **given, progress=lambda *done: told.append(done))
    assert (at_once.how, alone.how) == ("stacked", "alone")
    assert told[-1] == (16, 16)
    for name, tensor in alone.weights.items():
        assert at_once.weights[name].numpy() == pytest.approx(tensor.numpy(), abs=1e-5), name
    assert at_once.drift == pytest.approx(alone.drift, abs=1e-5)
    assert at_once.spread == pytest.approx(alone.spread, abs=1e-5)
    assert at_once.progress == pytest.approx(alone.progress, nan_ok=True)
    assert at_once.metrics["error"] == pytest.approx(alone.metrics["error"], nan_ok=True)
    assert np.isnan(alone.metrics["error"][0]).tolist() == [True, False, True, False]


def test_a_client_sees_its_own_examples_alone() -> None:
    (inputs, targets), test = data()
    hers = np.asarray(parts()[2])
    spoilt = inputs.clone()
    spoilt[np.setdiff1d(np.arange(120), hers)] = torch.nan
    one = Federation(plan(), [hers, hers], seed=1)
    clean, other = (simulate(make, one, ((x, targets), test), batch_size=BATCH) for x in (inputs, spoilt))
    assert (clean.weights["0.weight"] == other.weights["0.weight"]).all()


def test_a_plan_for_each_client_and_one_that_counts_rounds() -> None:
    each = [ost.Plan(total="3round", bindings={"optimizer.lr": ost.schedules.hold(rate)}) for rate in (0.1, 0.2)]
    found = simulate(
        make,
        Federation(each, partitions.even(120, 2)),
        data(),
        local_updates=5,
        batch_size=BATCH,
        optimizer_options={"momentum": 0.0},
    )
    assert found.progress[0] == pytest.approx(np.array([[0.5, 1.0]] * 3))
    by_round = ost.Plan(
        total=4, unit="round", cycle=ost.Cycle("sawtooth", period=4), bindings={"optimizer.lr": ost.wave(0.0, 0.4)}
    )
    found = simulate(
        make,
        Federation(by_round, partitions.even(120, 2), Phases(2)),
        data(),
        local_updates=5,
        batch_size=BATCH,
        optimizer_options={"momentum": 0.0},
    )
    assert found.progress[0] == pytest.approx(5 * np.array([[0.4, 0.2], [0.3, 0.1], [0.2, 0.4], [0.1, 0.3]]))


def test_a_federation_that_diverges_stops_there_and_the_others_go_on() -> None:
    wild = ost.Plan(total="4round", bindings={"optimizer.lr": ost.schedules.join(0.1, 1e30, at=["2round"])})
    found = simulate(make, [Federation(wild, parts()), Federation(plan(), parts())], data(), batch_size=BATCH)
    assert found.diverged.tolist() == [3, -1]
    assert np.isnan(found.metrics["error"][0]).tolist() == [False, False, True, True]
    assert torch.isfinite(found.weights["0.weight"]).all()
    assert np.isfinite(found.metrics["error"][1]).all()


def test_drift_and_spread_are_of_what_was_sent() -> None:
    """Under one and the same data clients of unequal rates go the same way unequally far: no spread without unequal rates."""
    same = [np.arange(BATCH)] * 2
    alike = simulate(make, Federation(plan(), same), data(), batch_size=BATCH)
    apart = simulate(make, Federation(plan(), same, Phases(2)), data(), batch_size=BATCH)
    assert alike.spread == pytest.approx(np.zeros((1, 4)), abs=1e-9)
    assert (alike.drift > 1e-3).all()
    assert (apart.spread > 1e-6).all()


def test_rounds_to_a_target_keep_what_never_came_there() -> None:
    found = simulate(make, [Federation(plan(), parts(), seed=seed) for seed in (1, 2)], data(), batch_size=BATCH)
    errors = found.metrics["error"]
    target = float(errors[0].min())
    rounds = found.rounds_to("error", target)
    assert rounds[0] == np.flatnonzero(errors[0] <= target)[0] + 1
    assert np.isinf(found.rounds_to("error", -1.0)).all()
    with pytest.raises(StateError, match=r"^metric: got 'eror'"):
        found.last("eror")


def test_batches_meet_every_example_equally_often_and_are_always_full() -> None:
    for examples, size, epochs in ((20, 8, 3), (5, 8, 2), (64, 64, 1)):
        rows = batches_of(1, 2, 3, examples, size, epochs=epochs)
        assert rows.shape == (updates_of(examples, size, epochs), size)
        assert np.ptp(np.bincount(rows.ravel(), minlength=examples)) <= 1
    same = batches_of(1, 2, 3, 20, 8)
    assert (same == batches_of(1, 2, 3, 20, 8)).all()
    for other in (batches_of(2, 2, 3, 20, 8), batches_of(1, 3, 3, 20, 8), batches_of(1, 2, 4, 20, 8)):
        assert (same != other).any()


def test_everybody_takes_part_equally_often_in_the_long_run() -> None:
    counts = np.bincount(np.concatenate([participants(5, round, 10, 0.3) for round in range(1, 1001)]), minlength=10)
    assert counts.sum() == 3000
    assert np.abs(counts - 300).max() < 5 * np.sqrt(1000 * 0.3 * 0.7)
    assert len(participants(0, 1, 10, 0.05)) == 1


BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"rounds": 5}, "rounds: got 5, but a plan has a total of 4 rounds; lengthen the plan"),
    ({}, {"rounds": 0}, "rounds: got 0, expected a whole number >= 1"),
    ({}, {"local_updates": 2.5}, "local_updates: got 2.5, expected a whole number >= 1"),
    ({}, {"fraction": 0.0}, "fraction: got 0.0, expected a share of the clients above 0 and at most 1"),
    ({}, {"compile": "yes"}, "compile: got 'yes', expected 'auto', True or False"),
    ({"phases": Phases(3)}, {}, "phases: made for 3 clients, but 2 have examples"),
    ({"plan": [plan()]}, {}, "plan: got 1 for 2 clients, expected one for each, or one for all"),
    ({"parts": [[0], [120]]}, {}, "parts: those of client 1 cannot be, expected indices from 0 to 119, at least one"),
    ({"plan": plan(**{"server.momentum": ost.wave(0.1, 0.2)})}, {}, "server.momentum: the server has one value to drive, server.lr"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "given", "line"), BAD, ids=[line for _, _, line in BAD])
def test_what_cannot_be_is_said_in_one_line(fields: dict[str, Any], given: dict[str, Any], line: str) -> None:
    one = Federation(**{"plan": plan(), "parts": partitions.even(120, 2), **fields})
    with pytest.raises(ConfigError) as raised:
        simulate(make, one, data(), **{"batch_size": BATCH, **given})
    assert str(raised.value) == line


def test_federations_of_unequal_numbers_of_clients_are_refused() -> None:
    several = [Federation(plan(), partitions.even(120, clients)) for clients in (2, 3)]
    with pytest.raises(ConfigError, match=r"^federations: got \[2, 3\] clients, expected as many in each"):
        simulate(make, several, data())
    with pytest.raises(ConfigError, match=r"^federations: got none"):
        simulate(make, [], data())


def test_a_run_that_ends_inside_a_cycle_is_said_once() -> None:
    cut = plan().replace({"total": "3round"})
    with pytest.warns(TruncatedCycleWarning, match="ends inside a cycle") as said:
        simulate(make, Federation(cut, parts()), data(), batch_size=BATCH)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulate(make, Federation(plan(), parts()), data(), batch_size=BATCH, rounds=3)
