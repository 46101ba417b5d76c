"""The strategy mixin and the client's line, on Flower's own messages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("flwr", reason="Flower has an environment of its own; see the Makefile")

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdam, FedAvg
from flwr.supercore.task_identity import TaskIdentity

import ostinato as ost
from ostinato.applications.federated import Phases, merge
from ostinato.applications.federated.flower import PhaseShifted, PhaseShiftedFedAvg, client_of, local_round
from ostinato.applications.federated.merging import Update
from ostinato.errors import ConfigError

PLAN = ost.Plan(
    total="8round", cycle=ost.Cycle("sine", period="4round"), bindings={"optimizer.lr": ost.wave(0.01, 0.5)}
)
CLIENTS = 4
Node = Callable[[Message, Context], Message]


@pytest.fixture(autouse=True)
def in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages carry whose they are, which Flower's engines say once a process."""
    for name, value in {"_task_id": 1, "_run_id": 1, "_node_id": 1}.items():
        monkeypatch.setattr(TaskIdentity, name, value)


class Direct(Grid):
    """Hands every message straight to the node that it is for."""

    def __init__(self, nodes: dict[int, Node], identities: dict[int, dict[str, Any]]) -> None:
        self.nodes, self.identities = nodes, identities

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(self.nodes)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return [
            self.nodes[to](message, self.context(to)) for message in messages if (to := message.metadata.dst_node_id)
        ]

    def context(self, node: int) -> Context:
        return Context(1, node, self.identities[node], RecordDict(), {})


def model_of(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


def trained(message: Message, context: Context, *, steps: int = 5) -> Message:
    model = model_of()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    part = local_round(message, context, steps=steps, optimizer=optimizer)
    generator = torch.Generator().manual_seed(100 * part.client + part.round)
    for _ in range(steps):
        x = torch.randn(8, 3, generator=generator)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), (x.sum(1) > part.client - 1).long()).backward()
        optimizer.step()
        part.step()
    return part.reply(model, examples=10 * (part.client + 1), loss=float(part.client))


def federation(nodes: dict[int, Node] | None = None, identities: dict[int, dict[str, Any]] | None = None) -> Direct:
    ids = range(11, 11 + CLIENTS)
    return Direct(
        nodes or dict.fromkeys(ids, trained), identities or {node: {"partition-id": node - 11} for node in ids}
    )


def strategy_of(kind: type = PhaseShiftedFedAvg, **more: Any) -> Any:
    return kind(**{"plan": PLAN, "phases": Phases(CLIENTS), "fraction_evaluate": 0.0} | more)


def weights(seed: int = 0) -> ArrayRecord:
    return ArrayRecord(model_of(seed).state_dict())


def answers_of(strategy: Any, grid: Direct, round: int = 1) -> list[Message]:
    return list(grid.send_and_receive(strategy.configure_train(round, weights(), ConfigRecord(), grid)))


def updates_of(answers: list[Message]) -> list[Update]:
    found = []
    for answer in answers:
        metrics = answer.content["metrics"]
        arrays = {name: array.numpy() for name, array in answer.content["arrays"].items()}
        found.append(
            Update(int(metrics["ostinato-client"]), arrays, metrics["num-examples"], metrics["ostinato-progress"])
        )
    return found


def close(found: ArrayRecord, expected: dict[str, Any]) -> None:
    for name, array in expected.items():
        if np.issubdtype(array.dtype, np.floating):
            assert found[name].numpy() == pytest.approx(array, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_the_server_merges_as_the_formula_says(normalise: bool, rate: float) -> None:
    plan = replace(PLAN, bindings={**PLAN.bindings, "server.lr": rate}) if rate != 1.0 else PLAN
    strategy, grid = strategy_of(plan=plan, normalise=normalise), federation()
    answers = answers_of(strategy, grid)
    before = {name: array.numpy() for name, array in weights().items()}
    expected = merge(before, updates_of(answers), normalise=normalise, rate=rate)
    merged, metrics = strategy.aggregate_train(1, answers[::-1])
    close(merged, expected)
    assert strategy.counted == {1: (0, 1, 2, 3)}
    assert metrics["loss"] == pytest.approx((0 * 10 + 1 * 20 + 2 * 30 + 3 * 40) / 100)
    assert not {"ostinato-client", "ostinato-round"} & metrics.keys()


def test_whoever_answers_first_the_model_is_the_same_to_the_last_bit() -> None:
    found = []
    for order in (1, -1):
        strategy, grid = strategy_of(normalise=True), federation()
        merged, _ = strategy.aggregate_train(1, answers_of(strategy, grid)[::order])
        found.append(b"".join(array.numpy().tobytes() for array in merged.values()))
    assert found[0] == found[1]


def test_clients_have_their_phase_whichever_nodes_they_sit_on_and_whoever_takes_part() -> None:
    seen: dict[tuple[int, int], float] = {}

    def noting(message: Message, context: Context) -> Message:
        part = local_round(message, context, steps=5, optimizer=torch.optim.SGD(model_of().parameters(), lr=1.0))
        seen[part.client, part.round] = part.shift
        return trained(message, context)

    for first in (11, 900):  # the nodes are started again under other ids
        ids = range(first, first + CLIENTS)
        grid = federation(dict.fromkeys(ids, noting), {node: {"partition-id": node - first} for node in ids})
        strategy = strategy_of(fraction_train=0.5, min_train_nodes=2)
        for number in range(1, 9):
            strategy.aggregate_train(number, answers_of(strategy, grid, number))
    assert {client: {shift for (who, _), shift in seen.items() if who == client} for client in range(CLIENTS)} == {
        client: {client / CLIENTS} for client in range(CLIENTS)
    }


@pytest.mark.parametrize("base", [FedAvg, FedAdam])
def test_it_stands_before_any_strategy(base: type) -> None:
    kind = type("Mine", (PhaseShifted, base), {})
    result = strategy_of(kind).start(federation(), weights(), num_rounds=3)
    assert all(np.isfinite(array.numpy()).all() for array in result.arrays.values())
    assert result.train_metrics_clientapp[3]["ostinato-progress"] > 0


def test_of_two_answers_for_one_client_one_counts(caplog: pytest.LogCaptureFixture) -> None:
    identities = {11: {"partition-id": 0}, 12: {"partition-id": 1}, 13: {"partition-id": 1}}
    grid = federation(dict.fromkeys(identities, trained), identities)
    strategy = strategy_of(normalise=True)
    answers = answers_of(strategy, grid)
    first = next(answer for answer in answers if answer.content["metrics"]["ostinato-client"] == 1)
    once = [answer for answer in answers if answer is first or answer.content["metrics"]["ostinato-client"] == 0]
    before = {name: array.numpy() for name, array in weights().items()}
    expected = merge(before, updates_of(once), normalise=True)
    with caplog.at_level(logging.WARNING, logger="flwr"):
        logging.getLogger("flwr").propagate = True
        merged, _ = strategy.aggregate_train(1, answers)
    close(merged, expected)
    assert strategy.counted[1] == (0, 1)
    assert "client 1 has answered twice in round 1" in caplog.text


def test_an_answer_for_another_round_is_left_out() -> None:
    strategy, grid = strategy_of(), federation()
    late = answers_of(strategy, grid, 1)[:2]
    answers = [*late, *answers_of(strategy, grid, 2)]
    strategy.aggregate_train(2, answers)
    assert strategy.counted[2] == (0, 1, 2, 3)
    merged, _ = strategy.aggregate_train(2, late)
    assert (merged, strategy.counted[2]) == (None, ())


def test_who_fails_does_not_count() -> None:
    def failing(message: Message, context: Context) -> Message:
        return Message(Error(code=1, reason="out of memory"), reply_to=message)

    strategy = strategy_of()
    merged, _ = strategy.aggregate_train(
        1, answers_of(strategy, federation({11: trained, 12: failing, 13: trained, 14: trained}))
    )
    assert merged is not None
    assert strategy.counted[1] == (0, 2, 3)


def test_bad_input_is_said_in_one_line() -> None:
    grid = federation()
    (message, *_) = strategy_of().configure_train(1, weights(), ConfigRecord(), grid)
    (plain, *_) = FedAvg().configure_train(1, weights(), ConfigRecord(), grid)
    optimizer = torch.optim.SGD(model_of().parameters(), lr=1.0)

    def context(**identity: Any) -> Context:
        return Context(1, 11, identity, RecordDict(), {})

    def begun(told: Message, **identity: Any) -> Any:
        return local_round(told, context(**identity), steps=2, optimizer=optimizer)

    unfinished = begun(message, **{"partition-id": 1})
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: begun(message), "node 11 has no identity: its configuration has partition-id=None; start it with --node-config 'partition-id=0', every node with its own number"),
        (lambda: client_of(context(**{"partition-id": "a"})), "node 11 has no identity: its configuration has partition-id='a'; start it"),
        (lambda: begun(message, **{"partition-id": 4}), "client: got 4, expected a number from 0 to 3"),
        (lambda: begun(plain, **{"partition-id": 1}), "the server sends no plan; let its strategy be PhaseShiftedFedAvg(plan=..., phases=...)"),
        (lambda: unfinished.reply(model_of(), examples=3), "reply: 0 of the round's 2 updates were made; call step() after each, or pass steps=0"),
        (lambda: strategy_of(plan=ost.Plan(bindings={"optimizer.lr": 0.1})), "total: missing; write Plan(total='30round', ...)"),
        (lambda: strategy_of(plan=ost.Plan(total="3round", bindings={"server.momentum": 0.1})), "server.momentum: the server has one value to drive, server.lr"),
    ]  # fmt: skip
    for call, line in cases:
        with pytest.raises(ConfigError) as raised:
            call()
        assert str(raised.value).startswith(line)
        assert "\n" not in str(raised.value)


def test_an_answer_that_says_not_whose_it_is_ends_the_run_in_one_line() -> None:
    def anonymous(message: Message, context: Context) -> Message:
        answer = trained(message, context)
        del answer.content["metrics"]["ostinato-client"]
        return answer

    strategy = strategy_of()
    with pytest.raises(
        ConfigError,
        match=r"^node \d+: its answer does not say which client it is; let the client return local_round\(...\).reply\(...\)$",
    ):
        strategy.aggregate_train(1, answers_of(strategy, federation(dict.fromkeys(range(11, 15), anonymous))))
