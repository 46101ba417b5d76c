"""A session: the live objects of a run, built from its configuration in one fixed order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ostinato.augment import Augment
from ostinato.core.address import Address
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, FollowedError, OstinatoError, StateError
from ostinato.scheduler import Scheduler
from ostinato.training import datasets, losses, models, optimizers, recipes
from ostinato.training.batches import Batches, EpochOrder, seeded
from ostinato.training.config import RunConfig
from ostinato.training.datasets import Data, Split
from ostinato.training.defaults import DEFAULT_RECIPE, DEFAULT_TOTAL
from ostinato.training.launching import launched, settled
from ostinato.training.randomness import seed_everything
from ostinato.training.team import Team, TeamFormer, no_team

__all__ = ["Session", "in_order", "resolve_config"]

_TEST_BATCH = 512


def resolve_config(config: RunConfig) -> RunConfig:
    """Return the configuration with a plan and a total filled in, checked as far as it can be without data.

    Raises:
        ConfigError: The recipe or the optimizer cannot be.
        PlanError: The plan cannot be.
    """
    document, recipe = config.plan or {}, config.train.recipe
    if recipe is not None or not document.get("bind"):
        probe = optimizers.build(config.optimizer.name, nn.Linear(1, 1), **config.optimizer.options)
        rate = float(probe.param_groups[0]["lr"])
        document = recipes.merged(document, DEFAULT_RECIPE if recipe is None else recipe, rate)
    plan = Plan.from_document(document)
    if plan.total is None:
        plan = plan.replace({"total": DEFAULT_TOTAL})
    if plan.unit != "step":
        raise ConfigError(f"unit: a training run counts in steps, got {plan.unit!r}; leave unit out")
    return settled(config).replace({"plan": plan.to_document()}, source="plan")


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
        augment: What is done to training batches, a root of the plan; None for nothing.
        team: How the processes of the run go together.
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
    augment: Augment | None = None
    team: Team = field(default_factory=Team)

    @classmethod
    def build(cls, config: RunConfig, form: TeamFormer = no_team) -> Session:
        """Build everything: data, model (seeded), optimizer, loss, Fabric, scheduler, then seed what training draws.

        Args:
            config: Resolved (`resolve_config`).
            form: Makes the team of a run of workers.

        Raises:
            OstinatoError: Something that the configuration names cannot be had.
        """
        train = config.train
        if config.workers.count is not None and form is no_team:
            raise ConfigError(
                "[workers]: only ostinato train (ostinato.applications.federated.workers.train) has workers; leave the table out"
            )
        data = datasets.load(config.data)
        seed_everything(train.seed)
        model = models.build(config.model, data.shape, data.classes)
        optimizer = optimizers.build(config.optimizer.name, model, **config.optimizer.options)
        criterion = losses.build(config.loss, data)
        fabric = launched(config)
        module, stepper = fabric.setup(model, optimizer)
        criterion.to(fabric.device)
        order = _order(config, data)
        plan = Plan.from_document(config.plan or {})
        augment = _augment(config, data)
        if train.recipe is not None:
            recipes.demand_fit(train.recipe, plan.bound, model, optimizer, criterion, augment=augment)
        _demand_augment(plan, augment)
        losses.demand_loss(plan, criterion)
        team = form(config, model, optimizer)
        rates = {
            "steps_per_epoch": order.steps(train.accumulate),
            "samples_per_step": train.batch_size * train.accumulate,
        }
        roots = {"optimizer": optimizer, "model": model, "loss": criterion, "augment": augment}
        given = {name: root for name, root in roots.items() if root is not None}
        scheduler = team.plan(plan).bind(**given, **rates)
        batches = _batches(config, data, fabric, scheduler.resolved, augment)
        session = cls(
            config, data, fabric, model, module, optimizer, stepper, criterion, batches, scheduler, augment, team
        )
        session._demand_one_digest(plan.resolve(**rates).digest)
        session._demand_fitting_model()
        seed_everything(train.seed, 1, fabric.global_rank)
        return session

    def _demand_one_digest(self, digest: str) -> None:
        if self.fabric.broadcast(digest) != digest:
            raise StateError(
                f"process {self.fabric.global_rank} resolved another plan than process 0; give all processes the same data and configuration"
            )

    def _demand_fitting_model(self) -> None:
        """Check with two examples that the model takes the data's inputs and returns a logit for each class."""
        modes = {module: module.training for module in self.model.modules()}
        name = self.config.model.factory or self.config.model.name or "the model"
        self.model.eval()
        try:
            with seeded(self.config.train.seed), torch.no_grad(), self.evaluating():
                inputs, targets = next(iter(in_order(self.data.train, 2)))
                if self.augment is not None:
                    self.augment.check(inputs)
                prepared, _ = self.prepared(inputs, targets)
                logits = self.model(prepared)
        except OstinatoError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ConfigError(
                f"model: {name} cannot take inputs of shape {self.data.shape} of {self.data.name}: {reason}"
            ) from error
        finally:
            for module, mode in modes.items():
                module.training = mode
        wanted, shape = (len(targets), self.data.classes), tuple(getattr(logits, "shape", ()))
        if shape != wanted:
            got = f"a result of shape {shape}" if shape else f"a {type(logits).__name__}"
            raise ConfigError(
                f"model: {name} returns {got} for a batch of {wanted[0]}, expected logits of shape {wanted}, one for each class of {self.data.name}"
            )

    def lead(self, action: Callable[[], object]) -> None:
        """Let the process that writes do something; if it cannot, every process stops.

        Raises:
            OstinatoError: What the action raised, in every process.
        """
        error: OstinatoError | None = None
        if self.leads:
            try:
                action()
            except OstinatoError as raised:
                error = raised
        message = self.fabric.broadcast("" if error is None else str(error))
        if error is not None:
            raise error
        if message:
            raise FollowedError(message)

    def on(self, data: Data) -> Session:
        """Return the session with other data of the same shape and classes."""
        batches = _batches(self.config, data, self.fabric, self.scheduler.resolved, self.augment)
        return replace(self, data=data, batches=batches)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return bool(self.fabric.global_rank == 0)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates in an epoch."""
        return self.batches.order.steps(self.config.train.accumulate)

    def groups(self, count: int, total: int) -> Iterator[list[tuple[Any, Tensor]]]:
        """Yield the batches of update `count` and of every one after it, up to the total; where they begin follows from the count.

        Raises:
            DataError: While iterating: a batch cannot be made, or the updates are not made one after another.
        """
        accumulate = self.config.train.accumulate
        while count < total:
            epoch, update = divmod(count, self.steps_per_epoch)
            batches = self.batches.counted(epoch, start=update * accumulate)
            while count < total and (group := list(islice(batches, accumulate))):
                for batch in group:
                    batch.check(self.scheduler)
                yield [batch.data for batch in group]
                count += 1

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

    def prepared(self, inputs: Any, targets: Any) -> tuple[Any, Tensor]:
        """Return inputs and targets on the run's device and in its precision."""
        inputs, targets = self.to_device((inputs, targets))
        return self.precision.convert_input(inputs), targets

    def test_batches(self) -> Any:
        """Return the test set's batches (inputs, targets), in order, on the run's device and in its precision."""
        return (self.prepared(inputs, targets) for inputs, targets in in_order(self.data.test))


def _order(config: RunConfig, data: Data) -> EpochOrder:
    smallest = 2 * (config.workers.count or 1)  # batch normalisation cannot train on a single example
    return EpochOrder(len(data.train), config.train.batch_size, config.train.seed, smallest=smallest)  # type: ignore[arg-type]  # map-style, so it has a length


def _augment(config: RunConfig, data: Data) -> Augment | None:
    """Return what the ``[augment]`` table says; None where there is none.

    Raises:
        ConfigError: The table cannot be.
    """
    table = config.augment
    if table.ops:
        return Augment(
            table.ops,
            table.strength,
            config.train.seed,
            maxima=table.maxima,
            classes=data.classes,
            mask_id=table.mask_id,
        )
    return None


def _demand_augment(plan: Plan, augment: Augment | None) -> None:
    """Raise if a plan drives augmentation that there is not."""
    for target in plan.bound if augment is None else ():
        if Address.parse(target).root == "augment":
            raise ConfigError(
                f'{target}: there is nothing to drive; write a table [augment] with ops = ["shift", "flip"]'
            )


def _batches(config: RunConfig, data: Data, fabric: Fabric, plan: ResolvedPlan, augment: Augment | None) -> Batches:
    return Batches(
        data.train,
        _order(config, data),
        workers=config.train.workers,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        accumulate=config.train.accumulate,
        plan=plan,
        transform=augment,
    )


def in_order(dataset: Dataset[Any], size: int = _TEST_BATCH) -> Any:
    """Yield (inputs, targets) of a data set from its first example to its last."""
    if isinstance(dataset, Split):
        return (
            (dataset.inputs[start : start + size], dataset.targets[start : start + size])
            for start in range(0, len(dataset), size)
        )
    return iter(DataLoader(dataset, batch_size=size, generator=torch.Generator()))
