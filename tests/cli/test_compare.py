"""``ostinato compare`` as a command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from lines import Ended, ostinato, plan_file
from running import tree

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("default")  # warnings become lines here


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, ostinato("compare", plan_file(folder), "--seeds", 2, "--out", folder / "a", "--json")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_document_has_arms_verdict_and_sentence(finished: tuple[Path, Ended]) -> None:
    document = finished[1].document
    assert list(document["arms"]) == ["plan", "sorted", "cosine", "constant"]
    for arm in document["arms"].values():
        assert arm["interval"][0] <= arm["mean"] <= arm["interval"][1]
        assert arm["n"] == 2
    assert document["verdict"] in ("supported", "not supported", "inconclusive")
    assert document["sentence"].endswith(".")
    assert document == json.loads((finished[0] / "a" / "result.json").read_text())


def test_the_records_alone_give_the_same_document_and_the_table(finished: tuple[Path, Ended], here: Path) -> None:
    records = here / "records.jsonl"
    shutil.copy(finished[0] / "a" / "records.jsonl", records)
    before = tree(here)
    assert ostinato("compare", "--from", records, "--json").document == finished[1].document
    shown = ostinato("compare", "--from", finished[0] / "a")
    assert tree(here) == before
    assert shown.status == 0
    assert finished[1].document["sentence"] in shown.out
    for word in ("plan", "sorted", "cosine", "constant", "comparator", "required", "literal", "intervals.png"):
        assert word in shown.out
    assert max(map(len, shown.out.split("Cycling")[0].split("Not decided")[0].splitlines())) <= 80


def test_a_finished_comparison_is_not_trained_again(finished: tuple[Path, Ended], here: Path) -> None:
    folder = shutil.copytree(finished[0] / "a", here / "a")
    kept = (folder / "records.jsonl").read_bytes()
    assert ostinato("compare", "--resume", folder, "--json").document == finished[1].document
    assert (folder / "records.jsonl").read_bytes() == kept


WRONG = {
    "one seed": (("--seeds", "1"), r"seeds: got 1, expected a whole number >= 2"),
    "unknown control": (("--controls", "sortd"), "controls: got 'sortd'; did you mean 'sorted'?"),
    "no control": (("--controls", ","), "controls: got none"),
    "a control that the plan cannot have": (("--controls", "in_phase"), "in_phase: "),
    "unknown endpoint": (("--endpoint", "eror"), "endpoint: got 'eror'; did you mean 'error'?"),
    "margin": (("--margin", "0"), "margin: got 0.0, expected a number > 0"),
    "devices": (("--set", "train.devices=2"), "write devices = 1"),
    "two sources": (("--from", "a", "--seeds", "4"), "--from: judges what was recorded"),
    "resume and out": (("--resume", "a", "--out", "b"), "leave --out out"),
    "nothing to resume": (("--resume", "a"), "holds no comparison"),
    "nothing to judge": (("--from", "a"), "holds no records"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_and_nothing_is_written(here: Path, name: str) -> None:
    words, expected = WRONG[name]
    before = tree(here)
    assert expected in ostinato("compare", *words).line
    assert tree(here) == before
    assert list(here.iterdir()) == []


def test_a_run_that_ends_inside_a_cycle_is_refused_with_the_totals_that_fit(here: Path) -> None:
    file = plan_file(here, '"18step"', '"17step"')
    line = ostinato("compare", file, "--seeds", 2).line
    assert "plan.toml: total: 17 steps end inside a cycle" in line
    assert "write total = 10step or 18step" in line
    assert list(here.iterdir()) == [file]


def test_records_of_another_version(finished: tuple[Path, Ended], here: Path) -> None:
    folder = shutil.copytree(finished[0] / "a", here / "a")
    file = folder / "records.jsonl"
    file.write_text(file.read_text().replace("ostinato.compare/1", "ostinato.compare/9"))
    before = tree(here)
    for option in ("--from", "--resume"):
        assert "follows" not in ostinato("compare", option, folder).line
        assert "line 1 holds a record of 'ostinato.compare/9'" in ostinato("compare", option, folder).line
    assert tree(here) == before


def test_another_plan_on_resuming_shows_the_difference(finished: tuple[Path, Ended], here: Path) -> None:
    folder = shutil.copytree(finished[0] / "a", here / "a")
    line = ostinato("compare", "--resume", folder, "--set", "optimizer.lr/high=0.2").line
    assert "optimizer.lr/high was 0.1, is 0.2" in line
    assert (
        ostinato("compare", "--resume", folder, "--endpoint", "nll").line.count("endpoint was 'error', is 'nll'") == 1
    )
