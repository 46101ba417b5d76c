"""Long tails and the published data sets whose classes are unequal."""

from __future__ import annotations

import builtins
import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import ConfigError, DataError
from ostinato.training.config import DataConfig
from ostinato.training.datasets import Split, load
from ostinato.training.held_out import with_held_out
from ostinato.training.imbalanced import FILES, long_tail, long_tailed_rows

BALANCED = np.repeat(np.arange(5), 100)
needs_data = pytest.mark.skipif("OSTINATO_DATA" not in os.environ, reason="needs the published files (OSTINATO_DATA)")


@given(st.integers(1, 10_000), st.floats(1.0, 1000.0), st.integers(2, 50))
def test_a_tail_falls_from_the_most_by_the_ratio(most: int, ratio: float, classes: int) -> None:
    if most / ratio < 1 - 1e-9:
        with pytest.raises(DataError, match=r"leaves the smallest class empty beside .* examples; lower it to at most"):
            long_tail(most, ratio, classes)
        return
    sizes = long_tail(most, ratio, classes)
    assert (sizes[0], len(sizes)) == (most, classes)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert sizes[-1] == pytest.approx(most / ratio, abs=1.0)
    steps = ratio ** (1 / (classes - 1))
    assert all(b <= a / steps + 1 and b + 1 >= (a / steps) - 1e-6 for a, b in pairwise(sizes))


def test_the_field_s_own_tail_of_cifar_100() -> None:
    """CIFAR-100-LT at 100 to 1 has 10,847 examples (Cui et al. 2019, table 1)."""
    assert sum(long_tail(500, 100, 100)) == 10_847


def test_rows_are_drawn_without_replacement_by_the_seed() -> None:
    rows = long_tailed_rows(BALANCED, ratio=10, seed=1)
    assert np.bincount(BALANCED[rows]).tolist() == [100, 56, 31, 17, 10]
    assert (np.diff(rows) > 0).all()
    assert (rows == long_tailed_rows(torch.from_numpy(BALANCED), ratio=10, seed=1)).all()
    assert rows.tolist() != long_tailed_rows(BALANCED, ratio=10, seed=2).tolist()
    turned = long_tailed_rows(BALANCED, ratio=10, order=[4, 3, 2, 1, 0], most=50)
    assert np.bincount(BALANCED[turned]).tolist() == [5, 8, 15, 28, 50]
    assert len(long_tailed_rows(BALANCED, ratio=1)) == 500


def test_the_most_that_every_class_has_enough_for_is_the_default() -> None:
    labels = np.repeat([0, 1, 2], [1000, 90, 40])
    assert np.bincount(labels[long_tailed_rows(labels, ratio=4)]).tolist() == [160, 80, 40]


@pytest.mark.parametrize(
    ("targets", "options", "error", "line"),
    [
        (np.zeros(9, int), {}, DataError, "targets: all 9 labels are 0; at least two classes are needed"),
        ([], {}, DataError, "targets: all 0 labels are None; at least two classes are needed"),
        (np.full(3, 2), {}, DataError, "targets: all 3 labels are 2; at least two classes are needed"),
        ([0, 0, 2, 2], {}, DataError, "targets: class 1 of 0 to 2 has no example; number the classes anew"),
        ([0.0, 0.5, 1.0], {}, DataError, "targets: label 0.5 at index 1 is no class, expected whole numbers"),
        (["a", "b"], {}, DataError, "targets: hold text, expected class numbers from 0"),
        ([-1, 0, 1], {}, DataError, "targets: got the class -1, expected whole numbers from 0"),
        (BALANCED, {"ratio": 0.5}, ConfigError, "ratio: got 0.5, expected a number >= 1, the largest class over the smallest"),
        (BALANCED, {"ratio": True}, ConfigError, "ratio: got True, expected a number >= 1, the largest class over the smallest"),
        (BALANCED, {"ratio": 200.0}, DataError, "ratio: 200 to 1 leaves the smallest class empty beside 100 examples; lower it to at most 100"),
        (BALANCED, {"most": 101, "ratio": 2}, DataError, "class 0: has 100 examples, 101 are wanted; lower most, or leave it out"),
        (BALANCED, {"order": [0, 1, 2, 3]}, ConfigError, "order: got [0, 1, 2, 3], expected each class from 0 to 4 once"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(targets: Any, options: dict[str, Any], error: type, line: str) -> None:
    with pytest.raises(error) as caught:
        long_tailed_rows(targets, **options)
    assert str(caught.value) == line


def test_without_imbalanced_learn_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("imblearn"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError) as caught:
        long_tailed_rows(BALANCED, ratio=10)
    assert str(caught.value) == (
        "imbalanced data: imbalanced-learn is not installed; type: pip install 'ostinato[imbalance]'"
    )


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_fetched_says_where_to_put_it(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("OSTINATO_DATA", raising=False)
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path))
    folder, file = FILES[name]
    with pytest.raises(DataError) as caught:
        load(DataConfig(name=name))
    assert str(caught.value) == (
        f"{file.name}: is not fetched; put it into {tmp_path / folder}, or set OSTINATO_DATA to a folder that holds {folder}/{file.name}"
    )


@needs_data
@pytest.mark.parametrize(
    ("name", "sizes", "rare"),
    [("stroke", (26_040, 8_680, 8_680), 0.018), ("cover", (171_628, 57_210, 57_210), 0.0096), ("pneumoniamnist", (4_708, 524, 624), 0.2579)],
)  # fmt: skip
def test_published_sets_come_in_three_parts_by_class(name: str, sizes: tuple[int, ...], rare: float) -> None:
    data = load(DataConfig(name=name))
    parts = data.train, data.validation, data.test
    assert all(isinstance(part, Split) for part in parts)
    assert tuple(len(part) for part in parts if isinstance(part, Split)) == sizes
    shares = [float(part.targets.bincount().min()) / len(part) for part in parts if isinstance(part, Split)]
    assert shares[0] == pytest.approx(rare, abs=0.001)
    if name != "pneumoniamnist":
        assert shares == pytest.approx([rare] * 3, abs=0.001)
        assert isinstance(data.train, Split)
        assert (
            data.train.inputs.mean(0)[: 4 if name == "stroke" else 10].abs().max() < 0.01
        )  # standardised by these examples
        assert load(DataConfig(name=name, split_seed=1)).digest != data.digest
    assert all(bool(torch.isfinite(part.inputs).all()) for part in parts if isinstance(part, Split))
    chosen = with_held_out(data)
    assert (chosen.train, chosen.test, chosen.validation) == (data.train, data.validation, None)


@needs_data
def test_what_a_set_has_of_its_own_cannot_be_asked_for() -> None:
    for spec, line in (
        (DataConfig(name="pneumoniamnist", split_seed=1), "pneumoniamnist: has its own test set; leave split_seed out"),
        (DataConfig(name="stroke", test=0.3), "stroke: what it is tested on is fixed; leave test out"),
    ):
        with pytest.raises(DataError) as caught:
            load(spec)
        assert str(caught.value) == line


@needs_data
def test_the_long_tailed_fashion_is_tested_on_all_test_images() -> None:
    data = load(DataConfig(name="fashion-mnist-lt"))
    assert isinstance(data.train, Split)
    assert isinstance(data.test, Split)
    assert data.train.targets.bincount().tolist() == list(long_tail(6000, 100, 10))
    assert data.test.targets.bincount().tolist() == [1000] * 10
    assert load(DataConfig(name="fashion-mnist-lt", split_seed=3)).digest != data.digest
