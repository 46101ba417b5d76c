"""How long training stands still for a snapshot, against one training step."""

from __future__ import annotations

import tempfile
import time
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn

from ostinato.bench.harness import Row
from ostinato.ensembles import SnapshotEnsemble
from ostinato.training.models import cnn

__all__ = ["measure"]

_REACH, _AIM = 1.0, 0.3


class _Training:
    """A small cnn on images like the digits, batches of 64, SGD with momentum."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.model = cnn((1, 8, 8), 10).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
        self.loss = nn.CrossEntropyLoss()
        self.inputs = torch.rand(64, 1, 8, 8, device=self.device)
        self.targets = torch.randint(0, 10, (64,), device=self.device)

    def step(self) -> float:
        """Make one update and return its seconds, the device's work included."""
        begun = time.perf_counter()
        self.optimizer.zero_grad()
        self.loss(self.model(self.inputs), self.targets).backward()
        self.optimizer.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - begun


def _round(training: _Training, snapshots: SnapshotEnsemble, step: int, steps: int) -> tuple[float, float, float]:
    """Return seconds of a step, of standing still for a capture, and that the next steps took longer."""
    plain = [training.step() for _ in range(steps)]
    begun = time.perf_counter()
    snapshots.capture(SimpleNamespace(step=step, cycle=step, values={}))
    stall = time.perf_counter() - begun
    beside = [training.step() for _ in range(steps)]
    typical = float(np.median(plain))
    return typical, stall, sum(beside) - typical * steps


def measure(*, rounds: int = 41, steps: int = 20, device: str = "cpu") -> Row:
    """Measure ``capture`` of a background ensemble against a training step, and the synchronous capture beside it.

    The ratio is the time that ``capture`` takes over the median of the steps before it, the median over rounds. The
    detail has the same for a synchronous capture, and how much longer the following steps took while the thread wrote
    (in steps; it shares the processor with training).

    Args:
        rounds: captures.
        steps: training steps before and after each.
        device: where the model is.
    """
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(devices=[]):
        training = _Training(device)
        with SnapshotEnsemble(training.model, f"{folder}/background", keep=3, background=True) as ours:
            peer = SnapshotEnsemble(training.model, f"{folder}/synchronous", keep=3)
            pairs = []
            for place in range(rounds + 2):
                pair = _round(training, ours, place, steps), _round(training, peer, place, steps)
                ours.flush()
                if place >= 2:  # the first ones allocate
                    pairs.append(pair)
            size = ours.members[-1].file.bytes
        seconds = np.array(pairs)
    ratios = seconds[:, 0, 1] / seconds[:, 0, 0]
    low, middle, high = (float(value) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    detail = {
        "peer": f"one training step, cnn 16-32, batch 64, SGD, on {device}",
        "stall_us": float(np.median(seconds[:, 0, 1])) * 1e6,
        "step_us": float(np.median(seconds[:, 0, 0])) * 1e6,
        "worst_ratio": float(ratios.max()),
        "later_steps": float(np.median(seconds[:, 0, 2] / seconds[:, 0, 0])),
        "synchronous_ratio": float(np.median(seconds[:, 1, 1] / seconds[:, 1, 0])),
        "file_bytes": size,
        "threads": torch.get_num_threads(),
    }
    return Row("snapshot", middle, (low, high), _REACH, _AIM, detail=detail)
