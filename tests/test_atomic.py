from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ostinato.errors import StorageError
from ostinato.storage import (
    clean_temporaries,
    commit_directory,
    read_bytes,
    read_json,
    sha256_file,
    temporary_path,
    write_bytes,
    write_json,
)

SYSTEM_CALLS = ("open", "write", "fsync", "replace", "rename")


class Faults:
    """Let the k-th of the system calls fail, after or before it has done its work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int, number: int = errno.ENOSPC) -> None:
        self.calls: list[str] = []
        for name in SYSTEM_CALLS:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name), fail_at, number))

    def _wrap(self, name: str, real: Any, fail_at: int, number: int) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == fail_at:
                raise OSError(number, os.strerror(number))
            return real(*args, **kwargs)

        return call


def test_write_returns_the_digest_of_what_lies_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "a"
    data = bytes(range(256)) * 10
    assert write_bytes(path, data) == hashlib.sha256(data).hexdigest() == sha256_file(path)
    assert path.read_bytes() == read_bytes(path) == data


def test_partial_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    write_bytes(tmp_path / "a", b"0123456789" * 5)
    assert (tmp_path / "a").read_bytes() == b"0123456789" * 5


def test_the_file_is_flushed_before_the_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(monkeypatch, fail_at=0)
    write_bytes(tmp_path / "a", b"x")
    assert faults.calls == ["open", "write", "fsync", "replace", "open", "fsync"]


@pytest.mark.parametrize("fail_at", range(1, 7))
def test_a_failed_write_leaves_the_old_file_or_the_new_one_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        Faults(patch, fail_at)
        with pytest.raises(StorageError, match=r"cannot write '.*a': the disk is full; free some space"):
            write_bytes(path, b"new")
    assert path.read_bytes() == (b"old" if fail_at <= 4 else b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EACCES, "permission denied; check the owner"),
        (errno.EROFS, "the file system is read-only; choose"),
        (errno.EIO, "input/output error"),
        (errno.EMFILE, "Too many open files"),
    ],
)
def test_a_failure_is_said_in_words_on_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    Faults(monkeypatch, 1, number)
    with pytest.raises(StorageError) as caught:
        write_bytes(tmp_path / "a", b"x")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"):
        write_bytes(tmp_path / "no" / "a", b"x")


def test_json_is_canonical_and_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    document = {"b": [1, 0.1, None, True, "é"], "a": {"x": -0.0}}
    write_json(path, document)
    assert path.read_bytes() == b'{"a":{"x":-0.0},"b":[1,0.1,null,true,"\\u00e9"]}\n'
    assert read_json(path) == document


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_is_not_json_is_refused_before_anything_is_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(StorageError, match="cannot be written as JSON"):
        write_json(tmp_path / "a.json", {"a": value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b'{"a": 1,\n "b": }', "line 2"),
        (b"", "line 1"),
        (b'{"a": 1}\n\n"\xff"', "line 3"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[" * 200_000, "recursion"),
    ],
)
def test_reading_damaged_json_names_file_and_line(tmp_path: Path, data: bytes, where: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"a\.json") as caught:
        read_json(path)
    assert where in str(caught.value)


def test_links_folders_and_pipes_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "folder", "pipe"):
        for read in (read_bytes, sha256_file, read_json):
            with pytest.raises(StorageError, match="not a regular file"):
                read(tmp_path / name)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"xyz")
    with pytest.raises(StorageError, match="truncated: 3 bytes, 4 expected"):
        read_bytes(tmp_path / "a", size=4)
    with pytest.raises(StorageError, match="altered: 3 bytes, 2 expected"):
        read_bytes(tmp_path / "a", size=2)


def _folder(parent: Path) -> Path:
    source = temporary_path(parent / "final")
    (source / "inner").mkdir(parents=True)
    (source / "a").write_bytes(b"1")
    (source / "inner" / "b").write_bytes(b"2")
    return source


def test_a_folder_appears_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _folder(tmp_path)
    with monkeypatch.context() as patch:
        faults = Faults(patch, fail_at=0)
        commit_directory(source, tmp_path / "final")
    # two files, two folders, then the rename, then the parent
    assert faults.calls == ["open", "fsync"] * 4 + ["rename"] + ["open", "fsync"]
    assert (tmp_path / "final" / "inner" / "b").read_bytes() == b"2"
    assert not source.exists()


@pytest.mark.parametrize("fail_at", range(1, 12))
def test_a_folder_that_fails_to_appear_is_not_there_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    source = _folder(tmp_path)
    with monkeypatch.context() as patch:
        Faults(patch, fail_at)
        with pytest.raises(StorageError, match="the disk is full"):
            commit_directory(source, tmp_path / "final")
    present = source if fail_at <= 9 else tmp_path / "final"
    assert [entry.name for entry in tmp_path.iterdir()] == [present.name]
    assert sorted(entry.name for entry in present.iterdir()) == ["a", "inner"]


def test_an_existing_folder_is_not_replaced(tmp_path: Path) -> None:
    source = _folder(tmp_path)
    (tmp_path / "final").mkdir()
    with pytest.raises(StorageError, match="it is there already"):
        commit_directory(source, tmp_path / "final")
    assert source.exists()


def test_left_over_temporaries_are_removed_and_nothing_else(tmp_path: Path) -> None:
    file, folder = temporary_path(tmp_path / "a"), _folder(tmp_path)
    file.write_bytes(b"half")
    (tmp_path / "a").write_bytes(b"whole")
    (tmp_path / ".hidden").write_bytes(b"")
    assert set(clean_temporaries(tmp_path)) == {file.name, folder.name}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".hidden", "a"]
    assert clean_temporaries(tmp_path / "missing") == ()
