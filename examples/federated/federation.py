"""A Flower app: ten clients with few classes each, whose cosines are shifted in phase.

Run it with ``python run.py``, or as any Flower app: ``flwr run .``.
"""

from __future__ import annotations

import json
import os
from functools import cache
from logging import INFO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore import log
from torch.nn.functional import cross_entropy

import ostinato as ost
from ostinato.applications.federated import Phases
from ostinato.applications.federated.flower import PhaseShiftedFedAvg, local_round
from ostinato.applications.federated.partitions import describe, dirichlet
from ostinato.training.config_tables import DataConfig
from ostinato.training.datasets import Data, load

EXAMPLES = 10_000

client = ClientApp()
server = ServerApp()


def plan_of(config: Any) -> ost.Plan:
    """Return the plan: cosine cycles of about ten rounds."""
    rounds = int(config["rounds"])
    return ost.Plan(
        total=f"{rounds}round",
        cycle=ost.Cycle("cosine", count=max(1, rounds // 10)),
        bindings={"optimizer.lr": ost.wave(float(config["low"]), float(config["high"]))},
    )


@cache
def data_of(name: str) -> Data:
    """Return the data of that name; without one Fashion-MNIST where its files are, else digits."""
    folder = os.environ.get("OSTINATO_DATA", "")
    return load(
        DataConfig(name=name or ("fashion-mnist" if (Path(folder) / "fashion-mnist").is_dir() and folder else "digits"))
    )


def parts_of(config: Any) -> tuple[Data, tuple[Any, ...]]:
    """Return the data and the indices of every client's own examples."""
    data = data_of(str(config["data"]))
    labels = data.train.targets[:EXAMPLES].numpy()
    return data, dirichlet(
        labels, int(config["clients"]), float(config["alpha"]), seed=int(config["seed"]), least=int(config["batch"])
    )


def model_of(data: Data, seed: int = 0) -> torch.nn.Module:
    """Return a small perceptron, its weights drawn from the seed."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(int(np.prod(data.shape)), 64),
        torch.nn.ReLU(),
        torch.nn.Linear(64, data.classes),
    )


@client.train()
def train(message: Message, context: Context) -> Message:
    """Train a client's model for a round, its rate where the client is on the clock."""
    config = context.run_config
    data, parts = parts_of(config)
    own = torch.as_tensor(parts[int(context.node_config["partition-id"])])
    inputs, labels = data.train.inputs[own], data.train.targets[own]
    model = model_of(data)
    model.load_state_dict(next(iter(message.content.array_records.values())).to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    epochs, batch = int(config["epochs"]), int(config["batch"])
    batches = -(-len(own) // batch)

    part = local_round(
        message, context, steps=epochs * batches, steps_per_epoch=batches, optimizer=optimizer
    )  # the one line

    order = torch.Generator().manual_seed(1_000 * part.client + part.round)
    total = 0.0
    for _ in range(epochs):
        for rows in torch.randperm(len(own), generator=order).split(batch):
            optimizer.zero_grad()
            loss = cross_entropy(model(inputs[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            part.step()
            total += loss.item() * len(rows) / (epochs * len(own))
    return part.reply(model, examples=len(own), loss=total)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Lead the federation, and write down what came out."""
    config = context.run_config
    data, parts = parts_of(config)
    plan, phases = plan_of(config), Phases(int(config["clients"]), str(config["assignment"]))
    log(
        INFO,
        "ostinato: %s, %d clients, mean distance of their classes from all %.2f",
        data.name,
        len(parts),
        describe(parts, data.train.targets[:EXAMPLES]).distance,
    )
    errors: list[float] = []

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        model = model_of(data)
        model.load_state_dict(arrays.to_torch_state_dict())
        with torch.no_grad():
            outputs = model(data.test.inputs)
        error = float((outputs.argmax(1) != data.test.targets).double().mean())
        errors.append(error)
        log(INFO, "ostinato: round %d of %d, test error %.2f %%", number, int(config["rounds"]), 100 * error)
        return MetricRecord({"error": error, "nll": float(cross_entropy(outputs, data.test.targets))})

    strategy = PhaseShiftedFedAvg(plan=plan, phases=phases, normalise=bool(config["normalise"]), fraction_evaluate=0.0)
    strategy.start(
        grid, ArrayRecord(model_of(data).state_dict()), num_rounds=int(config["rounds"]), evaluate_fn=evaluate
    )
    if config["out"]:
        steps = [int(config["epochs"]) * -(-len(part) // int(config["batch"])) for part in parts]
        rates = [
            phases.plan_of(number, plan).resolve(steps_per_round=count).table(stride=count)["optimizer.lr"].tolist()
            for number, count in enumerate(steps)
        ]
        document = {
            "data": data.name,
            "errors": errors,
            "rates": rates,
            "examples": [len(part) for part in parts],
            "counted": strategy.counted,
        }
        Path(str(config["out"]), "result.json").write_text(json.dumps(document))
