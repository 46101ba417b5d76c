"""A search that trains its trials at once against Optuna with one trial at a time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ostinato.bench.harness import Row
from ostinato.population import recipes
from ostinato.search import optimize  # first: it says in one line where Optuna is missing
from ostinato.search.objective import Objective
from ostinato.search.running import default_space
from ostinato.search.space import Space
from ostinato.search.trials import Laboratory
from ostinato.training import RunConfig, parse_config
from ostinato.training.session import resolve_config

__all__ = ["measure"]

_TRIALS = 200
_PEERS = 3
_SMALL = {
    "model": {"name": "mlp", "args": {"hidden": 64, "depth": 1}},
    "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
}
_MIDDLE, _SHORT, _LONG = "300ep", "30ep", "1000ep"


def measure(trials: int = _TRIALS, peer_trials: int = _PEERS, rounds: int = 2) -> Row:
    """Measure trials a minute of random search on digits: MLP 64-64-10 with batch norm and dropout, SGD, 1,000 epochs (18,000 updates), everything included.

    Ours is `ostinato search` whole: data, storage in a file, compilation, importance, pictures. The peer is Optuna's ``study.optimize`` in memory, each
    trial a plain loop over fused SGD that has all values and indices at hand; both on all cores, in turn. What compiling and a storage cost is the
    same for trials of any length, so that the ratio grows with it: the detail has it for 540 and 5,400 updates, too.
    """
    rates = np.array([_pair(_LONG, trials, peer_trials) for _ in range(rounds)])
    ratios = rates[:, 0] / rates[:, 1]
    low, middle, high = (float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    short, middle_length = (
        _pair(total, trials, peers) for total, peers in ((_SHORT, 4 * peer_trials), (_MIDDLE, 2 * peer_trials))
    )
    detail: dict[str, Any] = {
        "peer": "Optuna, one trial at a time, loop over fused SGD",
        "trials": trials,
        "updates_each": 18_000,
        "seconds": float(60 * trials / np.median(rates[:, 0])),
        "trials_per_min": float(np.median(rates[:, 0])),
        "peer_trials_per_min": float(np.median(rates[:, 1])),
        "ratio_at_540_updates": short[0] / short[1],
        "ratio_at_5400_updates": middle_length[0] / middle_length[1],
        "threads": torch.get_num_threads(),
    }
    return Row("search", middle, (low, high), 8.0, 16.0, higher=True, detail=detail)


def _pair(total: str, trials: int, peer_trials: int) -> tuple[float, float]:
    """Return trials a minute, ours and the peer's, for runs of one length."""
    config = resolve_config(parse_config({**_SMALL, "total": total}))
    laboratory = Laboratory.of(config, Objective())
    space = default_space(laboratory.base)
    ours = _minute(lambda: _ours(config, trials), trials)
    return ours, _minute(lambda: _peer(laboratory, space, peer_trials), peer_trials)


def _minute(run: Callable[[], object], trials: int) -> float:
    """Return trials a minute."""
    begun = time.perf_counter()
    run()
    return 60 * trials / (time.perf_counter() - begun)


def _ours(config: RunConfig, trials: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        optimize(config, trials=trials, engine="population", baseline=False, out=Path(folder) / "search")


def _peer(laboratory: Laboratory, space: Space, trials: int) -> None:
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        study.optimize(lambda trial: _plain(laboratory, space, trial), n_trials=trials)
    finally:
        optuna.logging.set_verbosity(level)


def _plain(laboratory: Laboratory, space: Space, trial: Any) -> float:
    """Train one trial as one would without Ostinato's engine, and return its error on the held-out examples."""
    plan = laboratory.resolve(space.plan(laboratory.base, space.suggest(trial)))
    rates = plan.table()["optimizer.lr"].tolist()
    train, held = laboratory.data.train, laboratory.data.test
    inputs, targets = train.inputs, train.targets  # type: ignore[attr-defined]  # held in memory
    with recipes.kept_randomness():
        model = recipes.built(laboratory.material.make_model, 0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
        order = recipes.order_of(len(targets), 64, 0, drop_last=False)
        for step in range(plan.total):
            chosen = torch.tensor(order.batch(*divmod(step, order.batches)))
            optimizer.param_groups[0]["lr"] = rates[step]
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
            optimizer.step()
    model.eval()
    with torch.no_grad():
        wrong = model(held.inputs).argmax(-1) != held.targets  # type: ignore[attr-defined]  # a split in memory by then
    return float(wrong.float().mean())
