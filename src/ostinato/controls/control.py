"""A control with what it was made from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ostinato.controls import averaging, phasing, rearranging
from ostinato.core.plan import Plan
from ostinato.core.reordering import check_seed
from ostinato.core.schedules import located
from ostinato.core.units import Rates, finite, key_text, plain_number
from ostinato.errors import PlanError, suggest

__all__ = ["NAMES", "Control", "make"]

_TUNED = "tuned_constant"
_MAKERS: Mapping[str, Callable[..., Plan]] = {
    "sorted": rearranging.sorted,
    "shuffled": rearranging.shuffled,
    "constant": averaging.constant,
    "cosine": averaging.cosine,
    "linear": averaging.linear,
    _TUNED: averaging.constant,
    "in_phase": rearranging.in_phase,
    "phase_shuffled": rearranging.phase_shuffled,
    "shifted": phasing.shifted,
    "matched_decay": phasing.matched_decay,
    "matched_product": phasing.matched_product,
}
NAMES = tuple(_MAKERS)
"""The names of all controls."""


@dataclass(frozen=True)
class Control:
    """A control arm and where it comes from: `plan` is what `transform` makes of `source` with `seed` and `options`.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> control = make("shuffled", plan, seed=3)
    >>> Control.from_document(control.to_document()) == control
    True
    """

    transform: str
    source: Plan
    seed: int
    plan: Plan
    options: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.transform, self.source, self.seed, self.plan))

    def to_document(self) -> dict[str, Any]:
        """Return {transform, source, seed, options} as a JSON document; the plan follows from them."""
        return {
            "transform": self.transform,
            "source": self.source.to_document(),
            "seed": self.seed,
            "options": dict(self.options),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Control:
        """Derive the control that a document describes.

        Raises:
            PlanError: A key is missing or unknown, or the control cannot be made.
        """
        known = ("transform", "source", "seed", "options")
        if not isinstance(document, Mapping):
            raise PlanError(f"control: got {document!r}, expected a table with {', '.join(known)}")
        for key in document:
            if key not in known:
                raise PlanError(f"{key_text(key)}: unknown key of a control{suggest(str(key), known)}")
        for key in ("transform", "source"):
            if key not in document:
                raise PlanError(f"{key}: missing from a control; write its {', '.join(known)}")
        for key in ("source", "options"):
            if not isinstance(document.get(key, {}), Mapping):
                raise PlanError(f"{key}: got {document[key]!r}, expected a table")
        with located("source: "):
            source = Plan.from_document(document["source"])
        return make(document["transform"], source, seed=document.get("seed", 0), **document.get("options", {}))


def make(name: str, plan: Plan, *, seed: int = 0, **options: Any) -> Control:
    """Return the control of that name, derived from a plan, with what it was made from.

    Args:
        name: One of `NAMES`. ``"tuned_constant"`` takes the rate that was chosen as ``value=``; the function of that name has the grid.
        plan: What to derive the control from.
        seed: For ``"shuffled"`` and ``"phase_shuffled"``; recorded for all.
        **options: What the function of that name takes, and the rates that `Plan.resolve` takes.

    Raises:
        PlanError: There is no such control, it does not take an option, or the plan cannot have it.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total="10ep", cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> control = make("linear", plan, steps_per_epoch=100)
    >>> control.transform, round(control.plan.resolve(steps_per_epoch=100).mean("optimizer.lr"), 4)
    ('linear', 0.0503)
    """
    if name not in _MAKERS:
        raise PlanError(f"control: got {name!r}{suggest(str(name), NAMES, most=1)}")
    number = check_seed(seed)
    plain = {key: _plain(key, value) for key, value in options.items() if value is not None}
    maker = _MAKERS[name]
    taken = inspect.signature(maker).parameters
    known = [key for key in taken if key not in ("plan", "seed", "rates")] + list(Rates.__slots__)
    for key in plain:
        if key not in known:
            raise PlanError(f"{name}: {key_text(key)}: unknown option{suggest(key, known)}")
    if name == _TUNED and "value" not in plain:
        raise PlanError(
            f"{name}: value: missing; choose one of the rates of tuned_constant(plan), then make('{name}', plan, value=...)"
        )
    given = {**plain, "seed": number} if "seed" in taken else plain
    return Control(name, plan, number, maker(plan, **given), plain)


def _plain(key: str, value: Any) -> Any:
    """Return an option as JSON holds it."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, Fraction):
        return plain_number(value)
    number = finite(value, key)
    return int(number) if number.is_integer() and not isinstance(value, float) else number
