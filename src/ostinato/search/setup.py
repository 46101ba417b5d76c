"""What a search is: fixed and written down before its first trial, the same on every machine that takes part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ostinato.checks import is_whole, whole
from ostinato.core.documents import digest
from ostinato.errors import ConfigError, StateError, StorageError
from ostinato.search.objective import Objective
from ostinato.search.pruning import PRUNERS
from ostinato.search.samplers import check_sampler
from ostinato.search.space import Space
from ostinato.training import RunConfig, parse_config
from ostinato.training.changes import plan_difference, table_difference, tables

__all__ = ["Setup"]

_MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Setup:
    """What is searched.

    Attributes:
        config: The resolved configuration; its plan is what fields are replaced in.
        space: The fields.
        objective: What a trial is judged by.
        sampler: Name of the sampler.
        trials: How many.
        seed: Of the sampler.
        seeds: Runs of each trial, from ``train.seed`` on; its score is their mean.
        pruner: Name of the pruner.
        data: Name, digest and sizes of the data.

    Raises:
        ConfigError: A number or name cannot be.
    """

    config: RunConfig
    space: Space
    objective: Objective
    sampler: str
    trials: int
    seed: int
    seeds: int
    pruner: str
    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        for name, most in (("trials", _MOST_TRIALS), ("seeds", 1_000)):
            whole(name, getattr(self, name), 1, most)
        if not is_whole(self.seed, 0, 2**32 - 1):
            raise ConfigError(f"sampler seed: got {self.seed!r}, expected a whole number from 0 to {2**32 - 1}")
        if self.pruner not in PRUNERS:
            raise ConfigError(f"pruner: got {self.pruner!r}, expected one of {', '.join(PRUNERS)}")
        if self.pruner != "none" and self.seeds > 1:
            raise ConfigError(
                f"pruner: {self.pruner} prunes single runs, but seeds = {self.seeds}; leave one of them out"
            )

    @property
    def digest(self) -> str:
        """SHA-256 over everything that a trial's result depends on."""
        document = self.to_document()
        document["config"] = {"plan": self.config.plan, **tables(self.config)}
        return digest(document)

    def demand_same(self, other: Setup, name: str) -> None:
        """Check that another setup is this one.

        Raises:
            StateError: It is not; the message shows the first difference.
        """
        if self.digest == other.digest:
            return
        changed = plan_difference(self.config.plan or {}, other.config.plan or {}) or table_difference(
            tables(self.config), tables(other.config)
        )
        mine, theirs = self.to_document(), other.to_document()
        for key in mine:
            if not changed and key != "config" and mine[key] != theirs[key]:
                changed = f"{key} was {mine[key]!r}, is {theirs[key]!r}"
        raise StateError(
            f"study {name!r}: {changed}; what is searched is fixed before the first trial: choose another --name"
        )

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {
            "config": self.config.to_document(),
            "space": self.space.to_document(),
            "objective": self.objective.to_document(),
            "sampler": self.sampler,
            "trials": self.trials,
            "seed": self.seed,
            "seeds": self.seeds,
            "pruner": self.pruner,
            "data": dict(self.data),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any], place: str) -> Setup:
        """Return the setup of a document.

        Raises:
            StorageError: Something is missing or altered.
        """
        try:
            given = {name: document[name] for name in ("sampler", "trials", "seed", "seeds", "pruner", "data")}
            return cls(
                parse_config(document["config"], place),
                Space.from_document(document["space"]),
                Objective.from_document(document["objective"]),
                **given,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"{place}: is damaged ({error}); restore it from a copy, or begin another search"
            ) from None
