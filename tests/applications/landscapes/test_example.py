from __future__ import annotations

import runpy
import statistics
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "landscapes.py"


def test_the_example_prints_its_table_and_draws_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["landscapes.py", str(tmp_path / "made.png")])
    found = runpy.run_path(str(EXAMPLE))["found"]
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if len(line.split()) > 5}
    for place, arm in enumerate(("constant", "restarts", "sorted", "cosine", "triangular")):
        assert float(rows[arm][0]) == pytest.approx(statistics.median(found.excess[place]), rel=0.01)
    assert (tmp_path / "made.png").stat().st_size > 20_000
