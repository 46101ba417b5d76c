"""Flower itself: real processes on the loopback interface, one of which is killed; and its simulation engine."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

pytest.importorskip("flwr", reason="Flower has an environment of its own; see the Makefile")

from ostinato.applications.federated import Federation, LocalRound, Phases, batches_of, merge, simulate
from ostinato.applications.federated.loopback import Loopback
from ostinato.applications.federated.merging import Update

APP = Path(__file__).parent / "app"
ROUNDS, CLIENTS = 4, 3


@pytest.fixture(scope="module")
def app() -> Any:
    sys.path.insert(0, str(APP))
    try:
        import digits_federation

        yield digits_federation
    finally:
        sys.path.remove(str(APP))


def diary_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "diary.jsonl").read_text().splitlines()]


def counted_in(folder: Path) -> dict[int, list[int]]:
    return {int(number): clients for number, clients in json.loads((folder / "counted.json").read_text()).items()}


def by_hand(app: Any, counted: dict[int, list[int]], *, normalise: bool) -> dict[str, np.ndarray]:
    """The same federation in a plain loop, with the clients that counted in each round, each once."""
    model = app.new_model()
    for number in range(1, ROUNDS + 1):
        before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
        updates = []
        for client in counted[number]:
            model.load_state_dict({name: torch.tensor(array) for name, array in before.items()})
            inputs, labels = app.shares_of(client, CLIENTS)
            optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
            batches = batches_of(0, client, number, len(labels), app.BATCH)
            part = LocalRound(
                app.PLAN, number, shift=Phases(CLIENTS).of(client), steps=len(batches), optimizer=optimizer
            )
            for rows in batches:
                optimizer.zero_grad()
                cross_entropy(model(inputs[rows]), labels[rows]).backward()
                optimizer.step()
                part.step()
            after = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
            updates.append(Update(client, after, len(labels), part.progress))
        if not updates:  # nobody answered in time; the model stays
            continue
        rate = app.PLAN.resolve(steps_per_round=1).values(number - 1)["server.lr"]
        merged = merge(before, updates, normalise=normalise, rate=rate)
        model.load_state_dict({name: torch.tensor(array) for name, array in merged.items()})
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def check(app: Any, folder: Path) -> dict[int, list[int]]:
    """Every round that a client went through lay at its place of the clock, and the model is what those that counted make, each once."""
    counted = counted_in(folder)
    for line in diary_of(folder):
        steps = len(line["rates"])
        own = Phases(CLIENTS).plan_of(line["client"], app.PLAN).table(steps_per_round=steps)["optimizer.lr"]
        assert line["rates"] == own[(line["round"] - 1) * steps : line["round"] * steps].tolist()
        assert line["shift"] == line["client"] / CLIENTS
    expected = by_hand(app, counted, normalise=True)
    found = torch.load(folder / "model.pt", weights_only=True)
    for name, array in expected.items():
        assert np.abs(found[name].numpy() - array).max() < 1e-5 * np.abs(array).max()
    return counted


@pytest.mark.timeout(300)
def test_the_simulation_engine_trains_as_the_plain_loop(tmp_path: Path, app: Any) -> None:
    with Loopback(tmp_path / "flower", simulated=True) as link:
        for _ in link.run(APP, {"out": str(tmp_path), "timeout": 120}, nodes=CLIENTS):
            pass
    assert check(app, tmp_path) == {number: [0, 1, 2] for number in range(1, ROUNDS + 1)}
    for name, array in in_process(app).items():
        found = torch.load(tmp_path / "model.pt", weights_only=True)[name].numpy()
        assert np.abs(found - array).max() < 1e-5 * np.abs(array).max()


def in_process(app: Any) -> dict[str, np.ndarray]:
    """The same federation in the engine that the study runs on."""
    inputs, labels = load_digits(return_X_y=True)
    data = torch.tensor(inputs / 16.0, dtype=torch.float32), torch.tensor(labels)
    parts = [range(client, len(labels), CLIENTS) for client in range(CLIENTS)]
    federation = Federation(app.PLAN, [list(part) for part in parts], Phases(CLIENTS), normalise=True)
    options = {"momentum": 0.0, "weight_decay": 0.0}
    result = simulate(app.new_model, federation, (data, data), batch_size=app.BATCH, optimizer_options=options)
    return {name: tensor.numpy() for name, tensor in result.common(0).items()}


@pytest.mark.timeout(400)
def test_a_node_that_is_killed_and_started_again_comes_back_in_step_and_counts_once(tmp_path: Path, app: Any) -> None:
    with Loopback(tmp_path / "flower") as link:
        nodes = [link.node(client, CLIENTS) for client in range(CLIENTS)]
        lines: list[str] = []
        running = threading.Thread(
            target=lambda: lines.extend(link.run(APP, {"out": str(tmp_path), "holds": 1, "timeout": 30}))
        )
        running.start()
        wait_for(tmp_path / "holding", running, lines)
        nodes[1].kill()  # in the middle of its second round
        (tmp_path / "go").touch()
        link.node(1, CLIENTS)
        running.join(timeout=300)
        assert not running.is_alive(), lines[-20:]
    counted = check(app, tmp_path)
    assert 1 not in counted[2]
    again = [line["round"] for line in diary_of(tmp_path) if line["client"] == 1 and line["round"] > 2]
    assert again, "the node was not asked again after its restart"
    assert (
        len({line["node"] for line in diary_of(tmp_path) if line["client"] == 1}) == 2
    )  # another node id, the same client


def wait_for(path: Path, running: threading.Thread, lines: list[str]) -> None:
    deadline = time.monotonic() + 200
    while not path.exists():
        assert running.is_alive(), lines[-20:]
        assert time.monotonic() < deadline, lines[-20:]
        time.sleep(0.05)
