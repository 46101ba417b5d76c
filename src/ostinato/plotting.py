"""Pictures of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostinato.core.plan import Plan
    from ostinato.core.resolved import ResolvedPlan


def plot(resolved: ResolvedPlan, *, ax: Any = None) -> Any:
    """Draw every value over the steps."""
    raise ImportError("being written")


def notebook_html(plan: Plan) -> str:
    """Return the notebook display of a plan."""
    return f"<pre>{plan!r}</pre>"
