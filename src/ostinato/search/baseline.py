"""What every search must beat: a range test and the default cycle, at the same cost and looked at as often; and both again under fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ostinato import evaluation
from ostinato.comparison.endpoints import endpoint_of
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.search.sweeps.configured import range_test_of
from ostinato.search.trials import Laboratory, Progress
from ostinato.training import recipes
from ostinato.training.defaults import DEFAULT_RECIPE

__all__ = ["Baseline", "baseline_of"]

_TARGET = "optimizer.lr"
_SEED = 2**41  # far from any seed that trials or comparisons use
_CONFIRMING = 8


@dataclass(frozen=True)
class Baseline:
    """A range test and five cosine cycles from the rate that it suggests, with as many seeds as the search has had trials' worth of updates.

    Attributes:
        rate: The peak: the range test's suggestion, or the optimizer's own where it has none.
        why: The suggestion's reason.
        plan: The plan that was run.
        steps: Updates that it took, the range test's included.
        scores: The objective of each seed that did not diverge; the search's best score compares with the lowest.
        confirmed: Both plans under fresh seeds on the test examples, and what follows; None where one of them diverged.
    """

    rate: float
    why: str
    plan: Plan
    steps: int
    scores: tuple[float, ...]
    confirmed: Mapping[str, Any] | None

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {
            "rate": self.rate,
            "why": self.why,
            "plan": self.plan.to_document(),
            "steps": self.steps,
            "runs": len(self.scores),
            "best": min(self.scores) if self.scores else None,
            "mean": float(np.mean(self.scores)) if self.scores else None,
            "confirmed": None if self.confirmed is None else dict(self.confirmed),
        }


def baseline_of(laboratory: Laboratory, best: ResolvedPlan, spent: int, progress: Progress | None = None) -> Baseline:
    """Run the baseline of a search.

    Args:
        laboratory: What trains and scores.
        best: The search's best plan.
        spent: Updates that the search made.
        progress: Is told (member-steps done, in all).
    """
    config = laboratory.material.config
    found, _ = range_test_of(config)
    suggestion = found.suggestion
    rate = suggestion.value
    if rate is None:
        rate = float(next(iter(found.originals.values())))
    plan = _default(laboratory.base, rate)
    resolved = laboratory.resolve(plan)
    runs = max(1, (spent - len(found.values)) // resolved.total)
    first = config.train.seed + _SEED
    seeds = range(first, first + runs)
    scores = laboratory.scores(resolved, seeds, progress)
    return Baseline(
        rate,
        suggestion.reason,
        plan,
        len(found.values) + runs * resolved.total,
        tuple(float(score) for score in scores if np.isfinite(score)),
        _confirmed(laboratory, best, resolved, range(first + runs, first + runs + _CONFIRMING)),
    )


def _default(base: Plan, rate: float) -> Plan:
    """Return the plan with the default rhythm and rate, everything else as it is."""
    document = base.to_document()
    document["bind"] = [table for table in document["bind"] if table["target"] != _TARGET]
    document.pop("cycle", None)
    return Plan.from_document(recipes.merged(document, DEFAULT_RECIPE, rate))


def _confirmed(
    laboratory: Laboratory, best: ResolvedPlan, baseline: ResolvedPlan, seeds: range
) -> dict[str, Any] | None:
    """Return how both plans do under seeds and on examples that nothing was chosen by."""
    ours, theirs = (laboratory.scores(plan, seeds, data=laboratory.confirming) for plan in (best, baseline))
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return None
    margin = endpoint_of(laboratory.objective.metric, 0).margin
    decision = evaluation.decide(theirs - ours, margin, seed=0)
    return {
        "search": float(ours.mean()),
        "baseline": float(theirs.mean()),
        "seeds": len(seeds),
        "examples": len(laboratory.material.data.test),  # type: ignore[arg-type]  # held in memory
        "gain": decision.to_document(),
    }
