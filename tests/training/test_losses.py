"""The ``[loss]`` table: what it builds, what drives it, and what a run on unequal classes tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ostinato as ost
from ostinato.comparison import compare
from ostinato.errors import ConfigError, DataError
from ostinato.evaluation import balanced_error
from ostinato.nn import FocalLoss
from ostinato.training import Observer, evaluate_run, parse_config, train
from ostinato.training.class_scores import class_scores, unequal
from ostinato.training.datasets import Data, Split, load
from ostinato.training.losses import build, class_weights
from ostinato.training.session import Session
from running import config, fingerprint, interrupted_run

PLAN = ost.Plan(
    total=12,
    cycle=ost.Cycle("cosine", count=2),
    bindings={"optimizer.lr": ost.wave(0.001, 0.05), "loss.gamma": ost.mirror(0.5, 3.0)},
)
FOCAL = {"name": "focal", "weights": "balanced"}


def rare() -> tuple[Any, Any]:
    """Three classes of 120, 60 and 12 training examples."""
    generator = np.random.default_rng(0)

    def part(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.arange(3), counts)
        return (generator.normal(size=(len(labels), 4)) + labels[:, None]).astype(np.float32), labels

    return part([120, 60, 12]), part([20, 20, 10])


def spread_out() -> tuple[Any, Any, int]:
    from running import Jittered

    return Jittered(30), Jittered(9), 3


def rare_run(**changes: Any) -> Any:
    tables = {
        "data": "test_losses_data:rare", "loss": FOCAL, "model": {"name": "mlp", "args": {"hidden": 6, "depth": 1}},
        "train": {"batch_size": 32, "checkpoint_every": 5},
    }  # fmt: skip
    return parse_config({**PLAN.to_document(), **tables}).replace(changes)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    module = ModuleType("test_losses_data")
    module.rare, module.spread_out = rare, spread_out
    monkeypatch.setitem(sys.modules, "test_losses_data", module)


class Looker(Observer):
    """Reads gamma at every update."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def begun(self, session: Session, count: int) -> None:
        self.session = session

    def updated(self, tick: Any, loss: float) -> None:
        assert isinstance(self.session.criterion, FocalLoss)
        self.seen.append(float(self.session.criterion.gamma))


def test_a_plan_drives_gamma_and_a_resumed_run_is_the_same(tmp_path: Path) -> None:
    looker, setting = Looker(), config(PLAN.to_document(), loss=FOCAL)
    train(setting, tmp_path / "run", observer=looker)
    assert looker.seen[:-1] == pytest.approx(PLAN.table()["loss.gamma"][1:])
    interrupted_run(setting, tmp_path / "cut", [6])
    assert fingerprint(tmp_path / "cut") == fingerprint(tmp_path / "run")


def test_without_a_table_it_is_cross_entropy_and_the_configuration_does_not_mention_it() -> None:
    plain = parse_config({})
    assert repr(build(plain.loss, load(plain.data))) == "CrossEntropyLoss()"
    assert "loss" not in plain.to_document()
    assert parse_config({"loss": "focal"}).to_document()["loss"] == {"name": "focal"}
    assert parse_config({}).replace({"loss.name": "focal", "loss.gamma": 1.5}).loss.gamma == 1.5


def test_the_weights_of_classes_by_hand() -> None:
    labels = np.repeat([0, 1, 2], [100, 10, 1])
    assert class_weights(labels, 3, "balanced").tolist() == pytest.approx((3 * np.array([1, 10, 100]) / 111).tolist())
    effective = (1 - 0.9999) / (1 - 0.9999 ** np.array([100, 10, 1]))
    assert class_weights(labels, 3, "class-balanced").tolist() == pytest.approx(
        (effective / effective.mean()).tolist(), rel=1e-5
    )
    many = class_weights(np.repeat([0, 1], [400_000, 200_000]), 2, "class-balanced")
    assert many.tolist() == pytest.approx([1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("name", ["cross-entropy", "focal"])
def test_weights_enter_the_loss(name: str) -> None:
    setting = rare_run(loss={"name": name, "weights": "balanced"})
    loss = build(setting.loss, load(setting.data))
    weights = class_weights(rare()[0][1], 3, "balanced")
    found: Tensor | None = loss.alpha if isinstance(loss, FocalLoss) else loss.weight
    assert found is not None
    assert torch.equal(found, weights)
    plain = nn.CrossEntropyLoss(weight=weights)
    if isinstance(loss, FocalLoss):
        loss.gamma = 0.0
    logits, targets = torch.randn(6, 3), torch.arange(6) % 3
    assert float(loss(logits, targets)) == pytest.approx(float(plain(logits, targets)), rel=1e-6)


@pytest.mark.parametrize(
    ("loss", "line"),
    [
        ("focl", "configuration: [loss] name: got 'focl'"),
        ({"gamma": 2.0}, 'gamma: cross entropy has none; write name = "focal", or leave gamma out'),
        ({"name": "focal", "gamma": -1.0}, "configuration: [loss] gamma: got -1.0, expected a number >= 0"),
        ({"weights": "equal"}, "configuration: [loss] weights: got 'equal'"),
    ],
)
def test_a_table_that_cannot_be_is_refused_in_a_line(loss: Any, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"loss": loss})
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_gamma_of_cross_entropy_and_weights_without_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        train(config(PLAN.to_document()), tmp_path / "run")
    assert str(caught.value) == 'loss.gamma: the loss is cross entropy, which has no gamma; write loss = "focal"'
    lazy = rare_run(data="test_losses_data:spread_out")
    with pytest.raises(DataError) as unknown:
        build(lazy.loss, load(lazy.data))
    assert str(unknown.value) == (
        "[loss] weights: the targets of test_losses_data:spread_out are not at hand; let the factory return (inputs, targets)"
    )
    with pytest.raises(DataError, match="class 1 has no training example; leave weights out"):
        class_weights([0, 2], 3, "balanced")
    assert not unequal(load(lazy.data))


def test_a_run_on_unequal_classes_tells_how_each_fares(tmp_path: Path) -> None:
    folder, document = train(rare_run(), tmp_path / "run")
    assert document["loss"] == "focal"
    ensemble = document["classes"]["ensemble"]
    assert [one["support"] for one in ensemble["classes"]] == [20, 20, 10]
    recalls = [one["recall"] for one in ensemble["classes"]]
    assert ensemble["balanced_error"] == pytest.approx(1 - np.mean(recalls))
    for who in ("last", "ensemble"):
        scores = document["metrics"][who]
        assert scores["balanced_error"] == document["classes"][who]["balanced_error"]
        assert scores["error"] == pytest.approx(document["classes"][who]["error"])
        assert 0 < scores["average_precision"] <= 1
    final = document["metrics"]["final"]
    assert final["balanced_error"] == pytest.approx(document["classes"]["last"]["balanced_error"])
    assert evaluate_run(folder.path)["classes"] == document["classes"]
    alone = evaluate_run(folder.path, last=1)["classes"]
    assert alone["ensemble"] == alone["last"] == document["classes"]["last"]
    tests = [record["test"] for record in map(json.loads, folder.metrics.read_text().splitlines()) if "test" in record]
    assert all(set(test) == {"error", "nll", "balanced_error", "average_precision"} for test in tests)
    page = folder.report.read_text()
    assert "test balanced error" in page
    assert "test AUPRC" in page


def test_a_run_on_equal_classes_says_nothing_of_the_kind(tmp_path: Path) -> None:
    _, document = train(config(PLAN.replace({"total": 4}).to_document(), loss=FOCAL), tmp_path / "run")
    assert document["classes"] is None
    assert set(document["metrics"]["last"]) == {"error", "nll", "ece"}


def test_scores_of_two_classes_of_which_one_does_not_occur() -> None:
    p = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert class_scores(p, np.array([0, 0])) == {"balanced_error": balanced_error(p, np.array([0, 0]))}
    data = load(rare_run().data)
    assert isinstance(data, Data)
    assert isinstance(data.train, Split)
    assert unequal(data)


def test_a_comparison_trains_under_the_configured_loss(tmp_path: Path) -> None:
    scores = {}
    for name, loss in (
        ("ce", {}),
        ("zero", {"name": "focal", "gamma": 0.0}),
        ("focal", {"name": "focal", "gamma": 5.0}),
    ):
        plan = PLAN.replace({"total": 6}).to_document()
        plan["bind"] = plan["bind"][:1]
        setting = rare_run(plan=plan, loss=loss)
        done = compare(setting, seeds=2, controls=("sorted",), out=tmp_path / name)
        scores[name] = [record["metrics"]["nll"] for record in done.folder.read()]
    assert scores["zero"] == pytest.approx(scores["ce"], rel=1e-4)
    assert scores["focal"] != pytest.approx(scores["ce"], rel=1e-3)
