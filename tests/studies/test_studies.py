"""The studies themselves: their smoke profiles run whole, and their arms are what they are called."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostinato.errors import DataError
from ostinato.studies import NAMES, Runner, find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.engines import engine_of
from ostinato.studies.frame.figure import draw
from ostinato.studies.frame.images import load_images, subset
from ostinato.studies.frame.study import perform
from ostinato.studies.frame.summary import summarise
from ostinato.studies.frame.threads import one_thread
from ostinato.studies.restart_shapes.measuring import plan_of as shape_of
from ostinato.studies.snapshot_ensemble.measuring import plan_of as run_of

DIGITS = find("snapshot-ensemble").spec.regime("digits")
fashion = pytest.mark.skipif(
    "OSTINATO_DATA" not in __import__("os").environ, reason="needs Fashion-MNIST (OSTINATO_DATA)"
)

NO_IMAGES = {
    "phase-lock",
    "adam-cycles",
    "weight-decay-escape",
    "folding",
    "gan-phase",
    "rl-curriculum",
    "rl-curriculum-acrobot",
}
"""Studies that need no Fashion-MNIST or MNIST."""
WITH_A_TABLE = {
    "phase-lock",
    "adam-cycles",
    "federated-phase",
    "moving-landscape",
    "gan-phase",
    "replay-phase",
    "rl-curriculum",
}
ACROSS_REGIMES = {"antiphase-regularisation", "adam-cycles", "weight-decay-escape", "gan-phase"}


REPEATED = ("replay-phase-mnist", "rl-curriculum-acrobot")


@pytest.mark.parametrize(
    "name", [name if name in NO_IMAGES else pytest.param(name, marks=fashion) for name in (*NAMES, *REPEATED)]
)
def test_the_smoke_profile_runs_whole(name: str, tmp_path: Path) -> None:
    study = find(name)
    Runner(study, "smoke", tmp_path, workers=1).run()
    summary = summarise(study, tmp_path, "smoke", images=True)
    assert summary.outdated == ""
    for judgement in summary.judgements:
        assert judgement.missing == 0
        assert judgement.verdict is not None
        arms = set(study.spec.arms_of(judgement.regime))
        possible = {one.name for one in study.spec.contrasts if set(one.weights) <= arms}
        assert {found.contrast.name for found in judgement.findings} == possible
        leading = [found for found in judgement.findings if found.contrast.role in ("primary", "required")]
        assert all((found.two_way is not None) == (found.contrast.metric == "error") for found in leading)
    records = summary.folder.records()
    assert {record["status"] for record in records} == {"done"}
    assert all(record["seed"] >= 9000 and record["profile"] == "smoke" and record["plans"] for record in records)
    for regime in study.spec.regimes:
        own = [record for record in records if record["regime"] == regime.name]
        assert study.remarks(own)
        assert bool(study.table(own)) == ((study.spec.repeats or name) in WITH_A_TABLE)
    assert bool(study.across(records)) == (name in ACROSS_REGIMES)
    assert draw(summary, tmp_path).stat().st_size > 10_000


def request(stage: Any, *cells: Cell) -> Request:
    return Request("snapshot-ensemble", "digits", {**DIGITS.parameters, **DIGITS.smoke}, stage, cells)


def test_derived_arms_share_the_runs_they_are_derived_from() -> None:
    setting = {"peak": 0.1}
    arms = ("snapshots", "last-snapshot", "best-snapshot", "cosine", "no-cycle", "augmented", "sorted", "cold-starts")
    done = {one.cell.arm: one for one in perform(request("confirming", *(Cell(arm, 9000, setting) for arm in arms)))}
    members = done["snapshots"].curves["member_error"]
    assert len(members) == 5
    assert done["last-snapshot"].curves["member_error"] == members[-1:]
    assert done["best-snapshot"].metrics["error"] in members
    assert done["no-cycle"].curves["member_error"][-1] == done["cosine"].metrics["error"]
    assert done["cosine"].plans == done["no-cycle"].plans == done["augmented"].plans != done["snapshots"].plans
    again = perform(request("confirming", Cell("snapshots", 9000, setting)))[0]
    assert again.metrics == done["snapshots"].metrics  # whatever was measured with it


def test_tuning_never_looks_at_test_images() -> None:
    done = perform(request("tuning", Cell("cosine", 9500, {"peak": 0.1})))[0]
    assert set(done.metrics) == {"validation_error", "validation_nll"}
    assert done.correct == ""


def test_a_diverged_run_is_recorded_as_such() -> None:
    done = perform(request("confirming", Cell("cosine", 9000, {"peak": 1e12})))[0]
    assert done.status == "diverged"
    assert done.metrics == {}


def test_every_arm_of_a_run_has_the_same_budget() -> None:
    kinds = {kind: run_of(kind, 0.1, 600).resolve() for kind in ("cycles", "cosine", "sorted", "fifth")}
    assert [kinds[kind].total for kind in ("cycles", "cosine", "sorted")] == [600, 600, 600]
    assert kinds["fifth"].total * 5 == 600
    assert all(list(kinds[kind].snapshots) == [119, 239, 359, 479, 599] for kind in ("cycles", "cosine", "sorted"))
    rates = {kind: resolved.table()["optimizer.lr"] for kind, resolved in kinds.items()}
    assert (np.sort(rates["cycles"])[::-1] == rates["sorted"]).all()
    assert (np.diff(rates["cosine"]) < 0).all()


def test_the_shapes_are_what_they_are_called() -> None:
    shapes = {arm: shape_of(arm, 0.1, 200, 5).resolve() for arm in find("restart-shapes").spec.arms}
    rates = {arm: resolved.table()["optimizer.lr"] for arm, resolved in shapes.items()}
    assert all(len(values) == 200 for values in rates.values())
    assert (np.sort(rates["restarts"])[::-1] == rates["sorted"]).all()
    assert (np.sort(rates["triangular"])[::-1] == rates["triangular-sorted"]).all()
    assert rates["mean-constant"] == pytest.approx(rates["restarts"].mean())
    assert (rates["momentum"] == rates["restarts"]).all()
    momentum = shapes["momentum"].table()["optimizer.momentum"]
    assert (momentum.min(), momentum.max()) == (pytest.approx(0.85), pytest.approx(0.95, abs=1e-3))
    assert np.argmax(momentum[:40]) == 39
    assert np.diff(rates["linear"]) == pytest.approx(-0.1 / 200)
    assert rates["constant"].tolist() == [0.1] * 200


def test_seeds_draw_subsets_of_their_own_and_validation_stays_apart() -> None:
    images = load_images("digits", DIGITS.sha256)
    assert (len(images.targets), len(images.validation[1]), len(images.test[1])) == (1077, 360, 360)
    first, again, other = (subset(images, 1000, seed) for seed in (1000, 1000, 1001))
    assert (first == again).all()
    assert set(first.tolist()) != set(other.tolist())
    assert len(set(first.tolist())) == 1000
    with pytest.raises(DataError, match="the study was specified for 0000"):
        load_images("digits", "0" * 64)


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_gives_what_this_process_gives() -> None:
    pytest.importorskip("ray")
    requests = [request("tuning", Cell("cosine", seed, {"peak": 0.1})) for seed in (9500, 9501)]
    with engine_of("ray", 1) as engine:
        far = [one for done in engine.carry_out(requests) for one in done]
    with one_thread():  # as there: sums in another order round differently
        here = [one for each in requests for one in perform(each)]
    scores = {(one.cell.arm, one.cell.seed): one.metrics for one in far}
    assert Counter(scores) == Counter(
        {("cosine", 9500): scores["cosine", 9500], ("cosine", 9501): scores["cosine", 9501]}
    )
    for one in here:
        assert scores[one.cell.arm, one.cell.seed] == pytest.approx(one.metrics)
