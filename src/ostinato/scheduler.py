"""The scheduler: a resolved plan bound to live objects. The only thing here that changes state."""

from __future__ import annotations

import math
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

from ostinato.checks import is_whole
from ostinato.core.address import Address
from ostinato.core.clock import Tick
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan, Table
from ostinato.driver import Driver, level_outside
from ostinato.errors import PastTotalWarning, StateError, TruncatedCycleWarning
from ostinato.state import SchedulerState, difference

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from ostinato.compilation import Finding
    from ostinato.views import LRSchedulerView

__all__ = ["Scheduler"]

OnMismatch = Literal["error", "saved", "current"]


class Scheduler:
    """A resolved plan bound to live objects; made by `Plan.bind`.

    After binding the values of update 0 are in force. `step` after each optimizer update puts the next ones in force. Values are pure
    functions of the count of updates and are written as absolute numbers, so the order of building and loading never matters.

    >>> import ostinato as ost, torch
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    >>> plan = ost.Plan(total=4, cycle=ost.Cycle("sawtooth", count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> scheduler = plan.bind(optimizer=optimizer)
    >>> [(optimizer.param_groups[0]["lr"], scheduler.step().cycle_end) for _ in range(4)]
    [(0.1, False), (0.05, True), (0.1, False), (0.05, True)]
    """

    def __init__(self, resolved: ResolvedPlan, roots: Mapping[str, Any]) -> None:
        self._paused = False
        self._install(Driver(resolved, roots, {}, 0), 0)
        if resolved.truncated:
            fits = " or ".join(map(str, resolved.totals_that_fit))
            warnings.warn(
                f"the run of {resolved.total} steps ends inside a cycle, which yields no snapshot; a total of {fits} steps fits",
                TruncatedCycleWarning,
                stacklevel=3,
            )
        if "torch._dynamo" in sys.modules:  # nothing is compiled before that is loaded
            from ostinato.compilation import recompiling, warn_of

            warn_of(recompiling(self), stacklevel=3)

    def _install(self, driver: Driver, count: int) -> None:
        """Drive by `driver` from update `count` on, whose values are then in force."""
        driver.listen()
        driver.idle = self._paused
        self._driver = driver
        self._resolved = driver.resolved
        self._count = count
        self._past_total = False
        self._clock, self._values = driver.resolved.clock, driver.resolved.values
        self._set_horizon(count)
        if not driver.idle:
            driver.enforce(count)

    @property
    def resolved(self) -> ResolvedPlan:
        """The resolved plan."""
        return self._resolved

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self._resolved.plan

    @property
    def count(self) -> int:
        """How many updates are done; the values of update `count` are in force."""
        return self._count

    @property
    def values(self) -> dict[str, float]:
        """The value of every target that is in force."""
        return self._resolved.values(self._count)

    @property
    def slots(self) -> dict[str, tuple[str, ...]]:
        """For every target, the concrete addresses that it drives."""
        return {target: tuple(slot.label for slot in slots) for target, slots in self._driver.slots.items()}

    def step(self, *, stepped: bool = True, by: int = 1) -> Tick:
        """Say that an update was made, put the next values in force, and return what that update was.

        Args:
            stepped: False if mixed precision skipped the update: nothing advances and the tick has no events.
            by: How many updates were made. The tick is the last one's, and its `crossed` lists every cycle that ended.

        Raises:
            StateError: `by` is less than 1.

        Warns:
            PastTotalWarning: The plan has fewer steps; its last values hold. Given once.
            ForeignWriteWarning: A value is not the one written before. Given once a value.
        """
        if not stepped:
            return Tick(self._clock, self._values, self._count, advanced=False)
        if by != 1 or by is True:
            return self._jump(by)
        count = self._count + 1
        self._count = count
        if count >= self._horizon:
            self._look(count)
        elif not self._driver.idle:
            self._driver.advance(count)
        return Tick(self._clock, self._values, count - 1)

    def _jump(self, by: int) -> Tick:
        """Make several updates at once."""
        if not is_whole(by, 1):
            raise StateError(f"step: got by={by!r}, expected a whole number >= 1; to go elsewhere load a state")
        first, self._count = self._count, self._count + by
        if self._count >= self._horizon:
            self._look(self._count)
        elif not self._driver.idle:
            self._driver.advance(self._count)
        return Tick(self._clock, self._values, self._count - 1, first=first)

    def _look(self, count: int) -> None:
        """Do what a step at the end of a cycle, or past the total, does more than others."""
        if count > self._resolved.total and not self._past_total:
            self._past_total = True
            warnings.warn(
                f"step {count} of a plan of {self._resolved.total} steps; the last values hold",
                PastTotalWarning,
                stacklevel=level_outside(),
            )
        ended = count >= self._cycle_ends
        self._set_horizon(count)
        if self._driver.idle:
            return
        if ended:
            self._driver.inspect(count)
        else:
            self._driver.advance(count)

    def _set_horizon(self, count: int) -> None:
        """Note up to where steps need no more than `Driver.advance`."""
        self._cycle_ends = _end_of_cycle(self._resolved, count)
        self._horizon = self._cycle_ends if self._past_total else min(self._cycle_ends, self._resolved.total + 1)

    @contextmanager
    def paused(self) -> Iterator[Scheduler]:
        """Leave the values to somebody else inside the block: nothing is written or reported. Afterwards the plan's are in force again."""
        was_paused, self._paused = self._paused, True
        self._driver.idle = True
        try:
            yield self
        finally:
            self._paused = was_paused
            driver = self._driver
            if not was_paused and not driver.released:
                driver.attach()
                driver.enforce(self._count)
                driver.idle = False

    def restore(self) -> None:
        """Give every driven value back what it was before binding, and stop driving; a loaded state starts it again."""
        driver = self._driver
        if not driver.released:
            driver.refresh()
            driver.release()
            driver.restore()

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers that the plan drives, in the order that `Plan.bind` was given them."""
        return self._driver.optimizers()

    @property
    def history(self) -> Table:
        """The table of the values that every update so far has used (computed, not stored)."""
        return self._resolved.table(0, self._count)

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of every parameter group of the driven optimizers, as torch's schedulers do."""
        return [float(group["lr"]) for optimizer in self.optimizers for group in optimizer.param_groups]

    def original_lrs(self, optimizer: Optimizer) -> list[float]:
        """Return the learning rate that every parameter group of an optimizer had before binding."""
        self._driver.refresh()
        found = (
            (self._driver.original(optimizer, i, "lr"), group["lr"]) for i, group in enumerate(optimizer.param_groups)
        )
        return [float(present if original is None else original) for original, present in found]

    def as_lr_scheduler(self, optimizer: Optimizer | None = None) -> LRSchedulerView:
        """Return a thin torch ``LRScheduler`` over this scheduler, for frameworks that insist on the class.

        Its `step()` is this scheduler's: hand it to one owner only.
        """
        from ostinato.views import LRSchedulerView

        return LRSchedulerView(self, optimizer or next(iter(self.optimizers), None))

    def compiled(self, *roots: str) -> list[Finding]:
        """Say which parts are compiled, warn about each binding that would recompile them at every change, and return the findings.

        `Plan.bind` does so by itself for what is compiled by then and can be seen; call this for what is compiled later or elsewhere.

        Args:
            *roots: Names given to `bind` whose code is compiled in a way that cannot be seen on the object, such as a function around it.

        Warns:
            RecompileWarning: It names each binding and its fix.
        """
        from ostinato.compilation import recompiling, warn_of

        findings = recompiling(self, roots)
        warn_of(findings, stacklevel=3)
        return findings

    # -- state -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a JSON document: count, plan, rates, and the originals of the driven values."""
        self._driver.refresh()
        return SchedulerState.of(self._resolved, self._count, self._driver.originals).to_document()

    def load_state_dict(self, state: Mapping[str, Any], *, on_mismatch: OnMismatch = "error") -> None:
        """Take over a saved state and put its values in force, whatever was built or loaded in which order.

        Args:
            state: What `state_dict` returned.
            on_mismatch: What to do if it was saved under another plan or other rates: ``"error"``, go on with the ``"saved"`` plan, or with
                the ``"current"`` one at the saved count.

        Raises:
            StateError: The state is malformed, or belongs to another plan; the message shows the difference.
        """
        if on_mismatch not in ("error", "saved", "current"):
            raise StateError(f"on_mismatch: got {on_mismatch!r}, expected 'error', 'saved' or 'current'")
        saved = SchedulerState.from_document(state)
        resolved = self._resolved
        if saved.digest != resolved.digest:
            if on_mismatch == "error":
                raise StateError(
                    f"the state was saved under another plan: {difference(saved, resolved)};"
                    " load it with on_mismatch='saved' or 'current' if that is meant"
                )
            resolved = saved.resolve() if on_mismatch == "saved" else resolved
        old = self._driver
        old.refresh()
        new = Driver(resolved, old.roots, {**old.originals, **saved.originals}, saved.count)
        was_driving = not old.idle
        old.release()
        if was_driving:
            old.restore()
        self._install(new, saved.count)

    def __getstate__(self) -> dict[str, Any]:
        driver = self._driver
        driver.refresh()
        state = {"resolved": self._resolved, "roots": driver.roots, "originals": driver.originals, "count": self._count}
        return {**state, "paused": self._paused, "released": driver.released}

    def __setstate__(self, state: dict[str, Any]) -> None:
        driver = Driver(state["resolved"], state["roots"], state["originals"], state["count"])
        self._paused = state["paused"] or state["released"]
        self._install(driver, state["count"])
        if state["released"]:
            self._paused = state["paused"]
            driver.release()

    def __copy__(self) -> Scheduler:
        raise StateError(
            "a scheduler copied without what it drives would fight the original; use copy.deepcopy((model, optimizer, scheduler))"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Scheduler:
        driven = dict.fromkeys(Address.parse(target).root for target in self._resolved.targets)
        roots = self._driver.roots
        for name in driven:
            pair = roots[name] if isinstance(roots[name], tuple) else ()
            if any(isinstance(part, types.FunctionType | types.BuiltinFunctionType) for part in pair):
                raise StateError(
                    f"{name!r} is a pair of functions, which a copy would share with the original; bind methods of an object, or the object"
                )
            if not all(_is_copied(part, memo) for part in pair or (roots[name],)):
                raise StateError(
                    f"a scheduler copied without its {name!r} would drive a hidden copy; copy them together, the scheduler last:"
                    " copy.deepcopy((model, optimizer, scheduler))"
                )
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        kept = {name: deepcopy(root, memo) for name, root in roots.items() if name in driven or id(root) in memo}
        clone.__setstate__({**self.__getstate__(), "roots": kept})
        return clone

    def __repr__(self) -> str:
        return (
            f"<Scheduler at step {self._count} of {self._resolved.total}, driving {', '.join(self._resolved.targets)}>"
        )


def _end_of_cycle(resolved: ResolvedPlan, count: int) -> float:
    """Return the count at which the cycle of update `count` is over, if only because the run is; infinite where there is none."""
    if count < resolved.warmup:
        return _end_of_cycle(resolved, resolved.warmup)
    span = resolved.clock.span_at(count)
    return math.inf if span is None else span.end


def _is_copied(part: Any, memo: Mapping[int, Any]) -> bool:
    """Return whether a deep copy has been through a driven object, or through the object whose method it is."""
    return id(part) in memo or id(getattr(part, "__self__", part)) in memo
