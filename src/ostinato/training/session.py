"""A session: the live objects of a run, built from its configuration in one fixed order."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, StateError
from ostinato.scheduler import Scheduler
from ostinato.training import datasets, models, optimizers
from ostinato.training.batches import Batches, EpochOrder
from ostinato.training.config import RunConfig
from ostinato.training.datasets import Data, Split
from ostinato.training.defaults import DEFAULT_TOTAL, default_plan
from ostinato.training.randomness import seed_everything

__all__ = ["Session", "resolve_config"]

_TEST_BATCH = 512


def resolve_config(config: RunConfig) -> RunConfig:
    """Return the configuration with a plan and a total filled in, checked as far as it can be without data.

    Raises:
        PlanError: The plan cannot be.
    """
    if config.plan is None or not config.plan.get("bind"):
        probe = optimizers.build(config.optimizer.name, nn.Linear(1, 1), **config.optimizer.options)
        plan = default_plan(probe)
        if config.plan is not None:
            document = plan.to_document() | {key: value for key, value in config.plan.items() if key != "bind"}
            plan = Plan.from_document(document)
    else:
        plan = Plan.from_document(config.plan)
    if plan.total is None:
        plan = plan.replace({"total": DEFAULT_TOTAL})
    if plan.unit != "step":
        raise ConfigError(f"unit: a training run counts in steps, got {plan.unit!r}; leave unit out")
    return config.replace({"plan": plan.to_document()}, source="plan")


@dataclass
class Session:
    """The live objects of a run.

    Attributes:
        config: The resolved configuration.
        data: The data set.
        fabric: Device, precision, processes.
        model: The bare model: what snapshots and checkpoints hold.
        module: The model as Fabric runs it.
        optimizer: The bare optimizer, which the scheduler drives.
        stepper: The optimizer as Fabric steps it.
        criterion: The loss, a root of the plan.
        batches: Training batches of this process.
        scheduler: The plan, bound.
    """

    config: RunConfig
    data: Data
    fabric: Fabric
    model: nn.Module
    module: Any
    optimizer: torch.optim.Optimizer
    stepper: Any
    criterion: nn.Module
    batches: Batches
    scheduler: Scheduler

    @classmethod
    def build(cls, config: RunConfig) -> Session:
        """Build everything: data, model (seeded), optimizer, loss, Fabric, scheduler, then seed what training draws.

        Raises:
            OstinatoError: Something that the configuration names cannot be had.
        """
        train = config.train
        data = datasets.load(config.data)
        seed_everything(train.seed)
        model = models.build(config.model, data.shape, data.classes)
        optimizer = optimizers.build(config.optimizer.name, model, **config.optimizer.options)
        criterion = nn.CrossEntropyLoss()
        fabric = launched(config)
        module, stepper = fabric.setup(model, optimizer)
        criterion.to(fabric.device)
        order = EpochOrder(len(data.train), train.batch_size, train.seed)  # type: ignore[arg-type]  # map-style, so it has a length
        batches = Batches(
            data.train, order, workers=train.workers, rank=fabric.global_rank, world_size=fabric.world_size
        )
        plan = Plan.from_document(config.plan or {})
        scheduler = plan.bind(
            optimizer=optimizer,
            model=model,
            loss=criterion,
            steps_per_epoch=order.steps(train.accumulate),
            samples_per_step=train.batch_size * train.accumulate,
        )
        session = cls(config, data, fabric, model, module, optimizer, stepper, criterion, batches, scheduler)
        session._demand_one_digest()
        seed_everything(train.seed, 1, fabric.global_rank)
        return session

    def _demand_one_digest(self) -> None:
        digest = self.scheduler.resolved.digest
        if self.fabric.broadcast(digest) != digest:
            raise StateError(
                f"process {self.fabric.global_rank} resolved another plan than process 0; give all processes the same data and configuration"
            )

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.fabric.global_rank == 0)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates in an epoch."""
        return self.batches.order.steps(self.config.train.accumulate)

    def examples_of_update(self, count: int) -> int:
        """Return how many examples, over all processes, update `count` learns from."""
        accumulate, order = self.config.train.accumulate, self.batches.order
        first = count % self.steps_per_epoch * accumulate
        return sum(order.size(index) for index in range(first, min(first + accumulate, order.batches)))

    @property
    def precision(self) -> Any:
        """Fabric's precision plugin, whose scaler may skip updates."""
        return self.fabric._precision

    def evaluating(self) -> AbstractContextManager[Any]:
        """Return the context in which forward passes have the run's precision."""
        return self.fabric.autocast()

    def to_device(self, batch: Any) -> Any:
        """Return a batch on the run's device."""
        return self.fabric.to_device(batch)

    def test_batches(self) -> Any:
        """Return the test set's batches (inputs, targets), in order, on the run's device and in its precision."""
        return (_prepared(self, inputs, targets) for inputs, targets in in_order(self.data.test))


def _prepared(session: Session, inputs: Any, targets: Any) -> tuple[Any, Tensor]:
    inputs, targets = session.to_device((inputs, targets))
    return session.precision.convert_input(inputs), targets


def in_order(dataset: Dataset[Any], size: int = _TEST_BATCH) -> Any:
    """Yield (inputs, targets) of a data set from its first example to its last."""
    if isinstance(dataset, Split):
        return (
            (dataset.inputs[start : start + size], dataset.targets[start : start + size])
            for start in range(0, len(dataset), size)
        )
    return iter(DataLoader(dataset, batch_size=size, generator=torch.Generator()))


def launched(config: RunConfig) -> Fabric:
    """Return Fabric, launched as the configuration says.

    Raises:
        ConfigError: The machine has no such accelerator or cannot compute so.
    """
    train = config.train
    try:
        fabric = Fabric(
            accelerator=train.accelerator, devices=train.devices, precision=train.precision, strategy=train.strategy
        )
    except (RuntimeError, ValueError, ImportError) as error:
        raise ConfigError(
            f"[train] accelerator, devices, precision, strategy: {' '.join(str(error).split())}"
        ) from error
    fabric.launch()
    return fabric
