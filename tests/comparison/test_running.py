"""Comparisons from beginning to end on digits: resumption, pairing, planted effects, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostinato import population
from ostinato.comparison import Comparison, ComparisonFolder, compare, judge, resume, training
from ostinato.errors import (
    ConfigError,
    DataError,
    PlanError,
    PopulationFallbackWarning,
    RunInterruptedError,
    StateError,
    StorageError,
)
from ostinato.training import RunConfig, parse_config
from running import partials

torch.set_num_threads(1)

STEPS = 24


def config(total: int = STEPS, model: Any = "linear", **binding: Any) -> RunConfig:
    rate = {"target": "optimizer.lr", "low": 0.001, "high": 0.1, **binding}
    document = {
        "total": f"{total}step",
        "cycle": {"waveform": "cosine", "count": 3},
        "bind": [rate],
        "model": model,
        "train": {"batch_size": 240},
    }
    return parse_config(document)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(config(), seeds=3, out=tmp_path_factory.mktemp("done") / "a")


@pytest.fixture
def copy(done: Comparison, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done.folder.path, tmp_path / "copy"))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_MEMBERS", 2)  # one seed of two arms


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The seeds of every population that is trained."""
    calls: list[list[int]] = []
    real = population.train

    def counting(*words: Any, **named: Any) -> Any:
        calls.append(list(named["seeds"]))
        return real(*words, **named)

    monkeypatch.setattr(population, "train", counting)
    return calls


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The records without what differs from run to run."""
    lines = (folder / "records.jsonl").read_text().splitlines()
    return [
        {key: value for key, value in json.loads(line).items() if key not in ("wall_s", "planned")} for line in lines
    ]


class Stop:
    """Asks for the end when a block of runs has been trained for the n-th time."""

    def __init__(self, blocks: int, each: int) -> None:
        self.at: float = blocks * each

    def __call__(self, done: int, every: int) -> None:
        if done >= self.at:
            self.at = float("inf")
            signal.raise_signal(signal.SIGINT)


def test_a_record_holds_what_a_judge_needs(done: Comparison) -> None:
    records = done.folder.read()
    assert [(record["arm"], record["seed"]) for record in records] == [
        (arm, seed) for seed in range(3) for arm in ("plan", "sorted", "cosine", "constant")
    ]
    names = {"error", "nll", "ece", "area", "ensemble_error", "ensemble_nll"}
    names |= {f"{name}@{cycle}" for name in ("error", "nll") for cycle in (1, 2, 3)}
    for record in records:
        metrics, curve = record["metrics"], record["curve"]
        assert record["status"] == "done"
        assert set(metrics) == names
        assert metrics["error@3"] == pytest.approx(metrics["error"], abs=1e-9)
        assert metrics["nll@3"] == pytest.approx(metrics["nll"], rel=1e-5)
        assert curve["error"][curve["steps"].index(7)] == metrics["error@1"]
        assert min(curve["error"]) <= metrics["area"] <= max(curve["error"])
        assert (record["control"] is None) == (record["arm"] == "plan")
        assert set(record["versions"]) >= {"ostinato", "torch", "numpy", "python"}
        assert record["population"]["how"] in ("stacked", "compiled")
    assert {record["comparison"]["data"]["sha256"] for record in records} == {
        records[0]["comparison"]["data"]["sha256"]
    }
    assert len({record["plan_digest"] for record in records}) == 4


def test_every_arm_is_scored_at_eight_even_phases_of_the_plans_cycles(done: Comparison) -> None:
    for record in done.folder.read():
        assert record["curve"]["steps"] == list(range(STEPS))  # cycles of eight steps
    assert len({len(record["curve"]["error"]) for record in done.folder.read()}) == 1


def test_the_scores_are_those_of_a_run_by_itself_with_that_seed(done: Comparison) -> None:
    from ostinato.comparison.setup import material_of
    from ostinato.training.session import resolve_config

    material = material_of(resolve_config(config()))
    alone = population.single(
        material.make_model,
        material.plan,
        material.data,
        optimizer="sgd",
        seed=1,
        batch_size=240,
        evaluate=material.looks,
    )
    record = next(one for one in done.folder.read() if (one["arm"], one["seed"]) == ("plan", 1))
    steps, values = alone.curve(0, "nll")
    assert steps.tolist() == record["curve"]["steps"]
    np.testing.assert_allclose(record["curve"]["nll"], values, rtol=1e-4)


def test_arms_of_one_seed_begin_alike_and_seeds_differ(done: Comparison) -> None:
    first = {(record["arm"], record["seed"]): record["curve"]["nll"][0] for record in done.folder.read()}
    assert first["plan", 0] == pytest.approx(
        first["sorted", 0], rel=0.02
    )  # one update at the highest rate after equal weights
    assert first["plan", 0] != pytest.approx(first["plan", 1], rel=1e-3)


def test_the_records_alone_give_the_same_verdict(done: Comparison, copy: Path) -> None:
    for name in ("compare.json", "result.json", "intervals.png"):
        (copy / name).unlink()
    for place in (copy, copy / "records.jsonl"):
        assert judge(place).to_document() == done.to_document()
    assert sorted(file.name for file in copy.iterdir()) == ["records.jsonl"]


def test_the_result_is_written_beside_a_picture(done: Comparison) -> None:
    document = json.loads(done.folder.result.read_text())
    assert document == done.to_document()
    assert set(document["arms"]) == {"plan", "sorted", "cosine", "constant"}
    assert done.folder.picture.read_bytes().startswith(b"\x89PNG")
    assert partials(done.folder.path) == []


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_comparison_goes_on_without_making_a_run_again(tmp_path: Path, trained: list[list[int]]) -> None:
    whole, out = tmp_path / "whole", tmp_path / "cut"
    expected = compare(config(), seeds=3, controls=["sorted"], out=whole)
    assert trained == [[0] * 2, [1] * 2, [2] * 2]
    trained.clear()
    with pytest.raises(
        RunInterruptedError, match=r"SIGINT with 2 of 3 seeds done; go on with: ostinato compare --resume .*cut"
    ):
        compare(config(), seeds=3, controls=["sorted"], out=out, progress=Stop(2, 2 * STEPS))
    assert trained == [[0] * 2, [1] * 2]
    assert not (out / "result.json").exists()
    with pytest.raises(StateError, match="2 of 3 seeds are done"):
        judge(out)
    kept = (out / "records.jsonl").read_bytes()
    trained.clear()
    assert resume(out).to_document() == expected.to_document()
    assert trained == [[2] * 2]
    assert (out / "records.jsonl").read_bytes().startswith(kept)
    assert timeless(out) == timeless(whole)
    trained.clear()
    assert resume(out).to_document() == expected.to_document()
    assert trained == []


def test_more_seeds_add_to_what_is_there_and_are_told(copy: Path, done: Comparison, trained: list[list[int]]) -> None:
    kept = done.folder.records.read_bytes()
    more = resume(copy, seeds=5)
    assert trained == [[seed for seed in (3, 4) for _ in range(4)]]
    assert (copy / "records.jsonl").read_bytes().startswith(kept)
    assert more.summary.seeds == (0, 1, 2, 3, 4)
    assert any("Judged before with 3 seeds" in note for note in more.summary.notes)
    with pytest.raises(ConfigError, match="got 3, but 5 were planned"):
        resume(copy, seeds=3)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"config": config(high=0.2)}, r"optimizer.lr/high was 0.1, is 0.2; .* fixed before the first run"),
        ({"config": config(model="mlp")}, r"\[model\] name was 'linear', is 'mlp'"),
        ({"controls": ["sorted"]}, r"controls was \('sorted', 'cosine', 'constant'\), is \('sorted',\)"),
        ({"endpoint": "nll"}, "endpoint was 'error', is 'nll'"),
        ({"margin": 0.1}, r"margin was 0.002, is 0.1"),
    ],
)
def test_what_is_compared_cannot_change_afterwards(copy: Path, given: dict[str, Any], words: str) -> None:
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    with pytest.raises(StateError, match=words):
        resume(copy, **given)
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before


def test_other_data_under_the_same_name_is_refused(copy: Path) -> None:
    _edit(copy / "compare.json", lambda document: document["comparison"]["data"].update(sha256="0" * 64))
    with pytest.raises(StateError, match="data sha256 was '0000"):
        resume(copy)


def test_an_altered_setup_is_refused(copy: Path) -> None:
    _edit(copy / "compare.json", lambda document: document["config"]["train"].update(batch_size=120))
    with pytest.raises(StorageError, match="configuration was altered"):
        resume(copy)
    _edit(copy / "compare.json", lambda document: document.pop("seeds"))
    with pytest.raises(StorageError, match="is damaged"):
        resume(copy)


def test_records_of_another_version_are_refused(copy: Path) -> None:
    file = copy / "records.jsonl"
    file.write_bytes(file.read_bytes().replace(b"ostinato.compare/1", b"ostinato.compare/2", 1))
    for action in (lambda: judge(copy), lambda: resume(copy)):
        with pytest.raises(StorageError, match=r"line 1 holds a record of 'ostinato\.compare/2'"):
            action()


def test_two_at_once_do_not_record_a_run_twice(copy: Path, done: Comparison) -> None:
    with pytest.raises(StateError, match="arm 'plan', seed 0 already; another process works in this folder"):
        ComparisonFolder(copy).add(done.folder.read()[:1])


def _edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def noisy(total: int, cycle: dict[str, Any], **binding: Any) -> RunConfig:
    """Small batches at a high rate, so that it matters how a run ends."""
    setting = config(total=total, low=0.001, **binding)
    return setting.replace({"plan": {**(setting.plan or {}), "cycle": cycle}, "train.batch_size": 16})


def test_a_plan_that_ends_hot_is_found_to_do_harm(tmp_path: Path) -> None:
    rising = noisy(120, {"waveform": "sawtooth", "count": 3}, relation="mirror", high=0.5)
    found = compare(rising, seeds=6, controls=["sorted"], out=tmp_path / "a")
    assert found.summary.verdict == "not supported"
    assert found.summary.effects[0].decision.interval.high < 0
    assert found.summary.sentence.startswith("Cycling did harm: the plan's test error is ")


def test_a_plan_that_is_better_than_its_control_is_found(tmp_path: Path) -> None:
    decay = noisy(160, {"waveform": "cosine", "count": 1}, high=5.0)
    found = compare(decay, seeds=6, controls=["constant"], out=tmp_path / "a")
    assert found.summary.verdict == "supported"
    assert found.summary.sentence.startswith("Cycling helped: ")


def test_diverged_runs_stay_in(tmp_path: Path) -> None:
    wild = config(low=1e-3, high=1e20)
    with pytest.raises(StateError, match="every run of every arm diverged"):
        compare(wild, seeds=2, controls=["sorted"], out=tmp_path / "a")
    records = ComparisonFolder(tmp_path / "a").read()
    assert [record["status"] for record in records] == ["diverged"] * 4
    assert all(record["metrics"] is None and record["diverged_at"] >= 0 for record in records)


def test_the_best_constant_is_tuned_on_training_data_alone(
    tmp_path: Path, trained: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_EXTENSIONS", 1)
    found = compare(config(total=6), seeds=2, controls=["sorted", "tuned_constant"], out=tmp_path / "a")
    document = json.loads((tmp_path / "a" / "compare.json").read_text())
    runs = document["tuning"]["tuned_constant"]["runs"]
    best = min(runs, key=lambda run: (run["error"], run["nll"]))
    assert document["options"]["tuned_constant"]["value"] == best["rate"]
    assert len(runs) == sum(len(call) for call in trained[:-1])
    assert len(trained[0]) == 7
    assert trained[-1] == [0, 0, 0, 1, 1, 1]
    assert not set(trained[0]) & {0, 1}
    assert found.summary.effects[1].role == "literal"
    record = next(one for one in found.folder.read() if one["arm"] == "tuned_constant")
    assert record["control"]["options"]["value"] == best["rate"]
    trained.clear()
    resume(tmp_path / "a", seeds=3)
    assert trained == [[2] * 3]


def test_a_model_that_cannot_be_mapped_is_compared_all_the_same(tmp_path: Path) -> None:
    own = config(total=6, model="comparing:branching")
    with pytest.warns(PopulationFallbackWarning):
        found = compare(own, seeds=2, controls=["constant"], out=tmp_path / "a")
    assert {record["population"]["how"] for record in found.folder.read()} == {"processes"}
    assert found.summary.arms["plan"].n == 2


def test_seeds_count_from_the_configurations(tmp_path: Path) -> None:
    found = compare(config(total=6).replace({"train.seed": 7}), seeds=2, controls=["constant"], out=tmp_path / "a")
    assert found.summary.seeds == (7, 8)


@pytest.mark.parametrize(
    ("changes", "options", "kind", "words"),
    [
        ({}, {"seeds": 1}, ConfigError, "seeds: got 1, expected a whole number >= 2"),
        ({}, {"controls": ["sortd"]}, ConfigError, "did you mean 'sorted'"),
        ({}, {"controls": ["sorted", "phase_shuffled"]}, PlanError, "phase_shuffled: "),
        ({}, {"endpoint": "accuracy"}, ConfigError, "endpoint: got 'accuracy'"),
        ({}, {"endpoint": "error@4"}, ConfigError, "endpoint: got 'error@4'"),
        ({}, {"margin": -1.0}, ConfigError, "margin: got -1.0"),
        ({"train.devices": 2}, {}, ConfigError, r"\[train\] devices: got 2, but .* write devices = 1"),
        ({"train.accumulate": 2}, {}, ConfigError, "write accumulate = 1"),
        ({"train.clip_norm": 1.0}, {}, ConfigError, "leave clip_norm out"),
        ({"train.precision": "bf16-mixed"}, {}, ConfigError, 'write precision = "32-true"'),
        ({"data": "comparing:pictures"}, {}, DataError, "a comparison reads its examples from memory"),
        ({"train.seed": 2**63 - 2}, {}, ConfigError, "past the largest seed"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        compare(config().replace(changes), out=tmp_path / "a", **{"seeds": 8, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_inside_a_cycle_is_refused_with_the_totals_that_fit(tmp_path: Path) -> None:
    cut = config().replace({"plan": {**(config().plan or {}), "cycle": {"waveform": "cosine", "period": "10step"}}})
    with pytest.raises(PlanError, match=r"total: 24 steps end inside a cycle, .*; write total = 20step or 30step"):
        compare(cut, seeds=2, out=tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_not_written_over(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds a comparison already; go on with it by --resume"):
        compare(config(), seeds=2, out=copy)
    with pytest.raises(ConfigError, match="holds no comparison"):
        resume(tmp_path / "none")
    with pytest.raises(ConfigError, match="holds no records"):
        judge(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        compare(config(), seeds=2, out=tmp_path / "file")
