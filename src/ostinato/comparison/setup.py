"""What is compared: fixed and written down before the first run, and the live objects that follow from it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn

from ostinato.checks import is_whole
from ostinato.comparison.endpoints import Endpoint, endpoint_of
from ostinato.core.documents import digest
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, DataError, PlanError, StateError, StorageError, TruncatedCycleWarning
from ostinato.evaluation.timings import at_phases, evenly
from ostinato.training import RunConfig, parse_config
from ostinato.training import models as training_models
from ostinato.training.changes import plan_difference, table_difference, tables
from ostinato.training.datasets import Data, Split
from ostinato.training.session import Session, resolve_config

__all__ = ["Material", "Setup", "check_seeds", "material_of"]

_PHASES = 8
_POINTS = 16
_LARGEST_SEED = 2**63
_ALONE: Mapping[str, Any] = {
    "devices": 1, "accelerator": "cpu", "precision": "32-true", "strategy": "auto", "accumulate": 1, "clip_norm": None,
}  # fmt: skip


def check_seeds(seeds: Any, first: int = 0) -> int:
    """Return the number of seeds, checked.

    Raises:
        ConfigError: There are fewer than 2, or they go past the largest one.
    """
    if not is_whole(seeds, 2):
        raise ConfigError(f"seeds: got {seeds!r}, expected a whole number >= 2: one seed says nothing about chance")
    if first + seeds > _LARGEST_SEED:
        raise ConfigError(
            f"seeds: {seeds} from train.seed = {first} on go past the largest seed; choose a smaller train.seed"
        )
    return seeds


@dataclass(frozen=True)
class Setup:
    """What is compared.

    Attributes:
        config: The resolved configuration; seeds count from its ``train.seed``.
        controls: Names of the controls.
        endpoint: What decides.
        margin: The smallest difference that matters.
        seeds: Seeds to train each arm with.
        data: Name, digest and sizes of the data.
        cycles: Cycles of the plan.
        digest: Of the resolved plan.
        options: By control, what was chosen for it: the rate of ``tuned_constant``.
        tuning: By control, the runs that the choice rests on.
    """

    config: RunConfig
    controls: tuple[str, ...]
    endpoint: Endpoint
    margin: float
    seeds: int
    data: Mapping[str, Any]
    cycles: int
    digest: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tuning: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config_digest(self) -> str:
        """SHA-256 of the configuration: plan and tables, without what changes no result."""
        return digest({"plan": self.config.plan, **tables(self.config)})

    @property
    def chosen_seeds(self) -> range:
        """The seeds."""
        return range(self.config.train.seed, self.config.train.seed + self.seeds)

    def comparison(self) -> dict[str, Any]:
        """Return what every record says about the comparison that it belongs to, enough to judge the records alone."""
        return {
            "endpoint": self.endpoint.name,
            "margin": self.margin,
            "controls": list(self.controls),
            "cycles": self.cycles,
            "data": dict(self.data),
            "plan_digest": self.digest,
            "config_digest": self.config_digest,
        }

    def to_document(self) -> dict[str, Any]:
        """Return the document of ``compare.json``."""
        chosen = {"options": dict(self.options), "tuning": dict(self.tuning)}
        return {"config": self.config.to_document(), "seeds": self.seeds, "comparison": self.comparison(), **chosen}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], place: str) -> Setup:
        """Return what a ``compare.json`` says.

        Raises:
            StorageError: Something is missing or altered.
        """
        try:
            config, told = parse_config(document["config"], place), document["comparison"]
            setup = cls(
                config, tuple(told["controls"]), endpoint_of(told["endpoint"], told["cycles"]), float(told["margin"]), check_seeds(document["seeds"]),
                told["data"], int(told["cycles"]), told["plan_digest"], document["options"], document["tuning"],
            )  # fmt: skip
            intact = setup.config_digest == told["config_digest"]
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"{place}: is damaged ({error}); restore it from a copy") from None
        if not intact:
            raise StorageError(
                f"{place}: its configuration was altered after it was written; restore it, or begin another comparison"
            )
        return setup

    def demand_same(
        self,
        place: str,
        *,
        config: RunConfig | None = None,
        controls: tuple[str, ...] | None = None,
        endpoint: str | None = None,
        margin: float | None = None,
    ) -> None:
        """Check that what is given to go on with is what was begun.

        Raises:
            StateError: It is not; the message shows the difference.
        """
        changed = ""
        if config is not None:
            given = resolve_config(config)
            changed = plan_difference(self.config.plan or {}, given.plan or {}) or table_difference(
                tables(self.config), tables(given)
            )
        pairs = {
            "controls": (self.controls, controls),
            "endpoint": (self.endpoint.name, endpoint),
            "margin": (self.margin, margin),
        }
        for name, (was, now) in pairs.items():
            if not changed and now is not None and was != now:
                changed = f"{name} was {was!r}, is {now!r}"
        if changed:
            raise StateError(
                f"{place}: {changed}; what is compared is fixed before the first run: leave it out to go on, or begin another comparison with --out"
            )

    def demand_same_material(self, place: str, material: Material) -> None:
        """Check that data and plan are still what they were.

        Raises:
            StateError: They are not.
        """
        now = material.data.describe()
        for key in {**self.data, **now}:
            if self.data.get(key) != now.get(key):
                raise StateError(
                    f"{place}: data {key} was {self.data.get(key)!r}, is {now.get(key)!r}; bring the data back, or begin another comparison with --out"
                )
        if self.digest != material.plan.digest:
            raise StateError(
                f"{place}: the resolved plan was {self.digest[:12]}, is {material.plan.digest[:12]}; begin another comparison with --out"
            )

    def with_seeds(self, seeds: int) -> Setup:
        """Return it with another number of seeds.

        Raises:
            ConfigError: There are fewer than before.
        """
        if check_seeds(seeds, self.config.train.seed) < self.seeds:
            raise ConfigError(
                f"seeds: got {seeds}, but {self.seeds} were planned, and none is dropped afterwards; give {self.seeds} or more"
            )
        return replace(self, seeds=seeds)


@dataclass(frozen=True)
class Material:
    """The live objects of a comparison.

    Attributes:
        config: The resolved configuration.
        data: The data set.
        make_model: Makes a model from the global generators.
        plan: The plan, resolved as a run of its own would resolve it.
    """

    config: RunConfig
    data: Data
    make_model: Callable[[], nn.Module]
    plan: ResolvedPlan

    @property
    def ends(self) -> list[int]:
        """The last step of every cycle."""
        return list(self.plan.snapshots)

    @property
    def looks(self) -> list[int]:
        """The steps after which every arm is scored: eight evenly spaced phases of each cycle, the last one its end.

        The phases are the plan's for all arms, so that none is looked at in better moments than another.
        """
        spread = at_phases(_PHASES)(self.plan) if len(self.plan.cycles) else evenly(0, self.plan.total, _POINTS)
        return sorted({*spread.tolist(), self.plan.total - 1})


def material_of(config: RunConfig, *, what: str = "a comparison", whole: bool = True) -> Material:
    """Resolve a configuration as ``ostinato train`` does, down to the model's first outputs.

    Args:
        config: Resolved (`ostinato.training.session.resolve_config`).
        what: What is made of it, for messages.
        whole: Whether the plan has to end with a cycle.

    Raises:
        ConfigError: A setting cannot be honoured where many members are trained at once.
        PlanError: The plan ends inside a cycle.
        OstinatoError: Something that the configuration names cannot be had.
    """
    for key, wanted in _ALONE.items():
        found = getattr(config.train, key)
        if found != wanted:
            change = f"leave {key} out" if wanted is None else f"write {key} = {_toml(wanted)}"
            raise ConfigError(
                f"[train] {key}: got {found!r}, but {what} trains many members at once, in single precision on one processor; {change}"
            )
    if config.augment.ops:
        raise ConfigError(
            f"[augment]: {what} trains many members at once on the same batches, which it does not augment; leave the table out"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedCycleWarning)
        session = Session.build(config)
    plan = session.scheduler.resolved
    if whole and plan.truncated:
        fits = " or ".join(f"{total}step" for total in plan.totals_that_fit)
        raise PlanError(
            f"total: {plan.total} steps end inside a cycle, where a schedule with restarts is at its worst, so that the comparison would be unfair to it;"
            f" write total = {fits}"
        )
    if not (isinstance(session.data.train, Split) and isinstance(session.data.test, Split)):
        raise DataError(
            f"{session.data.name}: {what} reads its examples from memory; let the factory return (inputs, targets) for training and test"
        )
    make_model = partial(training_models.build, config.model, session.data.shape, session.data.classes)
    return Material(config, session.data, make_model, plan)


def _toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
