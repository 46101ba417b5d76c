"""Study ``replay-phase``: arms that are what they are called, equal counts, and verdicts that follow what is planted."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ostinato.applications.continual import Feed, Reservoir, Stream, Task, replay_times
from ostinato.studies import find
from ostinato.studies.frame import judge
from ostinato.studies.frame.cells import Cell, Request, unpack_bits
from ostinato.studies.frame.images import Images
from ostinato.studies.frame.study import perform
from ostinato.studies.replay_phase.measuring import PHASES, members_of
from ostinato.studies.replay_phase.plans import plan_of, spread_of
from ostinato.studies.replay_phase.remarks import remarks, table
from ostinato.studies.replay_phase.streams import Rows, stream_of

STUDY = find("replay-phase")
SPEC = STUDY.spec
HEADLINE = SPEC.regimes[0]
STEPS, CYCLES, TASKS = 2_000, 20, 5
EQUAL = ("high", "random", "tuned", "low", "uniform", "wave", "decay")
Times = NDArray[np.bool_]


def resolved(arm: str) -> Any:
    return plan_of(arm, 0.1, steps=STEPS, cycles=CYCLES, tasks=TASKS).resolve()


def times_of(arm: str, seed: int = 3) -> Times:
    return replay_times(resolved(arm), seed=seed, spread=spread_of(arm))


def test_arms_of_equal_counts_replay_equally_often_in_every_cycle() -> None:
    for seed in range(5):
        counts = {arm: times_of(arm, seed).reshape(CYCLES, -1).sum(1) for arm in SPEC.arms}
        assert all((counts[arm] == 50).all() for arm in EQUAL)
        assert (counts["none"] == 0).all()
        assert (counts["dose"] > 75).all()
        assert (counts["thrift"] < 30).all()


def test_each_arm_replays_where_its_name_says() -> None:
    rate = resolved("high").table()["optimizer.lr"]
    level = {arm: rate[times_of(arm)].mean() / rate.mean() for arm in SPEC.arms if arm != "none"}
    assert level["thrift"] > level["high"] > level["wave"] > level["random"] > level["low"]
    assert level["random"] == pytest.approx(1.0, abs=0.05)
    assert level["uniform"] == pytest.approx(1.0, abs=0.05)
    assert rate[times_of("high")].min() > rate[~times_of("high")].max()
    assert rate[times_of("low")].max() < rate[~times_of("low")].min()
    assert set(np.diff(np.flatnonzero(times_of("uniform")))) == {2}


def test_the_summed_rates_are_matched_and_every_arm_has_the_same_rates() -> None:
    rate = resolved("high").table()["optimizer.lr"]
    summed = {
        arm: np.mean([rate[times_of(arm, seed)].sum() for seed in range(8)])
        for arm in ("high", "dose", "random", "thrift")
    }
    assert summed["dose"] == pytest.approx(summed["high"], rel=0.01)
    assert summed["thrift"] == pytest.approx(summed["random"], rel=0.02)
    for arm in SPEC.arms:
        own = resolved(arm)
        factor = np.repeat(0.4 ** np.arange(TASKS), STEPS // TASKS) if arm == "decay" else 1.0
        assert own.table()["optimizer.lr"] == pytest.approx(rate * factor)
        assert {STEPS * (place + 1) // TASKS for place in range(TASKS)} <= {span.end for span in own.cycles}
        assert all(span.trough == span.end - 1 for span in own.cycles)  # all tasks end at a trough


def images(count: int = 400, classes: int = 10) -> Images:
    draws = np.random.default_rng(1)
    targets = torch.arange(count) % classes
    inputs = torch.from_numpy(draws.normal(size=(count, 1, 3, 3)).astype(np.float32))
    part = inputs[:60], targets[:60]
    return Images(inputs, targets, part, part, classes)


PARAMETERS = {**SPEC.parameters(HEADLINE, "smoke"), "examples": 40, "batch": 8, "buffer": 20}


def test_a_member_reads_what_a_live_feed_would_give_it() -> None:
    own = images()
    for kind in ("split", "permuted"):
        parameters = {**PARAMETERS, "stream": kind}
        cells = tuple(Cell(arm, seed, {"peak": 0.1}) for seed in (9000, 9001) for arm in ("high", "random", "none"))
        members, (inputs, targets) = members_of(cells, own, parameters, own.validation)
        assert targets[-1] == -100
        for member in members:
            stream = stream_of(own, parameters, member.cell.seed, own.validation)
            buffer = Reservoir(20, seed=member.cell.seed)
            feed = Feed(stream, member.times, buffer, epochs=4, batch_size=8, seed=member.cell.seed)
            for step in range(feed.total):
                batch, rows = feed.batch(step), member.rows[step]
                assert torch.equal(inputs[rows[:8]], batch.inputs[:8])
                assert torch.equal(targets[rows[:8]], batch.targets[:8])
                assert (targets[rows[8:]] == -100).all() == (batch.replayed == 0)
                if batch.replayed:
                    assert torch.equal(inputs[rows[8:]], batch.inputs[8:])
                if step + 1 in feed.ends:
                    feed.close(feed.ends.index(step + 1))
        new = {seed: {m.rows[:, :8].tobytes() for m in members if m.cell.seed == seed} for seed in (9000, 9001)}
        assert [len(found) for found in new.values()] == [1, 1]
        assert new[9000] != new[9001]


def test_the_memory_of_gdumb_is_balanced_and_all_that_it_reads() -> None:
    own = images()
    stream = stream_of(own, PARAMETERS, 9000, own.validation)
    rows = Rows.of(stream, PARAMETERS, 9000)
    targets = torch.cat([task.targets for task in stream.tasks])
    assert targets[rows.memory].bincount().tolist() == [2] * 10
    read = rows.remembered()
    assert set(np.unique(read)) == set(rows.memory.tolist())
    assert read.shape == (rows.ends[-1], 16)


def test_a_task_holds_two_classes_of_equal_size_or_all_images_in_another_order() -> None:
    own = images()
    streams = [stream_of(own, PARAMETERS, seed, own.validation) for seed in range(6)]
    assert all(len(task.targets) == 40 and len(task.targets.unique()) == 2 for s in streams for task in s.tasks)
    assert len({tuple(task.name for task in s.tasks) for s in streams}) > 3
    permuted = stream_of(own, {**PARAMETERS, "stream": "permuted"}, 1, own.validation)
    assert all(torch.equal(task.targets, permuted.tasks[0].targets) for task in permuted.tasks)
    assert isinstance(permuted, Stream)
    assert isinstance(permuted.tasks[0], Task)


def records(error: dict[str, float], new_error: dict[str, float], noise: float = 0.004) -> list[dict[str, Any]]:
    """Return a headline's records in which arms have planted errors, 0.3 where nothing is said."""
    draws = np.random.default_rng(0)
    found = []
    for seed in SPEC.seeds_of(HEADLINE, "full"):
        level = 0.02 * draws.standard_normal()
        for arm in SPEC.arms:
            own = {
                name: planted.get(arm, 0.3) + level + noise * draws.standard_normal()
                for name, planted in (("error", error), ("new_error", new_error))
            }
            phases = {f"{name}_error": own["error"] for name in ("trough", "cycle", "peak")}
            metrics = {**own, **phases, "forgotten": 0.2, "replays": 800.0, "replay_rate": 4.0}
            found.append({
                "arm": arm, "seed": seed, "regime": HEADLINE.name, "spec": SPEC.digest, "status": "done", "metrics": metrics, "curves": {}, "correct": "",
                "settings": {"peak": 0.1},
            })  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("error", "new_error", "expected"),
    [
        ({"high": 0.27}, {}, "supported"),  # a gain over all, the new task as it was
        ({"high": 0.27}, {"high": 0.25}, "supported"),
        ({}, {}, "not supported"),  # nothing
        ({"high": 0.33}, {}, "not supported"),  # harm
        ({"high": 0.27, "dose": 0.27}, {}, "not supported"),  # the dose explains it
        ({"high": 0.27, "tuned": 0.27}, {}, "not supported"),  # the peak explains it
        ({"high": 0.27}, {"high": 0.33}, "not supported"),  # the new task is lost
    ],
)
def test_the_verdict_follows_what_is_planted(
    error: dict[str, float], new_error: dict[str, float], expected: str
) -> None:
    verdict = judge(SPEC, HEADLINE, records(error, new_error)).verdict
    assert verdict is not None
    assert verdict.verdict == expected


def test_the_remarks_say_where_a_gain_holds_and_the_table_has_every_arm() -> None:
    planted = records({"high": 0.27}, {}, noise=0.0)
    assert len(remarks(planted)) == 2
    assert "high 27.00%" in remarks(planted)[0].replace(f"{0.27:.2%}", "27.00%") or "high" in remarks(planted)[0]
    for record in planted:
        if record["arm"] == "high":
            record["metrics"]["cycle_error"] += 0.03
    assert any(
        "+3.00 points at the trough and +0.00 over the cycle: it holds only because" in line
        for line in remarks(planted)
    )
    assert len(table(planted)) == 3 + len(SPEC.arms) + 1
    assert remarks(planted[:3]) == table(planted[:3]) == []


@pytest.mark.skipif("OSTINATO_DATA" not in os.environ, reason="needs Fashion-MNIST (OSTINATO_DATA)")
def test_what_is_measured_is_of_the_seed_alone_and_tuning_sees_no_test_image() -> None:
    parameters = SPEC.parameters(HEADLINE, "smoke")

    def done(stage: Any, *cells: Cell) -> dict[tuple[str, int], Any]:
        found = perform(Request(SPEC.name, HEADLINE.name, parameters, stage, cells))
        return {(one.cell.arm, one.cell.seed): one for one in found}

    cells = [Cell(arm, seed, {"peak": 0.1}) for seed in (9000, 9001) for arm in ("high", "random", "tuned", "gdumb")]
    several, alone = done("confirming", *cells), done("confirming", cells[4])
    assert alone["high", 9001].metrics == pytest.approx(several["high", 9001].metrics, abs=0.02)
    assert several["random", 9000].metrics == several["tuned", 9000].metrics
    assert several["high", 9000].metrics["replays"] == several["random", 9000].metrics["replays"] == 32
    assert "new_error" not in several["gdumb", 9000].metrics
    assert len(several["high", 9000].curves["phase_error"]) <= PHASES
    for one in several.values():
        assert len(unpack_bits(one.correct)) == 300
    tried = done("tuning", *cells[:4])
    assert all(set(one.metrics) == {"validation_error"} and one.correct == "" for one in tried.values())
    parameters = SPEC.parameters(SPEC.regimes[1], "smoke")
    other = perform(Request(SPEC.name, "permuted", parameters, "confirming", (cells[0],)))[0]
    assert len(unpack_bits(other.correct)) == 5 * 300
    assert other.metrics["error"] == pytest.approx(1 - unpack_bits(other.correct).mean())
