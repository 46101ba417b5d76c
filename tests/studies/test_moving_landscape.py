"""Study ``moving-landscape``: arms that are what they are called, draws of each seed's own, and landscapes whose movement is known."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ostinato as ost
from ostinato import evaluation
from ostinato.nn import FocalLoss
from ostinato.studies import find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.images import Images
from ostinato.studies.frame.judging import judge
from ostinato.studies.frame.study import perform
from ostinato.studies.moving_landscape.curves import balanced_error, evaluations, landscape, over_the_last_cycle
from ostinato.studies.moving_landscape.measuring import rows_of
from ostinato.studies.moving_landscape.plans import LOSSES, SCHEDULES, plan_of
from ostinato.studies.moving_landscape.remarks import _COURSES, remarks, table
from ostinato.training.imbalanced import long_tail

STUDY = find("moving-landscape")
SPEC = STUDY.spec
REGIME = SPEC.regimes[0]
STEPS, CYCLES = 100, 5
needs_data = pytest.mark.skipif("OSTINATO_DATA" not in os.environ, reason="needs Fashion-MNIST (OSTINATO_DATA)")


def values(arm: str, target: str) -> np.ndarray:
    found: np.ndarray = plan_of(arm, 0.1, STEPS, CYCLES).table()[target]
    return found


@pytest.mark.parametrize("loss", LOSSES)
def test_schedules_are_what_they_are_called_under_every_loss(loss: str) -> None:
    rates = {schedule: values(f"{loss}-{schedule}", "optimizer.lr") for schedule in SCHEDULES}
    assert rates["constant"].tolist() == [0.1] * STEPS
    assert np.flatnonzero(np.diff(rates["cycles"]) > 0).tolist() == [19, 39, 59, 79]
    assert (np.sort(rates["cycles"])[::-1] == rates["sorted"]).all()
    assert (np.diff(rates["cosine"]) < 0).all()
    assert all(
        [span.end for span in plan_of(f"{loss}-{schedule}", 0.1, STEPS, CYCLES).resolve().cycles]
        == [20, 40, 60, 80, 100]
        for schedule in SCHEDULES
    )


def test_gamma_follows_the_count_and_never_the_rate() -> None:
    for schedule in SCHEDULES:
        assert set(values(f"ce-{schedule}", "loss.gamma")) == {0.0}
        assert set(values(f"focal-{schedule}", "loss.gamma")) == {2.0}
        rising = values(f"rising-{schedule}", "loss.gamma")
        assert rising[0] == 0.0
        assert np.diff(rising) == pytest.approx(4.0 / STEPS)


def test_the_interaction_is_nothing_where_the_loss_only_shifts_the_error_and_what_was_planted_elsewhere() -> None:
    planted = {"ce": 0.0, "focal": 0.02, "rising": -0.01}  # by how much more the cycles lose there
    records = [
        {
            "regime": REGIME.name, "spec": SPEC.digest, "arm": f"{loss}-{schedule}", "seed": seed, "status": "done", "correct": "",
            "metrics": _metrics(loss, schedule, seed, planted[loss]), "curves": {}, "settings": {"rate": 0.1},
        }
        for loss in LOSSES for schedule in SCHEDULES for seed in SPEC.seeds_of(REGIME, "full")
    ]  # fmt: skip
    found = {one.contrast.name: one.decision for one in judge(SPEC, REGIME, records).findings}
    assert found["(cycles - cosine | focal) - (same | ce)"].effect == pytest.approx(0.02, abs=0.001)
    assert found["(cycles - cosine | rising) - (same | ce)"].effect == pytest.approx(-0.01, abs=0.001)
    assert found["cycles - cosine | ce"].effect == pytest.approx(0.01, abs=0.001)
    assert found["cycles - cosine | focal"].effect == pytest.approx(0.03, abs=0.001)
    assert found["sharpening | focal"].effect == pytest.approx(0.5, abs=0.001)
    verdict = judge(SPEC, REGIME, records).verdict
    assert verdict is not None
    assert verdict.verdict == "supported"
    for record in records:
        record["metrics"] = _metrics(*record["arm"].split("-"), record["seed"], 0.0)
    verdict = judge(SPEC, REGIME, records).verdict
    assert verdict is not None
    assert verdict.verdict == "not supported"


def _metrics(loss: str, schedule: str, seed: int, more: float) -> dict[str, float]:
    noise = np.random.default_rng([seed, *map(ord, loss + schedule)]).normal(0.0, 0.001)
    level = {"ce": 0.25, "focal": 0.29, "rising": 0.2}[loss] + noise
    level += 0.01 + more if schedule == "cycles" else 0.0
    return {
        "balanced_error": level, "last_cycle_mean": level, "last_cycle_worst": level + 0.1, "average_precision": 1 - level,
        "sharpening": 0.5 if loss == "focal" else 0.0, "noise_growth": noise, "raw_sharpening": noise, "raw_noise_growth": noise,
    }  # fmt: skip


def made_up(classes: int = 10, each: int = 60) -> Images:
    targets = torch.arange(classes).repeat(each)
    inputs = torch.randn(len(targets), 1, 2, 2, generator=torch.Generator().manual_seed(0))
    return Images(inputs, targets, (inputs, targets), (inputs, targets), classes)


def test_every_seed_draws_its_own_long_tail_over_classes_in_its_own_order() -> None:
    images, parameters = made_up(), {"most": 50, "ratio": 10.0, "examples": sum(long_tail(50, 10.0, 10))}
    rows = {seed: rows_of(images, parameters, seed) for seed in (1, 2)}
    assert (rows_of(images, parameters, 1) == rows[1]).all()
    counts = {
        seed: images.targets[torch.from_numpy(found)].bincount(minlength=10).tolist() for seed, found in rows.items()
    }
    assert counts[1] != counts[2]
    for seed, found in rows.items():
        assert sorted(counts[seed], reverse=True) == list(long_tail(50, 10.0, 10))
        assert len(found) == len(set(found.tolist())) == parameters["examples"]
    assert len(set(rows_of(images, {"examples": 100}, 1).tolist())) == 100


def test_the_sizes_in_the_specification_are_those_of_the_tails() -> None:
    for parameters in (REGIME.parameters, SPEC.parameters(REGIME, "smoke")):
        assert parameters["examples"] == sum(long_tail(parameters["most"], parameters["ratio"], 10))
    assert REGIME.parameters["epochs"] * (REGIME.parameters["examples"] // REGIME.parameters["batch"]) == 3100


def test_the_balanced_error_of_tensors_is_the_one_of_the_evaluation_also_where_a_class_has_no_example() -> None:
    generator = torch.Generator().manual_seed(3)
    outputs = torch.randn(5, 200, 6, generator=generator)
    targets = torch.randint(0, 5, (200,), generator=generator)
    many = torch.func.vmap(balanced_error, in_dims=(0, None))(outputs, targets)
    for found, member in zip(many, outputs, strict=True):
        assert float(found) == pytest.approx(evaluation.balanced_error(member.softmax(-1).numpy(), targets.numpy()))


def test_the_last_cycle_has_its_ends_among_nine_steps_and_a_plain_mean_where_the_error_is_even() -> None:
    steps = evaluations(STEPS, CYCLES)
    assert steps[:4] == [19, 39, 59, 79]
    assert (steps[4], steps[-1], len(steps)) == (80, 99, 13)
    plan = plan_of("focal-cycles", 0.1, STEPS, CYCLES).resolve()
    found = over_the_last_cycle(plan, np.array(steps), np.where(np.array(steps) < 80, 0.9, 0.3))
    assert found == {
        "last_cycle_mean": pytest.approx(0.3),
        "last_cycle_worst": 0.3,
        "last_cycle_best": 0.3,
    }


class Sharpening(nn.Module):
    """One weight; the logits of two classes are as far apart as it says, so that the loss and all its derivatives are known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(inputs)), inputs.flatten(1)[:, 0] * self.weight], dim=1)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_movement_of_a_landscape_is_the_one_that_calculus_gives(gamma: float) -> None:
    images = Images(torch.ones(64, 1, 1, 1), torch.ones(64, dtype=torch.int64), (torch.ones(2, 1, 1, 1), torch.ones(2)), (torch.ones(2, 1, 1, 1), torch.ones(2)), 2)  # fmt: skip
    plan = ost.Plan(
        total=4,
        cycle=ost.Cycle(count=2),
        bindings={"optimizer.lr": 0.5, "loss.gamma": ost.Binding(ost.schedules.hold(gamma))},
    )
    result = ost.population.train(
        Sharpening, [plan], (images.inputs, images.targets), loss=FocalLoss(), optimizer="sgd", batch_size=16, snapshots=True, compile=False,
        optimizer_options={"momentum": 0.0, "weight_decay": 0.0},
    )  # fmt: skip
    metrics, curves = landscape(result, 0, images, np.arange(64), batch=16, batches=4)
    wanted = [_curvature(float(result.snapshots(0)[step]["weight"]), gamma) for step in (1, 3)]
    assert curves["landscape_step"] == [1.0, 3.0]
    assert curves["eigenvalue"] == pytest.approx([second for second, _ in wanted], rel=1e-3)
    assert curves["loss"] == pytest.approx([loss for _, loss in wanted], rel=1e-4)
    assert metrics["raw_sharpening"] == pytest.approx(math.log(wanted[1][0] / wanted[0][0]), abs=1e-3)
    assert metrics["sharpening"] == pytest.approx(
        metrics["raw_sharpening"] - math.log(wanted[1][1] / wanted[0][1]), abs=1e-3
    )
    assert curves["stability"] == pytest.approx([0.25 * second for second, _ in wanted], rel=1e-3)
    assert curves["noise"] == pytest.approx([0.0, 0.0], abs=1e-9)  # all examples are one
    assert set(_COURSES) <= curves.keys()


def _curvature(w: float, gamma: float) -> tuple[float, float]:
    """Return the second derivative of the focal loss of sigmoid(w), and the loss, in float64."""

    def loss(at: Tensor) -> Tensor:
        p = torch.sigmoid(at)
        return -((1 - p) ** gamma) * p.log()

    at = torch.tensor(w, dtype=torch.float64)
    return float(torch.autograd.functional.hessian(loss, at)), float(loss(at))


def record(arm: str, error: float, mean: float, **curves: list[Any]) -> dict[str, Any]:
    return {
        "arm": arm, "status": "done", "settings": {"rate": 0.2}, "curves": curves,
        "metrics": {"balanced_error": error, "last_cycle_mean": mean, "last_cycle_worst": mean + 0.05},
    }  # fmt: skip


def test_the_remarks_say_where_an_answer_holds_only_because_training_stops_at_a_trough() -> None:
    level = {"constant": 0.3, "cycles": 0.2, "sorted": 0.22, "cosine": 0.21}.__getitem__
    records = [
        record(f"{loss}-{s}", level(s), level(s) + (0.1 if s == "cycles" else 0.0))
        for loss in LOSSES
        for s in SCHEDULES
    ]
    lines = remarks(records)
    assert lines[0].startswith("Chosen rates: ce-constant 0.2, ce-cycles 0.2, ce-cosine 0.2, focal-constant 0.2")
    assert "cycles 20.00 at the end, 30.00 over the last cycle, 35.00 at its worst" in lines[1]
    assert lines[4] == (
        "Under ce, cycles less cosine is -1.00 points at the end and +9.00 over the last cycle: the answer holds only where training stops at a trough."
    )
    assert len(lines) == 7
    assert len(remarks([record(f"{loss}-{s}", level(s), level(s)) for loss in LOSSES for s in SCHEDULES])) == 4
    assert remarks([]) == []


def test_the_table_has_the_medians_of_what_was_seen() -> None:
    courses = {name: [1.0, None] for name in _COURSES if name != "eigenvalue"}
    records = [record("ce-constant", 0.2, 0.2, eigenvalue=[3.0, place], **courses) for place in (1.0, 2.0, 9.0)]
    lines = table([*records, record("ce-cosine", 0.2, 0.2)])
    assert lines[0] == "| arm | after cycle | 1 | 2 |"
    assert lines[2] == "| ce-constant | largest eigenvalue | 3 | 2 |"
    assert lines[3] == "| ce-constant | eigenvalue / loss | 1 | nan |"
    assert table([record("ce-constant", 0.2, 0.2)]) == []


@needs_data
def test_tuning_sees_no_test_image_and_all_losses_are_trained_at_once() -> None:
    cells = tuple(Cell(f"{loss}-cosine", 9500, {"rate": 0.1}) for loss in LOSSES)
    parameters = {**SPEC.parameters(REGIME, "smoke"), "epochs": 5}
    done = perform(Request(SPEC.name, REGIME.name, parameters, "tuning", cells))
    assert all(set(one.metrics) == {f"validation_{name}" for name in ("error", "nll", "balanced_error", "average_precision")} for one in done)  # fmt: skip
    assert done[0].chunks == (3,)
    assert len({one.plans for one in done}) == len({one.metrics["validation_nll"] for one in done}) == 3
