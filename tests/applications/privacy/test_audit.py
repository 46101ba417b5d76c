"""The audit of a recipe and of a run: what memorises leaks, what is told of it, and what is refused."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from lines import ostinato
from ostinato.applications import privacy
from ostinato.applications.privacy.auditing.page import render
from ostinato.applications.privacy.auditing.picture import draw
from ostinato.applications.privacy.auditing.result import Audit, Reading, SnapshotLeak, to_release
from ostinato.cli.audit import _show
from ostinato.errors import ConfigError, DataError
from ostinato.evaluation import Interval
from ostinato.training import RunConfig, parse_config, train

torch.set_num_threads(1)


def config(folder: Path, **more: Any) -> RunConfig:
    """A perceptron on 200 points with random labels, which it can only memorise, and no batch norm."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(200, 6)).astype(np.float32)
    labels = generator.integers(0, 2, 200)
    file = folder / "random.npz"
    np.savez(file, x_train=inputs[:160], y_train=labels[:160], x_test=inputs[160:], y_test=labels[160:])
    document: dict[str, Any] = {
        "total": "60ep",
        "cycle": {"waveform": "cosine", "count": 3},
        "bind": [{"target": "optimizer.lr", "low": 0.0, "high": 0.2}],
        "data": {"path": str(file)},
        "model": {"name": "mlp", "args": {"hidden": 48, "depth": 1, "dropout": 0.0}},
        "train": {"batch_size": 32},
    }
    return parse_config(document | more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    train(config(folder), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def audited(run: Path) -> Audit:
    return privacy.audit(run, models=6)


def test_a_run_that_memorises_leaks_and_its_own_snapshots_do(audited: Audit) -> None:
    assert len(audited.readings) == len(audited.constant) == 24
    assert [snapshot.reading.cycle for snapshot in audited.snapshots] == [0, 1, 2]
    last = audited.snapshots[-1]
    assert last.reading.auc > audited.readings[0].auc + 0.05
    assert last.reading.auc > 0.7
    assert last.reading.auc in last.reading.interval
    assert last.reading.accuracy == pytest.approx(0.5, abs=0.12)
    assert last.own is not None
    assert min(last.own["auc"], last.own["loss_auc"]) > 0.7
    assert last.tpr[0.001] is None  # 600 pairs of model and non-member
    assert audited.least_rate == pytest.approx(10 / 600)
    assert last.stopped is not None
    assert audited.memory is not None
    assert set(audited.memory.intervals) == {"learning", "grip", "forgetting", "scale"}


def test_a_recipe_without_a_run_is_audited_alike(run: Path, audited: Audit) -> None:
    found = privacy.audit(config(run.parent), models=6)
    assert [reading.auc for reading in found.readings] == [reading.auc for reading in audited.readings]
    assert all(snapshot.own is None for snapshot in found.snapshots)
    assert found.plan_digest == audited.plan_digest
    other = privacy.audit(config(run.parent), models=6, attack="loss", seed=1)
    assert other.attack == "loss"
    assert other.snapshots[-1].reading.auc != found.snapshots[-1].reading.auc


def made(*snapshots: tuple[float, float], tolerance: float = 0.005) -> Audit:
    """An audit with such areas and accuracies."""
    readings = [
        Reading(10 * k + 9, k, 1.0, 0.0, area, Interval(area - 0.01, area + 0.01), right)
        for k, (area, right) in enumerate(snapshots)
    ]
    leaks = tuple(SnapshotLeak(one, 0.5, {0.01: 0.02, 0.001: None}, 0.55, Interval(0.54, 0.56)) for one in readings)
    return Audit(
        "digits", "cnn", "f" * 64, "lira", 16, 1796, 0.0007, tuple(readings), (), leaks, 0, tolerance, None, 1.0
    )


def test_the_words_say_what_is_better_and_what_cannot_be_told() -> None:
    audit = made((0.60, 0.95), (0.62, 0.96))
    assert "Release the snapshot of cycle 1" in audit.sentence
    assert "the last one leaks 0.620" in audit.sentence
    assert "the snapshot leaks more than that" in audit.comparison
    assert "the snapshot leaks less than that" in made((0.50, 0.95)).comparison
    assert "no more and no less" in made((0.55, 0.95)).comparison
    assert "it is the last one" in replace(audit, release=1).sentence
    told = " ".join(audit.limits)
    assert "lower bound" in told
    assert "differential privacy" in told
    assert "0.07 %" in told


def test_the_least_leaking_of_equally_accurate_snapshots_is_released() -> None:
    snapshots = made((0.55, 0.90), (0.60, 0.958), (0.58, 0.957), (0.65, 0.96)).snapshots
    assert to_release(snapshots, 0.0) == 3
    assert to_release(snapshots, 0.0025) == 1
    assert to_release(snapshots, 0.005) == 2
    assert to_release(snapshots, 0.1) == 0


def test_the_page_is_one_file_that_loads_nothing(audited: Audit, tmp_path: Path) -> None:
    page = privacy.save_audit(audited, tmp_path / "deep" / "audit")
    text = page.read_text()
    assert text == render(audited)
    assert not re.search(r"https?://|<script|<link rel=.stylesheet", text)
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert audited.sentence in text
    assert text.count("<tr>") > 24
    picture = (page.parent / "audit.png").read_bytes()
    assert picture[:4] == b"\x89PNG"
    assert picture == draw(audited)
    document = json.loads((page.parent / "audit.json").read_text())
    assert document == json.loads(json.dumps(audited.to_document()))
    assert document["release"]["cycle"] == audited.chosen.reading.cycle
    assert document["snapshots"][0]["early_stopped"]["interval"]
    assert draw(made((0.6, 0.9)))[:4] == b"\x89PNG"


@pytest.mark.filterwarnings("default")
def test_the_command_audits_and_refuses_in_one_line(
    run: Path, audited: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = ostinato("audit", run, "--models", "6", "--out", tmp_path / "audit", "--json")
    assert ended.status == 0
    assert ended.document == json.loads((tmp_path / "audit" / "audit.json").read_text())
    shown = io.StringIO()
    monkeypatch.setattr("ostinato.cli.audit.out", Console(file=shown, width=80, soft_wrap=True))
    _show(audited)
    assert audited.sentence in shown.getvalue()
    assert "pip install 'ostinato[privacy]'" in shown.getvalue()
    assert f"> {audited.chosen.reading.cycle + 1}" in shown.getvalue()
    for words, told in (
        (["audit", tmp_path / "none"], "holds no run"),
        (["audit", run, "--total", "9ep"], "--total: a run is audited as it was trained"),
        (["audit", run, "--models", "7"], "expected an even number of at least 6 shadow models"),
        (["audit", run, "--attack", "luck"], "expected one of lira, lira-offline, loss"),
    ):
        refused = ostinato(*words)
        assert refused.status == 2
        assert told in refused.err
        assert refused.err.count("\n") == 1


def test_what_cannot_be_audited_is_said(run: Path, tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    (unfinished / "config.toml").write_bytes((run / "config.toml").read_bytes())
    with pytest.raises(ConfigError, match=r"not finished .no result.json.; go on with it: ostinato train --resume"):
        privacy.audit(unfinished)
    with pytest.raises(ConfigError, match=r"clip_norm, which shadow models cannot do"):
        privacy.audit(config(tmp_path, train={"clip_norm": 1.0}))
    with pytest.raises(ConfigError, match="completes no cycle"):
        privacy.audit(config(tmp_path, cycle={"waveform": "cosine", "period": "90ep"}))
    np.savez(tmp_path / "few.npz", x=np.zeros((20, 3), np.float32), y=np.arange(20) % 2)
    with pytest.raises(DataError, match="expected at least 40"):
        privacy.audit(config(tmp_path, data={"path": str(tmp_path / "few.npz")}))
