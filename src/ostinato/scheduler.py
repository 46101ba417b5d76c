"""The scheduler: a resolved plan bound to live objects. The only thing here that changes state."""

from __future__ import annotations

import types
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

from ostinato.core.clock import Tick
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan, Table
from ostinato.driver import Driver
from ostinato.errors import PastTotalWarning, StateError, TruncatedCycleWarning
from ostinato.state import SchedulerState, difference

if TYPE_CHECKING:
    from torch.optim import Optimizer

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
        self._begin(resolved, roots, {}, 0)
        if resolved.truncated:
            fits = " or ".join(map(str, resolved.totals_that_fit))
            warnings.warn(
                f"the run of {resolved.total} steps ends inside a cycle, which yields no snapshot; a total of {fits} steps fits",
                TruncatedCycleWarning,
                stacklevel=3,
            )

    def _begin(
        self, resolved: ResolvedPlan, roots: Mapping[str, Any], originals: Mapping[str, float], count: int
    ) -> None:
        """Drive `roots` under `resolved` from update `count` on, whose values are then in force."""
        self._driver = Driver(resolved, roots, originals, count)
        self._resolved = resolved
        self._count = count
        self._past_total = False
        self._driver.enforce(count)

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
        resolved, first = self._resolved, self._count
        if not stepped:
            return Tick(resolved.clock, resolved.values, first, advanced=False)
        if by != 1 and (isinstance(by, bool) or not isinstance(by, int) or by < 1):
            raise StateError(
                f"step: got by={by!r}, expected a whole number of at least 1; to go elsewhere load a state"
            )
        self._count = count = first + by
        if count > resolved.total and not self._past_total:
            self._past_total = True
            warnings.warn(
                f"step {count} of a plan of {resolved.total} steps; the last values hold",
                PastTotalWarning,
                stacklevel=2,
            )
        tick = Tick(resolved.clock, resolved.values, count - 1, first=first)
        if not self._driver.idle:
            self._driver.advance(count, thorough=tick.cycle_end)
        return tick

    @contextmanager
    def paused(self) -> Iterator[Scheduler]:
        """Leave the values to somebody else inside the block: nothing is written or reported. Afterwards the plan's are in force again."""
        driver = self._driver
        was_idle, driver.idle = driver.idle, True
        try:
            yield self
        finally:
            driver.idle = was_idle
            if not was_idle:
                driver.attach()
                driver.enforce(self._count)

    def restore(self) -> None:
        """Give every driven value back what it was before binding, and stop driving; a loaded state starts it again."""
        self._driver.release()
        self._driver.restore()

    @property
    def history(self) -> Table:
        """The table of the values that every update so far has used (computed, not stored)."""
        return self._resolved.table(0, self._count)

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of every parameter group of the driven optimizers, as torch's schedulers do."""
        return [float(group["lr"]) for optimizer in self._driver.optimizers() for group in optimizer.param_groups]

    def as_lr_scheduler(self, optimizer: Optimizer | None = None) -> LRSchedulerView:
        """Return a thin torch ``LRScheduler`` over this scheduler, for frameworks that insist on the class.

        Its `step()` is this scheduler's: hand it to one owner only.
        """
        from ostinato.views import LRSchedulerView

        return LRSchedulerView(self, optimizer or next(iter(self._driver.optimizers()), None))

    # -- state -------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the state as a JSON document: count, plan, rates, and the originals of the driven values."""
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
        roots, originals = self._driver.roots, {**self._driver.originals, **saved.originals}
        self._driver.release()
        self._begin(resolved, roots, originals, saved.count)

    def __getstate__(self) -> dict[str, Any]:
        driver = self._driver
        state = {"resolved": self._resolved, "roots": driver.roots, "originals": driver.originals, "count": self._count}
        return {**state, "idle": driver.idle}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._begin(state["resolved"], state["roots"], state["originals"], state["count"])
        if state["idle"]:
            self.restore()

    def __copy__(self) -> Scheduler:
        raise StateError(
            "a scheduler copied without what it drives would fight the original; use copy.deepcopy((model, optimizer, scheduler))"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Scheduler:
        for name, root in self._driver.roots.items():
            parts = root if isinstance(root, tuple) else (root,)
            if any(id(part) not in memo and not isinstance(part, types.FunctionType) for part in parts):
                raise StateError(
                    f"a scheduler copied without its {name!r} would drive a hidden copy; copy them together, the scheduler last:"
                    " copy.deepcopy((model, optimizer, scheduler))"
                )
        clone = type(self).__new__(type(self))
        memo[id(self)] = clone
        roots = {name: deepcopy(root, memo) for name, root in self._driver.roots.items()}
        clone.__setstate__({**self.__getstate__(), "roots": roots})
        return clone

    def __repr__(self) -> str:
        return (
            f"<Scheduler at step {self._count} of {self._resolved.total}, driving {', '.join(self._resolved.targets)}>"
        )
