"""The clock: which cycle a step belongs to, and the events that follow from it in closed form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import overload

from ostinato.core.cycles import Cycle, Rhythm
from ostinato.core.waveforms import waveform

__all__ = ["Clock", "Cycles", "Ends", "Span", "Tick"]


@dataclass(frozen=True, slots=True)
class Span:
    """One cycle on the clock: the steps `start` to `end` - 1, and the steps of its first maximum and last minimum.

    `complete` is False where the run ends before the cycle does; `end` is then the run's last step plus one.
    """

    index: int
    start: int
    end: int
    complete: bool
    peak: int | None
    trough: int | None


@dataclass(frozen=True, slots=True)
class Clock:
    """Steps 0 to `total` - 1, of which the first `warmup` precede the cycles.

    >>> from fractions import Fraction
    >>> clock = Clock(total=25, warmup=5, cycle=Cycle(period=10), rhythm=Rhythm(Fraction(10), Fraction(1), 20))
    >>> [(span.start, span.end) for span in clock.cycles]
    [(5, 15), (15, 25)]
    """

    total: int
    warmup: int
    cycle: Cycle | None
    rhythm: Rhythm | None
    _seen: list[Span] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def cycles(self) -> Cycles:
        """The cycles of the run, a lazy sequence of `Span`."""
        return Cycles(self)

    @property
    def snapshots(self) -> Ends:
        """The last steps of all complete cycles, a lazy sequence."""
        return Ends(self)

    def span(self, k: int) -> Span:
        """Return cycle `k`."""
        if self.rhythm is None or self.cycle is None:
            raise IndexError("a plan without a cycle has no cycles")
        first, after = self.rhythm.end(k - 1), self.rhythm.end(k)
        start, length = self.warmup + first, after - first
        offsets = waveform(self.cycle.waveform).extremes(length, **self.cycle.parameters)
        peak, trough = (None, None) if offsets is None else (start + offsets[0], start + offsets[1])
        end = self.warmup + after
        return Span(k, start, min(end, self.total), end <= self.total, peak, trough)

    def span_at(self, step: int) -> Span | None:
        """Return the cycle of a step; None during the warm-up, past the total, or without a cycle."""
        if self.rhythm is None or not self.warmup <= step < self.total:
            return None
        for span in self._seen:
            if span.start <= step < span.end:
                return span
        span = self.span(self.rhythm.index(step - self.warmup))
        self._seen[:] = [span]  # a run asks for the same cycle again and again
        return span

    def ends(self, start: int, stop: int) -> list[int]:
        """Return the steps in [start, stop) that are the last of a complete cycle."""
        if self.rhythm is None or stop <= max(start, self.warmup):
            return []
        first = self.rhythm.index(max(start - self.warmup, 0))
        last = (
            self.rhythm.index(min(stop, self.total) - 1 - self.warmup)
            if min(stop, self.total) > self.warmup
            else first - 1
        )
        steps = (self.warmup + self.rhythm.end(k) - 1 for k in range(first, last + 1))
        return [step for step in steps if start <= step < min(stop, self.total)]


class Cycles(Sequence[Span]):
    """The cycles of a clock, computed when asked for: a plan of 10^9 steps costs nothing until one looks."""

    __slots__ = ("_clock", "_length")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._length = 0 if clock.rhythm is None else len(clock.rhythm)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Span: ...
    @overload
    def __getitem__(self, index: slice) -> list[Span]: ...
    def __getitem__(self, index: int | slice) -> Span | list[Span]:
        if isinstance(index, slice):
            return [self._clock.span(k) for k in range(*index.indices(self._length))]
        k = index + self._length if index < 0 else index
        if not 0 <= k < self._length:
            raise IndexError(f"cycle {index} of {self._length}")
        return self._clock.span(k)

    def __iter__(self) -> Iterator[Span]:
        return (self._clock.span(k) for k in range(self._length))

    def __repr__(self) -> str:
        return f"<{self._length} cycles of {self._clock.total} steps>"


class Ends(Sequence[int]):
    """The last step of every complete cycle of a clock, ascending and computed when asked for. Equal to a list or tuple of the same steps.

    >>> from fractions import Fraction
    >>> ends = Clock(total=25, warmup=5, cycle=Cycle(period=10), rhythm=Rhythm(Fraction(10), Fraction(1), 20)).snapshots
    >>> len(ends), ends[-1], list(ends), ends == [14, 24], 14 in ends
    (2, 24, [14, 24], True, True)
    """

    __slots__ = ("_clock", "_length")
    __hash__ = None  # type: ignore[assignment]  # it equals lists, which have none

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        rhythm = clock.rhythm
        begun = 0 if rhythm is None else len(rhythm)
        whole = rhythm is None or not begun or clock.warmup + rhythm.end(begun - 1) <= clock.total
        self._length = begun if whole else begun - 1

    def _at(self, k: int) -> int:
        assert self._clock.rhythm is not None  # without one there is no k
        return self._clock.warmup + self._clock.rhythm.end(k) - 1

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self._at(k) for k in range(*index.indices(self._length))]
        k = index + self._length if index < 0 else index
        if not 0 <= k < self._length:
            raise IndexError(f"snapshot {index} of {self._length}")
        return self._at(k)

    def __iter__(self) -> Iterator[int]:
        return (self._at(k) for k in range(self._length))

    def __contains__(self, step: object) -> bool:
        rhythm = self._clock.rhythm
        if rhythm is None or not isinstance(step, Integral) or step < self._clock.warmup:
            return False
        k = rhythm.index(int(step) - self._clock.warmup)
        return k < self._length and self._at(k) == step

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Ends) and self._clock == other._clock:
            return True
        if not isinstance(other, Ends | list | tuple):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    def __repr__(self) -> str:
        return f"<{self._length} snapshots of {self._clock.total} steps>"


class Tick:
    """What `Scheduler.step` returns about the update just done; everything but `step` is computed when it is read.

    Attributes:
        step: The update just done, counted from 0.
        advanced: False for a skipped update, which has no events.
        cycle: Index of the shared cycle; -1 during warm-up, past the total and without a cycle.
        phase: Position in the cycle in [0, 1); 0 where there is no cycle.
        cycle_start, cycle_end: The update was the first, the last of its cycle. A snapshot taken now on `cycle_end` has the
            weights of the cycle's last update.
        peak, trough: The update was the cycle's first maximum, last minimum.
        crossed: The last steps of all cycles that ended in this call (more than one only after a jump).
        values: Target name to the value that the update used.
    """

    __slots__ = ("_clock", "_first", "_span", "_values", "advanced", "step")

    def __init__(
        self,
        clock: Clock,
        values: Callable[[int], Mapping[str, float]],
        step: int,
        *,
        first: int | None = None,
        advanced: bool = True,
    ) -> None:
        self._clock = clock
        self._values = values
        self._first = step if first is None else first
        self._span: Span | bool | None = False  # False: not looked up yet
        self.step = step
        self.advanced = advanced

    @property
    def span(self) -> Span | None:
        """The shared cycle that the update belongs to."""
        if isinstance(self._span, bool):
            self._span = self._clock.span_at(self.step)
        return self._span

    @property
    def cycle(self) -> int:
        return -1 if self.span is None else self.span.index

    @property
    def phase(self) -> float:
        clock = self._clock
        if self.span is None or clock.rhythm is None:
            return 0.0
        length = clock.rhythm.end(self.span.index) - clock.rhythm.end(self.span.index - 1)
        return (self.step - self.span.start) / length

    def _is(self, event: int | None) -> bool:
        return self.advanced and event == self.step

    @property
    def cycle_start(self) -> bool:
        return self.span is not None and self._is(self.span.start)

    @property
    def cycle_end(self) -> bool:
        return self.span is not None and self.span.complete and self._is(self.span.end - 1)

    @property
    def peak(self) -> bool:
        return self.span is not None and self._is(self.span.peak)

    @property
    def trough(self) -> bool:
        return self.span is not None and self._is(self.span.trough)

    @property
    def crossed(self) -> tuple[int, ...]:
        return tuple(self._clock.ends(self._first, self.step + 1)) if self.advanced else ()

    @property
    def values(self) -> Mapping[str, float]:
        return self._values(self.step)

    def __repr__(self) -> str:
        events = [name for name in ("cycle_start", "peak", "trough", "cycle_end") if getattr(self, name)]
        shown = " ".join(
            [f"cycle={self.cycle}", f"phase={self.phase:.3f}", *events, *([] if self.advanced else ["skipped"])]
        )
        return f"<Tick step={self.step} {shown}>"
