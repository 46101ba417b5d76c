from __future__ import annotations

import json
import math
import random
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ostinato.errors import StorageError
from ostinato.storage import load_tensors, pack, read_json, save_tensors, unpack, write_json


def same(a: Any, b: Any) -> bool:  # noqa: PLR0911 - one line a kind
    """Equal in values and exact types, all the way down; NaN equals NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return (
            list(a) == list(b)
            and all(type(x) is type(y) for x, y in zip(a, b, strict=True))
            and all(same(a[key], b[key]) for key in a)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def through_files(value: Any, folder: Path) -> Any:
    document, tensors = pack(value)
    write_json(folder / "a.json", document)
    record = save_tensors(folder / "a.safetensors", tensors)
    return unpack(read_json(folder / "a.json"), load_tensors(folder / "a.safetensors", record))


_plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_values = st.recursive(
    _plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(_values)
@settings(max_examples=300, deadline=None)
def test_any_nesting_round_trips_through_json(value: Any) -> None:
    document, tensors = pack(value)
    assert same(unpack(json.loads(json.dumps(document, allow_nan=False)), tensors), value)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.uint32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6)[::2],
        np.array(3.0),
        np.empty((0, 2)),
        np.array([1, 2], dtype=">i4"),
        np.array([True]),
        np.array([1 + 2j]),
        np.array([math.nan, -0.0], dtype=np.float16),
        np.float32(0.1),
        np.float64(math.nan),
        np.int64(-5),
        np.bool_(True),
        np.complex64(1j),
        10**400,
        -(10**5000),
        "\ud800",
        OrderedDict([("b", 1), ("a", (2, [3]))]),
        {"$": "tuple", "items": [1]},
        {1: "int", "1": "str"},
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_special_values_round_trip_through_files(tmp_path: Path, value: Any) -> None:
    back = through_files({"x": value}, tmp_path)
    assert same(back, {"x": value})


def test_an_optimizer_state_resumes_bit_for_bit(tmp_path: Path) -> None:
    def build() -> tuple[nn.Linear, torch.optim.AdamW]:
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        return model, torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.1), betas=(0.8, 0.9))

    def step(model: nn.Linear, optimizer: torch.optim.AdamW) -> None:
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()

    model, optimizer = build()
    step(model, optimizer)
    state = through_files(optimizer.state_dict(), tmp_path)
    assert same(state, optimizer.state_dict())
    other, resumed = build()
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(state)
    step(model, optimizer)
    step(other, resumed)
    assert torch.equal(model.weight, other.weight)


def test_random_states_round_trip(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    states = {
        "python": random.Random(5).getstate(),
        "torch": torch.Generator().manual_seed(4).get_state(),
        "numpy": generator.bit_generator.state,
        "legacy": np.random.RandomState(6).get_state(),
    }
    back = through_files(states, tmp_path)
    assert same(back, states)
    expected = generator.random(5)
    other = np.random.default_rng(9)
    other.bit_generator.state = back["numpy"]
    assert np.array_equal(other.random(5), expected)


def test_tensors_shared_inside_stay_shared(tmp_path: Path) -> None:
    tensor = torch.rand(3)
    back = through_files({"a": tensor, "b": [tensor]}, tmp_path)
    assert back["a"] is back["b"][0]


class Colour(int):
    """A subclass whose type would be lost."""


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": object()}]}, r"value\['a'\]\[1\]\['b'\] is a builtins.object"),
        ((1, {2}), r"value\[1\] is a builtins.set"),
        ({"a": b"x"}, r"value\['a'\] is a builtins.bytes"),
        ([lambda: 0], r"value\[0\] is a builtins.function"),
        ([Colour(1)], r"value\[0\] is a .*Colour"),
        ({"a": defaultdict(int)}, r"value\['a'\] is a collections.defaultdict"),
        ({True: 1}, r"value has the key True of type bool"),
        ({"a": {1.5: 1}}, r"value\['a'\] has the key 1.5 of type float"),
        ({"a": np.array([None])}, r"value\['a'\] is numpy of dtype object"),
        ({"a": np.array(["x"])}, r"value\['a'\] is numpy of dtype <U1"),
        ({"a": torch.eye(2).to_sparse()}, r"value\['a'\] is a tensor that cannot be stored: its layout"),
    ],
)
def test_anything_else_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(StorageError, match=path):
        pack(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(StorageError, match="contain itself"):
        pack(value)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"$": "module", "name": "os"},
        {"$": ["tuple"]},
        {"$": "tuple"},
        {"$": "tuple", "items": 3},
        {"$": "dict", "items": [[1]]},
        {"$": "dict", "items": [[[], 1]]},
        {"$": "float", "value": "1"},
        {"$": "int", "hex": "zz"},
        {"$": "tensor", "name": "000009"},
        {"$": "tensor", "name": []},
        {"$": "array", "dtype": "O", "shape": [1], "name": "000000"},
        {"$": "array", "dtype": "<f8", "shape": [3], "name": "000000"},
        {"$": "scalar", "dtype": "<f8", "hex": "00"},
        {"$": "scalar", "dtype": "nonsense", "hex": "00"},
    ],
)
def test_a_damaged_document_is_refused(document: Any) -> None:
    with pytest.raises(StorageError, match=r"the packed document|the document"):
        unpack(document, {"000000": torch.zeros(8, dtype=torch.uint8)})


def test_a_document_nested_too_deep_is_refused() -> None:
    document: Any = 1
    for _ in range(500):
        document = [document]
    with pytest.raises(StorageError, match="nested deeper"):
        unpack(document, {})
