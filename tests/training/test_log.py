from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ostinato.errors import StorageError
from ostinato.training.log import MetricsLog, read_metrics


def test_records_come_back(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "log") as log:
        log.write({"step": 0, "loss": 0.1})
        log.write({"step": 1, "loss": 1e-300})
    assert list(read_metrics(tmp_path / "log")) == [{"step": 0, "loss": 0.1}, {"step": 1, "loss": 1e-300}]
    assert (tmp_path / "log").read_bytes() == b'{"step":0,"loss":0.1}\n{"step":1,"loss":1e-300}\n'


def test_the_mark_is_length_and_digest(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "log") as log:
        log.write({"step": 0})
        mark = log.sync()
    data = (tmp_path / "log").read_bytes()
    assert mark == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("torn", [b"", b'{"step":1}\n', b'{"step":1}\n{"st', b"\xff\xfe"])
def test_a_resumed_log_is_cut_back_to_the_mark(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "log"
    with MetricsLog(path) as log:
        log.write({"step": 0})
        mark = log.sync()
    path.write_bytes(path.read_bytes() + torn)
    with MetricsLog(path, mark) as log:
        log.write({"step": 1})
        second = log.sync()
    assert path.read_bytes() == b'{"step":0}\n{"step":1}\n'
    assert second["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"", b'{"step":0}', b'{"step":9}\n'])
def test_another_log_is_refused_and_left(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    with MetricsLog(path) as log:
        log.write({"step": 0})
        mark = log.sync()
    path.write_bytes(content)
    with pytest.raises(
        StorageError, match="log: is not the log that the checkpoint was saved with; restore it from a copy"
    ):
        MetricsLog(path, mark)
    assert path.read_bytes() == content


def test_a_missing_log_is_fine_only_where_nothing_was_marked(tmp_path: Path) -> None:
    empty = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    MetricsLog(tmp_path / "a", empty).close()
    assert (tmp_path / "a").read_bytes() == b""
    with pytest.raises(StorageError, match="is not the log"):
        MetricsLog(tmp_path / "b", {"bytes": 3, "sha256": "0" * 64})


def test_a_value_that_json_does_not_have_is_refused(tmp_path: Path) -> None:
    with MetricsLog(tmp_path / "log") as log, pytest.raises(StorageError, match=r"log: .*not a finite number"):
        log.write({"loss": float("nan")})


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"cannot be written \(Is a directory\); free some space or check the folder"
    ):
        MetricsLog(tmp_path)


def test_reading_leaves_out_a_torn_last_line_and_names_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert list(read_metrics(path)) == []
    path.write_bytes(b'{"step":0}\n{"st')
    assert list(read_metrics(path)) == [{"step": 0}]
    path.write_bytes(b'{"step":0}\n{"st\n{"step":2}\n')
    with pytest.raises(StorageError, match="line 2 is damaged"):
        list(read_metrics(path))
