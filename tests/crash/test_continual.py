"""Kill -9 while a stream is learnt: resumed, it ends with the bits of never having stopped, the buffer's included."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import ostinato as ost
from forked import Child, forked, wait_for
from ostinato.applications.continual import ClassBalanced, Stream, permuted, train_stream
from ostinato.storage import sha256_file

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # forking: there are no other threads of ours
]

torch.set_num_threads(1)
PLAN = ost.Plan(
    cycle=ost.Cycle("cosine", count=6),
    bindings={"optimizer.lr": ost.wave(0.0, 0.1), "replay.probability": ost.wave(0.0, 1.0), "model:Dropout.p": 0.2},
)


def stream() -> Stream:
    generator = torch.Generator().manual_seed(3)
    data = torch.randn(80, 12, generator=generator), torch.arange(80) % 4
    return permuted(data, data, 3)


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))


def learn(folder: Path) -> None:
    train_stream(
        make,
        stream(),
        PLAN,
        buffer=ClassBalanced(20),
        optimizer="adamw",
        epochs=6,
        batch_size=4,
        folder=folder,
        every=5,
    )


def places(folder: Path) -> list[str]:
    return sorted(place.name for place in folder.glob("step-*"))


def kill_after(child: Child, folder: Path, place: str, moment: float) -> bool:
    """Kill the child some time after a checkpoint is there; return whether it still ran."""
    while place not in places(folder):
        if child.ended():
            return False
        time.sleep(0.0005)
    if not wait_for(child, moment):
        return False
    child.kill()
    return True


def test_killed_again_and_again_it_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    assert forked(lambda: learn(tmp_path / "whole")).wait() == 0
    last = places(tmp_path / "whole")[-1]
    draws, out, kills = random.Random(4), tmp_path / "run", 0
    for after in (35, 110, 175, 240, 300):
        child = forked(lambda: learn(out))
        if not kill_after(child, out, f"step-{after:012d}", draws.uniform(0.0, 0.01)):
            break
        kills += 1
        assert last not in places(out)
    assert kills >= 3
    assert last in places(out) or forked(lambda: learn(out)).wait() == 0
    for name in ("tensors.safetensors", "state.json"):
        assert sha256_file(out / last / name) == sha256_file(tmp_path / "whole" / last / name)
