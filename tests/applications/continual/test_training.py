"""Learning a stream: replay keeps what is lost without it, tasks end at one phase, and the loop is what a population's members do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato import population
from ostinato.applications.continual import (
    ClassBalanced,
    Feed,
    Replay,
    Reservoir,
    Stream,
    average_accuracy,
    backward_transfer,
    decayed,
    gdumb,
    permuted,
    replay_times,
    split,
    train_stream,
)
from ostinato.errors import ConfigError, PlanError, StateError

RATE, PROBABILITY = ost.wave(0.0, 0.05), "replay.probability"


def clusters(count: int = 60, classes: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    draws = np.random.default_rng(seed)
    targets = np.arange(count) % classes
    centres = np.random.default_rng(9).normal(size=(classes, 8)) * 2
    return torch.tensor(centres[targets] + 0.3 * draws.normal(size=(count, 8)), dtype=torch.float32), torch.tensor(
        targets
    )


STREAM = split(clusters(), clusters(seed=1), 3)
SETTING: dict[str, Any] = {"epochs": 6, "batch_size": 5}


def make() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 6))


def plan(probability: Any = 0.5, count: int = 6) -> ost.Plan:
    return ost.Plan(cycle=ost.Cycle("cosine", count=count), bindings={"optimizer.lr": RATE, PROBABILITY: probability})


def test_replay_keeps_what_is_forgotten_without_it() -> None:
    without = train_stream(make, STREAM, plan(), **SETTING)
    assert backward_transfer(without.matrix) < -0.7
    assert (np.diag(without.matrix) > 0.9).all()
    for buffer in (Reservoir(18), ClassBalanced(18)):
        found = train_stream(make, STREAM, plan(), buffer=buffer, **SETTING)
        assert average_accuracy(found.matrix) > 0.75
        assert found.replayed[: found.ends[0]].sum() == 0
        assert found.replayed[found.ends[0] :].sum() == 5 * 24  # half of the updates of two tasks
    never = train_stream(make, STREAM, plan(0.0), buffer=Reservoir(18), **SETTING)
    assert np.array_equal(never.matrix, without.matrix)


def test_count_is_scheduled_too_and_the_summed_rate_is_of_updates_with_replay() -> None:
    bound = plan(1.0).replace({"replay.count": ost.wave(0.0, 10.0)})
    found = train_stream(make, STREAM, bound, buffer=Reservoir(18), **SETTING)
    table = found.plan.table()
    assert np.array_equal(found.replayed[24:], np.rint(table["replay.count"][24:]).astype(int))
    assert found.summed_rate == pytest.approx(table["optimizer.lr"][found.replayed > 0].sum())
    with pytest.raises(ConfigError, match=r"replay.count: -0.9\d+ at step"):
        train_stream(
            make, STREAM, plan().replace({"replay.count": ost.wave(-1.0, 2.0)}), buffer=Reservoir(18), **SETTING
        )


def test_tasks_that_end_at_unequal_phases_are_refused() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^plan: task 0 ends after update 24, inside a cycle, .* write Cycle\(count=3\) or a multiple",
    ):
        train_stream(make, STREAM, plan(count=2), **SETTING)
    with pytest.raises(PlanError, match="total: the plan has 70 updates, the stream 72"):
        train_stream(make, STREAM, replace(plan(), total=70), **SETTING)
    with pytest.raises(ConfigError, match="every: got 0"):
        train_stream(make, STREAM, plan(), every=0, **SETTING)
    with pytest.raises(ConfigError, match="epochs: got 0"):
        train_stream(make, STREAM, plan(), epochs=0)


def numbered(stream: Stream) -> tuple[Stream, tuple[torch.Tensor, torch.Tensor]]:
    """The stream with numbers in place of examples, and the examples in that order with a blank one behind."""
    sizes = [len(task.targets) for task in stream.tasks]
    firsts = np.cumsum([0, *sizes])
    tasks = tuple(
        replace(t, inputs=torch.arange(a, a + n))
        for t, a, n in zip(stream.tasks, firsts[:-1].tolist(), sizes, strict=True)
    )
    inputs = torch.cat([*(task.inputs for task in stream.tasks), torch.zeros(1, 8)])
    return replace(stream, tasks=tasks), (
        inputs,
        torch.cat([*(task.targets for task in stream.tasks), torch.tensor([-100])]),
    )


def test_a_population_that_reads_the_same_examples_ends_with_the_same_weights() -> None:
    numbers, data = numbered(STREAM)
    found, rows, plans = [], [], []
    for seed, probability in ((0, 0.5), (0, 0.0), (3, ost.wave(0.0, 1.0))):
        full = replace(plan(probability), total=72)
        found.append(train_stream(make, STREAM, full, buffer=Reservoir(18, seed=seed), seed=seed, **SETTING))
        feed = Feed(numbers, replay_times(full.resolve(), seed=seed), Reservoir(18, seed=seed), seed=seed, **SETTING)
        own = np.full((72, 10), len(data[1]) - 1)
        for step in range(72):
            batch = feed.batch(step)
            assert batch.replayed == found[-1].replayed[step]
            own[step, : len(batch.inputs)] = batch.inputs
            if step + 1 in feed.ends:
                feed.close(feed.ends.index(step + 1))
        rows.append(own)
        plans.append(full.replace({PROBABILITY: None}))
    result = population.train(
        make, plans, data, optimizer="sgd", seeds=[0, 0, 3], batches=np.stack(rows), snapshots=[5, 71], compile=False
    )
    alone = population.single(make, plans[2], data, optimizer="sgd", seed=3, batches=rows[2])
    for k, one in enumerate(found):
        for name, tensor in one.model.state_dict().items():
            assert torch.allclose(result.member(k)[name], tensor, atol=1e-5), (k, name)
    assert sorted(result.snapshots(0)) == [5, 71]
    assert torch.equal(result.snapshots(1)[71]["0.weight"], result.member(1)["0.weight"])
    assert torch.allclose(alone.member(0)["0.weight"], result.member(2)["0.weight"], atol=1e-5)
    assert not torch.allclose(result.member(0)["0.weight"], result.member(1)["0.weight"], atol=1e-2)


def test_batches_that_cannot_be_are_refused() -> None:
    _, data = numbered(STREAM)
    given = np.zeros((1, 4, 2), np.int64)
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"batches": given[0]},
            r"batches: got int64 values of shape \(4, 2\), expected indices of shape \(1, updates, examples\)",
        ),
        ({"batches": given - 1}, "batches: expected indices from 0 to 60, got -1 to -1"),
        ({"batches": given, "subsets": [[0, 1]]}, "subsets, batches: got both"),
        ({"batches": given[:, :3]}, "batches: got 3 for each member, expected one for each of 4 updates"),
        ({"batches": given, "snapshots": [4]}, "snapshots: got the step 4, expected whole numbers from 0 to 3"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError, match=message):
            population.train(make, [ost.Plan(total=4)], data, **options)


def test_a_run_goes_on_from_its_folder_and_refuses_another_setting(tmp_path: Path) -> None:
    straight = train_stream(make, STREAM, plan(), buffer=ClassBalanced(18), **SETTING)
    options = {"buffer": ClassBalanced(18), "folder": tmp_path, "every": 10, **SETTING}
    first = train_stream(make, STREAM, plan(), **options)
    again = train_stream(make, STREAM, plan(), **{**options, "buffer": ClassBalanced(18)})
    for found in (first, again):
        assert np.array_equal(found.matrix, straight.matrix)
        assert np.array_equal(found.replayed, straight.replayed)
        assert all(
            torch.equal(a, b)
            for a, b in zip(found.model.state_dict().values(), straight.model.state_dict().values(), strict=True)
        )
    for changed, message in (
        ({"batch_size": 4}, "batch_size: the checkpoint has 5, now it is 4"),
        ({"seed": 1}, "seed: the checkpoint has 0"),
        ({"buffer": None}, "buffer: the checkpoint is of a run with and this one without"),
        ({"buffer": ClassBalanced(17)}, "buffer: size was 18, is 17"),
    ):
        with pytest.raises(StateError, match=message):
            train_stream(make, STREAM, plan(), **{**options, **changed})
    with pytest.raises(StateError, match="stream: the checkpoint has"):
        train_stream(make, split(clusters(seed=4), clusters(seed=1), 3), plan(), **options)
    with pytest.raises(StateError):
        train_stream(make, STREAM, plan(0.25), **options)


def test_what_the_plan_does_not_drive_comes_from_replay() -> None:
    silent = plan().replace({PROBABILITY: None})
    found = train_stream(
        make, STREAM, silent, buffer=Reservoir(18), replay=Replay(0.25, count=2), spread="even", **SETTING
    )
    assert set(found.replayed[24:]) == {0, 2}
    assert (found.replayed[24:] > 0).sum() == 12


def test_gdumb_learns_from_the_buffer_alone() -> None:
    alone = ost.Plan(total=60, cycle=ost.Cycle("cosine", count=1), bindings={"optimizer.lr": RATE})
    matrix = gdumb(make, STREAM, alone, ClassBalanced(18), batch_size=6)
    assert (matrix[np.tril_indices(3)] > 0.9).all()
    assert (matrix[np.triu_indices(3, 1)] == 0.0).all()  # classes that it never saw
    small = gdumb(make, permuted(clusters(), clusters(seed=1), 2), alone, ClassBalanced(3), batch_size=3)
    assert average_accuracy(small) < average_accuracy(matrix)


def test_the_rate_falls_from_task_to_task_and_nothing_else_changes() -> None:
    full = replace(plan(), total=72)
    before, after = full.table(), decayed(full, 3, 0.5).table()
    factor = np.repeat([1.0, 0.5, 0.25], 24)
    assert after["optimizer.lr"] == pytest.approx(before["optimizer.lr"] * factor)
    assert np.array_equal(after[PROBABILITY], before[PROBABILITY])
    assert list(decayed(full, 3).resolve().snapshots) == list(full.resolve().snapshots)
    for wrong, message in (
        (lambda: decayed(full, 1), "tasks, factor: got 1"),
        (lambda: decayed(full, 3, 0.0), "tasks, factor: got 3 and 0.0"),
        (lambda: decayed(plan(), 3), "total: missing"),
        (lambda: decayed(full, 5), "total: 72 steps are not 5 tasks"),
        (lambda: decayed(full.replace({"optimizer.lr": None}), 3), "drives no learning rate"),
    ):
        with pytest.raises((ConfigError, PlanError), match=message):
            wrong()
