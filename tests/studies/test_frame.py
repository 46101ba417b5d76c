from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ostinato import evaluation
from ostinato.atomic import read_json
from ostinato.errors import ConfigError, RunInterruptedError, StateError, StorageError
from ostinato.studies import NAMES, EvidenceFolder, Runner, every, find
from ostinato.studies.frame import judge, page, provenance
from ostinato.studies.frame.cells import Cell, Measurement, Request, pack_bits, unpack_bits
from ostinato.studies.frame.spec import MNIST, Contrast, Grid, Tuning, on_mnist
from ostinato.studies.frame.study import regime_of
from ostinato.studies.frame.summary import summarise
from ostinato.studies.frame.tuning import settings_of, tune


def _toy() -> ModuleType:
    spec = importlib.util.spec_from_file_location("studies_toy", Path(__file__).with_name("toy.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("studies_toy", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


toy = _toy()


def frozen(root: Path, study: Any) -> EvidenceFolder:
    folder = EvidenceFolder(root, study.spec, "full")
    folder.freeze()
    return folder


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("ostinato.studies.frame.runner.demand_committed", lambda folder: None)
    return toy.install(monkeypatch)


def run(study: Any, root: Path, **options: Any) -> EvidenceFolder:
    runner = Runner(study, "full", root, workers=1, **options)
    runner.run()
    return runner.folder


def test_a_study_that_runs_gives_one_record_an_arm_and_seed_and_a_verdict(tmp_path: Path, study: Any) -> None:
    frozen(tmp_path, study)
    folder = run(study, tmp_path)
    records = folder.records()
    assert len(records) == 2 * (3 * 12 + 3)
    assert {record["seed"] for record in records} == set(range(1000, 1012))
    assert {record["spec"] for record in records} == {study.spec.digest}
    assert {record["tuning"] for record in records} == {folder.tuning_digest()}
    assert all(len(record["code"]) == 64 and record["versions"]["torch"] for record in records)
    summary = summarise(study, tmp_path)
    assert summary.verdict == "supported"
    assert summary.primary is not None
    assert summary.primary.effect == pytest.approx(0.05, abs=0.02)
    assert [line["event"] for line in folder.ledger()] == ["start", "end"]


def test_the_chosen_settings_come_from_development_seeds_and_a_grid_that_extends(tmp_path: Path, study: Any) -> None:
    frozen(tmp_path, study)
    tuned = run(study, tmp_path).tuned()
    assert tuned is not None
    found = tuned["regimes"]["one"]
    assert found["chosen"] == {"base": {"peak": 0.1}, "claimed": {"peak": 0.4}}
    assert [value for value, _ in found["curves"]["claimed"]] == [0.1, 0.2, 0.4, 0.8]
    assert [value for value, _ in found["curves"]["base"]] == [0.05, 0.1, 0.2]
    assert found["at_edge"] == []
    assert {one["seed"] for one in found["runs"]} == {0, 1}
    twins = [cell for cell in toy.measured if cell.arm == "twin"]
    assert all(cell.settings == {"peak": 0.4} for cell in twins)


def test_an_arm_that_takes_settings_over_is_tuned_after_the_arm_that_it_takes_them_from() -> None:
    grids = {
        "claimed": Grid("width", (1.0, 2.0, 3.0), extensions=0),
        "base": Grid("peak", (0.1, 0.2, 0.4), extensions=1),
    }
    chain = toy.spec(tuning=Tuning(grids, {"claimed": "base", "twin": "claimed"}, "score", 2))
    asked: list[Cell] = []

    def measure(cells: Sequence[Cell]) -> Iterator[Measurement]:
        asked.extend(cells)
        for cell in cells:
            yield Measurement(
                cell, {"score": abs(np.log(cell.settings["peak"] / 0.8)) + abs(cell.settings.get("width", 3.0) - 3.0)}
            )

    found = tune(chain, chain.regimes[0], "full", measure)
    assert found["chosen"] == {"claimed": {"width": 3.0}, "base": {"peak": 0.8}}
    assert found["at_edge"] == ["base"]  # extended as often as it may be; widths have no edge
    assert [cell.settings for cell in asked if cell.arm == "claimed" and cell.seed == 0] == [
        {"peak": 0.8, "width": width} for width in (1.0, 2.0, 3.0)
    ]
    assert settings_of(chain, "twin", found["chosen"]) == {"peak": 0.8, "width": 3.0}
    assert {run["regime"] for run in found["runs"]} == {"one"}


def test_what_is_finished_is_not_measured_again(tmp_path: Path, study: Any) -> None:
    frozen(tmp_path, study)
    run(study, tmp_path, seeds=4)
    assert summarise(study, tmp_path).verdict == "not run"  # cells are missing, so there is no verdict
    before, file = len(toy.measured), EvidenceFolder(tmp_path, study.spec, "full").records_file("one")
    lines = file.read_bytes()
    folder = run(study, tmp_path)
    again = toy.measured[before:]
    assert {cell.seed for cell in again} == set(range(1004, 1012))
    assert file.read_bytes().startswith(lines)
    assert len({(r["regime"], r["arm"], r["seed"]) for r in folder.records()}) == len(folder.records()) == 78
    before = len(toy.measured)
    run(study, tmp_path)
    assert len(toy.measured) == before


def test_an_interruption_keeps_what_was_finished(tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen(tmp_path, study)
    whole, calls = toy.measure, []

    def failing(request: Any) -> Any:
        calls.append(request)
        if request.stage == "confirming" and request.cells[0].seed == 1005:
            raise KeyboardInterrupt
        return whole(request)

    broken = replace(study, measure=failing)
    monkeypatch.setattr(sys.modules["ostinato.studies.toy"], "STUDY", broken)
    with pytest.raises(KeyboardInterrupt):
        run(broken, tmp_path)
    folder = EvidenceFolder(tmp_path, study.spec, "full")
    assert {record["seed"] for record in folder.records()} == set(range(1000, 1005))
    assert [line["event"] for line in folder.ledger()] == ["start", "stopped"]
    monkeypatch.setattr(sys.modules["ostinato.studies.toy"], "STUDY", study)
    run(study, tmp_path)
    assert summarise(study, tmp_path).verdict == "supported"


def test_the_same_records_always_give_the_same_verdict_whatever_their_order(tmp_path: Path, study: Any) -> None:
    frozen(tmp_path, study)
    records = run(study, tmp_path).records()
    regime = study.spec.regimes[0]
    once, again = judge(study.spec, regime, records), judge(study.spec, regime, records[::-1])
    assert once.verdict is not None
    assert again.verdict is not None
    assert once.verdict.to_document() == again.verdict.to_document()
    assert once.findings == again.findings


def test_a_required_control_that_is_not_met_refuses_the_claim(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(toy.LEVEL, "twin", 0.10)
    frozen(tmp_path, study)
    folder = run(study, tmp_path)
    found = judge(study.spec, study.spec.regimes[0], folder.records())
    assert found.findings[0].decision.verdict == "supported"
    assert found.verdict is not None
    assert found.verdict.verdict != "supported"
    assert found.literal is not None
    assert found.literal.verdict == "supported"


def test_a_diverged_run_counts_with_the_worst_observed_value(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(request: Any) -> Any:
        for one in toy.measure(request):
            lost = request.stage == "confirming" and (one.cell.arm, one.cell.seed) == ("claimed", 1003)
            yield Measurement(one.cell, {}, status="diverged") if lost else one

    broken = replace(study, measure=diverging)
    monkeypatch.setattr(sys.modules["ostinato.studies.toy"], "STUDY", broken)
    frozen(tmp_path, study)
    records = run(broken, tmp_path).records()
    found = judge(study.spec, study.spec.regimes[0], records, images=True)
    worst = max(record["metrics"].get("error", 0.0) for record in records if record["regime"] == "one")
    base = [r["metrics"]["error"] for r in records if r["regime"] == "one" and r["arm"] == "base"]
    claimed = [r["metrics"].get("error", worst) for r in records if r["regime"] == "one" and r["arm"] == "claimed"]
    assert found.findings[0].diverged == 1
    assert found.findings[0].decision.effect == pytest.approx(sum(base) / 12 - sum(claimed) / 12)
    assert found.findings[0].two_way is None  # without its images the run cannot be resampled


def test_a_contrast_without_pairs_is_judged_without_them(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"base": 1.0, "claimed": -1.0}
    changed = toy.install(
        monkeypatch, contrasts=(Contrast("base - claimed", "primary", weights, "error", 0.01, paired=False),)
    )
    frozen(tmp_path, changed)
    records = [record for record in run(changed, tmp_path).records() if record["regime"] == "one"]
    arms = [[r["metrics"]["error"] for r in records if r["arm"] == arm] for arm in ("base", "claimed")]
    found = judge(changed.spec, changed.spec.regimes[0], records).findings[0]
    assert found.decision == evaluation.decide_unpaired(*arms, 0.01, seed=0)
    welch = evaluation.welch_t(*arms).interval
    assert found.t_interval == (welch.low, welch.high)
    with pytest.raises(ConfigError, match="without pairs, a contrast is one arm less another"):
        toy.spec(contrasts=(Contrast("x", "primary", {"base": 2.0, "claimed": -1.0}, "error", 0.1, paired=False),))


def test_a_condition_that_nothing_is_lost_is_met_without_a_gain(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(toy.LEVEL, "twin", 0.10)

    def of(no_worse: bool, weights: dict[str, float], margin: float) -> Any:
        condition = Contrast("kept", "required", weights, "error", margin, no_worse=no_worse)
        return toy.install(monkeypatch, contrasts=(study.spec.primary, condition))

    alike, lost = {"twin": 1.0, "claimed": -1.0}, {"claimed": 1.0, "base": -1.0}
    for name, no_worse, weights, margin, expected in (
        ("gain", False, alike, 0.06, "not supported"), ("kept", True, alike, 0.06, "supported"), ("lost", True, lost, 0.01, "not supported"),
    ):  # fmt: skip
        changed = of(no_worse, weights, margin)
        frozen(tmp_path / name, changed)
        records = run(changed, tmp_path / name).records()
        found = judge(changed.spec, changed.spec.regimes[0], records)
        assert found.findings[1].decision.no_worse is no_worse
        assert found.findings[0].decision.verdict == "supported"
        assert found.verdict is not None
        assert found.verdict.verdict == expected
        row = page._row(found.findings[1])
        assert (f"no worse than -{100 * margin:.2f}" in row) == no_worse


def test_a_contrast_without_the_condition_reads_as_before_it_existed() -> None:
    changed = toy.spec(contrasts=(replace(toy.spec().primary, no_worse=True), *toy.spec().contrasts[1:]))
    assert all("no_worse" not in contrast for contrast in toy.spec().to_document()["contrasts"])
    assert changed.to_document()["contrasts"][0]["no_worse"] is True
    assert changed.digest != toy.spec().digest
    evidence = Path(__file__).parents[2] / "evidence"
    assert (
        find("weight-decay-escape").spec.digest == read_json(evidence / "weight-decay-escape" / "spec.json")["digest"]
    )


# -- repetitions -----------------------------------------------------------------------------------------------


def test_a_study_on_fashion_mnist_is_repeated_on_mnist_and_nothing_else_changes() -> None:
    study = find("snapshot-ensemble")
    again = find("snapshot-ensemble-mnist")
    assert (again.measure, again.repetitions) == (study.measure, ())
    assert [regime.data for regime in study.spec.regimes] == ["fashion-mnist", "digits"]
    (regime,) = again.spec.regimes
    assert (regime.data, regime.sha256, regime.title) == ("mnist", MNIST, "MNIST, 10,000 images, 20 epochs")
    first, second = study.spec.to_document(), again.spec.to_document()
    assert first.pop("regimes")[0]["parameters"] == second.pop("regimes")[0]["parameters"]
    changed = {key for key in second if first.get(key) != second[key]}
    assert changed == {"name", "repeats", "scope", "sd", "data"} - (
        {"data"} if first["data"] == second["data"] else set()
    )
    with pytest.raises(ConfigError, match="phase-lock: its headline is on digits, not on fashion-mnist"):
        on_mnist(find("phase-lock").spec)


def test_every_study_on_fashion_mnist_has_its_repetition_and_a_request_finds_its_data() -> None:
    for study in map(find, NAMES):
        on_fashion = study.spec.regimes[0].data == "fashion-mnist"
        assert (f"{study.spec.name}-mnist" in [one.spec.name for one in study.repetitions]) == on_fashion
    asked = Request("replay-phase-mnist", "split", {}, "tuning", ())
    assert regime_of(asked).data == "mnist"
    assert regime_of(replace(asked, study="replay-phase")).data == "fashion-mnist"


def test_the_page_tells_repetitions_apart_from_the_claims(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = replace(study.spec, name="toy-again", repeats="toy", scope="The same again.")
    later = replace(again, name="toy-later")
    both = replace(study, repeated=(again, later))
    monkeypatch.setattr(sys.modules["ostinato.studies.toy"], "STUDY", both)
    monkeypatch.setattr(page, "NAMES", ("toy",))
    for each in (find("toy"), find("toy-again")):
        frozen(tmp_path, each)
        run(each, tmp_path)
    summaries = page.write_page(tmp_path / "docs" / "EVIDENCE.md", tmp_path)
    assert [one.study.spec.name for one in summaries] == ["toy", "toy-again", "toy-later"]
    text = (tmp_path / "docs" / "EVIDENCE.md").read_text()
    claims, repeated = text.split("Specifications that were repeated")
    assert "| [toy](#toy) |" in claims
    assert "toy-again" not in claims
    assert "| [toy-again](#toy-again) | the headline | **supported** | supported | " in repeated
    assert "| toy-later | the headline | not run | supported |" in repeated
    assert "\n### toy-again\n" in repeated
    assert "### toy-later" not in repeated
    assert (tmp_path / "docs" / "pictures" / "evidence" / "toy-again.svg").exists()


def test_no_full_run_without_a_frozen_specification(tmp_path: Path, study: Any) -> None:
    with pytest.raises(ConfigError, match="was not frozen; type: ostinato study freeze toy"):
        run(study, tmp_path)
    assert not toy.measured


def test_a_changed_specification_is_refused_until_it_is_amended_and_the_old_records_stay(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(tmp_path, study)
    run(study, tmp_path)
    changed = toy.install(monkeypatch, margin_reason="another")
    with pytest.raises(StateError, match=r"spec\.json: the frozen specification .* is not the program's"):
        run(changed, tmp_path)
    assert "belongs to specification" in summarise(changed, tmp_path).outdated
    folder = EvidenceFolder(tmp_path, changed.spec, "full")
    with pytest.raises(ConfigError, match="needs its reason"):
        folder.amend(" ")
    folder.amend("the margin was wrong")
    assert folder.records() == []
    assert len((folder.superseded()[0] / "records" / "one.jsonl").read_text().splitlines()) == 39
    assert [line["why"] for line in folder.amendments()] == ["the margin was wrong"]
    run(changed, tmp_path)
    assert summarise(changed, tmp_path).verdict == "supported"
    assert len(folder.ledger()) == 4  # the attempts before the amendment stay in it


def test_records_of_other_code_are_not_mixed_with_new_ones(
    tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(tmp_path, study)
    run(study, tmp_path, seeds=4)
    monkeypatch.setattr("ostinato.studies.frame.runner.code_digest", lambda: "f" * 64)
    with pytest.raises(StateError, match="holds records of other code"):
        run(study, tmp_path)


def test_records_of_another_version_are_refused(tmp_path: Path, study: Any) -> None:
    folder = frozen(tmp_path, study)
    run(study, tmp_path, seeds=4)
    file = folder.records_file("two")
    file.write_text(file.read_text().replace("ostinato.study.record/1", "ostinato.study.record/9"))
    with pytest.raises(StorageError, match=r"two\.jsonl: line 1 holds a record of 'ostinato\.study\.record/9'"):
        folder.records()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 1}, "expected 2 to 12"),
        ({"seeds": 13}, "toy fixed 12 beforehand"),
        ({"engine": "slurm"}, "--engine: got 'slurm'"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path: Path, study: Any, options: dict[str, Any], message: str) -> None:
    folder = frozen(tmp_path, study)
    with pytest.raises(ConfigError, match=message):
        run(study, tmp_path, **options)
    assert folder.ledger() == []


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'restart-shapes'"):
        find("restart-shape")
    with pytest.raises(ConfigError, match="did you mean 'restart-shapes-mnist'"):
        find("restart-shapes-mnis")
    with pytest.raises(ConfigError, match="no arm 'bse'"):
        toy.spec(contrasts=(Contrast("x", "primary", {"bse": 1.0}, "error", 0.1),))
    with pytest.raises(ConfigError, match="the first contrast must be the primary one"):
        toy.spec(contrasts=(Contrast("x", "secondary", {"base": 1.0}, "error", 0.1),))


def test_bits_come_back() -> None:
    import numpy as np

    for length in (1, 8, 13, 360):
        bits = np.random.default_rng(length).random(length) > 0.5
        assert (unpack_bits(pack_bits(bits)) == bits).all()


def test_the_digest_of_a_specification_changes_with_everything_in_it() -> None:
    spec = toy.spec()
    assert toy.spec().digest == spec.digest
    changed = [replace(spec, seeds=13), replace(spec, claim="other"), replace(spec, regimes=spec.regimes[::-1])]
    assert len({spec.digest, *(one.digest for one in changed)}) == 4
    assert json.loads(json.dumps(spec.to_document())) == spec.to_document()


# -- what is committed -----------------------------------------------------------------------------------------


def git(place: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(place), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout that holds the package."""
    package = tmp_path / "src" / "ostinato"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "code")
    monkeypatch.setattr(provenance, "_PACKAGE", package)
    return tmp_path


def test_a_full_run_needs_a_committed_specification_and_a_clean_tree(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = toy.install(monkeypatch)
    folder = frozen(checkout / "evidence", study)
    with pytest.raises(StateError, match=r"spec\.json: is not committed"):
        Runner(study, "full", checkout / "evidence", workers=1).run()
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "specification")
    provenance.demand_committed(folder)
    (checkout / "src" / "ostinato" / "__init__.py").write_text("changed = True\n")
    with pytest.raises(StateError, match="the working tree has changes"):
        Runner(study, "full", checkout / "evidence", workers=1).run()
    assert not toy.measured
    git(checkout, "checkout", "src")
    folder.frozen.write_text(folder.frozen.read_text() + "\n")
    with pytest.raises(StateError, match="was changed since it was committed"):
        provenance.demand_committed(folder)


def test_an_installed_wheel_has_no_checkout_to_compare_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)
    provenance.demand_committed(frozen(tmp_path, toy.install(monkeypatch)))


# -- the committed evidence ------------------------------------------------------------------------------------

EVIDENCE = Path(__file__).parents[2] / "evidence"
FROZEN = [study.spec.name for study in every() if not study.spec.repeats or (EVIDENCE / study.spec.name).exists()]


@pytest.mark.parametrize("name", FROZEN)
def test_the_committed_specification_is_the_program_s(name: str) -> None:
    study = find(name)
    document = read_json(EVIDENCE / name / "spec.json")
    assert document.pop("digest") == study.spec.digest
    assert document == study.spec.to_document()


@pytest.mark.parametrize("name", FROZEN)
def test_the_committed_records_are_complete_and_judged(name: str) -> None:
    summary = summarise(find(name), EVIDENCE)
    assert summary.outdated == ""
    if not (EVIDENCE / name / "records").exists():  # frozen, and not run yet: the page must say so
        row = next(
            line
            for line in (EVIDENCE.parent / "docs" / "EVIDENCE.md").read_text().splitlines()
            if f"](#{name})" in line
        )
        assert (summary.verdict, "| not run |" in row) == ("not run", True)
        return
    assert all(judgement.missing == 0 for judgement in summary.judgements)
    assert summary.verdict in ("supported", "not supported", "inconclusive")


def test_a_process_that_dies_says_what_to_do_and_keeps_the_rest(tmp_path: Path) -> None:
    from ostinato.studies.frame.cells import Request
    from ostinato.studies.frame.engines import _Processes

    engine = _Processes(1)
    engine._pool.submit(_die)
    with engine, pytest.raises(RunInterruptedError, match="a process of the study died"):
        list(engine.carry_out([Request("restart-shapes", "sgd-10k", {}, "tuning", ())]))


def _die() -> None:
    import os

    os._exit(9)
