from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ostinato.core.plan import Plan
from ostinato.evaluation import error, nll
from ostinato.training import RunFolder, train
from ostinato.training.loop import TrainingLoop
from ostinato.training.outcome import environment, plan_rows, schedule_series
from ostinato.training.session import Session, resolve_config
from running import PLAN, Crash, Crasher, config

torch.set_num_threads(1)
SMALL = config({**PLAN, "total": 18})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(SMALL, tmp_path_factory.mktemp("outcome") / "run")[0]


def test_the_metrics_are_those_of_the_members_and_their_mean(folder: RunFolder) -> None:
    document = json.loads(folder.result.read_text())
    session = Session.build(resolve_config(SMALL))
    loop = TrainingLoop(session, folder)
    inputs, labels = session.data.test.inputs, session.data.test.targets.numpy()
    alone = []
    for member, expected in zip(loop.snapshots.members, document["members"], strict=True):
        session.model.load_state_dict(loop.snapshots._store.load(member) or {})
        session.model.eval()
        with torch.no_grad():
            alone.append(session.model(inputs).softmax(-1).numpy())
        assert expected["error"] == pytest.approx(error(alone[-1], labels))
        assert expected["nll"] == pytest.approx(nll(alone[-1], labels), rel=1e-5)
    mean = np.mean(alone, axis=0)
    assert document["metrics"]["ensemble"]["error"] == pytest.approx(error(mean, labels))
    assert document["metrics"]["ensemble"]["nll"] == pytest.approx(nll(mean, labels), rel=1e-5)
    assert document["metrics"]["last"]["error"] == document["members"][-1]["error"]
    assert document["metrics"]["best_member"]["error"] == min(member["error"] for member in document["members"])


def test_disagreement_is_a_symmetric_matrix_of_the_members(folder: RunFolder) -> None:
    matrix = np.array(json.loads(folder.result.read_text())["disagreement"])
    assert matrix.shape == (2, 2)
    assert np.array_equal(matrix, matrix.T)
    assert np.all(np.diag(matrix) == 0)


def test_the_environment_names_versions_and_no_machine() -> None:
    found = environment()
    assert {"ostinato", "python", "torch", "numpy", "platform"} <= set(found)
    import platform

    assert platform.node() not in found.values()


def test_the_report_is_one_page_without_a_network(folder: RunFolder) -> None:
    page = folder.report.read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert not re.findall(r"(?:src|href)=[\"']?https?://", page)
    assert all(target in page for target in ("optimizer.lr", "model:Dropout.p", "loss.label_smoothing"))
    assert "ostinato train" in page


def test_a_run_without_snapshots_has_no_ensemble(tmp_path: Path) -> None:
    plan = {
        "total": 3,
        "bind": [{"target": "optimizer.lr", "low": 0.1, "high": 0.1, "schedule": {"kind": "hold", "value": 0.1}}],
    }
    plan["bind"] = [{"target": "optimizer.lr", "schedule": {"kind": "hold", "value": 0.1}}]
    found, document = train(config(plan), tmp_path / "run")
    assert document["snapshots"] == document["members"] == []
    assert document["metrics"]["ensemble"] is None
    assert 0 <= document["metrics"]["final"]["error"] <= 1
    assert found.report.is_file()


def test_a_run_that_was_not_finished_has_no_result(tmp_path: Path) -> None:
    with pytest.raises(Crash):
        train(SMALL, tmp_path / "run", observer=Crasher("updated", 12))
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_long_plan_is_shown_at_a_few_thousand_steps_with_both_sides_of_each_end() -> None:
    plan = {**PLAN, "total": 1_000_002, "cycle": {"waveform": "cosine", "period": 100_000}}
    resolved = Plan.from_document(plan).resolve()
    series = schedule_series(resolved)
    assert [one.name for one in series] == [table["target"] for table in PLAN["bind"]]
    steps = set(np.asarray(series[0].steps).tolist())
    assert len(steps) < 10_000
    assert {0, 1_000_001} <= steps
    assert all({span.start, span.end - 1} <= steps for span in resolved.cycles)


def test_the_plan_s_table_gives_range_and_mean() -> None:
    rows = plan_rows(Plan.from_document(PLAN).resolve())
    assert rows[0] == ["target", "relation", "low", "high", "mean"]
    assert rows[2][:4] == ["model:Dropout.p", "mirror", "0.05", "0.3"]
    assert "shift 0.25" in rows[4][1]
