"""Buffers: what they keep is what they say, whatever the blocks, and a saved one goes on to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ostinato.applications.continual import Buffer, ClassBalanced, Reservoir
from ostinato.errors import ConfigError, DataError, StateError
from ostinato.training.checkpoint import Checkpoint, CheckpointStore

KINDS = [Reservoir, ClassBalanced]


def labelled(count: int, labels: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(count), torch.from_numpy(np.random.default_rng(seed).integers(labels, size=count))


def test_a_reservoir_keeps_every_example_equally_often() -> None:
    kept = np.zeros(40)
    for seed in range(1500):
        buffer = Reservoir(10, seed=seed)
        buffer.add(*labelled(40))
        kept[buffer.inputs.numpy()] += 1
    expected = 1500 * 10 / 40
    chi = float(((kept - expected) ** 2 / expected).sum()) / (1 - 10 / 40)
    assert chi < 72.05  # the 0.999 quantile of chi square with 39 degrees of freedom


def test_a_class_balanced_buffer_keeps_rare_classes_and_samples_within_the_frequent_one() -> None:
    labels = torch.tensor([0] * 90 + [1] * 6 + [0] * 90 + [2] * 40)
    kept = []
    for seed in range(200):
        buffer = ClassBalanced(12, seed=seed)
        buffer.add(torch.arange(len(labels)), labels)
        counts = buffer.targets.bincount(minlength=3)
        assert counts.sum() == 12
        assert counts.max() - counts.min() <= 1
        kept += buffer.inputs[buffer.targets == 0].tolist()
    late = sum(place >= 96 for place in kept) / len(kept)
    assert 0.35 < late < 0.65  # not the first that came


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_and_draws_do_not_change_what_is_kept(kind: Any) -> None:
    inputs, targets = labelled(200)
    whole, parts = kind(16, seed=3), kind(16, seed=3)
    whole.add(inputs, targets)
    for first in range(0, 200, 7):
        parts.add(inputs[first : first + 7], targets[first : first + 7])
        parts.draw(5)
    assert torch.equal(whole.inputs, parts.inputs)
    assert torch.equal(whole.targets, parts.targets)
    assert not torch.equal(whole.inputs, kind_of(kind, 4).inputs)


def kind_of(kind: Any, seed: int) -> Buffer:
    buffer: Buffer = kind(16, seed=seed)
    buffer.add(*labelled(200))
    return buffer


@pytest.mark.parametrize("kind", KINDS)
def test_a_buffer_goes_on_from_a_file_to_the_bit(kind: Any, tmp_path: Path) -> None:
    inputs, targets = labelled(300)
    straight = kind(16, seed=1)
    straight.add(inputs[:100], targets[:100])
    straight.draw(4)
    CheckpointStore(tmp_path).save(Checkpoint(1, {"buffer": straight.state_dict()}, 0.0))
    found = CheckpointStore(tmp_path).latest()
    assert found is not None
    resumed = kind(16, seed=99)
    resumed.load_state_dict(found.state["buffer"])
    for buffer in (straight, resumed):
        buffer.add(inputs[100:], targets[100:])
    assert resumed.seen == 300
    for buffer_of in (lambda b: b.inputs, lambda b: b.targets, lambda b: b.draw(5)[0], lambda b: b.draw(40)[1]):
        assert torch.equal(buffer_of(straight), buffer_of(resumed))


def test_draws_repeat_nothing_while_there_is_enough() -> None:
    buffer = Reservoir(8)
    buffer.add(*labelled(5))
    assert sorted(buffer.draw(5)[0].tolist()) == [0, 1, 2, 3, 4]
    assert len(buffer.draw(9)[0]) == 9


def test_bad_input_is_said_in_one_line() -> None:
    for size in (0, -1, 1.5, True):
        with pytest.raises(ConfigError, match=r"^size: got .*, expected a whole number >= 1; .*$"):
            Reservoir(size)
    buffer = Reservoir(4)
    with pytest.raises(StateError, match="buffer: is empty, nothing can be drawn"):
        buffer.draw(1)
    buffer.add(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(DataError, match=r"got inputs of shape \(2,\), expected \(3,\)"):
        buffer.add(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64))
    with pytest.raises(DataError, match="1 inputs and 2 targets"):
        buffer.add(torch.zeros(1, 3), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(StateError, match="buffer: kind was 'Reservoir', is 'ClassBalanced'"):
        ClassBalanced(4).load_state_dict(buffer.state_dict())
    with pytest.raises(StateError, match="buffer: size was 4, is 5"):
        Reservoir(5).load_state_dict(buffer.state_dict())
