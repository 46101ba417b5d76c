"""Partitions: disjoint and covering whatever is asked, and of the mix that they are named after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.applications.federated.partitions import (
    Parts,
    by_group,
    by_quantity,
    by_spans,
    describe,
    dirichlet,
    even,
)
from ostinato.errors import ConfigError

LABELS = np.repeat(np.arange(10), 100)
seeds = st.integers(0, 2**40)


def covers(parts: Parts, examples: int) -> bool:
    return np.sort(np.concatenate(parts)).tolist() == list(range(examples))


@given(st.integers(12, 60), st.integers(1, 5), st.integers(1, 4), st.floats(0.3, 50), seeds)
def test_dirichlet_parts_are_disjoint_and_cover(
    examples: int, classes: int, clients: int, alpha: float, seed: int
) -> None:
    labels = np.random.default_rng(seed).integers(classes, size=examples)
    parts = dirichlet(labels, clients, alpha, seed=seed)
    assert len(parts) == clients
    assert min(map(len, parts)) >= 1
    assert covers(parts, len(labels))
    again = dirichlet(labels, clients, alpha, seed=seed)
    assert [part.tolist() for part in parts] == [part.tolist() for part in again]


@given(st.integers(12, 200), st.integers(1, 6), st.booleans(), seeds)
def test_parts_by_quantity_are_disjoint_and_cover(examples: int, clients: int, by_alpha: bool, seed: int) -> None:
    kind: dict[str, Any] = {"alpha": 2.0} if by_alpha else {"sigma": 0.7}
    parts = by_quantity(examples, clients, **kind, seed=seed)
    assert len(parts) == clients
    assert covers(parts, examples)


@given(st.integers(1, 200), st.integers(1, 9), seeds)
def test_even_parts_differ_by_one_at_most(examples: int, clients: int, seed: int) -> None:
    clients = min(clients, examples)
    parts = even(examples, clients, seed=seed)
    assert covers(parts, examples)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.text("abcdefg", min_size=1, max_size=60), st.integers(1, 7))
def test_a_group_is_never_torn_apart(text: str, clients: int) -> None:
    groups = list(text)
    clients = min(clients, len(set(groups)))
    parts = by_group(groups, clients=clients)
    assert covers(parts, len(groups))
    owners = [{groups[place] for place in part} for part in parts]
    assert sum(map(len, owners)) == len(set(groups))
    largest = max(groups.count(name) for name in groups)
    assert max(map(len, parts)) - min(map(len, parts)) <= largest


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=20))
def test_spans_give_every_role_its_places(turns: list[tuple[str, int, int]]) -> None:
    spans: dict[str, list[list[int]]] = {}
    place, expected = 0, {}
    for role, length, gap in turns:
        place += gap
        spans.setdefault(role, []).append([place, place + length])
        expected.setdefault(role, []).extend(range(place, place + length))
        place += length
    assert [part.tolist() for part in by_spans(spans)] == [expected[role] for role in spans]
    assert len(by_spans(spans, clients=1)[0]) == sum(length for _, length, _ in turns)


def test_a_small_alpha_gives_each_client_classes_of_its_own_and_a_large_one_all_the_same() -> None:
    distances = [
        np.mean([describe(dirichlet(LABELS, 10, alpha, seed=seed), LABELS).distance for seed in range(8)])
        for alpha in (0.1, 0.5, 1000.0)
    ]
    assert distances[0] > 0.6
    assert distances[0] > distances[1] + 0.1
    assert distances[2] < 0.05


def test_the_proportions_are_dirichlets() -> None:
    """The share of one client has mean 1/n and variance (n-1)/(n^2 (n alpha + 1)), whatever the class."""
    labels, alpha, clients = np.zeros(10_000, np.int64), 0.5, 4
    shares = np.array(
        [[len(part) / 10_000 for part in dirichlet(labels, clients, alpha, seed=seed)] for seed in range(1000)]
    )
    assert shares.mean(axis=0) == pytest.approx(np.full(4, 0.25), abs=0.03)
    expected = (clients - 1) / clients**2 / (clients * alpha + 1)
    assert shares.var(axis=0) == pytest.approx(np.full(4, expected), rel=0.2)


def test_least_is_kept_where_a_plain_draw_would_not() -> None:
    small = [min(map(len, dirichlet(LABELS, 10, 0.1, seed=seed))) for seed in range(20)]
    kept = [min(map(len, dirichlet(LABELS, 10, 0.1, seed=seed, least=20))) for seed in range(20)]
    assert min(small) < 20
    assert min(kept) >= 20


def test_quantity_changes_sizes_and_leaves_the_mix() -> None:
    found = describe(by_quantity(len(LABELS), 4, sigma=1.0, seed=2), LABELS)
    assert found.sizes.max() > 2 * found.sizes.min()
    assert found.distance < 0.12
    assert np.ptp([len(part) for part in by_quantity(1000, 4, sigma=0.0)]) <= 1


def test_a_description_counts_and_measures() -> None:
    found = describe([[0, 1, 2], [3, 4, 5]], ["a", "a", "a", "b", "b", "a"])
    assert found.classes == ("a", "b")
    assert found.counts.tolist() == [[3, 0], [1, 2]]
    assert found.distances == pytest.approx([1 / 3, 1 / 3])
    assert str(found).splitlines()[1].split() == ["0", "3", "3", "0", "0.333"]


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: dirichlet(LABELS, 10, 0.0), "alpha: got 0.0, expected a number above 0"),
    (lambda: dirichlet(LABELS, 0, 1.0), "clients: got 0, expected a whole number >= 1"),
    (lambda: dirichlet(LABELS, 10, 1.0, seed=-1), "seed: got -1, expected a whole number >= 0"),
    (lambda: dirichlet([0, 1], 3, 1.0), "clients: got 3 of at least 1 examples, expected at most 2 examples in all"),
    (lambda: dirichlet([[0]], 1, 1.0), "labels: got shape (1, 1), expected one value for each example"),
    (lambda: dirichlet(LABELS, 10, 0.01, least=100), "least: in 1,000 draws (alpha=0.01, 10 clients) the smallest client had at most"),
    (lambda: by_quantity(10, 2), "by_quantity: got alpha=None and sigma=None, expected one of them"),
    (lambda: by_quantity(10, 2, sigma=float("nan")), "sigma: got nan, expected a number of at least 0"),
    (lambda: by_group([]), "groups: got shape (0,), expected one value for each example"),
    (lambda: by_group([1, 1], clients=2), "clients: got 2 for 1 groups, expected at most as many"),
    (lambda: by_spans({}), "spans: got none, expected [begin, end] pairs for at least one role"),
    (lambda: by_spans({"a": [[3, 3]]}), "spans: 'a' has [3, 3], expected [begin, end] with 0 <= begin < end"),
    (lambda: by_spans({"a": [[0, 3]], "b": [[2, 4]]}), "spans: the place 2 is in two spans; expected each in one"),
    (lambda: describe([], [0]), "parts: got none, expected indices for at least one client"),
    (lambda: describe([[0], []], [0]), "parts: those of client 1 cannot be, expected indices from 0 to 0, at least one"),
    (lambda: describe([[1]], [0]), "parts: those of client 0 cannot be, expected indices from 0 to 0, at least one"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "line"), BAD, ids=[line for _, line in BAD])
def test_what_cannot_be_is_said_in_one_line(call: Callable[[], Sequence[Any]], line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        call()
    assert str(raised.value).startswith(line)
    assert "\n" not in str(raised.value)
