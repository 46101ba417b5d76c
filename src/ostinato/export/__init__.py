"""Plans as code: a script that has a plan's values without Ostinato.

Every public module of this package is one framework and has `render(resolved) -> str`; adding a framework is adding a module.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError

__all__ = ["export", "frameworks", "to_torch"]


def frameworks() -> tuple[str, ...]:
    """Return the frameworks that a plan can be exported to.

    >>> "torch" in frameworks()
    True
    """
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


def export(resolved: ResolvedPlan, to: str) -> str:
    """Return the code that has the plan's values in a framework.

    Args:
        resolved: The plan with its rates and total.
        to: One of `frameworks`.

    Raises:
        ConfigError: There is no such framework.
        PlanError: The plan has a schedule of one's own, whose code cannot be copied.

    >>> import ostinato as ost
    >>> code = export(ost.Plan(total=10, bindings={"optimizer.lr": 0.1}).resolve(), "torch")
    >>> compile(code, "plan", "exec") is not None
    True
    """
    if to not in frameworks():
        raise ConfigError(f"to: got {to!r}, expected one of: {', '.join(frameworks())}")
    render: Callable[[ResolvedPlan], str] = import_module(f"{__name__}.{to}").render
    return render(resolved)


def to_torch(resolved: ResolvedPlan) -> str:
    """Return a Python script with the plan's values and a class that writes them; it imports math and torch alone.

    The values are those of `ResolvedPlan.table` within 1e-12 of max(|low|, |high|); cycle boundaries are computed in whole numbers.

    Raises:
        PlanError: The plan has a schedule of one's own, whose code cannot be copied.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> script = {"__name__": "plan"}
    >>> exec(to_torch(plan.resolve()), script)
    >>> script["optimizer_lr"](20)
    0.1
    """
    return export(resolved, "torch")
