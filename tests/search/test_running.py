"""Searches whole: every engine finds the same, what is written, what the baseline is, going on after an interruption."""

from __future__ import annotations

import json
import signal
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, PlanError, RunInterruptedError, StateError
from ostinato.search import Choice, Objective, Range, Search, Space, optimize, resume
from ostinato.search.outcome import best_of
from ostinato.search.trials import Laboratory
from ostinato.training import load_config
from searching import SPACE, config, laboratory

torch.set_num_threads(1)


def search(out: Path, **changes: Any) -> Search:
    return optimize(config(), **{"space": SPACE, "trials": 6, "out": out, "baseline": False, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return search(tmp_path_factory.mktemp("done") / "s", trials=12, baseline=True)


def test_every_trial_ends_and_the_best_is_the_lowest(done: Search) -> None:
    assert done.document["trials"] == {"done": 12, "pruned": 0, "diverged": 0, "infeasible": 0, "lost": 0}
    best = best_of(done.trials)
    assert best is not None
    assert (
        done.document["best"]["score"] == best.score == min(row.score for row in done.trials if row.score is not None)
    )
    assert done.document["cost"]["steps"] == 12 * 24


def test_a_trials_score_is_that_of_its_plan_trained_alone(done: Search) -> None:
    lab = laboratory()
    for row in done.trials[:3]:
        alone = lab.alone(lab.resolve(SPACE.plan(lab.base, row.values)))
        assert alone.score == pytest.approx(row.score, abs=1 / 288)  # one example of the held-out ones
        assert alone.steps == row.steps == 24


def test_the_best_plan_is_written_ready_to_train(done: Search) -> None:
    written = load_config(done.folder.best)
    assert Plan.from_document(written.plan or {}).digest == (done.best or Plan()).digest
    assert written.model.name == "linear"
    assert "search" not in tomllib.loads(done.folder.best.read_text())
    assert json.loads(done.folder.result.read_text()) == done.document
    for picture in done.pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert [picture.name for picture in done.pictures] == ["slices.png", "contour.png"]


def test_importance_is_a_share_of_each_field(done: Search) -> None:
    shares = done.document["importance"]
    assert list(shares) == ["optimizer.lr/high", "cycle.count"]
    assert sum(shares.values()) == pytest.approx(1.0)


def test_the_baseline_costs_what_the_search_did_and_both_are_confirmed_on_examples_nothing_was_chosen_by(
    done: Search,
) -> None:
    baseline = done.document["baseline"]
    assert 0 <= done.document["cost"]["steps"] - baseline["steps"] + 100 < 100 + 24 or baseline["runs"] == 1
    assert baseline["best"] <= baseline["mean"]
    plan = Plan.from_document(baseline["plan"])
    assert plan.cycle is not None
    assert (plan.cycle.waveform, plan.cycle.count, plan.total) == ("cosine", 5, "24step")
    wave = plan.bound["optimizer.lr"].schedule
    assert (wave.low, wave.high) == (pytest.approx(baseline["rate"] / 100), baseline["rate"])
    confirmed = baseline["confirmed"]
    assert (confirmed["seeds"], confirmed["examples"]) == (8, 360)
    assert confirmed["gain"]["effect"] == pytest.approx(confirmed["baseline"] - confirmed["search"])


def test_the_test_examples_are_not_what_trials_are_scored_by() -> None:
    lab = laboratory()
    held = lab.data.test.inputs
    kept = lab.data.train.inputs
    tested = lab.material.data.test.inputs
    as_rows = lambda part: {row.numpy().tobytes() for row in part}  # noqa: E731 - it is one expression
    assert len(held) + len(kept) == 1437
    assert not as_rows(held) & as_rows(kept)
    assert len(as_rows(held) & as_rows(tested)) <= 2  # digits has a few doubles
    assert lab.confirming.test is lab.material.data.test


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return search(tmp_path_factory.mktemp("single") / "s", engine="processes", workers=1)


@pytest.mark.parametrize("engine", ["processes", "ray"])
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_other_engines_find_the_same(done: Search, single: Search, tmp_path: Path, engine: str) -> None:
    pytest.importorskip(engine if engine == "ray" else "optuna")
    other = search(tmp_path / "s", engine=engine, workers=2)
    assert [row.values for row in other.trials] == [row.values for row in done.trials[:6]]
    for one, two in zip(other.trials, done.trials, strict=False):
        assert one.score == pytest.approx(two.score, abs=1 / 288)
    assert [row.score for row in single.trials] == [row.score for row in other.trials]


def test_pruning_saves_updates_and_prunes_at_the_ends_of_cycles(tmp_path: Path) -> None:
    space = Space({"optimizer.lr/high": Range(0.01, 1.0, log=True), "cycle.count": Choice([4, 6])})
    found = search(tmp_path / "s", engine="processes", workers=1, trials=16, pruner="median", space=space)
    pruned = [row for row in found.trials if row.status == "pruned"]
    assert pruned
    for row in pruned:
        assert 24 % row.steps == 0 or row.steps % (24 // int(row.values["cycle.count"])) == 0
        assert row.steps < 24
    assert found.document["cost"]["steps"] < 16 * 24


def test_a_plan_that_cannot_be_is_told_as_such_and_the_others_go_on(tmp_path: Path) -> None:
    space = Space({"cycle.count": Choice([2, 200]), "optimizer.lr/high": Choice([0.05, 0.1])})
    found = search(tmp_path / "s", sampler="grid", space=space)
    assert found.document["trials"] == {"done": 2, "pruned": 0, "diverged": 0, "infeasible": 2, "lost": 0}
    reasons = {row.detail for row in found.trials if row.status == "infeasible"}
    assert reasons == {"cycle.count: 200 cycles do not fit into 24 steps; each needs at least one"}


def test_a_diverged_run_has_no_score(tmp_path: Path) -> None:
    space = Space({"optimizer.lr/high": Choice([0.1, 1e30])})
    found = search(tmp_path / "s", sampler="grid", space=space, objective=Objective(metric="nll"))
    assert sorted(row.status for row in found.trials) == ["diverged", "done"]
    assert found.document["best"]["values"] == {"optimizer.lr/high": 0.1}


def test_seeds_are_averaged(tmp_path: Path) -> None:
    space = Space({"cycle.count": Choice([2])})
    found = search(tmp_path / "s", space=space, sampler="grid", seeds=3)
    lab = laboratory(seeds=3)
    plan = lab.resolve(space.plan(lab.base, {"cycle.count": 2}))
    assert found.trials[0].score == pytest.approx(float(np.mean(lab.scores(plan, range(3)))), abs=1e-6)
    assert found.document["cost"]["steps"] == 3 * 24


def test_an_interrupted_search_goes_on_and_comes_to_the_same(
    done: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, calls = Laboratory.alone, []

    def interrupting(self: Laboratory, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return train(self, *arguments)

    monkeypatch.setattr(Laboratory, "alone", interrupting)
    with pytest.raises(
        RunInterruptedError, match=r"^SIGINT: trials that were begun wait again; run the same command to go on$"
    ):
        search(tmp_path / "s", engine="processes", workers=1, trials=12)
    monkeypatch.undo()
    found = resume(tmp_path / "s", engine="processes", workers=1, baseline=False)
    assert found.document["trials"]["done"] == 12
    scores = sorted(row.score for row in found.trials if row.score is not None)
    assert scores == pytest.approx(sorted(row.score for row in done.trials if row.score is not None), abs=1 / 288)


def test_a_finished_search_is_not_run_again(done: Search) -> None:
    again = resume(done.folder.path)
    assert again.document == done.document


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "s"
    with pytest.raises(ConfigError, match=r"^trials: got 0, expected a whole number from 1 to 100,000$"):
        search(out, trials=0)
    with pytest.raises(ConfigError, match=r"^sampler: got 'randon'; did you mean 'random'\?$"):
        search(out, sampler="randon")
    with pytest.raises(PlanError, match=r"^space: optimizer\.momentum/high: .*no binding drives 'optimizer\.momentum'"):
        search(out, space=Space({"optimizer.momentum/high": Range(0.5, 0.9)}))
    with pytest.raises(PlanError, match=r"^every:6: 4 evaluations see 1 phase of the cycle"):
        search(out, space=Space({"cycle.period": Choice([6])}), objective=Objective(moment="every:6"))
    with pytest.raises(ConfigError, match=r"^pruner: trials that are trained at once end together"):
        search(out, pruner="median", engine="population")
    with pytest.raises(ConfigError, match=r"^pruner: median prunes single runs, but seeds = 2; leave one of them out$"):
        search(out, pruner="median", engine="processes", seeds=2)
    with pytest.raises(ConfigError, match=r"^engine: got 'process'; did you mean 'processes'\?$"):
        search(out, engine="process")
    with pytest.raises(ConfigError, match=r"^workers: the population engine is one process"):
        search(out, engine="population", workers=2)
    with pytest.raises(
        ConfigError, match=r"^\[train\] precision: got '64-true', but a search trains many members at once"
    ):
        optimize(config(train__precision="64-true"), SPACE, out=out)
    assert not out.exists()


def test_a_folder_that_holds_a_search_is_left_alone(done: Search, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a search already; go on with it by --resume"):
        search(done.folder.path)
    with pytest.raises(ConfigError, match="holds no search"):
        resume(tmp_path)


def test_a_changed_data_set_is_noticed(done: Search, tmp_path: Path) -> None:
    document = json.loads(done.folder.setup.read_text())
    document["setup"]["data"]["sha256"] = "0" * 64
    (tmp_path / "trials.sqlite3").write_bytes(done.folder.trials.read_bytes())
    (tmp_path / "search.json").write_text(json.dumps(document))
    with pytest.raises(StateError, match=r"data was .*0000"):
        resume(tmp_path)


def test_augmented_batches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^\[augment\]: a search trains many members at once on the same batches"):
        optimize(config(augment=["shift"]), SPACE, out=tmp_path / "s")
    assert not (tmp_path / "s").exists()
