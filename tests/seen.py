"""A run of six scheduled targets, and an observer that notes the SHA-256 of every batch that the model is trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ostinato.training import Observer, RunConfig, parse_config
from ostinato.training.session import Session
from running import PLAN

SIX: dict[str, Any] = {
    **PLAN,
    "bind": [
        *PLAN["bind"],
        {"target": "optimizer.weight_decay", "low": 1e-5, "high": 1e-3, "shift": 0.25},
        {"target": "augment.strength", "relation": "mirror", "low": 0.1, "high": 1.0},
    ],
}


def six(plan: dict[str, Any] | None = None, augment: Any = None, **changes: Any) -> RunConfig:
    """Return a small run on digits with augmentation; `changes` are addresses with two underscores for the dot."""
    document = {
        **(SIX if plan is None else plan),
        "model": {"name": "cnn", "args": {"width": 4}},
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        "train": {"batch_size": 160, "checkpoint_every": 5},
        "augment": ["shift", "cutout", "mixup"] if augment is None else augment,
    }
    return parse_config(document).replace({key.replace("__", "."): value for key, value in changes.items()})


class Seen(Observer):
    """Appends a line to a file for each training batch: its update, the SHA-256 of inputs and of targets as the loss gets them."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def begun(self, session: Session, count: int) -> None:
        loss = session.criterion

        def noted(module: torch.nn.Module, inputs: Any) -> None:
            if module.training:
                self._write(session.scheduler.count, "inputs", inputs[0])

        def judged(module: torch.nn.Module, given: Any) -> None:
            self._write(session.scheduler.count, "targets", given[1])

        session.model.register_forward_pre_hook(noted)
        loss.register_forward_pre_hook(judged)

    def _write(self, count: int, what: str, tensor: Tensor) -> None:
        digest = hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
        with self.place.open("a") as file:
            file.write(f"{count} {what} {digest}\n")


def lines_by_update(place: Path) -> dict[tuple[str, str], set[str]]:
    """Return, by update and kind, every digest that was noted; an update made twice must have noted the same one."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in place.read_text().splitlines():
        count, what, digest = line.split()
        found.setdefault((count, what), set()).add(digest)
    return found
