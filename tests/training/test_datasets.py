from __future__ import annotations

import gzip
import os
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostinato.errors import DataError
from ostinato.training.archives import read_idx
from ostinato.training.config import DataConfig
from ostinato.training.datasets import Data, Split, load

REAL = Path(os.environ.get("OSTINATO_DATA", "."))
generator = np.random.default_rng(0)
IMAGES = generator.integers(0, 256, (12, 9, 8), dtype=np.uint8)
LABELS = np.arange(12, dtype=np.uint8) % 3


def _idx(values: np.ndarray[Any, np.dtype[np.uint8]], magic: int | None = None) -> bytes:
    head = struct.pack(">I", 0x0800 + values.ndim if magic is None else magic)
    return head + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def _npz(folder: Path, **arrays: Any) -> DataConfig:
    np.savez(folder / "data.npz", **arrays)
    return DataConfig(path=str(folder / "data.npz"))


def _tensors(data: Data) -> tuple[Split, Split]:
    assert isinstance(data.train, Split)
    assert isinstance(data.test, Split)
    return data.train, data.test


def test_digits() -> None:
    data = load(DataConfig(name="digits"))
    train, test = _tensors(data)
    assert (data.shape, data.classes, data.labels) == ((1, 8, 8), 10, tuple("0123456789"))
    assert (train.inputs.min().item(), train.inputs.max().item()) == (0, 1)
    shares = torch.bincount(test.targets) / torch.bincount(torch.cat([train.targets, test.targets]))
    assert ((shares - 0.2).abs() < 0.02).all()  # stratified
    assert load(DataConfig(name="digits")).digest == data.digest
    assert load(DataConfig(name="digits", split_seed=1)).digest != data.digest
    rows = torch.cat([train.inputs, test.inputs]).flatten(1)
    from sklearn.datasets import load_digits

    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, (load_digits().data / 16).tolist()))


@pytest.mark.skipif(not (REAL / "fashion-mnist").is_dir(), reason="needs fashion-mnist in OSTINATO_DATA")
def test_fashion_mnist() -> None:
    data = load(DataConfig(name="fashion-mnist"))
    train, test = _tensors(data)
    assert (len(train), len(test), data.shape, data.classes) == (60000, 10000, (1, 28, 28), 10)
    assert torch.bincount(train.targets).tolist() == [6000] * 10
    assert data.labels[train.targets[0]] == "Ankle boot"
    assert (train.inputs.min().item(), train.inputs.max().item()) == (0, 1)
    assert abs(train.inputs.mean().item() - 0.2860) < 1e-4  # as published with many a normalisation


@pytest.mark.skipif(not (REAL / "mnist").is_dir(), reason="needs mnist in OSTINATO_DATA")
def test_mnist() -> None:
    train, test = _tensors(load(DataConfig(name="mnist")))
    assert train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert (len(test), abs(train.inputs.mean().item() - 0.1307) < 1e-4) == (10000, True)


@pytest.mark.parametrize(
    ("path", "classes", "shape", "sizes"),
    [
        ("cifar10-10k-2k/cifar10_10k_2k.npz", 10, (3, 32, 32), (10000, 2000)),
        ("pneumoniamnist/pneumoniamnist_rebuilt.npz", 2, (1, 28, 28), (4708, 624)),
        ("imbalanced/10_cover.npz", 2, (10,), (228838, 57210)),
    ],
)
def test_real_archives(path: str, classes: int, shape: tuple[int, ...], sizes: tuple[int, int]) -> None:
    if not (REAL / path).is_file():
        pytest.skip(f"needs {path} in OSTINATO_DATA")
    data = load(DataConfig(path=str(REAL / path)))
    train, test = _tensors(data)
    assert (data.classes, data.shape, (len(train), len(test))) == (classes, shape, sizes)
    if len(shape) == 3:
        assert (train.inputs.min().item(), train.inputs.max().item()) == (0, 1)
    else:
        assert abs(train.inputs.mean().item()) < 1e-3


def test_idx_files(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    for values in (IMAGES, LABELS):
        path.write_bytes(gzip.compress(_idx(values), mtime=0))
        assert np.array_equal(read_idx(path), values)


def _flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 0x10
    return bytes(changed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(_idx(IMAGES), mtime=0)[:-40], "cannot be read as gzip: .*; delete it"),
        (_flipped(gzip.compress(_idx(IMAGES), mtime=0)), "cannot be read as gzip"),
        (_idx(IMAGES), "cannot be read as gzip"),
        (b"", "starts with , expected an idx file"),
        (gzip.compress(_idx(IMAGES, 0x0D03), mtime=0), "starts with 00000d03, expected an idx file of bytes"),
        (gzip.compress(_idx(IMAGES)[:-1], mtime=0), r"has 863 bytes of data, its header \(12, 9, 8\) says 864"),
        (gzip.compress(_idx(IMAGES)[:9], mtime=0), "ends inside its header"),
        (gzip.compress(_idx(LABELS) + b"x", mtime=0), "has 13 bytes of data"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "none.gz")


def test_npz_with_a_test_set(tmp_path: Path) -> None:
    colour = generator.integers(0, 256, (12, 9, 8, 3), dtype=np.uint8)
    spec = _npz(tmp_path, x_train=colour, y_train=LABELS + 5, x_test=colour[:3], y_test=LABELS[:3] + 5)
    data = load(spec)
    train, test = _tensors(data)
    assert (data.name, data.shape, data.labels) == ("data", (3, 9, 8), ("5", "6", "7"))
    assert torch.equal(train.inputs[4, 1], torch.tensor(colour[4, :, :, 1]) / 255)
    assert test.targets.tolist() == [0, 1, 2]


def test_npz_of_medmnist(tmp_path: Path) -> None:
    spec = _npz(
        tmp_path,
        train_images=IMAGES,
        train_labels=LABELS[:, None],
        val_images=IMAGES[:1],
        val_labels=LABELS[:1, None],
        test_images=IMAGES[:6],
        test_labels=LABELS[:6, None],
    )
    train, test = _tensors(load(spec))
    assert (tuple(train.inputs.shape), tuple(test.targets.shape)) == ((12, 1, 9, 8), (6,))


def test_npz_of_a_table_is_split_and_standardised_by_training(tmp_path: Path) -> None:
    features = generator.normal(50, 9, (60, 4))
    labels = np.repeat([1, 2, 7], 20)
    data = load(_npz(tmp_path, X=features, y=labels))
    train, test = _tensors(data)
    assert (len(train), len(test), data.labels) == (48, 12, ("1", "2", "7"))
    assert torch.bincount(test.targets).tolist() == [4, 4, 4]
    assert torch.allclose(train.inputs.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(train.inputs.std(0, correction=0), torch.ones(4), atol=1e-5)
    assert not torch.allclose(test.inputs.mean(0), torch.zeros(4), atol=1e-3)


@pytest.mark.parametrize(
    ("channels_last", "shape"),
    [((3, 9, 8), (3, 9, 8)), ((9, 8, 3), (3, 9, 8)), ((3, 8, 3), (3, 8, 3)), ((5, 9, 8), (5, 9, 8))],
)
def test_layout_changes_only_where_it_is_unambiguous(
    tmp_path: Path, channels_last: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    values = generator.random((12, *channels_last))
    assert load(_npz(tmp_path, X=np.tile(values, (3, 1, 1, 1)), y=np.tile(LABELS, 3))).shape == shape


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": LABELS[:3] + 7}, "test label 7 at index 0 does not occur in training"),
        ({"y_train": LABELS * 0, "y_test": LABELS[:3] * 0}, "all training labels are 0; at least two classes"),
        ({"y_train": LABELS[:5]}, "y_train: has 5 labels for 12 examples"),
        ({"y_train": np.eye(12)}, r"y_train: has shape \(12, 12\), expected one class label for each example"),
        ({"y_train": LABELS + 0.5}, "label 0.5 at index 0 is no class"),
        ({"y_train": LABELS * np.nan}, r"y_train: nan at index \(0\)"),
        ({"x_train": np.full((12, 9, 8), np.inf)}, r"x_train: (nan|inf) at index \(0, 0, 0\), expected finite numbers"),
        ({"x_train": IMAGES.astype(str)}, "x_train: holds <U3, expected real numbers"),
        ({"x_train": IMAGES[:0], "y_train": LABELS[:0]}, r"x_train: has shape \(0, 9, 8\)"),
        ({"x_test": IMAGES[:3, :4]}, "examples differ in shape"),
        ({"y_train": np.array([{}] * 12)}, "holds pickled objects, which are never loaded"),
        (
            {"x_train": None},
            "has the keys y_train, x_test, y_test; expected x_train, y_train, x_test, y_test or train_im",
        ),
    ],
)
def test_archives_that_are_not_understood(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:3], "y_test": LABELS[:3], **change}
    spec = _npz(tmp_path, **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(DataError, match=message) as caught:
        load(spec)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_damaged_archives(tmp_path: Path) -> None:
    spec = _npz(tmp_path, X=IMAGES, y=LABELS)
    path = tmp_path / "data.npz"
    whole = path.read_bytes()
    refused = 0
    for index in range(0, len(whole), 7):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 0xFF]) + whole[index + 1 :])
        try:
            load(spec)
        except DataError:
            refused += 1  # a flipped byte in the archive's unused fields may pass; nothing else may be raised
    assert refused > 100
    for content in (b"", whole[:-30], b"no archive"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is no NPZ archive, or is cut short"):
            load(spec)
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        load(spec)


def test_names_and_endings_that_are_unknown() -> None:
    with pytest.raises(DataError, match="no data set is named 'fashion_mnist'; did you mean 'fashion-mnist'"):
        load(DataConfig(name="fashion_mnist"))
    with pytest.raises(DataError, match=r"has the ending '\.json', expected \.npz or \.csv"):
        load(DataConfig(path="a.json"))
    with pytest.raises(DataError, match="has its own test set; leave test and split_seed out"):
        load(DataConfig(name="mnist", test=0.5))


def test_a_csv_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{row},{['no', 'yes'][row % 2]}\n" for row in range(20)))
    data = load(DataConfig(path=str(tmp_path / "t.csv"), test=0.4))
    assert (data.name, data.shape, data.classes, data.labels) == ("t", (1,), 2, ("no", "yes"))
    assert len(_tensors(data)[1]) == 8


def test_split_checks_what_it_gets_and_copies() -> None:
    split = Split(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
    inputs, _ = split.batch([0, 1])
    inputs += 1
    assert split.inputs.sum() == 0
    order = np.array([2, 0])
    order.flags.writeable = False
    assert split.batch(order)[1].tolist() == [0, 0]
    with pytest.raises(DataError, match=r"expected torch\.float32 and torch\.int64"):
        Split(torch.zeros(3, 2).double(), torch.tensor([0, 1, 0]))
    with pytest.raises(DataError, match=r"got inputs \(3, 2\), targets \(2,\)"):
        Split(torch.zeros(3, 2), torch.tensor([0, 1]))


HEAD = "import numpy as np, torch\nfrom torch.utils.data import Dataset, Subset, TensorDataset, IterableDataset\n"
OWN = HEAD + (
    "class Own(Dataset):\n"
    "    def __init__(self, n, targets=None, classes=None):\n"
    "        self.n = n\n"
    "        if targets is not None: self.targets = targets\n"
    "        if classes is not None: self.classes = classes\n"
    "    def __len__(self): return self.n\n"
    "    def __getitem__(self, i): return torch.rand(2, 3), i % 2\n"
)


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Data]]:
    """Load what a module, written from its text, makes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def make(body: str, **args: Any) -> Data:
        sys.modules.pop("ostinato_own_data", None)
        for cached in tmp_path.glob("__pycache__/*"):
            cached.unlink()
        (tmp_path / "ostinato_own_data.py").write_text(OWN + body)
        return load(DataConfig(factory="ostinato_own_data:make", args=args))

    yield make
    sys.modules.pop("ostinato_own_data", None)


def test_a_factory_of_arrays(factory: Callable[..., Data]) -> None:
    body = (
        "def make(n):\n"
        "    x = np.arange(n * 75, dtype=np.uint8).reshape(n, 5, 5, 3)\n"
        "    y = np.arange(n) % 3\n"
        "    return (x, y), (torch.tensor(x), torch.tensor(y))\n"
    )
    data = factory(body, n=6)
    train, test = _tensors(data)
    assert (data.name, data.classes, data.shape) == ("ostinato_own_data:make", 3, (3, 5, 5))
    assert torch.equal(train.inputs, test.inputs)
    assert train.inputs.max() <= 1
    assert factory(body, n=6).digest == data.digest != factory(body, n=9).digest


def test_a_factory_of_data_sets(factory: Callable[..., Data]) -> None:
    state = torch.get_rng_state()
    data = factory("def make(n): return Own(n), Own(4), 5\n", n=8)
    assert torch.equal(state, torch.get_rng_state())
    assert (data.classes, data.shape, len(data.train)) == (5, (2, 3), 8)
    assert factory("def make(n): return Own(n), Own(4), 5\n", n=9).digest != data.digest
    assert factory("def make(): return Own(4, [0, 1, 2, 0]), Own(2, [0, 6])\n").classes == 7
    named = factory("def make(): return Own(4, classes=['cat', 'dog']), Own(2)\n")
    assert (named.classes, named.labels) == (2, ("cat", "dog"))
    subset = factory("def make():\n    d = Own(4, [0, 1, 2, 5])\n    return Subset(d, [0, 1]), Subset(d, [2])\n")
    assert subset.classes == 3
    tensors = factory(
        "def make():\n    d = TensorDataset(torch.zeros(4, 2), torch.tensor([0, 1, 2, 1]))\n    return d, d\n"
    )
    assert isinstance(tensors.train, Split)
    assert tensors.classes == 3


def test_a_factory_may_return_data_itself(factory: Callable[..., Data]) -> None:
    body = (
        "def make():\n"
        "    from ostinato.training.datasets import Data, Split\n"
        "    s = Split(torch.zeros(2, 3), torch.tensor([0, 1]))\n"
        "    return Data('mine', s, s, 2, (3,), 'd', ('a', 'b'))\n"
    )
    assert factory(body).name == "mine"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def make(): return 3", r"returned a int, expected Data, \(train, test\) or"),
        ("def make(): return Own(3), Own(3)", r"cannot count the classes.*return \(train, test, classes\)"),
        ("def make(): return Own(3), Own(3), 1", "got 1 classes, expected a whole number >= 2"),
        ("def make(): return Own(2, [0, 4]), Own(2), 3", "train targets: label 4 at index 1, expected 0 to 2"),
        ("def make(): return Own(0), Own(3), 2", "train: is empty"),
        ("def make(): return Own(2), 7, 2", "test: got a int, expected a map-style data set"),
        (
            "class S(IterableDataset):\n    def __iter__(self): return iter([])\ndef make(): return S(), S(), 2",
            "train: got a S, expected a map-style",
        ),
        (
            "def make(): return (np.zeros((3, 2)), [0, -1, 1]), (np.zeros((1, 2)), [0])",
            "train targets: label -1 at index 1",
        ),
        ("def make(): return (np.zeros((3, 2)), [0, 1]), (np.zeros((1, 2)), [0])", "has 2 labels for 3 examples"),
        ("def make(): return (np.zeros((2, 2)), [0, 1]), (np.zeros((2, 3)), [0, 1])", r"inputs \(2,\), test \(3,\)"),
        (
            "def make(): return (np.zeros((2, 2)), ['a', 'b']), (np.zeros((2, 2)), [0, 1])",
            "hold text, expected class numbers",
        ),
        (
            "class L(Own):\n    def __getitem__(self, i): return 1\ndef make(): return L(2), L(2), 2",
            "its first example is no",
        ),
        ("def make(): return open('surely/none')", "make raised FileNotFoundError"),
    ],
)
def test_factories_that_make_no_data(factory: Callable[..., Data], body: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        factory(body + "\n")
    assert "\n" not in str(caught.value)
