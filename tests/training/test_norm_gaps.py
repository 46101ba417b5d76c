"""The batch-norm gap in a run's log and report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ostinato.core.clock import Tick
from ostinato.ensembles import norm_gap
from ostinato.training import Observer, train
from ostinato.training.log import read_metrics
from ostinato.training.session import Session, in_order
from running import config, fingerprint, interrupted_run

BATCHNORM: dict[str, Any] = {"total": 12, "cycle": {"count": 3}}


def logged(folder: Path) -> list[dict[str, Any]]:
    return [record for record in read_metrics(folder / "metrics.jsonl") if "norm_gap" in record]


class Measuring(Observer):
    """Measures by itself at the first peak and the last end."""

    def __init__(self) -> None:
        self.found: dict[int, float] = {}

    def begun(self, session: Session, count: int) -> None:
        self.session = session

    def updated(self, tick: Tick, loss: float) -> None:
        if tick.step in (0, 11):
            batches = list(in_order(self.session.data.train, 160))[:1]  # one batch of 160 is what fits into 256
            self.found[tick.step] = norm_gap(self.session.model, batches).gap


def test_it_is_measured_at_every_peak_and_end(tmp_path: Path) -> None:
    measuring = Measuring()
    train(config(BATCHNORM), tmp_path / "run", observer=measuring)
    records = logged(tmp_path / "run")
    assert [record["step"] for record in records] == [0, 3, 4, 7, 8, 11]
    assert all(set(record["norm_gap"]) == {"gap", "mean", "variance"} for record in records)
    assert all(math.isfinite(value) for record in records for value in record["norm_gap"].values())
    for record in (records[0], records[-1]):
        assert record["norm_gap"]["gap"] == pytest.approx(measuring.found[record["step"]], abs=1e-9)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "batch-norm gap" in page
    assert "running variance distance" in page


def test_a_model_without_batch_norm_has_none(tmp_path: Path) -> None:
    train(config(BATCHNORM, model="linear"), tmp_path / "run")
    assert logged(tmp_path / "run") == []
    assert "batch-norm gap" not in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("data", ["digits", "running:jittered"])
def test_a_resumed_run_has_the_same_gaps_and_weights(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    torch.set_num_threads(1)
    setting = config(BATCHNORM, data=data, train__batch_size=40)
    train(setting, tmp_path / "whole")
    interrupted_run(setting, tmp_path / "parts", [3, 9])
    assert len(logged(tmp_path / "whole")) == 6
    assert fingerprint(tmp_path / "parts") == fingerprint(tmp_path / "whole")


def test_a_batch_larger_than_the_sample_is_cut(tmp_path: Path) -> None:
    train(config({"total": 4, "cycle": {"count": 2}}, train__batch_size=700), tmp_path / "run")
    assert len(logged(tmp_path / "run")) == 4


def test_of_many_cycles_about_ten_are_measured(tmp_path: Path) -> None:
    train(config({"total": 58, "cycle": {"period": 2}}, train__batch_size=700), tmp_path / "run")
    cycles = sorted({record["step"] // 2 for record in logged(tmp_path / "run")})
    assert cycles == [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]
