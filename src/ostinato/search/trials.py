"""Running trials: many at once as a population, or one by one with reports at the ends of its cycles."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato import population
from ostinato.comparison.arms import rates_of
from ostinato.comparison.setup import Material, material_of
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import OstinatoError, TruncatedCycleWarning
from ostinato.population import PopulationResult
from ostinato.search.objective import Objective
from ostinato.training import RunConfig, losses
from ostinato.training.datasets import Data
from ostinato.training.held_out import with_held_out

__all__ = ["Laboratory", "Outcome", "Progress"]

Progress = Callable[[int, int], None]
Report = Callable[[int, float], bool]


@dataclass(frozen=True)
class Outcome:
    """What became of one plan.

    Attributes:
        status: ``"done"``, ``"pruned"`` or ``"diverged"``.
        score: The objective, mean over seeds; None unless it is done.
        steps: Updates that were made, over all seeds.
        wall_s: Seconds, shared equally by what ran at once.
    """

    status: str
    score: float | None
    steps: int
    wall_s: float


@dataclass(frozen=True)
class Laboratory:
    """Data, model and objective: everything that turns a plan into a score.

    Attributes:
        material: The live objects of the configuration, whose plan is the base.
        objective: What is scored.
        seeds: Runs of each plan.
    """

    material: Material
    objective: Objective
    seeds: int = 1

    @classmethod
    def of(cls, config: RunConfig, objective: Objective, seeds: int = 1) -> Laboratory:
        """Return the laboratory of a configuration.

        Raises:
            OstinatoError: Something that the configuration names cannot be had, or not for many members at once.
        """
        return cls(material_of(config, what="a search", whole=False), objective, seeds)

    @cached_property
    def data(self) -> Data:
        """The data with a fifth of the training examples to choose by; the test examples are not in it."""
        return with_held_out(self.material.data)

    @property
    def base(self) -> Plan:
        """The plan in which fields are replaced."""
        return self.material.plan.plan

    @cached_property
    def _rates(self) -> dict[str, Any]:
        """The rates of a run on the examples that are left: an epoch has fewer updates."""
        size = self.material.config.train.batch_size
        rates = rates_of(self.material.plan)
        return rates | {"steps_per_epoch": -(-len(self.data.train) // size)}  # type: ignore[arg-type]  # held in memory

    def resolve(self, plan: Plan) -> ResolvedPlan:
        """Return a plan resolved for runs on the examples that are left.

        Raises:
            PlanError: It cannot be, or cannot be scored.
        """
        resolved = self.plain(plan)
        self.objective.steps(resolved)
        return resolved

    def plain(self, plan: Plan) -> ResolvedPlan:
        """Return a plan resolved for runs on the examples that are left, whether it can be scored or not."""
        return plan.resolve(**self._rates)

    @property
    def confirming(self) -> Data:
        """The same training examples with the data's own test examples, which nothing was chosen by."""
        return replace(self.data, test=self.material.data.test)

    def together(self, plans: Sequence[ResolvedPlan], progress: Progress | None = None) -> list[Outcome]:
        """Train all plans at once, each with every seed, and score them.

        Args:
            plans: Of `resolve`.
            progress: Is told (member-steps done, in all).
        """
        chosen = self._seeds()
        result = self._trained([plan for plan in plans for _ in chosen], chosen * len(plans), progress, None)
        each = result.wall_s / len(plans)
        parts = [range(place * len(chosen), (place + 1) * len(chosen)) for place in range(len(plans))]
        return [self._outcome(plan, result, part, each) for plan, part in zip(plans, parts, strict=True)]

    def scores(
        self, plan: ResolvedPlan, seeds: Sequence[int], progress: Progress | None = None, *, data: Data | None = None
    ) -> NDArray[np.float64]:
        """Return one plan's objective under each of some seeds, (S,); NaN where a run diverged."""
        result = self._trained([plan] * len(seeds), seeds, progress, data)
        outcomes = [self._outcome(plan, result, range(k, k + 1), 0.0) for k in range(len(seeds))]
        return np.array([np.nan if one.score is None else one.score for one in outcomes])

    def _trained(
        self, members: Sequence[ResolvedPlan], seeds: Sequence[int], progress: Progress | None, data: Data | None
    ) -> PopulationResult:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedCycleWarning)
            return population.train(
                self.material.make_model, members, data or self.data, seeds=seeds, evaluate=self._looks, progress=progress, **self._options
            )  # fmt: skip

    def alone(self, plan: ResolvedPlan, report: Report | None = None) -> Outcome:
        """Train one plan by a plain loop, seed by seed.

        Args:
            plan: Of `resolve`.
            report: Is told (step, metric) at the end of every cycle of the first seed, and prunes by returning True.
        """
        outcomes: list[Outcome] = []
        for place, seed in enumerate(self._seeds()):
            watch = _Watch(plan, self.objective.metric, report if place == 0 else None)
            looks = sorted({*self._looks(plan), *watch.ends})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TruncatedCycleWarning)
                result = population.single(
                    self.material.make_model, plan, self.data, seed=seed, evaluate=looks, stop=watch, **self._options
                )
            if watch.stopped is not None:
                return Outcome("pruned", None, watch.stopped + 1, result.wall_s)
            outcomes.append(self._outcome(plan, result, range(1), result.wall_s))
        return _mean(outcomes)

    def _seeds(self) -> list[int]:
        first = self.material.config.train.seed
        return list(range(first, first + self.seeds))

    @property
    def _options(self) -> dict[str, Any]:
        config = self.material.config
        return {
            "optimizer": config.optimizer.name,
            "optimizer_options": config.optimizer.options,
            "batch_size": config.train.batch_size,
            "loss": losses.build(config.loss, self.data),
        }

    def _looks(self, resolved: ResolvedPlan) -> list[int]:
        looks: list[int] = self.objective.steps(resolved).tolist()
        return looks

    def _outcome(self, plan: ResolvedPlan, result: PopulationResult, members: range, wall_s: float) -> Outcome:
        for k in members:
            if k in result.failures:
                raise OstinatoError(f"member {k}: {result.failures[k]}")
        return _mean([self._of_member(plan, result, k, wall_s / len(members)) for k in members])

    def _of_member(self, plan: ResolvedPlan, result: PopulationResult, k: int, wall_s: float) -> Outcome:
        steps, values = result.curve(k, self.objective.metric)
        known = dict(zip(steps.tolist(), values.tolist(), strict=True))
        wanted = self.objective.steps(plan)
        score = self.objective.score(wanted, [known[step] for step in wanted.tolist() if step in known])
        died = int(result.diverged[k])
        made = plan.total if died < 0 else died + 1
        if not np.isfinite(score):
            return Outcome("diverged", None, made, wall_s)
        return Outcome("done", score, made, wall_s)


class _Watch:
    """Tells a report of every end of a cycle, and remembers where it pruned."""

    def __init__(self, plan: ResolvedPlan, metric: str, report: Report | None) -> None:
        self.ends = set() if report is None else set(plan.snapshots) - {plan.total - 1}
        self.stopped: int | None = None
        self._metric, self._report = metric, report

    def __call__(self, step: int, scores: Mapping[str, float]) -> bool:
        if self._report is not None and step in self.ends and self._report(step, scores[self._metric]):
            self.stopped = step
        return self.stopped is not None


def _mean(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a plan from those of its seeds; diverged where one of them is."""
    steps, wall_s = sum(one.steps for one in outcomes), sum(one.wall_s for one in outcomes)
    scores = [one.score for one in outcomes if one.score is not None]
    if len(scores) < len(outcomes):
        return Outcome("diverged", None, steps, wall_s)
    return Outcome("done", float(np.mean(scores)), steps, wall_s)
