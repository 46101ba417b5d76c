"""The same values in another order: what the control arms of a plan are made of.

Row c of a plan is what all its bindings have at count c after the warm-up. `Reordered` reads its schedule at the row π(c), where π is a
permutation of the rows 0 to n - 1 that depends on the order alone, or on another schedule, the key (as a rule the learning rate). Bindings
that name the same order and key share one π, so that rows stay whole.

==============  ==================================================================  ==================
order           π                                                                   `of`
==============  ==================================================================  ==================
`descending`    the key falls; ties keep their order                                [own] or [own, key]
`ascending`     the key climbs; ties keep their order                               [own] or [own, key]
`comonotone`    in each cycle, own values are ranked as the key's are               [own, key]
`shuffled`      blocks of `block` counts, the last perhaps shorter, in random order [own]
`rotated`       in each cycle, own values are turned round by a random share of it  [own]
==============  ==================================================================  ==================

The shares of `rotated` are (r_k + u)/m for m cycles: u uniform in [0, 1), r a random order of 0 to m - 1. Each share is uniform, and
together they lie evenly round the cycle, so that over a run of equal cycles the values have no correlation with anything that repeats with
the cycle, but for every m-th harmonic.

Random orders are argsorts of the raw 64-bit outputs of PCG64(seed) (O'Neill 2014, HMC-CS-2014-0905): a stream that NumPy keeps from
release to release (NEP 19), unlike what `Generator.permutation` and `shuffle` make of it, and that a test pins. Orders by a key follow from its float64 values: the same
for one NumPy build and processor; another may round the key otherwise and so order rows of nearly equal keys otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ostinato.checks import is_whole
from ostinato.core.curves import Curve, blocks
from ostinato.core.memory import frozen
from ostinato.core.schedules import Context, Schedule, Write, as_schedule
from ostinato.core.units import Duration, DurationLike, finite, rounded
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import PlanError, suggest

__all__ = ["MOST_ROWS", "Order", "Reordered"]

MOST_ROWS = 50_000_000
"""A permutation is a table in memory: 4 bytes a row, and up to about 45 while it is made, at the first value that is asked for."""

_LARGEST_SEED = 2**63
Order = Literal["descending", "ascending", "comonotone", "shuffled", "rotated"]
Rows = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Reordered(Schedule):
    """A schedule read at permuted rows; the module's page has the orders.

    As the whole schedule of a binding it leaves the plan's warm-up as it was: rates climb to the first value of the schedule in its own
    order, the others hold it. Past its end the last row holds. `shifted` rotates the waves of the schedule and of its key, and then orders
    them: the control of a shifted plan is the shifted control.

    Args:
        of: The schedule, and the key where the order needs one.
        order: ``"descending"``, ``"ascending"``, ``"comonotone"``, ``"shuffled"`` or ``"rotated"``.
        block: For ``"shuffled"``: length of a block, at least one count; ``"0.1cycle"`` is a share of the (first) shared cycle.
        seed: For ``"shuffled"`` and ``"rotated"``: a whole number from 0 to 2^63 - 1, 0 if left out.
        factor: Above 0; multiplies every value after the warm-up.

    Raises:
        PlanError: A field cannot be. When resolving: there is no total, no shared cycle, or more than `MOST_ROWS` rows.

    >>> import ostinato as ost
    >>> rows = Reordered([ost.wave(0.0, 4.0), ost.mirror(0.0, 1.0)], "descending")
    >>> ost.Plan(total=4, cycle=ost.Cycle("sawtooth", period=4), bindings={"loss.x": rows}).table()["loss.x"]
    array([1., 2., 3., 4.])
    """

    of: Sequence[Schedule]
    order: Order
    block: DurationLike | None = None
    seed: int | None = None
    factor: float = 1.0
    kind: ClassVar[str] = "reordered"

    def __post_init__(self) -> None:
        if not isinstance(self.order, str) or self.order not in _ORDERS:
            raise PlanError(f"order: got {self.order!r}{suggest(str(self.order), _ORDERS)}")
        parts = tuple(as_schedule(part) for part in self.of)
        allowed = _ORDERS[self.order].parts
        if len(parts) not in allowed:
            raise PlanError(f"of: order {self.order!r} takes {_takes(allowed)}, got {len(parts)} schedules")
        object.__setattr__(self, "of", parts)
        object.__setattr__(self, "block", self._checked_block())
        object.__setattr__(self, "seed", self._checked_seed())
        factor = finite(self.factor, "factor")
        if factor <= 0:
            raise PlanError(f"factor: got {self.factor!r}, expected more than 0")
        object.__setattr__(self, "factor", factor)

    def _checked_block(self) -> str | None:
        if not _ORDERS[self.order].blocks:
            if self.block is not None:
                raise PlanError(f"block: order {self.order!r} has no blocks; leave it out")
            return None
        if self.block is None:
            raise PlanError("block: missing; write block = '0.1cycle' or '100step'")
        duration = Duration.parse(self.block, "block")
        if duration.value == 0:
            raise PlanError(f"block: got {self.block!r}, expected more than 0")
        return str(duration)

    def _checked_seed(self) -> int | None:
        if not _ORDERS[self.order].random:
            if self.seed is not None:
                raise PlanError(f"seed: order {self.order!r} is not random; leave it out")
            return None
        return check_seed(0 if self.seed is None else self.seed)

    def resolve(self, context: Context) -> Curve:
        origin, curves = context.origin, [part.resolve(context) for part in self.of]
        own, size = curves[0], _rows(context)
        drawn = _Drawn(curves, context, size, self.block, self.seed or 0)
        drawn.demand(self.order)
        permutation = cache(lambda: _ORDERS[self.order].permutation(drawn).astype(np.int32))

        def moved(count: IntArray) -> IntArray:
            rows = np.clip(count - origin, 0, size - 1)
            return frozen(permutation()[rows].astype(np.int64) + origin)

        place = context.remembered(self._shared_key(origin), moved)
        factor = self.factor

        def value(count: IntArray) -> FloatArray:
            values = own.function(place(count))
            return values if factor == 1.0 else values * factor

        first = own(origin) if own.before is None else own.before
        return Curve(value, own.low * factor, own.high * factor, before=first)

    def _shared_key(self, origin: int) -> Hashable:
        """Return what the permutation depends on, so that all bindings with equal ones share it."""
        keys = tuple(self.of) if self.order == "comonotone" else tuple(self.of[-1:])
        return "rows", self.order, () if _ORDERS[self.order].random else keys, self.block, self.seed, origin

    def shifted(self, by: Fraction) -> Reordered:
        return replace(self, of=tuple(part.shifted(by) for part in self.of))

    def within(self, unit: str) -> Reordered:
        block = None if self.block is None else str(Duration.parse(self.block).within(unit))
        return replace(self, of=tuple(part.within(unit) for part in self.of), block=block)

    def to_document(self, write: Write) -> dict[str, Any]:
        document: dict[str, Any] = {
            "kind": self.kind,
            "of": [part.to_document(write) for part in self.of],
            "order": self.order,
        }
        if self.block is not None:
            document["block"] = write(Duration.parse(self.block), "block")
        if self.seed is not None:
            document["seed"] = self.seed
        return {**document, "factor": self.factor}


def check_seed(seed: object) -> int:
    """Return a seed as an int.

    Raises:
        PlanError: It is no whole number from 0 to 2^63 - 1.
    """
    if not is_whole(seed, 0, _LARGEST_SEED - 1, of=Integral):
        raise PlanError(f"seed: got {seed!r}, expected a whole number from 0 to 2^63 - 1")
    return int(seed)


def _takes(allowed: tuple[int, ...]) -> str:
    return {(1,): "one schedule", (2,): "two, [own, key]", (1, 2): "one or two, [own] or [own, key]"}[allowed]


def _rows(context: Context) -> int:
    """Return how many rows there are from the context's beginning on."""
    if context.span is None:
        raise PlanError("a reordered schedule needs a total; resolve it in a plan that has one: Plan(total=...)")
    size = max(context.span - context.origin, 1)
    if size > MOST_ROWS:
        raise PlanError(
            f"reordered: {size} steps after the warm-up are more than {MOST_ROWS}, the most that are reordered; shorten the total"
        )
    return size


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What a permutation is made from."""

    curves: Sequence[Curve]
    context: Context
    size: int
    block: DurationLike | None
    seed: int

    def values(self, place: int) -> FloatArray:
        """Return all values of one of the schedules."""
        start = self.context.origin
        return np.concatenate([self.curves[place].function(counts) for counts in blocks(start, start + self.size)])

    def cycles(self) -> IntArray:
        """Return the index, from 0, of the shared cycle that each row belongs to."""
        assert self.context.rhythm is not None, "demand() was called"
        start, rhythm = self.context.origin, self.context.rhythm
        index = np.concatenate([rhythm.position(counts)[0] for counts in blocks(start, start + self.size)])
        since: IntArray = index - index[0]
        return since

    def block_length(self) -> int:
        """Return the length of a block in counts, at least 1."""
        duration = Duration.parse(self.block or 1)
        if duration.unit != "cycle":
            return max(self.context.whole(str(duration), "block"), 1)
        if self.context.rhythm is None:
            raise PlanError(
                f"block: {duration} is a share of the shared cycle, which the plan does not have; write '100step'"
            )
        return max(rounded(duration.value * self.context.rhythm.period), 1)

    def random(self, size: int) -> NDArray[np.uint64]:
        """Return the first `size` outputs of the seed's stream."""
        raw: NDArray[np.uint64] = np.random.PCG64(self.seed).random_raw(size)
        return raw

    def demand(self, order: str) -> None:
        """Raise if the context lacks what the order needs."""
        if order == "shuffled":
            self.block_length()
        if not _ORDERS[order].cycles:
            return
        rhythm, start = self.context.rhythm, self.context.origin
        if rhythm is None:
            raise PlanError(f"order {order!r} needs the shared cycle; write Plan(cycle=Cycle('cosine', count=5), ...)")
        if order == "rotated" and rhythm.index(start + self.size - 1) == rhythm.index(start):
            raise PlanError(
                "order 'rotated' needs two cycles at least: in a single one the values would keep one phase; give the plan a shorter period or a longer total"
            )


def _descending(drawn: _Drawn) -> Rows:
    return np.argsort(-drawn.values(-1), kind="stable")


def _ascending(drawn: _Drawn) -> Rows:
    return np.argsort(drawn.values(-1), kind="stable")


def _comonotone(drawn: _Drawn) -> Rows:
    cycles = drawn.cycles()
    permutation = np.empty(drawn.size, dtype=np.int64)
    permutation[np.lexsort((drawn.values(1), cycles))] = np.lexsort((drawn.values(0), cycles))
    return permutation


def _shuffled(drawn: _Drawn) -> Rows:
    length = drawn.block_length()
    order = np.argsort(drawn.random(-(-drawn.size // length)), kind="stable")
    ranks = np.empty(order.size, dtype=np.int64)
    ranks[order] = np.arange(order.size)
    return np.argsort(ranks[np.arange(drawn.size) // length], kind="stable")


def _rotated(drawn: _Drawn) -> Rows:
    cycles = drawn.cycles()
    lengths = np.bincount(cycles)
    count = lengths.size
    raw = drawn.random(count + 1)
    offset = float(raw[count] >> np.uint64(11)) * 2.0**-53
    shares = (np.argsort(raw[:count], kind="stable") + offset) / count
    turns = np.minimum(np.floor(shares * lengths), lengths - 1).astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    start, length = starts[cycles], lengths[cycles]
    return start + (np.arange(drawn.size) - start + turns[cycles]) % length


@dataclass(frozen=True)
class _Kind:
    """One order: how its permutation is made, how many schedules it takes, and what else it needs."""

    permutation: Callable[[_Drawn], Rows]
    parts: tuple[int, ...]
    cycles: bool = False
    blocks: bool = False
    random: bool = False


_ORDERS: Mapping[str, _Kind] = {
    "descending": _Kind(_descending, (1, 2)),
    "ascending": _Kind(_ascending, (1, 2)),
    "comonotone": _Kind(_comonotone, (2,), cycles=True),
    "shuffled": _Kind(_shuffled, (1,), blocks=True, random=True),
    "rotated": _Kind(_rotated, (1,), cycles=True, random=True),
}
