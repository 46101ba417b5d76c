from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, FollowedError, StorageError
from ostinato.training import RunConfig, recipes
from ostinato.training.defaults import DEFAULT_TOTAL
from ostinato.training.launching import is_first_process
from ostinato.training.session import Session, in_order, resolve_config
from running import PLAN, config, jittered

torch.set_num_threads(1)


def test_without_a_plan_the_default_one_follows_the_optimizer() -> None:
    resolved = resolve_config(RunConfig().replace({"optimizer": {"name": "adamw", "lr": 0.02}}))
    plan = Plan.from_document(resolved.plan or {})
    assert (plan.cycle.count if plan.cycle else None) == 5
    assert str(plan.total) == DEFAULT_TOTAL
    assert plan.digest == recipes.plan("snapshot", total=DEFAULT_TOTAL, rate=0.02).digest


def test_a_plan_without_bindings_keeps_its_cycle() -> None:
    resolved = resolve_config(RunConfig(plan={"total": 12, "cycle": {"waveform": "triangular", "count": 3}}))
    plan = Plan.from_document(resolved.plan or {})
    assert plan.cycle is not None
    assert (plan.cycle.waveform, plan.cycle.count, str(plan.total)) == ("triangular", 3, "12step")
    assert list(plan.bindings) == ["optimizer.lr"]


def test_resolving_twice_changes_nothing() -> None:
    once = resolve_config(config())
    assert resolve_config(once) == once


def test_a_plan_in_another_unit_is_refused() -> None:
    with pytest.raises(ConfigError, match="unit: a training run counts in steps, got 'sample'; leave unit out"):
        resolve_config(config({**PLAN, "unit": "sample"}))


def test_two_sessions_of_one_configuration_are_the_same() -> None:
    first = Session.build(config())
    state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 - the global one is meant
    torch.rand(5)
    second = Session.build(config())
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))
    assert torch.equal(state[0], torch.get_rng_state())
    assert state[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002 - the global one is meant


def test_looking_at_the_model_leaves_its_mode_and_statistics() -> None:
    session = Session.build(config())
    norm = next(module for module in session.model.modules() if isinstance(module, torch.nn.BatchNorm1d))
    assert norm.training
    assert norm.num_batches_tracked == 0


@pytest.mark.parametrize("accumulate", [1, 2, 4, 7])
def test_the_examples_of_updates_are_those_of_the_epoch(accumulate: int) -> None:
    session = Session.build(config({**PLAN, "bind": PLAN["bind"][:1]}, train__accumulate=accumulate, model="linear"))
    per_epoch = session.steps_per_epoch
    assert per_epoch == -(-9 // accumulate)
    assert sum(session.examples_of_update(count) for count in range(per_epoch)) == 1437
    assert session.examples_of_update(per_epoch) == session.examples_of_update(0)


def test_data_in_order_are_all_examples_once() -> None:
    train, test, _ = jittered(20)
    assert [targets.tolist() for _, targets in in_order(train, 8)] == [
        [i % 3 for i in range(a, min(a + 8, 20))] for a in (0, 8, 16)
    ]
    split = Session.build(config()).data.test
    assert sum(len(targets) for _, targets in in_order(split)) == len(split)
    assert len(list(in_order(test))) == 1


def test_leading_raises_what_the_action_raised() -> None:
    session = Session.build(config())

    def fail() -> None:
        raise StorageError("full")

    with pytest.raises(StorageError, match="full"):
        session.lead(fail)
    done: list[int] = []
    session.lead(lambda: done.append(1))
    assert done == [1]
    assert issubclass(FollowedError, Exception)


@pytest.mark.parametrize(
    ("name", "value", "first"), [("RANK", "0", True), ("RANK", "3", False), ("LOCAL_RANK", "1", False)]
)
def test_the_first_process_is_known_before_anything_is_launched(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, first: bool
) -> None:
    for other in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(other, raising=False)
    assert is_first_process()
    monkeypatch.setenv(name, value)
    assert is_first_process() is first
