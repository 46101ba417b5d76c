"""The face that frameworks know: a torch ``LRScheduler`` over an Ostinato scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ostinato.core.clock import Tick
from ostinato.errors import TargetError
from ostinato.targets import as_optimizer

if TYPE_CHECKING:
    from ostinato.scheduler import Scheduler

__all__ = ["LRSchedulerView"]


class LRSchedulerView(LRScheduler):
    """A thin ``torch.optim.lr_scheduler.LRScheduler``: `step`, `get_last_lr` and state are the Ostinato scheduler's.

    The base class's constructor, which steps once and writes into the optimizer, is not run.
    """

    def __init__(self, scheduler: Scheduler, optimizer: Optimizer | None) -> None:
        if optimizer is None:
            raise TargetError(
                "as_lr_scheduler: the plan drives no optimizer; pass the one that the framework shall see"
            )
        self.scheduler = scheduler
        self.optimizer = as_optimizer(optimizer) or optimizer
        self.tick: Tick | None = None

    @property
    def base_lrs(self) -> list[float]:  # type: ignore[override]  # torch stores a copy; groups may be added later
        """The rates before binding, one a parameter group."""
        return self.scheduler.original_lrs(self.optimizer)

    @property
    def _last_lr(self) -> list[float | Any]:  # type: ignore[override]  # some frameworks read torch's private names
        return self.get_last_lr()

    @property
    def _step_count(self) -> int:
        return self.scheduler.count + 1

    @_step_count.setter
    def _step_count(self, value: int) -> None:
        """Pass over what Accelerate counts while it accumulates; there is one clock."""

    @property
    def last_epoch(self) -> int:  # type: ignore[override]  # torch keeps a counter of its own; there is one clock here
        """The count of updates."""
        return self.scheduler.count

    def step(self, epoch: int | None = None) -> None:
        """Advance the clock by one update; the tick is kept in `tick`."""
        self.tick = self.scheduler.step()

    def get_last_lr(self) -> list[float | Any]:
        """Return the learning rates in force, one a parameter group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    get_lr = get_last_lr

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the scheduler's state."""
        self.scheduler.load_state_dict(state_dict)
