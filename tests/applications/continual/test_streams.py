"""Streams, and what a matrix of accuracies says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ostinato.applications.continual import (
    Stream,
    average_accuracy,
    backward_transfer,
    forgetting,
    new_task_accuracy,
    permuted,
    split,
)
from ostinato.errors import DataError

INPUTS, TARGETS = torch.arange(120.0).reshape(30, 1, 2, 2), torch.arange(30) % 6
DATA = INPUTS, TARGETS


def test_split_gives_every_example_to_one_task_by_its_class() -> None:
    stream = split(DATA, (INPUTS.numpy(), TARGETS.numpy()), 3)
    assert [task.name for task in stream.tasks] == ["0 1", "2 3", "4 5"]
    assert stream.classes == 6
    assert sorted(torch.cat([task.inputs[:, 0, 0, 0] for task in stream.tasks]).tolist()) == INPUTS[:, 0, 0, 0].tolist()
    for task in stream.tasks:
        assert {str(label) for label in task.targets.tolist()} == set(task.name.split())
        assert torch.equal(task.test[0], task.inputs)
    orders = {tuple(task.name for task in split(DATA, DATA, 3, seed=seed).tasks) for seed in range(8)}
    assert len(orders) > 4
    assert [task.name for task in split(DATA, DATA, [[5, 0], [3]]).tasks] == ["5 0", "3"]


def test_permuted_moves_pixels_the_same_way_in_training_and_test() -> None:
    stream = permuted(DATA, DATA, 4, seed=2)
    assert torch.equal(stream.tasks[0].inputs, INPUTS)
    seen = set()
    for task in stream.tasks:
        order = task.inputs[0].flatten().to(torch.int64)
        seen.add(tuple(order.tolist()))
        assert torch.equal(task.inputs.flatten(1), INPUTS.flatten(1)[:, order])
        assert torch.equal(task.test[0], task.inputs)
        assert torch.equal(task.targets, TARGETS)
    assert len(seen) > 2
    assert permuted(DATA, DATA, 4, seed=2).digest == stream.digest != permuted(DATA, DATA, 4, seed=3).digest


def test_bad_streams_are_said_in_one_line() -> None:
    with pytest.raises(DataError, match=r"^stream: got 1 task, expected at least 2; .*train it as usual$"):
        split(DATA, DATA, 1)
    with pytest.raises(DataError, match="stream: got 1 task"):
        permuted(DATA, DATA, 1)
    with pytest.raises(DataError, match="tasks: got 4 for 6 classes"):
        split(DATA, DATA, 4)
    with pytest.raises(DataError, match="each class in one task"):
        split(DATA, DATA, [[0, 1], [1, 2]])
    with pytest.raises(DataError, match="task 7 has 0 training inputs"):
        split(DATA, DATA, [[0], [7]])
    with pytest.raises(DataError, match=r"train: got inputs \(30, 1, 2, 2\) and classes \(30,\) of torch.float32"):
        split((INPUTS, TARGETS.float()), DATA)
    with pytest.raises(DataError, match="has the class 5, expected 0 to 3"):
        Stream(split(DATA, DATA, 3).tasks, 4)


def test_the_measures_of_a_planted_matrix() -> None:
    matrix = [[0.9, 0.1, 0.0], [0.6, 0.8, 0.2], [0.7, 0.5, 0.95]]
    assert average_accuracy(matrix) == pytest.approx((0.7 + 0.5 + 0.95) / 3)
    assert backward_transfer(matrix) == pytest.approx(((0.7 - 0.9) + (0.5 - 0.8)) / 2)
    assert new_task_accuracy(matrix) == pytest.approx((0.8 + 0.95) / 2)
    lost = forgetting(matrix)
    assert lost[np.tril_indices(3)] == pytest.approx([0.0, 0.3, 0.0, 0.2, 0.3, 0.0])
    assert np.isnan(lost[np.triu_indices(3, 1)]).all()
    kept = forgetting([[0.5, 0.0], [0.9, 0.8]])
    assert kept[1, 0] == 0.0  # better than ever is no forgetting
    for wrong in ([[0.5]], [[0.5, 0.5]], [0.5, 0.5]):
        with pytest.raises(DataError, match="matrix: got shape"):
            average_accuracy(wrong)
