"""Recompile accounting: what Dynamo compiled, and which bindings of a scheduler would make it compile at every step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import nn
from torch._dynamo.eval_frame import OptimizedModule
from torch._dynamo.utils import counters

from ostinato.core.address import Address
from ostinato.errors import RecompileWarning, TargetError, suggest
from ostinato.nn.swapping import obstacle
from ostinato.targets import GroupSlot, Slot, as_optimizer

if TYPE_CHECKING:
    from ostinato.scheduler import Scheduler

__all__ = ["Compilations", "Finding", "count_recompiles", "recompiling", "warn_of"]

_LIMIT = "recompile limit exceeded"
_MEANT = "User-inserted graph break"


@dataclass(frozen=True, slots=True)
class Compilations:
    """What Dynamo did during some calls of a function.

    Attributes:
        graphs: Graphs compiled in each call.
        breaks: Graph breaks in all of them, without those asked for by `torch._dynamo.graph_break()`, of which torch's optimizers have two.
        gave_up: Whether a function was compiled too often, so that it runs eagerly from then on.
    """

    graphs: tuple[int, ...]
    breaks: int
    gave_up: bool

    @property
    def recompiles(self) -> int:
        """Graphs compiled after the second call: the first compiles, the second meets the states that the first has made."""
        return sum(self.graphs[2:])

    @property
    def steady(self) -> bool:
        """Whether something was compiled, in one piece, and never again after the second call."""
        return sum(self.graphs) > 0 and self.recompiles == 0 and self.breaks == 0 and not self.gave_up


def count_recompiles(function: Callable[[int], object], steps: int) -> Compilations:
    """Call a function with 0, 1, ... and count what Dynamo compiles in each call.

    What was compiled before counts as compiled: call `torch._dynamo.reset()` first to begin anew, and use a fresh function, since the limit
    of recompilations (8) is one for each code object.

    Args:
        function: Takes the number of the call.
        steps: How many calls.

    >>> import torch
    >>> torch._dynamo.reset()
    >>> double = torch.compile(lambda x: 2 * x, backend="eager")
    >>> counts = count_recompiles(lambda place: double(torch.ones(3)), 4)
    >>> counts.graphs, counts.recompiles, counts.steady
    ((1, 0, 0, 0), 0, True)
    """
    marks = [_state()]
    for place in range(steps):
        function(place)
        marks.append(_state())
    graphs = tuple(after[0] - before[0] for before, after in pairwise(marks))
    return Compilations(graphs, marks[-1][1] - marks[0][1], marks[-1][2] > marks[0][2])


def _state() -> tuple[int, int, int]:
    """Return how many graphs, graph breaks and exceeded limits there were so far in this process."""
    exceeded = sum(count for reason, count in counters["unimplemented"].items() if _LIMIT in reason)
    breaks = sum(count for reason, count in counters["graph_break"].items() if _MEANT not in reason)
    return counters["stats"]["unique_graphs"], breaks, exceeded


@dataclass(frozen=True, slots=True)
class Finding:
    """A value of a plan that would make a compiled function compile again whenever it changes.

    Attributes:
        target: The binding.
        label: The concrete address of the value.
        why: What happens, and what to do about it.
    """

    target: str
    label: str
    why: str

    def __str__(self) -> str:
        return f"{self.label}: {self.why}"


def recompiling(scheduler: Scheduler, compiled: Iterable[str] | None = None) -> list[Finding]:
    """Return the values of a scheduler that would make a compiled function compile again at every step.

    What is compiled is seen where torch leaves a trace: ``torch.compile(model)``, ``model.compile()``, the same of a part of it, and
    ``optimizer.step = torch.compile(optimizer.step)``. A function of one's own that was compiled around them leaves none: name the roots.

    Args:
        scheduler: Whose bindings.
        compiled: Names of roots that are compiled whatever can be seen; None looks only.

    Raises:
        TargetError: `compiled` names a root that is not there.

    >>> import ostinato as ost, torch
    >>> model = torch.nn.Sequential(torch.nn.Dropout(0.1))
    >>> plan = ost.Plan(total=10, cycle=ost.Cycle(count=1), bindings={"model:Dropout.p": ost.mirror(0.0, 0.3)})
    >>> scheduler = plan.bind(model=model)
    >>> model.compile(backend="eager")
    >>> print(*recompiling(scheduler))
    model.0.p: torch's Dropout takes p as a constant; call ostinato.nn.compile_safe(model, plan) before torch.compile
    """
    driver = scheduler._driver
    told = set(compiled or ())
    for name in told:
        if driver.roots.get(name) is None:
            raise TargetError(
                f"compiled: got {name!r}, which is no object of this scheduler{suggest(name, driver.roots)}"
            )
    inside = {name: _compiled_parts(root) for name, root in driver.roots.items()}
    placed = [(target, slot) for target, slots in driver.slots.items() for slot in slots]
    findings = []
    for target, slot in placed:
        name = Address.parse(target).root
        why = obstacle(slot) if name in told or _owner(slot) in inside[name] else None
        findings += [] if why is None else [Finding(target, slot.label, why)]
    return findings


def warn_of(findings: Sequence[Finding], *, stacklevel: int = 2) -> None:
    """Warn once of findings, if there are any.

    Warns:
        RecompileWarning: It lists each value, why, and what to do.
    """
    if findings:
        warnings.warn(
            "a compiled function is compiled again at every step, and given up after 8 times, because of "
            + "; ".join(map(str, findings)),
            RecompileWarning,
            stacklevel=stacklevel + 1,
        )


def _owner(slot: Slot) -> int:
    return id(slot.optimizer if isinstance(slot, GroupSlot) else getattr(slot, "owner", None))


def _compiled_parts(root: Any) -> set[int]:
    """Return the identities of the objects at and below a root that run compiled."""
    optimizer = as_optimizer(root)
    if optimizer is not None:
        return {id(optimizer)} if _is_compiled(optimizer.__dict__.get("step")) else set()
    if not isinstance(root, nn.Module):
        return {id(root)} if _is_compiled(root) else set()
    tops = [module for module in root.modules() if _is_compiled_module(module)]
    return {id(part) for module in tops for part in module.modules()}


def _is_compiled_module(module: nn.Module) -> bool:
    return (
        isinstance(module, OptimizedModule)
        or module._compiled_call_impl is not None
        or _is_compiled(module.__dict__.get("forward"))
    )


def _is_compiled(function: object) -> bool:
    """Return whether a function came out of `torch.compile`."""
    return hasattr(function, "_torchdynamo_orig_callable")
