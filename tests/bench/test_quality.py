from __future__ import annotations

from pathlib import Path

import pytest

from ostinato.bench import quality
from ostinato.cli.app import run
from ostinato.records import add_records

EVIDENCE = Path(__file__).parents[2] / "evidence"


def test_ratios_come_from_the_records(tmp_path: Path) -> None:
    file = tmp_path / "snapshot-ensemble" / "records" / "fashion-10k.jsonl"
    file.parent.mkdir(parents=True)
    scores = {
        ("snapshots", 1): (0.10, 0.3),
        ("cosine", 1): (0.20, 0.4),
        ("snapshots", 2): (0.10, 0.3),
        ("cosine", 2): (0.05, 0.2),
    }
    records = [
        {"arm": arm, "seed": seed, "status": "done", "metrics": {"error": error, "nll": nll}}
        for (arm, seed), (error, nll) in scores.items()
    ]
    lost = {"arm": "snapshots", "seed": 3, "status": "diverged", "metrics": {}}
    add_records(file, [*records, lost], schema="ostinato.study.record/1")
    error, nll = quality.measure(tmp_path)
    assert (error.ratio, error.spread, error.holds) == (
        pytest.approx(0.8),
        (pytest.approx(0.875), pytest.approx(1.625)),
        None,
    )
    assert nll.ratio == pytest.approx(1.0)
    assert error.detail["seeds"] == 2


def test_the_committed_records_are_the_ones_that_are_read() -> None:
    error, nll = quality.measure(EVIDENCE)
    assert error.detail["seeds"] == nll.detail["seeds"] == 20
    assert 0.8 < error.ratio < 1.2


def test_without_records_there_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quality.measure(tmp_path) == []
    monkeypatch.chdir(tmp_path)
    assert run(["bench", "quality"]) == 2
    assert "reads the records under evidence/" in capsys.readouterr().err
