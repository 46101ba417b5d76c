"""A run whose batches are augmented: the strength of each one is the plan's, whoever makes it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ostinato import augment
from ostinato.augment import generator
from ostinato.cli.settings import configuration
from ostinato.comparison.setup import material_of
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, DataError, DomainError
from ostinato.training import Observer, RunConfig, evaluate_run, parse_config, train
from ostinato.training.batches import Batches, EpochOrder
from ostinato.training.session import Session, resolve_config
from running import PLAN, fingerprint, interrupted_run
from seen import SIX, six

torch.set_num_threads(1)


class Values(Observer):
    """Notes the value that every target had in each update, as the live objects hold it."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.rows: list[dict[str, float]] = []

    def begun(self, session: Session, count: int) -> None:
        self.session = session
        session.model.register_forward_pre_hook(self._note)

    def _note(self, model: torch.nn.Module, inputs: Any) -> None:
        session = self.session
        if session is None or session.augment is None or not model.training:
            return
        group = session.optimizer.param_groups[0]
        norm = next(module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d))
        drop = next(module for module in model.modules() if isinstance(module, torch.nn.Dropout))
        self.rows.append(
            {
                "optimizer.lr": group["lr"],
                "optimizer.weight_decay": group["weight_decay"],
                "model:Dropout.p": drop.p,
                "model:BatchNorm.momentum": float(norm.momentum or 0.0),
                "loss.label_smoothing": float(session.criterion.label_smoothing),
                "augment.strength": session.augment.strength,
            }
        )


def test_six_targets_move_and_each_batch_has_the_strength_of_its_own_update(tmp_path: Path) -> None:
    """With two workers: what the worker says it used, and what it did, against the table; three epochs, batch by batch."""
    session = Session.build(six(train__workers=2))
    table = session.scheduler.resolved.table()
    assert {name for name in table.dtype.names if name != "step"} == {bound["target"] for bound in SIX["bind"]}
    plain = Batches(session.data.train, session.batches.order)
    for epoch in range(3):
        for batch in session.batches.counted(epoch):
            if batch.count >= len(table):
                break
            for target in table.dtype.names[1:]:
                assert batch.values[target] == table[target][batch.count]
            strength, draws = float(table["augment.strength"][batch.count]), generator(0, batch.count)
            inputs, targets = plain.batch(epoch, batch.index)
            for operation in (augment.shift, augment.cutout):
                inputs = operation(inputs, strength, draws)
            inputs, targets = augment.mixup(inputs, targets, strength, draws, classes=10)
            assert torch.equal(inputs, batch.data[0])
            assert torch.equal(targets, batch.data[1])
    session.batches.close()


def test_the_live_objects_move_with_the_batches(tmp_path: Path) -> None:
    seen = Values()
    train(six(train__workers=2), tmp_path / "run", observer=seen)
    assert seen.session is not None
    table = seen.session.scheduler.resolved.table()
    assert len(seen.rows) == len(table) == 26
    for target in table.dtype.names[1:]:
        assert [row[target] for row in seen.rows] == table[target].tolist()
        assert len(set(table[target])) > 5


def test_workers_and_interruptions_change_nothing(tmp_path: Path) -> None:
    train(six(), tmp_path / "alone")
    expected = fingerprint(tmp_path / "alone")
    train(six(train__workers=2), tmp_path / "two")
    interrupted_run(six(train__workers=1), tmp_path / "interrupted", [3, 11, 20])
    for name in ("two", "interrupted"):
        found = fingerprint(tmp_path / name)
        assert {key: value for key, value in found.items() if key != "config"} == {
            key: value for key, value in expected.items() if key != "config"
        }


def test_with_accumulation_each_batch_of_an_update_is_drawn_anew_at_one_strength() -> None:
    session = Session.build(six(train__accumulate=2, augment={"ops": ["noise"]}))
    plain = Batches(session.data.train, session.batches.order)
    noises: list[Tensor] = []
    for batch in session.batches.counted(0):
        assert batch.count == batch.index // 2
        noise = batch.data[0] - plain.batch(0, batch.index)[0]
        drawn = torch.randn(noise.shape, generator=generator(0, batch.count, part=batch.index % 2))
        strength = batch.values["augment.strength"]
        assert strength == session.scheduler.resolved.values(batch.count)["augment.strength"]
        torch.testing.assert_close(noise, strength * 0.1 * drawn, atol=1e-6, rtol=0)
        noises.append(noise)
    assert not torch.allclose(noises[0], noises[1])


def test_the_test_data_is_never_augmented(tmp_path: Path) -> None:
    session = Session.build(six())
    (inputs, targets), *_ = session.test_batches()
    assert torch.equal(inputs, session.data.test[0:512][0])
    assert torch.equal(targets, session.data.test[0:512][1])
    _, document = train(six(), tmp_path / "run")
    scored = evaluate_run(tmp_path / "run")
    assert scored["metrics"]["ensemble"] == document["metrics"]["ensemble"]


def test_the_run_folder_says_what_augmentation_was_used(tmp_path: Path) -> None:
    folder, document = train(six(), tmp_path / "run")
    assert document["augment"] == {
        "ops": ["shift", "cutout", "mixup"],
        "strength": 1.0,
        "maxima": {"shift": 0.25, "cutout": 0.5, "mixup": 0.5},
        "seed": 0,
        "driven": True,
    }
    assert json.loads(folder.result.read_text())["augment"] == document["augment"]
    assert folder.load_config().augment.ops == ("shift", "cutout", "mixup")
    plan = {key: value for key, value in SIX.items() if key != "bind"} | {"bind": PLAN["bind"]}
    constant = {"ops": ["flip"], "strength": 0.25, "maxima": {"flip": 0.4}}
    _, document = train(six(plan=plan, augment=constant), tmp_path / "constant")
    assert document["augment"] == {**constant, "seed": 0, "driven": False}
    _, document = train(six(plan=plan, augment={}), tmp_path / "without")
    assert document["augment"] is None
    assert "augment" not in (tmp_path / "without" / "config.toml").read_text()


class Signed(Dataset[tuple[Tensor, int]]):
    """Examples from any process leave its number in a file."""

    def __init__(self, place: str, length: int = 24) -> None:
        self.place, self.length = place, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Path(self.place).open("a") as file:
            file.write(f"{os.getpid()}\n")
        return torch.full((1, 8, 8), float(index)), index % 3


def test_the_workers_stay_for_the_whole_run(tmp_path: Path) -> None:
    place = tmp_path / "pids"
    batches = Batches(Signed(str(place)), EpochOrder(24, 6, seed=0), workers=2, start_method="fork")
    for epoch in range(4):
        assert len(list(batches.epoch(epoch))) == 4
    assert len(set(place.read_text().split())) == 2
    batches.close()
    list(batches.epoch(0))
    assert len(set(place.read_text().split())) == 4
    batches.close()


def test_leaving_an_epoch_early_leaves_nothing_behind_for_the_next() -> None:
    session = Session.build(six(train__workers=2))
    expected = [batch.data[0] for batch in Session.build(six()).batches.counted(1, 2)]
    first = session.batches.counted(0)
    next(first)
    found = list(session.batches.counted(1, 2))
    assert [batch.index for batch in found] == list(range(2, len(session.batches)))
    assert all(torch.equal(batch.data[0], inputs) for batch, inputs in zip(found, expected, strict=True))
    with pytest.raises(DataError, match="being looped over elsewhere"):
        next(first)
    session.batches.close()


class Deadly(Dataset[tuple[Tensor, int]]):
    """As long as a file is there, one example kills the worker that fetches it."""

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 7 and Path(self.trigger).exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.full((2,), float(index)), index % 3


def test_a_worker_that_dies_is_said_in_one_line_and_the_epoch_can_go_on(tmp_path: Path) -> None:
    (tmp_path / "trigger").touch()
    order = EpochOrder(12, 3, seed=0, shuffle=False)
    batches = Batches(Deadly(str(tmp_path / "trigger")), order, workers=1, start_method="fork")
    fetched = batches.counted(0)
    with pytest.raises(
        DataError, match=r"^update \d \(epoch 0, batch \d\): (a )?DataLoader worker .*no batch is lost"
    ) as told:
        list(fetched)
    assert "\n" not in str(told.value)
    (tmp_path / "trigger").unlink()
    assert [batch.data[0][0, 0].item() for batch in batches.counted(0, 2)] == [6.0, 9.0]
    batches.close()


# -- what is refused ------------------------------------------------------------------------------------------------


def build(**tables: Any) -> Session:
    document = {**{key: value for key, value in SIX.items() if key != "bind"}, "bind": PLAN["bind"][:1], **tables}
    return Session.build(parse_config(document))


DRIVEN = [{"target": "augment.strength", "low": 0.0, "high": 1.0}]


@pytest.mark.parametrize(
    ("tables", "error", "said"),
    [
        ({"bind": DRIVEN}, ConfigError, r"^augment\.strength: there is nothing to drive; write a table \[augment\] with ops = "),
        ({"augment": {"ops": ["shfit"]}}, ConfigError, r"\[augment\].*no operation 'shfit'; did you mean 'shift'"),
        ({"augment": {"strength": 0.5}}, ConfigError, r"\[augment\].*ops: there are none; write ops = "),
        ({"augment": {"ops": ["flip"], "strength": 1.5}}, ConfigError, r"\[augment\] strength: got 1\.5, expected a number from 0 to 1"),
        ({"augment": {"ops": ["flip"], "power": 1.5}}, ConfigError, r"\[augment\] power: no such key"),
        ({"augment": {"ops": ["flip"], "maxima": {"flip": 3.0}}}, ConfigError, r"\[augment\].*flip: got a maximum of 3\.0, expected a share"),
        ({"augment": 3}, ConfigError, r"\[augment\]: got 3, expected a table"),
        ({"augment": ["token_dropout"]}, ConfigError, r"'token_dropout' needs mask_id"),
        ({"augment": {"ops": ["token_dropout"], "mask_id": 0}}, DataError, r"'token_dropout' takes token ids"),
        ({"bind": [{**DRIVEN[0], "high": 2.0}], "augment": "flip"}, DomainError, r"augment\.strength: .* at step \d+, expected a strength in \[0, 1\]"),
        ({"bind": [{**DRIVEN[0], "relative": True}], "augment": "flip"}, ConfigError, r"augment\.strength: is relative"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(tables: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as told:
        build(**tables)
    assert "\n" not in str(told.value)


def table_of_numbers() -> tuple[Any, Any]:
    draws = torch.Generator().manual_seed(0)
    train = torch.rand((40, 13), generator=draws), torch.arange(40) % 2
    return train, (train[0][:10], train[1][:10])


def test_image_operations_on_a_table_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = RunConfig().replace({"data": f"{__name__}:table_of_numbers", "augment": ["shift"], "train.batch_size": 8})
    with pytest.raises(
        DataError, match=r"^augment: 'shift' takes images .* got inputs of shape \(2, 13\) .*fit: mixup, noise"
    ):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for operation in ("mixup", "noise", "feature_noise", "feature_dropout"):
        train(config.replace({"augment": operation, "plan": {"total": 5}}), tmp_path / operation)


def test_a_comparison_refuses_what_its_engine_does_not_do() -> None:
    with pytest.raises(
        ConfigError, match=r"^\[augment\]: a comparison trains many members at once .*; leave the table out$"
    ):
        material_of(resolve_config(six()))


def test_a_plan_file_with_the_table_is_a_plan_and_options_reach_it(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(tomli_w.dumps(six().to_document()).encode())
    assert "augment.strength" in Plan.load(file).bindings
    chosen = configuration(file, settings=["augment.mask_id=3", "augment.strength/high=0.5"])
    assert (chosen.augment.ops, chosen.augment.mask_id) == (("shift", "cutout", "mixup"), 3)
    assert Plan.from_document(chosen.plan or {}).bindings["augment.strength"].schedule.high == 0.5


def test_the_table_survives_the_file(tmp_path: Path) -> None:
    config = six(augment={"ops": ["flip"], "maxima": {"flip": 0.25}, "strength": 0.5})
    assert parse_config(config.to_document()) == config
    assert six(augment="flip").augment.ops == ("flip",)
    assert six().replace({"augment.strength": 0.5}).augment.strength == 0.5
