"""Merging: federated averaging, FedNova's normalisation, and what cannot be merged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ostinato.applications.federated import merge
from ostinato.applications.federated.merging import Update, shares
from ostinato.errors import ConfigError

BEFORE = {"w": np.array([1.0, -2.0], np.float32), "seen": np.array(10)}


def update(client: int, w: list[float], weight: float, progress: float = 1.0, seen: int = 10) -> Update:
    return Update(client, {"w": np.array(w, np.float32), "seen": np.array(seen)}, weight, progress)


def test_plain_merging_is_the_weighted_mean() -> None:
    merged = merge(BEFORE, [update(0, [0.0, 0.0], 30), update(1, [4.0, 8.0], 10)])
    assert merged["w"].tolist() == [1.0, 2.0]
    assert merged["w"].dtype == np.float32


def test_normalised_merging_is_the_formula_of_fednova() -> None:
    """w - tau sum_i p_i d_i with d_i = (w - w_i) / a_i and tau = sum_i p_i a_i, written out."""
    generator = np.random.default_rng(1)
    before = {"w": generator.normal(size=7)}
    ways, weights, progress = generator.normal(size=(4, 7)), generator.uniform(1, 9, 4), generator.uniform(0.1, 2, 4)
    updates = [Update(i, {"w": before["w"] + ways[i]}, weights[i], progress[i]) for i in range(4)]
    p = weights / weights.sum()
    tau = sum(p[i] * progress[i] for i in range(4))
    expected = before["w"] - tau * sum(p[i] * -ways[i] / progress[i] for i in range(4))
    assert merge(before, updates, normalise=True)["w"] == pytest.approx(expected, rel=1e-12)


def test_equal_progress_changes_nothing() -> None:
    updates = [update(0, [0.0, 3.0], 3, 0.2), update(1, [4.0, 8.0], 1, 0.2)]
    assert merge(BEFORE, updates, normalise=True)["w"] == pytest.approx(merge(BEFORE, updates)["w"])


def test_normalised_clients_of_equal_gradients_pull_alike_whatever_their_rates() -> None:
    """On two parabolas the plain mean leans to the client with the high rate, the normalised one to neither."""
    minima, rates = np.array([-1.0, 1.0]), np.array([0.01, 0.001])

    def settled(*, normalise: bool) -> float:
        where = np.zeros(1)
        for _ in range(4_000):
            ends = where - rates * (where - minima)
            updates = [Update(i, {"w": ends[i : i + 1]}, 1, rates[i]) for i in range(2)]
            where = merge({"w": where}, updates, normalise=normalise)["w"]
        return float(where[0])

    assert settled(normalise=False) == pytest.approx(
        (rates @ minima) / rates.sum(), abs=1e-3
    )  # FedNova's mismatched objective
    assert settled(normalise=True) == pytest.approx(0.0, abs=1e-9)


def test_a_client_of_no_progress_is_left_out_where_progress_counts() -> None:
    updates = [update(0, [1.0, -2.0], 5, 0.0), update(1, [2.0, 0.0], 1, 0.5)]
    assert shares(updates, normalise=True).tolist() == [0.0, 1.0]
    assert merge(BEFORE, [update(1, [2.0, 0.0], 1, 0.5)], normalise=True)["w"].tolist() == [2.0, 0.0]


def test_the_order_of_the_answers_does_not_matter_to_the_last_bit() -> None:
    generator = np.random.default_rng(2)
    updates = [update(i, generator.normal(size=2).tolist(), float(generator.uniform(1, 9))) for i in range(9)]
    assert merge(BEFORE, updates)["w"].tobytes() == merge(BEFORE, updates[::-1])["w"].tobytes()


def test_what_was_measured_is_averaged_plainly_so_that_no_variance_turns_negative() -> None:
    before = {"1.running_var": np.ones(1), "1.weight": np.ones(1)}
    after = {name: np.array([0.05]) for name in before}
    updates = [Update(0, after, 30, 0.2), Update(1, after, 10, 0.1)]
    merged = merge(before, updates, normalise=True, rate=0.5)
    assert merged["1.running_var"] == pytest.approx(0.05)
    assert merged["1.weight"] == pytest.approx(1 - 0.5 * 0.95 * (0.65625 + 0.4375))


def test_counts_are_averaged_by_weight_whatever_the_rate() -> None:
    merged = merge(BEFORE, [update(0, [0.0, 0.0], 1, seen=14), update(1, [0.0, 0.0], 1, seen=17)], rate=0.5)
    assert (int(merged["seen"]), merged["seen"].dtype) == (16, BEFORE["seen"].dtype)
    assert merged["w"].tolist() == [0.5, -1.0]


BAD: list[tuple[list[Update], bool, str]] = [
    ([], False, "merge: got no updates, expected those of at least one client"),
    ([update(3, [0, 0], 1), update(3, [1, 1], 1)], False, "merge: client 3 has sent 2 updates; expected one"),
    ([update(0, [0, 0], 0)], False, "merge: got weights [0.0], expected numbers of examples, one of them above 0"),
    ([update(0, [0, 0], 1, float("nan"))], True, "merge: got progress [nan], expected sums of rates, one of them above 0"),
    ([update(0, [0, 0], 1, 0.0)], True, "merge: got progress [0.0], expected sums of rates, one of them above 0"),
    ([update(2, [0, 0, 0], 1)], False, "merge: w of client 2: got shape (3,), expected shape (2,)"),
    ([Update(2, {}, 1)], False, "merge: w of client 2: got nothing, expected shape (2,)"),
]  # fmt: skip


@pytest.mark.parametrize(("updates", "normalise", "line"), BAD, ids=[line for _, _, line in BAD])
def test_what_cannot_be_merged_is_said_in_one_line(updates: Any, normalise: bool, line: str) -> None:
    with pytest.raises(ConfigError) as raised:
        merge(BEFORE, updates, normalise=normalise)
    assert str(raised.value) == line
