from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ostinato.atomic import write_json
from ostinato.studies import EvidenceFolder, Runner
from ostinato.studies.frame import page as page_module
from ostinato.studies.frame.instruments import lines_of, measure_coverage, measure_phase_lock
from ostinato.studies.frame.page import write_page
from ostinato.studies.frame.pilot import pilot
from ostinato.studies.frame.spec import Contrast

_spec = importlib.util.spec_from_file_location("studies_toy_page", Path(__file__).with_name("toy.py"))
assert _spec is not None
assert _spec.loader is not None
toy: Any = sys.modules.setdefault("studies_toy_page", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(toy)


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Evidence of the toy study, which is the only one."""
    study = toy.install(monkeypatch)
    monkeypatch.setattr("ostinato.studies.frame.runner.demand_committed", lambda folder: None)
    monkeypatch.setattr(page_module, "NAMES", ("toy",))
    root = tmp_path / "evidence"
    EvidenceFolder(root, study.spec, "full").freeze()
    Runner(study, "full", root, workers=1).run()
    return root


def test_the_page_is_made_of_the_records_alone(tmp_path: Path, evidence: Path) -> None:
    file = tmp_path / "docs" / "EVIDENCE.md"
    file.parent.mkdir()
    write_page(file, evidence)
    text, picture = file.read_text(), (file.parent / "pictures" / "evidence" / "toy.svg").read_bytes()
    assert "| [toy](#toy) | The claimed arm errs less. | **supported** |" in text
    assert "Controlled: **supported**" in text
    assert "Literal (against base): **supported**" in text
    assert re.search(
        r"\| base - claimed \| primary \| \+\d\.\d\d points \| .* to .* \| .* to .* \| .* to .* \| 1\.00 \| supported \|",
        text,
    )
    assert "claimed | peak 0.4 | 0.1: 138.63%" in text  # the whole curve of the tuning
    assert "1 starts, 1 ended, 0 stopped" in text
    write_page(file, evidence)
    assert file.read_text() == text
    assert (file.parent / "pictures" / "evidence" / "toy.svg").read_bytes() == picture


def test_what_is_said_across_regimes_stands_after_them(
    tmp_path: Path, evidence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["ostinato.studies.toy"]
    telling = replace(
        module.STUDY, across=lambda records: [f"{len({r['regime'] for r in records})} regimes were seen."]
    )
    monkeypatch.setattr(module, "STUDY", telling)
    write_page(tmp_path / "EVIDENCE.md", evidence)
    text = (tmp_path / "EVIDENCE.md").read_text()
    assert "Across regimes:\n\n- 2 regimes were seen." in text
    assert text.index("### another") < text.index("Across regimes:") < text.index("Arms: ")


def test_a_superseded_verdict_is_shown(tmp_path: Path, evidence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = toy.install(monkeypatch, margin_reason="another")
    EvidenceFolder(evidence, changed.spec, "full").amend("the margin was wrong")
    file = tmp_path / "EVIDENCE.md"
    write_page(file, evidence)
    text = file.read_text()
    assert "the margin was wrong (superseded verdict: supported, records in `superseded/1`)" in text
    assert "| [toy](#toy) | The claimed arm errs less. | not run |" in text


def test_no_study_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.install(monkeypatch)
    monkeypatch.setattr(page_module, "NAMES", ("toy",))
    write_page(tmp_path / "EVIDENCE.md", tmp_path / "none")
    text = (tmp_path / "EVIDENCE.md").read_text()
    assert "No verdict: 39 cells are missing." in text
    assert "not run" in text


def test_the_instruments_are_shown_with_their_figures(tmp_path: Path) -> None:
    phase, coverage = measure_phase_lock(), measure_coverage(200)
    write_json(tmp_path / "instruments.json", {"coverage": coverage, "phase_lock": phase})
    text = "\n".join(lines_of(tmp_path))
    assert [entry["phases"] for entry in phase["intervals"].values()] == [1, 2, 10]
    naive = phase["intervals"]["10"]
    assert naive["high"] - naive["low"] > 0.005
    assert all(abs(entry["bias"]) < (naive["high"] - naive["low"]) / 2 for entry in phase["timings"].values())
    assert "| every 10 steps | 1 of 10 |" in text
    assert "| studentised | 8 |" in text
    assert list(lines_of(tmp_path / "nowhere")) == []


def test_a_study_without_tuning_with_a_table_and_an_interaction_has_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"base": 1.0, "claimed": -2.0, "twin": 1.0}
    study = toy.install(
        monkeypatch, tuning=None, contrasts=(Contrast("both - claimed", "primary", weights, "error", 0.01),)
    )
    told = replace(study, table=lambda records: [f"| {len(records)} records |", "|---|", ""])
    monkeypatch.setattr(sys.modules["ostinato.studies.toy"], "STUDY", told)
    monkeypatch.setattr("ostinato.studies.frame.runner.demand_committed", lambda folder: None)
    monkeypatch.setattr(page_module, "NAMES", ("toy",))
    folder = EvidenceFolder(tmp_path, study.spec, "full")
    folder.freeze()
    Runner(told, "full", tmp_path, workers=1).run()
    assert not folder.tuning.exists()
    assert {(record["tuning"], str(record["settings"])) for record in folder.records()} == {("", "{}")}
    write_page(tmp_path / "EVIDENCE.md", tmp_path)
    text = (tmp_path / "EVIDENCE.md").read_text()
    assert "\n\n| 39 records |\n|---|\n\n| arm | error |" in text
    assert re.search(r"Controlled: \*\*supported\*\*\. both - claimed \+\d+\.\d\d points \(", text)
    assert "Settings chosen" not in text


def test_regrets_are_read_in_percent_of_the_spread_of_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(request: Any) -> Any:
        for one in toy.measure(request):
            yield replace(one, metrics={**one.metrics, "regret": one.metrics.get("error", 0.0)})

    weights = {"base": 1.0, "claimed": -1.0}
    study = toy.install(monkeypatch, contrasts=(Contrast("base - claimed", "primary", weights, "regret", 0.01),))
    told = replace(study, measure=measure)
    monkeypatch.setattr(sys.modules["ostinato.studies.toy"], "STUDY", told)
    monkeypatch.setattr("ostinato.studies.frame.runner.demand_committed", lambda folder: None)
    monkeypatch.setattr(page_module, "NAMES", ("toy",))
    EvidenceFolder(tmp_path, study.spec, "full").freeze()
    Runner(told, "full", tmp_path, workers=1).run()
    write_page(tmp_path / "EVIDENCE.md", tmp_path)
    text = (tmp_path / "EVIDENCE.md").read_text()
    assert re.search(r"\| base - claimed \| primary \| \+\d\.\d\d % IQR \|", text)
    svg = (tmp_path / "pictures" / "evidence" / "toy.svg").read_text()
    assert "difference of regret in % IQR; right" in svg


def test_a_pilot_of_arms_that_score_alike_asks_for_the_fewest_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    for row in pilot(toy.install(monkeypatch), 4, workers=1):
        assert row["paired_sd"] == pytest.approx(0.0, abs=1e-12)
        assert row["seeds_for_80"] == 12


def test_a_pilot_of_a_study_without_tuning_tells_the_spread_of_its_primary_metric(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = toy.install(monkeypatch, tuning=None)
    asked: list[Any] = []

    def measure(request: Any) -> Any:
        asked.append(request)
        return toy.measure(replace(request, stage="confirming"))

    told = replace(study, measure=measure)
    monkeypatch.setattr(sys.modules["ostinato.studies.toy"], "STUDY", told)
    rows = pilot(told, 4, workers=1)
    assert [row["regime"] for row in rows] == ["one", "two"]
    assert all(0.0 < row["pooled_sd"] < 0.1 and 0.0 < row["paired_sd"] < 0.1 for row in rows)
    assert {request.stage for request in asked} == {"tuning"}
    assert {(cell.arm, cell.seed) for request in asked for cell in request.cells} == {
        (arm, seed) for arm in study.spec.arms for seed in range(96, 100)
    }
