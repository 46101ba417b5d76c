"""The steps of the snapshots as a lazy sequence: a list in everything but its memory."""

from __future__ import annotations

import pickle
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ostinato as ost
from ostinato.core.clock import Ends
from ostinato.errors import PlanError


def snapshots(total: int, period: str = "7", mult: float = 1.0, warmup: int = 0) -> tuple[Ends, list[int]]:
    """The sequence, and the list of the same steps from the cycles themselves."""
    resolved = ost.Plan(total=total, warmup=warmup, cycle=ost.Cycle(period=period, mult=mult)).resolve()
    return resolved.snapshots, [span.end - 1 for span in resolved.cycles if span.complete]


@given(
    total=st.integers(2, 400),
    warmup=st.integers(0, 30),
    period=st.sampled_from(["1", "2", "7", "7.5", "3.25", "50"]),
    mult=st.sampled_from([1.0, 1.5, 2.0]),
    data=st.data(),
)
def test_it_is_the_list_of_the_cycles_ends(
    total: int, warmup: int, period: str, mult: float, data: st.DataObject
) -> None:
    try:
        found, expected = snapshots(total + warmup, period, mult, warmup)
    except PlanError:
        return
    assert found == expected
    assert expected == found
    assert list(found) == expected
    assert len(found) == len(expected)
    assert list(reversed(found)) == expected[::-1]
    assert [step for step in range(-3, total + warmup + 9) if step in found] == expected
    piece = data.draw(st.slices(len(expected) + 3))
    assert found[piece] == expected[piece]
    place = data.draw(st.integers(-len(expected) - 2, len(expected) + 2))
    if -len(expected) <= place < len(expected):
        assert found[place] == expected[place]
    else:
        with pytest.raises(IndexError, match=f"snapshot {place} of {len(expected)}"):
            found[place]


def test_it_equals_sequences_of_the_same_steps_only() -> None:
    found, expected = snapshots(50)
    again, _ = snapshots(50)
    other, _ = snapshots(57)
    assert (found == again, found == tuple(expected), found != other) == (True, True, True)
    assert found != expected[:-1]
    assert found != [*expected[:-1], 0]
    assert found != "6"
    assert found == snapshots(50, "7", warmup=0)[0][:]
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)
    assert repr(found) == "<7 snapshots of 50 steps>"
    assert pickle.loads(pickle.dumps(found)) == expected  # noqa: S301 - our own bytes
    assert "9" not in found
    assert found.index(13) == 1
    assert found.count(13) == 1


def test_a_plan_without_cycles_has_none() -> None:
    found = ost.Plan(total=9).resolve().snapshots
    assert (len(found), list(found), found == [], 3 in found) == (0, [], True, False)


def test_a_hundred_million_snapshots_cost_nothing() -> None:
    resolved = ost.Plan(total=10**9, cycle=ost.Cycle(period=10)).resolve()
    tracemalloc.start()
    try:
        found = resolved.snapshots
        seen = (len(found), found[0], found[-1], found[10**7], 10**9 - 1 in found, 10**9 - 2 in found)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == (10**8, 9, 10**9 - 1, 10**8 + 9, True, False)
    assert peak < 100_000
