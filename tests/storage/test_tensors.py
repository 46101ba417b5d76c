from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ostinato.errors import StorageError
from ostinato.storage import TensorFile, load_tensors, save_tensors
from ostinato.storage.tensors import encode_tensors


def same(a: Tensor, b: Tensor) -> bool:
    """Equal in dtype, shape and every bit."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    raw = [t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
    return torch.equal(*raw)


EDGE = {
    "scalar": torch.tensor(3.5),
    "empty": torch.empty(0, 3),
    "bool": torch.tensor([True, False]),
    "bf16": torch.tensor([1.0, float("nan")], dtype=torch.bfloat16),
    "half": torch.tensor([[1.0], [float("inf")]], dtype=torch.float16),
    "int8": torch.arange(-3, 3, dtype=torch.int8),
    "long": torch.tensor(2**62),
    "double": torch.tensor([0.1, -0.0], dtype=torch.float64),
    "complex": torch.tensor([1 + 2j], dtype=torch.complex64),
    "float8": torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("name", sorted(EDGE))
def test_every_kind_comes_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    record = save_tensors(tmp_path / "a", {name: EDGE[name]})
    assert same(load_tensors(tmp_path / "a", record)[name], EDGE[name])


def test_views_come_back_as_what_they_showed(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    views = {
        "transposed": base.t(),
        "strided": base[::2, 1::2],
        "expanded": base[:1].expand(5, 6),
        "left": base[:, :4],
        "right": base[:, 2:],
        "flat": base.view(-1),
        "base": base,
        "conj": torch.tensor([1 + 2j]).conj(),
        "channels": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    record = save_tensors(tmp_path / "a", views)
    loaded = load_tensors(tmp_path / "a", record)
    assert record.aliases == {}
    for name, view in views.items():
        assert same(loaded[name], view.resolve_conj()), name
    assert len({tensor.data_ptr() for tensor in loaded.values()}) == len(views)


def test_a_part_of_a_large_tensor_is_stored_alone(tmp_path: Path) -> None:
    record = save_tensors(tmp_path / "a", {"part": torch.zeros(100_000)[:10]})
    assert record.bytes < 1000


def test_tied_tensors_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    weight = torch.rand(50, 50)
    tensors = {"encoder": weight, "decoder": weight.view(50, 50), "parameter": torch.nn.Parameter(weight)}
    record = save_tensors(tmp_path / "a", tensors)
    assert record.aliases == {"encoder": "decoder", "parameter": "decoder"}
    assert list(load_file(tmp_path / "a")) == ["decoder"]
    loaded = load_tensors(tmp_path / "a", record)
    assert loaded["encoder"] is loaded["decoder"] is loaded["parameter"]
    assert same(loaded["encoder"], weight)


def test_empty_tensors_are_not_tied_by_their_null_pointer(tmp_path: Path) -> None:
    record = save_tensors(tmp_path / "a", {"a": torch.empty(0), "b": torch.empty(0)})
    assert record.aliases == {}
    assert set(load_tensors(tmp_path / "a", record)) == {"a", "b"}


def test_no_tensors_are_fine(tmp_path: Path) -> None:
    assert load_tensors(tmp_path / "a", save_tensors(tmp_path / "a", {})) == {}


def test_bytes_do_not_depend_on_the_order_of_names() -> None:
    tensors = {name: EDGE[name] for name in sorted(EDGE)}
    backwards = dict(reversed(tensors.items()))
    assert encode_tensors("a", tensors) == encode_tensors("a", backwards)


def test_loaded_tensors_can_be_written_to(tmp_path: Path) -> None:
    record = save_tensors(tmp_path / "a", {"a": torch.zeros(3)})
    loaded = load_tensors(tmp_path / "a", record)
    loaded["a"].add_(1)
    assert loaded["a"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(2, dtype=torch.complex128), "complex128"),
        (torch.zeros(2, dtype=torch.uint16), "uint16"),
        (torch.eye(3).to_sparse(), "to_dense"),
        (torch.zeros(2, device="meta"), "meta device"),
        (3.0, "is a float, not a tensor"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(tmp_path: Path, value: object, words: str) -> None:
    with pytest.raises(StorageError, match=r"layer\.bad") as caught:
        save_tensors(tmp_path / "a", {"good": torch.zeros(1), "layer.bad": value})
    assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    record = save_tensors(path, {"a": torch.rand(10), "b": torch.rand(3)})
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(StorageError, match="truncated"):
            load_tensors(path, record)


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    record = save_tensors(path, {"a": torch.rand(10)})
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(StorageError, match="altered"):
            load_tensors(path, record)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read '.*gone': the file or folder does not exist"):
        load_tensors(tmp_path / "gone", TensorFile("gone", "0" * 64, 3))


def test_bytes_that_match_their_record_but_are_no_tensors_are_refused(tmp_path: Path) -> None:
    import hashlib
    import pickle

    generator = random.Random(0)
    for data in (pickle.dumps({"a": 1}), b"", b"\xff" * 64, generator.randbytes(500), b"\x08" + bytes(7) + b'{"a":{}}'):
        (tmp_path / "a").write_bytes(data)
        record = TensorFile("a", hashlib.sha256(data).hexdigest(), len(data))
        with pytest.raises(StorageError, match="is not a safetensors file"):
            load_tensors(tmp_path / "a", record)


def test_aliases_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    record = save_tensors(tmp_path / "a", {"a": torch.zeros(1)})
    for aliases in ({"b": "missing"}, {"a": "a"}):
        wrong = TensorFile(record.name, record.sha256, record.bytes, aliases)
        with pytest.raises(StorageError, match="alias"):
            load_tensors(tmp_path / "a", wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../a"},
        {"name": "/etc/passwd"},
        {"name": ".."},
        {"name": "a\0b"},
        {"name": "c:\\a"},
        {"name": 3},
        {"sha256": "0" * 63},
        {"sha256": "Z" * 64},
        {"bytes": -1},
        {"bytes": True},
        {"bytes": 1.0},
        {"aliases": []},
        {"aliases": {"a": 1}},
        {"more": 1},
    ],
)
def test_records_are_checked(change: dict[str, object]) -> None:
    good = TensorFile("a.safetensors", "0" * 64, 8, {"x": "y"}).to_document()
    assert TensorFile.from_document(good).aliases == {"x": "y"}
    with pytest.raises(StorageError):
        TensorFile.from_document({**good, **change})
