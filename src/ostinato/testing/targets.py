"""What every target must do, as a test class to inherit from."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import ostinato as ost
from ostinato.errors import ForeignWriteWarning, StateError

__all__ = ["TargetTestCase"]

_STEPS = 8


class TargetTestCase(ABC):
    """Tests of an object whose value a plan drives. Subclass it, say how to make the object, and let pytest collect the subclass.

    Attributes:
        target: The address that is driven, such as ``"loss.gamma"``. The object is given to `Plan.bind` under the address's first name.
        low, high: Bounds that the value accepts. Neither may be the value of a fresh object.
        tolerance: How far a value read may be from the one written, relative to `high`; above 0 for values in float32.
        copies: Whether the object can be deep-copied together with its scheduler.
        pickles: Whether it can be pickled.

    >>> class Noise:
    ...     sigma = 1.0
    >>> class TestNoise(TargetTestCase):
    ...     target = "noise.sigma"
    ...     def make(self):
    ...         return Noise()
    ...     def read(self, owner):
    ...         return owner.sigma
    >>> TestNoise().test_restores_what_was_there_before_binding()
    """

    target: ClassVar[str]
    low: ClassVar[float] = 0.125
    high: ClassVar[float] = 0.375
    tolerance: ClassVar[float] = 0.0
    copies: ClassVar[bool] = True
    pickles: ClassVar[bool] = True

    @abstractmethod
    def make(self) -> Any:
        """Return a fresh object (or a pair of a getter and a setter)."""

    @abstractmethod
    def read(self, owner: Any) -> float:
        """Return the value that the object has now, without Ostinato's help."""

    def meddle(self, owner: Any, value: float) -> bool:
        """Set the value from outside, without Ostinato's help. Return False where nothing can."""
        return False

    # -- helpers -----------------------------------------------------------------------------------------------

    def bind(self, owner: Any) -> ost.Scheduler:
        """Return a scheduler of two cycles of four steps that drives the object."""
        plan = ost.Plan(
            total=_STEPS, cycle=ost.Cycle("sawtooth", count=2), bindings={self.target: ost.wave(self.low, self.high)}
        )
        return plan.bind(**{self.target.partition(".")[0].partition(":")[0].partition("[")[0]: owner})

    def demand(self, owner: Any, expected: float, when: str) -> None:
        """Fail unless the object has the expected value."""
        found = float(self.read(owner))
        if abs(found - expected) > self.tolerance * abs(self.high):
            raise AssertionError(f"{self.target}: {when} the value is {found!r}, expected {expected!r}")

    def demand_in_force(self, owner: Any, scheduler: ost.Scheduler, when: str) -> None:
        """Fail unless the object has the value that the plan has for the present step."""
        self.demand(owner, scheduler.values[self.target], when)

    # -- the tests ---------------------------------------------------------------------------------------------

    def test_every_value_of_the_plan_arrives(self) -> None:
        owner = self.make()
        scheduler = self.bind(owner)
        for step in range(_STEPS):
            self.demand_in_force(owner, scheduler, f"at step {step}")
            scheduler.step()

    def test_binds_to_exactly_one_place(self) -> None:
        slots = self.bind(self.make()).slots[self.target]
        if len(slots) != 1:
            raise AssertionError(f"{self.target}: matches {slots}, expected one place")

    def test_restores_what_was_there_before_binding(self) -> None:
        owner = self.make()
        before = self.read(owner)
        scheduler = self.bind(owner)
        scheduler.step(by=3)
        scheduler.restore()
        if self.read(owner) != before:
            raise AssertionError(f"{self.target}: restored to {self.read(owner)!r}, expected {before!r}")

    def test_resumes_in_a_fresh_object(self) -> None:
        first = self.bind(self.make())
        first.step(by=3)
        state = json.loads(json.dumps(first.state_dict()))
        owner = self.make()
        before = self.read(owner)
        second = self.bind(owner)
        second.load_state_dict(state)
        self.demand_in_force(owner, second, "after resuming")
        second.restore()
        if self.read(owner) != before:
            raise AssertionError(f"{self.target}: restored to {self.read(owner)!r} after resuming, expected {before!r}")

    def test_a_deep_copy_is_independent(self) -> None:
        owner = self.make()
        scheduler = self.bind(owner)
        scheduler.step()
        if not self.copies:
            self._demand_refusal(owner, scheduler)
            return
        twin, copied = copy.deepcopy((owner, scheduler))
        copied.step(by=2)
        self.demand_in_force(owner, scheduler, "after its copy went on")
        self.demand_in_force(twin, copied, "in the copy")

    def _demand_refusal(self, owner: Any, scheduler: ost.Scheduler) -> None:
        try:
            copy.deepcopy((owner, scheduler))
        except StateError:
            return
        raise AssertionError(f"{self.target}: a copy would share it with the original, expected StateError")

    def test_survives_pickling(self) -> None:
        if not self.pickles:
            return
        owner = self.make()
        scheduler = self.bind(owner)
        scheduler.step()
        twin, loaded = pickle.loads(pickle.dumps((owner, scheduler)))  # noqa: S301  # its own bytes
        self.demand_in_force(twin, loaded, "after unpickling")
        loaded.step(by=2)
        self.demand_in_force(twin, loaded, "after unpickling and going on")
        self.demand_in_force(owner, scheduler, "after its pickled copy went on")

    def test_reports_a_foreign_write_once(self) -> None:
        owner = self.make()
        scheduler = self.bind(owner)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(_STEPS):
                if not self.meddle(owner, self.high * 0.875):
                    return
                scheduler.step()
        reports = [entry for entry in caught if entry.category is ForeignWriteWarning]
        if len(reports) != 1 or self.target.rpartition(".")[2] not in str(reports[0].message):
            raise AssertionError(f"{self.target}: foreign writes were reported {len(reports)} times, expected once")

    def test_reports_nothing_by_itself(self) -> None:
        scheduler = self.bind(self.make())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(_STEPS):
                scheduler.step()

    def test_paused_leaves_the_value_alone(self) -> None:
        owner = self.make()
        scheduler = self.bind(owner)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with scheduler.paused():
                if self.meddle(owner, self.high * 0.875):
                    scheduler.step()
                    self.demand(owner, self.high * 0.875, "while paused")
            self.demand_in_force(owner, scheduler, "after the pause")
            scheduler.step(by=4)
