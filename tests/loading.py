"""What loader workers need to import: data sets and transforms for tests/test_data.py."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

import ostinato as ost


@ost.schedule("test-data-bumps", version=1)
def bumps(t: np.ndarray, *, low: float, high: float, every: int) -> np.ndarray:
    return np.where(t % every == 0, high, low)


class Numbers(Dataset[Tensor]):
    """Example i is i, and one draw from each global generator."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        if not 0 <= index < self.length:
            raise IndexError(f"no example {index}")
        drawn = [float(index), torch.rand(()).item(), float(np.random.rand()), random.random()]  # noqa: NPY002 - the global one is meant
        return torch.tensor(drawn, dtype=torch.float64)


class Part(IterableDataset[Tensor]):
    """0, 1, 2, ... divided among the workers in turns of `turn` examples."""

    def __init__(self, length: int, turn: int) -> None:
        self.length, self.turn, self.epoch = length, turn, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[Tensor]:
        worker = get_worker_info()
        own, workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for index in range(self.length):
            if index // self.turn % workers == own:
                yield torch.tensor([index + 1000.0 * self.epoch, torch.rand(()).item()], dtype=torch.float64)


class Shared(Dataset[float]):
    """Every example is what a shared value holds when it is fetched."""

    def __init__(self, shared: ost.SharedValue, length: int = 4) -> None:
        self.shared, self.length = shared, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> float:
        return self.shared.value


class Deadly(Numbers):
    """As long as a file exists, fetching one example kills its worker."""

    def __init__(self, length: int, victim: int, trigger: Path) -> None:
        super().__init__(length)
        self.victim, self.trigger = victim, trigger

    def __getitem__(self, index: int) -> Tensor:
        if index == self.victim and self.trigger.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def stamped(sample: Tensor, values: Mapping[str, float]) -> Tensor:
    """Append the values, and a draw scaled by one of them."""
    noise = torch.rand((), dtype=torch.float64) * values["augment.noise"]
    return torch.cat([sample, torch.stack([torch.tensor(list(values.values()), dtype=torch.float64)[0], noise])])


def rolled(data: Any, values: Mapping[str, float]) -> Any:
    """Add one draw for the whole batch."""
    return data + random.random() * values["augment.noise"]
