"""The arms of a comparison: the plan, and the controls that are derived from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ostinato import controls
from ostinato.controls import Control
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, suggest

__all__ = ["DEFAULT_CONTROLS", "PLAN", "TUNED", "Arm", "Role", "arms_of", "check_controls", "rates_of", "roles_of"]

Role = Literal["plan", "primary", "required", "secondary", "literal"]

PLAN = "plan"
"""The name of the plan's own arm."""

TUNED = "tuned_constant"

DEFAULT_CONTROLS = ("sorted", "cosine", "constant")
"""The controls of a comparison that names none: same values without cycles, one decay of the same mean, the mean itself."""

_CONTROLLED = ("sorted", "cosine")
_LITERAL = ("constant", TUNED)
_DRAWN = ("shuffled", "phase_shuffled")


@dataclass(frozen=True)
class Arm:
    """One way of training, the same for every seed but for what a control draws.

    Attributes:
        name: ``"plan"``, or the control's.
        plan: The plan itself, resolved; controls are derived from it.
        role: ``"plan"``; ``"primary"`` for the comparator; ``"required"`` for what must be beaten too; ``"literal"`` for constant rates, which
            end hot and so flatter the plan; ``"secondary"`` for the rest.
        options: Of the control.
    """

    name: str
    plan: ResolvedPlan
    role: Role
    options: Mapping[str, Any]

    def course(self, seed: int) -> tuple[ResolvedPlan, dict[str, Any] | None]:
        """Return the plan that a seed trains under, and the control's document (None for the plan itself).

        What is random in a control is drawn anew for each seed, so that the arm stands for all draws.

        Raises:
            PlanError: The plan cannot have this control.
        """
        if self.name == PLAN:
            return self.plan, None
        control = self._control(seed)
        return control.plan.resolve(**rates_of(self.plan)), control.to_document()

    def _control(self, seed: int) -> Control:
        drawn = seed if self.name in _DRAWN else 0
        return controls.make(self.name, self.plan.plan, seed=drawn, **self.options, **rates_of(self.plan))


def rates_of(plan: ResolvedPlan) -> dict[str, Any]:
    """Return the rates that a plan was resolved with, as keywords."""
    return dict(plan.rates.to_document())


def check_controls(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of controls, checked.

    Raises:
        ConfigError: None is given, one is unknown or given twice.

    >>> check_controls(["sorted", "cosin"])
    Traceback (most recent call last):
        ...
    ostinato.errors.ConfigError: controls: got 'cosin'; did you mean 'cosine'?
    """
    chosen = tuple(name.strip() for name in names if name.strip())
    if not chosen:
        raise ConfigError(f"controls: got none, expected at least one of {', '.join(controls.NAMES)}")
    for name in chosen:
        if name not in controls.NAMES:
            raise ConfigError(f"controls: got {name!r}{suggest(name, controls.NAMES, most=1)}")
    if len(set(chosen)) < len(chosen):
        twice = next(name for name in chosen if chosen.count(name) > 1)
        raise ConfigError(f"controls: {twice!r} is given twice; name each once")
    return chosen


def roles_of(names: Sequence[str]) -> dict[str, Role]:
    """Return every control's role: the sorted twin is the comparator where it is there, otherwise the first that was named.

    >>> roles_of(["cosine", "constant", "sorted", "linear"])
    {'cosine': 'required', 'constant': 'literal', 'sorted': 'primary', 'linear': 'secondary'}
    """
    primary = "sorted" if "sorted" in names else names[0]
    roles: dict[str, Role] = {}
    for name in names:
        other: Role = "required" if name in _CONTROLLED else "literal" if name in _LITERAL else "secondary"
        roles[name] = "primary" if name == primary else other
    return roles


def arms_of(plan: ResolvedPlan, names: Sequence[str], options: Mapping[str, Mapping[str, Any]]) -> tuple[Arm, ...]:
    """Return the plan's arm and one for each control, after deriving each once to see that the plan can have it.

    Args:
        plan: The plan.
        names: Of the controls.
        options: By control, what it is made with: the chosen rate of ``tuned_constant``.

    Raises:
        PlanError: The plan cannot have one of the controls.
    """
    roles = roles_of(names)
    arms = (Arm(PLAN, plan, "plan", {}), *(Arm(name, plan, roles[name], options.get(name, {})) for name in names))
    for arm in arms:
        arm.course(0)
    return arms
