from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from ostinato.applications.continual import average_accuracy

EXAMPLE = Path(__file__).parents[3] / "examples" / "continual.py"


def test_the_example_prints_its_table_and_draws_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["continual.py", str(tmp_path / "made.png")])
    found = runpy.run_path(str(EXAMPLE))["found"]
    printed = capsys.readouterr().out
    for arm, result in found.items():
        row = next(line for line in printed.splitlines() if line.startswith(arm))
        assert f"{average_accuracy(result.matrix):.1%}" in row
    counts = {arm: int((result.replayed > 0).sum()) for arm, result in found.items()}
    assert (
        counts["where the rate is high"] == counts["where the rate is low"] == counts["at random"] > counts["none"] == 0
    )
    assert (tmp_path / "made.png").stat().st_size > 30_000
