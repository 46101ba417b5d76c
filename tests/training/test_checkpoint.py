from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ostinato.errors import OstinatoWarning, StorageError
from ostinato.training.checkpoint import Checkpoint, CheckpointStore


def made(count: int) -> Checkpoint:
    return Checkpoint(count, {"model": {"w": torch.full((3,), float(count))}, "random": [{"python": (3, None)}]}, 1.5)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_comes_back_with_types(tmp_path: Path) -> None:
    CheckpointStore(tmp_path).save(made(7))
    found = CheckpointStore(tmp_path).latest()
    assert found is not None
    assert (found.count, found.elapsed_s) == (7, 1.5)
    assert torch.equal(found.state["model"]["w"], torch.full((3,), 7.0))
    assert found.state["random"] == [{"python": (3, None)}]


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "absent").latest() is None


def test_the_newest_by_count_is_taken_and_two_stay(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for count in (5, 999_999_999_999, 30):
        store.save(made(count))
    assert names(tmp_path) == ["step-000000000030", "step-999999999999"]
    found = store.latest()
    assert found is not None
    assert found.count == 999_999_999_999


def test_saving_the_same_count_again_changes_nothing(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    place = store.save(made(5))
    before = (place / "state.json").stat().st_mtime_ns
    store.save(made(5))
    assert (place / "state.json").stat().st_mtime_ns == before


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "a bit of the tensors": lambda place: _flip(place / "tensors.safetensors"),
    "a bit of the state": lambda place: _flip(place / "state.json"),
    "an empty state": lambda place: (place / "state.json").write_text(""),
    "no tensors": lambda place: (place / "tensors.safetensors").unlink(),
    "truncated tensors": lambda place: os.truncate(place / "tensors.safetensors", 50),
    "another version": lambda place: (place / "state.json").write_text('{"schema":"ostinato.checkpoint","version":9}'),
}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_passed_over_by_name_and_replaced_when_saved_again(tmp_path: Path, damage: str) -> None:
    store = CheckpointStore(tmp_path)
    store.save(made(5))
    DAMAGE[damage](store.save(made(6)))
    with pytest.warns(OstinatoWarning, match=r"checkpoint passed over: .*step-000000000006"):
        found = store.latest()
    assert found is not None
    assert found.count == 5
    store.save(made(6))
    again = store.latest()
    assert again is not None
    assert again.count == 6


def test_if_all_are_damaged_there_is_one_error(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    for count in (5, 6):
        _flip(store.save(made(count)) / "state.json")
    with (
        pytest.warns(OstinatoWarning),
        pytest.raises(StorageError, match=r"every checkpoint is damaged; restore one from a copy, or start again with"),
    ):
        store.latest()


def test_what_cannot_be_stored_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"\['model'\].* is a builtins.object, which cannot be stored without pickle"
    ):
        CheckpointStore(tmp_path).save(Checkpoint(1, {"model": object()}, 0.0))
    assert names(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text("")
    with pytest.raises(StorageError, match=r"checkpoint.*cannot be written"):
        CheckpointStore(tmp_path / "checkpoint").save(made(1))
