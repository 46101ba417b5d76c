"""Phase-shifted federations on Flower: a strategy mixin for the server, one line for the client.

It needs Flower 1.41 or later (``pip install "ostinato[federated]"``), and runs alike in its simulation engine and on its deployment engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from logging import WARNING
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Strategy
from flwr.supercore import log
from torch import nn

from ostinato.applications.federated.local import LocalRound
from ostinato.applications.federated.merging import Update, is_statistic, shares
from ostinato.applications.federated.phases import Phases
from ostinato.applications.federated.serving import SERVER_RATE, server_plan
from ostinato.checks import is_whole
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError

__all__ = ["FlowerRound", "PhaseShifted", "PhaseShiftedFedAvg", "client_of", "local_round"]

_CONFIG = "ostinato"
_CLIENT, _ROUND, _PROGRESS = "ostinato-client", "ostinato-round", "ostinato-progress"


class PhaseShifted(Strategy):
    """Puts the clients of any Flower strategy on one clock, each at its own phase.

    Put it before the strategy: ``class Mine(PhaseShifted, FedAdam): ...``; `PhaseShiftedFedAvg` is the one with federated averaging.
    Every message tells the plan, the phases and the round; what its phase is a client knows from its own identity, so that a node that is
    started again, under another node id, comes back in step, whichever clients a round samples. Of two answers for one client in a round,
    one counts: no update twice. Answers are averaged in the order of the clients, so that equal seeds give equal models.

    Args:
        *args: The strategy's own.
        plan: The common plan, in rounds. A binding ``server.lr`` is the server's own rate: w + rate * (the strategy's w - w).
        phases: Who has which phase; ``Phases(10, "together")`` is the synchronous federation.
        normalise: Let every client pull alike however far it went (`ostinato.applications.federated.merge`).
        **kwargs: The strategy's own.

    Attributes:
        counted: By round, the clients whose updates are in the model.

    Raises:
        ConfigError: The plan has no total in rounds, or drives more of the server than its rate.
    """

    def __init__(self, *args: Any, plan: Plan, phases: Phases, normalise: bool = False, **kwargs: Any) -> None:
        self.plan, self.phases, self.normalise = plan, phases, normalise
        if plan.total is None:
            raise ConfigError("total: missing; write Plan(total='30round', ...)")
        self._server = server_plan(plan)
        self.counted: dict[int, tuple[int, ...]] = {}
        self._before: dict[str, Any] = {}
        super().__init__(*args, **kwargs)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Tell the clients the plan, the phases and the round, beside what the strategy tells them."""
        self._before = {name: array.numpy() for name, array in arrays.items()}
        told = {"plan": self.plan.to_document(), "phases": self.phases.to_document(), "round": server_round}
        config[_CONFIG] = json.dumps(told)
        return list(super().configure_train(server_round, arrays, config, grid))

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the strategy average what the clients sent: each once, in order, normalised if that was asked for."""
        failed, answers = self._sorted_out(server_round, replies)
        self.counted[server_round] = tuple(answers)
        if self.normalise and answers:
            self._rescale(answers)
        arrays, metrics = super().aggregate_train(server_round, [*failed, *answers.values()])
        if metrics is not None:
            for key in (_CLIENT, _ROUND):
                metrics.pop(key, None)
        return arrays if arrays is None else self._moved(server_round, arrays), metrics

    def _sorted_out(self, server_round: int, replies: Iterable[Message]) -> tuple[list[Message], dict[int, Message]]:
        """Return the errors, and the answers of this round by client, each once."""
        failed: list[Message] = []
        answers: dict[int, Message] = {}
        for reply in replies:
            if reply.has_error():
                failed.append(reply)
                continue
            metrics = _metrics_of(reply)
            if _CLIENT not in metrics:
                raise ConfigError(
                    f"node {reply.metadata.src_node_id}: its answer does not say which client it is; let the client return local_round(...).reply(...)"
                )
            client, round_of = int(metrics[_CLIENT]), int(metrics[_ROUND])
            if round_of != server_round:
                log(
                    WARNING, "client %d has answered in round %d for round %d; left out", client, server_round, round_of
                )
            elif client in answers:
                nodes = answers[client].metadata.src_node_id, reply.metadata.src_node_id
                log(
                    WARNING,
                    "client %d has answered twice in round %d (nodes %d and %d); one counts",
                    client,
                    server_round,
                    *nodes,
                )
            else:
                answers[client] = reply
        return failed, dict(sorted(answers.items()))

    def _rescale(self, answers: Mapping[int, Message]) -> None:
        """Lengthen every client's way by the share it has normalised over the share it has plainly."""
        updates = []
        for client, reply in answers.items():
            metrics = _metrics_of(reply)
            updates.append(Update(client, {}, float(metrics[self._weighted_by()]), float(metrics[_PROGRESS])))
        plain, normalised = shares(updates), shares(updates, normalise=True)
        for reply, factor in zip(
            answers.values(), np.divide(normalised, plain, where=plain > 0, out=np.zeros_like(plain)), strict=True
        ):
            record = next(iter(reply.content.array_records.values()))
            for name, array in list(record.items()):
                own = array.numpy()
                if not is_statistic(name, own):
                    before = self._before[name].astype(np.float64)
                    record[name] = Array((before + factor * (own.astype(np.float64) - before)).astype(own.dtype))

    def _weighted_by(self) -> str:
        return str(getattr(self, "weighted_by_key", "num-examples"))

    def _moved(self, server_round: int, arrays: ArrayRecord) -> ArrayRecord:
        """Return the model after the server's own rate."""
        if self._server is None:
            return arrays
        rate = self._server.values(server_round - 1)[SERVER_RATE]
        moved = {}
        for name, array in arrays.items():
            new, before = array.numpy(), self._before[name]
            to = before + rate * (new.astype(np.float64) - before)
            moved[name] = array if is_statistic(name, before) else Array(to.astype(before.dtype))
        return ArrayRecord(moved)


class PhaseShiftedFedAvg(PhaseShifted, FedAvg):
    """Federated averaging of phase-shifted clients; see `PhaseShifted`."""


def _metrics_of(reply: Message) -> Mapping[str, Any]:
    records = list(reply.content.metric_records.values())
    return records[0] if records else {}


# -- the client ----------------------------------------------------------------------------------------------------------


def client_of(context: Context, key: str = "partition-id") -> int:
    """Return which client a node is: its number in the node's own configuration, which stays when the node is started again.

    Raises:
        ConfigError: The node has no number.
    """
    found = context.node_config.get(key)
    if not is_whole(found):
        raise ConfigError(
            f"node {context.node_id} has no identity: its configuration has {key}={found!r}; start it with --node-config '{key}=0', every node with its own number"
        )
    return found


class FlowerRound(LocalRound):
    """A `LocalRound` that knows its message; made by `local_round`."""

    def __init__(self, message: Message, client: int, told: Mapping[str, Any], **given: Any) -> None:
        plan, phases = Plan.from_document(told["plan"]), Phases.from_document(told["phases"])
        self.client, self.round, self.shift = client, int(told["round"]), phases.of(client)
        self._message = message
        super().__init__(plan, self.round, shift=self.shift, **given)

    def reply(self, model: nn.Module, *, examples: int, **metrics: float) -> Message:
        """Return the answer to the server: the weights, the number of examples, how far the client went, and more numbers.

        Args:
            model: The model after the round.
            examples: How many examples the client has, its weight in the mean.
            **metrics: Anything else to be averaged, such as the loss.

        Raises:
            ConfigError: Not all updates of the round were made.
        """
        if self.done != self._steps:
            raise ConfigError(
                f"reply: {self.done} of the round's {self._steps} updates were made; call step() after each, or pass steps={self.done}"
            )
        own = {"num-examples": examples, _CLIENT: self.client, _ROUND: self.round, _PROGRESS: self.progress}
        content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord({**own, **metrics})})
        return Message(content=content, reply_to=self._message)


def local_round(message: Message, context: Context, *, key: str = "partition-id", **given: Any) -> FlowerRound:
    """Bind the federation's plan to this client's objects, at its phase and at the round's place on the clock.

    Args:
        message: What the server sent.
        context: The node's.
        key: The entry of the node's configuration that says which client it is.
        **given: What `LocalRound` takes: ``steps=``, ``optimizer=``, ``model=``, ...

    Raises:
        ConfigError: The server's strategy is no `PhaseShifted`, the node has no identity, or it is none of the clients.
    """
    configs = list(message.content.config_records.values())
    text = configs[0].get(_CONFIG) if configs else None
    if not isinstance(text, str):
        raise ConfigError("the server sends no plan; let its strategy be PhaseShiftedFedAvg(plan=..., phases=...)")
    return FlowerRound(message, client_of(context, key), json.loads(text), **given)
