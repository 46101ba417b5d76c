"""A federation on digits that keeps a diary of every client's rounds; client `holds` waits in round 2 until it is let go."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

import ostinato as ost
from ostinato.applications.federated import Phases, batches_of
from ostinato.applications.federated.flower import PhaseShiftedFedAvg, local_round

PLAN = ost.Plan(
    total="4round",
    cycle=ost.Cycle("sine", period="2round"),
    bindings={"optimizer.lr": ost.wave(0.01, 0.2), "server.lr": ost.wave(0.5, 1.0)},
)
BATCH = 50
HELD_IN = 2

client = ClientApp()
server = ServerApp()


def shares_of(number: int, clients: int) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, labels = load_digits(return_X_y=True)
    return torch.tensor(inputs[number::clients] / 16.0, dtype=torch.float32), torch.tensor(labels[number::clients])


def new_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(64, 10)


@client.train()
def train(message: Message, context: Context) -> Message:
    model = new_model()
    model.load_state_dict(next(iter(message.content.array_records.values())).to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    number, config = int(context.node_config.get("partition-id", 0)), context.run_config
    inputs, labels = shares_of(number, int(config["clients"]))
    steps = -(-len(labels) // BATCH)
    part = local_round(message, context, steps=steps, optimizer=optimizer)
    rates = []
    for place, rows in enumerate(batches_of(0, part.client, part.round, len(labels), BATCH)):
        if (part.client, part.round, place) == (config["holds"], HELD_IN, 1):
            _wait(Path(str(config["out"])))
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        cross_entropy(model(inputs[rows]), labels[rows]).backward()
        optimizer.step()
        part.step()
    _note(
        Path(str(config["out"])),
        client=part.client,
        round=part.round,
        shift=part.shift,
        rates=rates,
        progress=part.progress,
        node=str(context.node_id),
    )
    return part.reply(model, examples=len(labels))


@server.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    clients, out = int(config["clients"]), Path(str(config["out"]))
    strategy = PhaseShiftedFedAvg(
        plan=PLAN,
        phases=Phases(clients),
        normalise=bool(config["normalise"]),
        fraction_evaluate=0.0,
        min_train_nodes=1,
        min_available_nodes=1,
    )
    while len(list(grid.get_node_ids())) < clients:
        time.sleep(0.2)
    result = strategy.start(
        grid, ArrayRecord(new_model().state_dict()), num_rounds=int(config["rounds"]), timeout=float(config["timeout"])
    )
    torch.save(result.arrays.to_torch_state_dict(), out / "model.part")
    (out / "counted.json").write_text(json.dumps(strategy.counted))
    (out / "model.part").rename(out / "model.pt")


def _wait(out: Path) -> None:
    (out / "holding").touch()
    while not (out / "go").exists():
        time.sleep(0.05)


def _note(out: Path, **line: Any) -> None:
    with (out / "diary.jsonl").open("a") as diary:
        diary.write(json.dumps(line | {"process": os.getpid()}) + "\n")
