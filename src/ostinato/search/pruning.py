"""Pruning that compares trials at matched phase: any pruner of Optuna's, shown only what may be compared.

Optuna's pruners compare trials at the same step. Under cycles of different lengths the same step is another phase of each, so that a trial at its peak is
compared with one at its trough, and pruned for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, StateError, suggest

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import BaseTrial

__all__ = ["PRUNERS", "MatchedPhasePruner", "follow", "pruner_of"]

_ENDS, _TOTAL = "ostinato:cycle_ends", "ostinato:total"
_RUNGS = 8
_KINDS: Mapping[str, tuple[Callable[..., BasePruner], Mapping[str, Any]]] = {
    "none": (optuna.pruners.NopPruner, {}),
    "median": (optuna.pruners.MedianPruner, {"n_startup_trials": 5}),
    "halving": (optuna.pruners.SuccessiveHalvingPruner, {"min_resource": 1, "reduction_factor": 2}),
    "hyperband": (optuna.pruners.HyperbandPruner, {"min_resource": 1, "max_resource": _RUNGS, "reduction_factor": 2}),
    "patient": (partial(optuna.pruners.PatientPruner, optuna.pruners.MedianPruner()), {"patience": 1}),
}
PRUNERS = tuple(_KINDS)
"""Names that `pruner_of` knows."""


def follow(trial: BaseTrial, resolved: ResolvedPlan) -> None:
    """Write down which plan a trial follows, so that a `MatchedPhasePruner` knows where its cycles end. Call it before the first report."""
    trial.set_user_attr(_ENDS, [int(step) for step in resolved.snapshots])
    trial.set_user_attr(_TOTAL, int(resolved.total))


class MatchedPhasePruner(BasePruner):
    """Lets any pruner of Optuna's compare trials at matched phase only.

    Trials report as usual, ``trial.report(value, step)`` with the step as `Tick.step` counts it. Of these reports the pruner is shown those at
    the ends of the trial's own cycles, where every trial is in the same phase, under a number that trials share:

    - ``by="budget"``: j for the value at the last end of a cycle within j/8 of the trial's total: equal phase at (nearly) equal cost.
    - ``by="cycle"``: k after k + 1 cycles: equal phase, whatever it cost.

    Anywhere else nothing is pruned.

    Args:
        pruner: Optuna's; its steps (``n_warmup_steps``, ``min_resource``, ...) count these numbers.
        by: ``"budget"`` or ``"cycle"``.

    Raises:
        ConfigError: `pruner` is none, or `by` is something else.
        StateError: When asked: a trial reported, but `follow` never said which plan it follows.

    >>> import ostinato as ost
    >>> study = optuna.create_study(pruner=MatchedPhasePruner(optuna.pruners.ThresholdPruner(upper=0.5)))
    >>> trial = study.ask()
    >>> follow(trial, ost.Plan(total=40, cycle=ost.Cycle(period=20)).resolve())
    >>> verdicts = []
    >>> for step in (9, 19, 29):
    ...     trial.report(0.9, step)
    ...     verdicts.append(trial.should_prune())
    >>> verdicts
    [False, True, False]
    """

    def __init__(self, pruner: BasePruner, by: str = "budget") -> None:
        if not isinstance(pruner, BasePruner):
            raise ConfigError(f"pruner: got a {type(pruner).__name__}, expected one of optuna.pruners")
        if by not in ("budget", "cycle"):
            raise ConfigError(f"by: got {by!r}{suggest(str(by), ('budget', 'cycle'))}")
        self.pruner = pruner
        self.by = by

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether the trial is to end; False anywhere but at the end of one of its cycles."""
        last = trial.last_step
        if last is None:
            return False
        if _ENDS not in trial.user_attrs:
            raise StateError(
                f"trial {trial.number}: reported, but nobody said which plan it follows; call ost.search.follow(trial, plan.resolve(...)) before"
            )
        ends = trial.user_attrs[_ENDS]
        if last not in ends or not self._settled(trial, ends.index(last)):
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings(
                "ignore", message="WilcoxonPruner finds steps"
            )  # cycles of unequal length have other eighths
            mirror, own = self._mirror(study, trial)
            verdict = self.pruner.prune(mirror, own)
        for key, value in mirror.trials[trial.number].system_attrs.items():  # what halving notes of its rungs
            if trial.system_attrs.get(key) != value:
                study._storage.set_trial_system_attr(trial._trial_id, key, value)
        return verdict

    def _number(self, trial: FrozenTrial, cycle: int) -> int:
        """Return the number under which the end of a cycle is shown."""
        done = int(trial.user_attrs[_ENDS][cycle]) + 1
        return cycle if self.by == "cycle" else -(-_RUNGS * done // int(trial.user_attrs[_TOTAL]))

    def _settled(self, trial: FrozenTrial, cycle: int) -> bool:
        """Whether no later end has the same number: only then has the trial had its share of the budget."""
        later = cycle + 1
        return later >= len(trial.user_attrs[_ENDS]) or self._number(trial, later) != self._number(trial, cycle)

    def matched(self, trial: FrozenTrial) -> dict[int, float]:
        """Return a trial's reports at the ends of its cycles, under the numbers that trials share."""
        ends = trial.user_attrs.get(_ENDS, ())
        return {
            self._number(trial, cycle): trial.intermediate_values[step]
            for cycle, step in enumerate(ends)
            if step in trial.intermediate_values
        }

    def _mirror(self, study: Study, trial: FrozenTrial) -> tuple[Study, FrozenTrial]:
        """Return a copy of the study in memory, in which trials have only what may be compared."""
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            mirror = optuna.create_study(study_name=study.study_name, direction=study.direction, pruner=self.pruner)
        finally:
            optuna.logging.set_verbosity(level)
        for other in study.get_trials(deepcopy=False):
            mirror.add_trial(self._shown(trial if other.number == trial.number else other))
        return mirror, mirror.trials[trial.number]

    def _shown(self, trial: FrozenTrial) -> FrozenTrial:
        matched = self.matched(trial)
        state = trial.state
        if state == TrialState.PRUNED and not matched:  # pruned before its first end: it has nothing to compare
            state = TrialState.FAIL
        return create_trial(
            state=state,
            value=trial.value,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
            system_attrs=trial.system_attrs,
            intermediate_values=matched,
        )


def pruner_of(name: str, options: Mapping[str, Any] | None = None, by: str = "budget") -> BasePruner:
    """Return a pruner by name, made safe; ``"none"`` never prunes.

    Args:
        name: One of `PRUNERS`; halving's and hyperband's resources are the eighths of the budget.
        options: For Optuna's class.
        by: As for `MatchedPhasePruner`.

    Raises:
        ConfigError: There is no such pruner, or it does not take the options.

    >>> pruner_of("median").pruner
    <optuna.pruners._median.MedianPruner object at ...>
    """
    if name not in PRUNERS:
        raise ConfigError(f"pruner: got {name!r}{suggest(str(name), PRUNERS)}")
    kind, defaults = _KINDS[name]
    try:
        inner: BasePruner = kind(**{**defaults, **(options or {})})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"pruner: {name} does not take {dict(options or {})}: {error}") from None
    return inner if name == "none" else MatchedPhasePruner(inner, by)
