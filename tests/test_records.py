from __future__ import annotations

from pathlib import Path

import pytest

from ostinato.errors import StorageError
from ostinato.records import add_records, read_records


def test_a_file_that_is_not_there_holds_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none.jsonl", schema="a/1") == []


def test_records_come_back_in_order_with_their_schema(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    add_records(file, [{"n": 2}, {"n": 1}], schema="a/1")
    add_records(file, [{"n": 0}], schema="a/1")
    assert read_records(file, schema="a/1") == [{"n": n, "schema": "a/1"} for n in (2, 1, 0)]


def test_records_of_another_version_are_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    add_records(file, [{"n": 2}], schema="a/1")
    before = file.read_bytes()
    for action in (lambda: read_records(file, schema="a/2"), lambda: add_records(file, [{"n": 3}], schema="a/2")):
        with pytest.raises(StorageError, match=r"line 1 holds a record of 'a/1', this release reads 'a/2'"):
            action()
    assert file.read_bytes() == before


def test_a_torn_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    add_records(file, [{"n": 1}, {"n": 2}], schema="a/1")
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(StorageError, match=r"r\.jsonl: line 2 is not JSON"):
        read_records(file, schema="a/1")


def test_what_cannot_be_written_as_json_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    add_records(file, [{"n": 1}], schema="a/1")
    with pytest.raises(StorageError, match="cannot be written as JSON"):
        add_records(file, [{"n": float("nan")}], schema="a/1")
    assert read_records(file, schema="a/1") == [{"n": 1, "schema": "a/1"}]
