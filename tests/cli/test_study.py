from __future__ import annotations

import json
from pathlib import Path

import pytest

from ostinato.cli.app import run
from ostinato.studies import NAMES


def test_list_names_every_study_with_claim_and_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "list", "--json", "--evidence", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows if row["repeats"] is None] == list(NAMES)
    assert {row["repeats"] for row in rows} - {None} < set(NAMES)
    assert all({"name", "claim", "verdict", "effect", "interval", "seeds", "profile"} <= set(row) for row in rows)
    assert {row["verdict"] for row in rows} == {"not run"}
    assert run(["study", "list", "--evidence", str(tmp_path)]) == 0
    assert "restart-shapes" in capsys.readouterr().out


def test_freeze_then_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence, page = str(tmp_path / "evidence"), tmp_path / "docs" / "EVIDENCE.md"
    assert run(["study", "freeze", "restart-shapes", "--evidence", evidence]) == 0
    assert "spec.json: commit it, then: ostinato study run restart-shapes" in capsys.readouterr().out
    assert run(["study", "report", "--evidence", evidence, "--page", str(page)]) == 0
    assert "restart-shapes not run" in capsys.readouterr().out
    assert "No verdict" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "restart-shape"], "error: study: got 'restart-shape'; did you mean 'restart-shapes'?"),
        (["run", "restart-shapes", "--seeds", "1"], "expected 2 to 3"),
        (["run", "restart-shapes", "--engine", "slurm"], "error: --engine: got 'slurm'"),
        (["run", "restart-shapes", "--profile", "full"], "the specification was not frozen; type: ostinato study freeze restart-shapes"),
        (["amend", "restart-shapes", "--why", " "], "--why: an amendment needs its reason"),
        (["pilot", "nothing"], "error: study: got 'nothing'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["study", *arguments]) == 2
    shown = capsys.readouterr().err.strip().splitlines()
    assert len(shown) == 1
    assert message in shown[0]
    assert not list(tmp_path.rglob("*.json*"))
