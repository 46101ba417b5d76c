"""``ostinato search`` as a command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch

from lines import Ended, ostinato
from ostinato.core.plan import Plan
from ostinato.search.samplers import quiet
from ostinato.search.storage import open_storage
from ostinato.training import load_config
from running import tree

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("default")  # warnings become lines here

CONFIG = """
total = 24
[cycle]
waveform = "cosine"
count = 2
[[bind]]
target = "optimizer.lr"
low = 0.001
high = 0.1
[model]
name = "linear"
[optimizer]
name = "sgd"
lr = 0.1
[train]
batch_size = 256
"""
SEARCH = """
[search]
trials = 12
sampler = "qmc"
metric = "nll"
score = "cycle-mean"
[[search.space]]
field = "optimizer.lr/high"
low = 0.01
high = 1.0
log = true
[[search.space]]
field = "cycle.waveform"
choices = ["cosine", "triangular"]
[[search.space]]
field = "cycle.up"
low = 0.1
high = 0.9
when = { "cycle.waveform" = "triangular" }
"""


def written(folder: Path, text: str = CONFIG + SEARCH) -> Path:
    file = folder / "plan.toml"
    file.write_text(text)
    return file


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    folder = tmp_path_factory.mktemp("finished")
    return folder, ostinato("search", written(folder), "--out", folder / "s", "--no-baseline", "--json")


def test_the_document_is_the_files_and_the_best_plan_trains(finished: tuple[Path, Ended]) -> None:
    folder, ended = finished
    document = ended.document
    assert (ended.status, document) == (0, json.loads((folder / "s" / "result.json").read_text()))
    assert document["trials"]["done"] == 12
    assert document["search"]["objective"] == {
        "metric": "nll", "moment": "cycle-mean", "evaluations": 16, "forced": False, "seed": 0,
    }  # fmt: skip
    assert (document["search"]["sampler"], document["importance"]["cycle.up"]) == ("qmc", None)
    best = folder / "s" / "best.toml"
    assert Plan.from_document(load_config(best).plan or {}) == Plan.from_document(document["best"]["plan"])
    trained = ostinato("train", best, "--out", folder / "trained", "--json")
    assert (trained.status, trained.document["steps"]) == (0, 24)


def test_a_finished_search_shows_what_came_out_without_running_again(finished: tuple[Path, Ended], here: Path) -> None:
    folder = finished[0] / "s"
    before = {name: digest for name, digest in tree(folder).items() if name.endswith((".toml", ".json"))}
    shown = ostinato("search", "--resume", folder, "--no-baseline")
    assert shown.status == 0
    assert {name: digest for name, digest in tree(folder).items() if name in before} == before
    for word in (
        "12 done",
        "the best of 12 trials",
        "nll, cycle-mean",
        "importance: ",
        "best.toml",
        "slices.png",
        "contour.png",
    ):
        assert word in shown.out
    assert "cycle.up" in shown.out


def test_fields_on_the_command_line_replace_those_of_the_file(here: Path) -> None:
    ended = ostinato(
        "search", written(here), "--field", "cycle.count=1..4", "--field", "optimizer.lr/high=0.05,0.1", "--sampler", "grid",
        "--score", "trough", "--metric", "error", "--trials", 99, "--no-baseline", "--json",
    )  # fmt: skip
    assert ended.document["trials"]["done"] == 8
    assert [table["field"] for table in ended.document["search"]["space"]] == ["cycle.count", "optimizer.lr/high"]
    assert (here / "runs" / "search-digits-1" / "best.toml").is_file()


def test_the_same_command_joins_the_search_in_a_shared_storage(here: Path) -> None:
    command = ["search", written(here), "--storage", here / "shared.sqlite3", "--no-baseline", "--json"]
    first = ostinato(*command, "--out", here / "a")
    second = ostinato(*command, "--out", here / "b")
    assert first.document == second.document
    assert not (here / "a" / "trials.sqlite3").exists()
    assert len(open_storage(here / "shared.sqlite3").get_all_studies()) == 1
    lost = ostinato("search", "--resume", here / "a")
    assert (lost.status, lost.err) == (
        2,
        f"error: {here / 'a'}: its trials are in another storage; give its address with --storage\n",
    )


BAD = {
    ("--trials", "0"): "error: trials: got 0, expected a whole number from 1 to 100,000",
    ("--sampler", "randon"): "error: sampler: got 'randon'; did you mean 'random'?",
    ("--score", "every:12"): "error: every:12: 2 evaluations see 2 phases of the cycle and never 50 % of it in one piece, so that plans would be compared by"
    " their phase; score at the trough, by cycle-mean or jittered, or force it",
    ("--score", "through"): "error: score: got 'through'; did you mean 'trough'?; every:N is every N steps",
    ("--field", "optimizer.lr/hihg=0.1..1"): "error: space: optimizer.lr/hihg: optimizer.lr/hihg: there is no field 'hihg' to replace; known: cycle, domain,"
    " effective, high, low, relation, relative, scale, shift, warmup",
    ("--field", "cycle.count"): "error: --field: got 'cycle.count', expected FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=ONE,OTHER",
    ("--field", "cycle.count=9..2"): "error: --field cycle.count: low, high: got 9 and 2, expected low < high",
    ("--engine", "population", "--workers", "2"): "error: workers: the population engine is one process; leave --workers out, or choose --engine processes",
    ("--engine", "population", "--pruner", "median"): "error: pruner: trials that are trained at once end together, so that pruning saves nothing; leave it"
    " out, or choose engine processes",
    ("--storage", "mysql://me:la-sol@host/db"): "error: storage: got 'mysql://me:***@host/db', expected sqlite:///FILE or postgresql://USER@HOST/DATABASE",
}  # fmt: skip


@pytest.mark.parametrize("arguments", list(BAD), ids=" ".join)
def test_bad_input_is_one_line_and_leaves_nothing(here: Path, arguments: tuple[str, ...]) -> None:
    file = written(here, CONFIG)
    ended = ostinato("search", file, *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.removeprefix(f"error: {file}: ").removeprefix("error: ").rstrip("\n") == BAD[
        arguments
    ].removeprefix("error: ")
    assert [path.name for path in here.iterdir()] == ["plan.toml"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[search]\ntrails = 3", "[search] trails: no such key; did you mean 'trials'?"),
        (
            "[search]\nspace = []",
            "[search] space: names no field; write [[search.space]] with field = 'optimizer.lr/high', low = 0.01, high = 1.0",
        ),
        ("[[search.space]]\nlow = 1\nhigh = 2", "[search] space: 1: names no field; write field = 'optimizer.lr/high'"),
    ],
)
def test_a_wrong_search_table_is_one_line(here: Path, table: str, message: str) -> None:
    file = written(here, f"{CONFIG}\n{table}\n")
    ended = ostinato("search", file)
    assert (ended.status, ended.err) == (2, f"error: {file}: {message}\n")


def test_a_locked_interval_is_taken_by_force(here: Path) -> None:
    ended = ostinato(
        "search", written(here, CONFIG), "--score", "every:12", "--force", "--field", "optimizer.lr/high=0.05,0.1", "--sampler", "grid", "--no-baseline",
        "--json",
    )  # fmt: skip
    assert ended.document["trials"]["done"] == 2


def test_a_refused_connection_and_another_version_end_with_2_and_one_line(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato.search.storage._PATIENCE_S", 0.5)
    ended = ostinato("search", written(here), "--storage", "postgresql://me:la-sol@127.0.0.1:1/trials")
    last = ended.err.splitlines()[-1]
    assert (ended.status, "la-sol" in ended.err) == (2, False)
    assert last.startswith("error: ")
    assert "storage: postgresql://me:***@127.0.0.1:1/trials: " in last
    assert "Connection refused" in last
    assert [path.name for path in here.iterdir()] == ["plan.toml"]
    with quiet():
        study = optuna.create_study(study_name="old", storage=open_storage(here / "old.sqlite3"))
    study.set_user_attr("ostinato", {"schema": "ostinato.search/0", "version": "0.0.1", "setup": {}})
    ended = ostinato("search", written(here), "--storage", here / "old.sqlite3", "--name", "old", "--out", here / "s")
    assert ended.status == 2
    assert (
        "was made by ostinato 0.0.1 and follows 'ostinato.search/0', this release reads 'ostinato.search/1'"
        in ended.err
    )
    assert not (here / "s" / "search.json").exists()


def test_a_misspelt_option_beside_resume_is_refused(finished: tuple[Path, Ended]) -> None:
    ended = ostinato("search", "--resume", finished[0] / "s", "--trials", 3)
    assert ended.status == 2
    assert ended.err.startswith(
        "error: --resume: what is searched is fixed before the first trial; leave the other options out"
    )


WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "optuna":
            raise ModuleNotFoundError("No module named 'optuna'", name="optuna")

sys.meta_path.insert(0, Missing())
from ostinato.cli.app import run
import ostinato as ost

assert ost.search.Space and ost.range_test
sys.exit(10 * run(["search"]) + run(["bench", "search"]))
"""


def test_without_optuna_it_is_said_what_to_install_and_the_rest_works() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (22, "")
    line = "error: search: Optuna is not installed; type: pip install 'ostinato[search]'"
    assert [each for each in done.stderr.splitlines() if each.startswith("error: ")] == [line, line]
