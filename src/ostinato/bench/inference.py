"""What an ensemble's answer costs: eight small members at batch 1 against a loop over live modules."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.bench.harness import Row, interleaved
from ostinato.ensembles import SnapshotEnsemble
from ostinato.training.models import cnn, mlp

__all__ = ["MEMBERS", "measure"]

MEMBERS = 8
_REACH, _AIM = 0.7, 0.4


def _small_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "mlp 64-64-10": _small_mlp,
    "mlp 64-64-10, batch norm": lambda: mlp((1, 8, 8), 10, hidden=64, depth=1),
    "cnn 16-32": lambda: cnn((1, 8, 8), 10),
}


def _members(make: Callable[[], nn.Module], folder: str) -> tuple[SnapshotEnsemble, list[nn.Module]]:
    """Return an ensemble of members with statistics of their own, and the same as live modules."""
    live = []
    snapshots = SnapshotEnsemble(make(), folder)
    for member in range(MEMBERS):
        torch.manual_seed(member)
        model = make()
        model(torch.rand(64, 1, 8, 8))
        with torch.no_grad():
            snapshots._model.load_state_dict(model.state_dict())
        snapshots.capture(SimpleNamespace(step=member, cycle=member, values={}))
        live.append(model.eval())
    return snapshots, live


def plain_loop(live: list[nn.Module], inputs: Tensor) -> Tensor:
    """Average the softmax of live modules in evaluation mode: what one writes without Ostinato."""
    with torch.inference_mode():
        return torch.stack([model(inputs).softmax(dim=-1) for model in live]).mean(dim=0)


def _row(name: str, make: Callable[[], nn.Module], *, batch: int, calls: int, rounds: int, compiled: bool) -> Row:
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        snapshots, live = _members(make, folder)
        inputs = torch.rand(batch, 1, 8, 8)
        while not snapshots.methods:
            snapshots.predict(inputs)
        timing = interleaved(
            lambda: snapshots.predict(inputs), lambda: plain_loop(live, inputs), calls=calls, rounds=rounds
        )
        detail: dict[str, Any] = {
            "peer": f"loop over {MEMBERS} live modules, eval, inference_mode, softmax averaged",
            "batch": batch,
            "threads": torch.get_num_threads(),
            "chosen": snapshots.methods[0].method,
            "ours_us": timing.ours * 1e6,
            "peer_us": timing.peer * 1e6,
            "difference": float((snapshots.predict(inputs) - plain_loop(live, inputs)).abs().max()),
        }
        for method in ("loop", "stacked", *(("compiled",) if compiled else ())):
            other = interleaved(
                lambda method=method: snapshots.predict(inputs, method=method),  # type: ignore[misc]  # the default binds the name now
                lambda: plain_loop(live, inputs),
                calls=max(1, calls // 4),
                rounds=max(1, rounds // 3),
            )
            detail[f"{method}_ratio"] = other.ratio
        return Row(f"inference: {name}", timing.ratio, timing.spread, _REACH, _AIM, detail=detail)


def measure(*, batch: int = 1, calls: int = 100, rounds: int = 21, compiled: bool = False) -> list[Row]:
    """Measure each model: the whole of `SnapshotEnsemble.predict` under ``method="auto"`` against the plain loop.

    Args:
        batch: examples a call.
        calls: calls a round.
        rounds: rounds of ours and the peer in turn.
        compiled: measure ``method="compiled"`` too, which compiles for some seconds a model.
    """
    return [
        _row(name, make, batch=batch, calls=calls, rounds=rounds, compiled=compiled) for name, make in MODELS.items()
    ]
