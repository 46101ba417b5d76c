"""Continual learning on the one clock: tasks one after another, replay whose probability a plan drives, and honest baselines.

A stream (`split`, `permuted`) is learnt by `train_stream` under any plan whose cycles end with the tasks, with old examples from a buffer
(`Reservoir`, `ClassBalanced`) at times that `replay_times` draws: exactly as many under every plan of the same mean. `gdumb` and `decayed` are
the baselines; `average_accuracy`, `backward_transfer` and `forgetting` read the matrix of accuracies.
"""

from __future__ import annotations

from ostinato.applications.continual.baselines import decayed, gdumb
from ostinato.applications.continual.buffers import Buffer, ClassBalanced, Reservoir
from ostinato.applications.continual.feed import Batch, Feed
from ostinato.applications.continual.measures import (
    average_accuracy,
    backward_transfer,
    forgetting,
    new_task_accuracy,
)
from ostinato.applications.continual.replay import Replay, replay_times
from ostinato.applications.continual.streams import Stream, Task, permuted, split
from ostinato.applications.continual.training import StreamResult, train_stream

__all__ = [
    "Batch",
    "Buffer",
    "ClassBalanced",
    "Feed",
    "Replay",
    "Reservoir",
    "Stream",
    "StreamResult",
    "Task",
    "average_accuracy",
    "backward_transfer",
    "decayed",
    "forgetting",
    "gdumb",
    "new_task_accuracy",
    "permuted",
    "replay_times",
    "split",
    "train_stream",
]
