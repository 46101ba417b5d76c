from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import ostinato as ost
from ostinato.cli.preview import chosen_steps, preview
from ostinato.errors import ConfigError, PlanError, StorageError

app = typer.Typer()
app.command()(preview)
Cycle = ost.Cycle

RUN = """
version = 1
total = "51ep"
warmup = "1ep"
data = "digits"

[train]
batch_size = 64

[cycle]
period = "10ep"

[[bind]]
target = "optimizer.lr"
low = 1e-4
high = 0.1

[[bind]]
target = "optimizer[head].weight_decay"
relation = "mirror"
low = 0.05
high = 0.3
"""


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "100"})


def document(*arguments: object) -> dict[str, Any]:
    result = invoke(*arguments, "--json")
    assert result.exception is None
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RUN)
    return path


def saved(folder: Path, plan: ost.Plan) -> Path:
    plan.save(folder / "plan.json")
    return folder / "plan.json"


def test_the_document_is_the_resolved_plan(run_file: Path) -> None:
    found = document(run_file, "--steps-per-epoch", 391, "--rows", 5)
    resolved = ost.Plan.load(run_file).resolve(steps_per_epoch=391)
    assert found["total_steps"] == 19941
    assert found["warmup"] == 391
    assert found["digest"] == resolved.digest
    assert found["snapshots"] == resolved.snapshots == [4300, 8210, 12120, 16030, 19940]
    spans = [(span.start, span.end, span.complete) for span in resolved.cycles]
    assert [(cycle["start"], cycle["end"], cycle["complete"]) for cycle in found["cycles"]] == spans
    lr, decay = found["targets"]
    assert (lr["name"], lr["relation"], lr["low"], lr["high"]) == ("optimizer.lr", "wave", 1e-4, 0.1)
    assert lr["mean"] == resolved.mean("optimizer.lr")
    assert (decay["relation"], decay["first"]) == ("mirror", 0.05)
    assert lr["last"] == resolved.values(19940)["optimizer.lr"]
    assert len(found["values"]) == 5
    assert all(row["values"] == resolved.values(row["step"]) for row in found["values"])


def test_people_see_the_same(run_file: Path) -> None:
    result = invoke(run_file, "--steps-per-epoch", 391)
    assert result.exit_code == 0
    for words in (
        "19,941 steps",
        "51 epochs of 391",
        "5 whole cosine cycles, 5 snapshots",
        "16,030",
        "mirror",
        "0.05006",
    ):
        assert words in result.stdout
    assert "optimizer[head].weight_decay" in result.stdout
    assert any(bar in result.stdout for bar in "▁█")


def test_the_total_of_rate_and_strengths_is_shown(tmp_path: Path) -> None:
    plan = ost.Plan(total=60, warmup=10, cycle=Cycle(count=5), bindings={"optimizer.lr": ost.wave(1e-3, 0.1)})
    balanced = ost.balanced(plan, ["model:Dropout.p", "loss.label_smoothing"], total=0.3, weight=0.25)
    path = saved(tmp_path, balanced)
    told = document(path)["total_strength"]
    assert (told["against"], told["parts"]) == ("optimizer.lr", ["model:Dropout.p", "loss.label_smoothing"])
    assert (told["weight"], told["low"], told["high"]) == pytest.approx((0.25, 0.3, 0.3), abs=1e-12)
    assert (told["constant"], told["spread"] <= 1e-9) == (True, True)
    assert (
        "0.25·optimizer.lr/0.1 + model:Dropout.p + loss.label_smoothing: constant at 0.3 after the warm-up"
        in invoke(path).stdout
    )
    uneven = saved(tmp_path, balanced.replace({"model:Dropout.p/shift": 0.25}))
    assert document(uneven)["total_strength"]["constant"] is False
    assert "ost.balanced keeps it constant" in invoke(uneven).stdout
    assert document(saved(tmp_path, plan))["total_strength"] is None
    assert "total " not in invoke(path.with_name("plan.json")).stdout


def test_steps_replace_the_total(run_file: Path) -> None:
    found = document(run_file, "--steps", 5000, "--steps-per-epoch", 20)
    assert (found["total_steps"], found["warmup"], len(found["cycles"])) == (5000, 20, 25)


def test_samples_and_tokens_have_rates(tmp_path: Path) -> None:
    plan = ost.Plan(total="1e6sample", warmup="1e6token", bindings={"optimizer.lr": 0.1})
    found = document(saved(tmp_path, plan), "--samples-per-step", 100, "--tokens-per-step", 2000)
    assert (found["total_steps"], found["warmup"]) == (10_000, 500)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), r"run\.toml: total: 51ep needs steps_per_epoch; pass --steps-per-epoch N$"),
        (("--steps", 100), r"needs steps_per_epoch; pass --steps-per-epoch N$"),
        (("--steps-per-epoch", 1, "--steps", 1), r"run\.toml: warmup: .*"),
    ],
)
def test_what_is_missing_is_named_by_its_option(run_file: Path, arguments: tuple[object, ...], message: str) -> None:
    result = invoke(run_file, *arguments)
    assert isinstance(result.exception, PlanError)
    with pytest.raises(PlanError, match=message):
        raise result.exception
    assert result.stdout == ""


def test_a_plan_without_a_total_asks_for_steps(tmp_path: Path) -> None:
    path = saved(tmp_path, ost.Plan(cycle=Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)}))
    result = invoke(path)
    assert isinstance(result.exception, PlanError)
    assert "pass --steps N" in str(result.exception)
    assert len(document(path, "--steps", 100)["cycles"]) == 5


def test_a_file_that_is_no_plan_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("total = [")
    for name in ("bad.toml", "missing.toml"):
        result = invoke(tmp_path / name)
        assert isinstance(result.exception, PlanError)
        assert name in str(result.exception)


def test_a_cut_cycle_is_told_with_the_totals_that_fit(tmp_path: Path) -> None:
    plan = ost.Plan(total=105, warmup=5, cycle=Cycle(period=30), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    path = saved(tmp_path, plan)
    found = document(path)
    assert (found["truncated"], found["totals_that_fit"], found["snapshots"]) == (True, [95, 125], [34, 64, 94])
    shown = invoke(path).stdout
    assert "3 whole cosine cycles" in shown
    assert "totals that fit: 95 or 125" in shown
    assert "cut short" in shown


def test_many_cycles_are_thinned_for_people_alone(tmp_path: Path) -> None:
    path = saved(tmp_path, ost.Plan(total=30_000, cycle=Cycle(period=10), bindings={"x.y": ost.wave(0.0, 1.0)}))
    shown = invoke(path).stdout
    assert "3,000 whole cosine cycles" in shown
    assert "…" in shown
    assert len(shown.splitlines()) < 40
    found = document(path)
    assert len(found["cycles"]) == len(found["snapshots"]) == found["cycle_count"] == 3000


def test_a_very_long_run_is_looked_at_in_samples(tmp_path: Path) -> None:
    path = saved(tmp_path, ost.Plan(total=10**10, cycle=Cycle(period=10**6), bindings={"x.y": ost.wave(0.0, 1.0)}))
    (target,) = document(path)["targets"]
    assert target["mean_exact"] is False
    assert target["mean"] == pytest.approx(0.5, abs=1e-3)
    assert "≈0.5" in invoke(path).stdout


def test_odd_plans_are_shown(tmp_path: Path) -> None:
    plan = ost.Plan(
        total=1, unit="round", bindings={"optimizer[red].lr": -0.0, "steps": 1.0, **{f"x.a{k}": k for k in range(9)}}
    )
    path = saved(tmp_path, plan)
    result = invoke(path, "--rows", 0)
    assert result.exit_code == 0
    assert "optimizer[red].lr" in result.stdout
    assert "1 round" in result.stdout
    assert document(path)["values"][0]["values"]["steps"] == 1.0
    assert document(saved(tmp_path, ost.Plan(total=7)))["targets"] == []
    assert invoke(tmp_path / "plan.json").exit_code == 0


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 12, 50, 300])
def test_chosen_steps(count: int) -> None:
    plan = ost.Plan(total=200, warmup=7, cycle=Cycle(count=4), bindings={"x.y": ost.wave(0.0, 1.0)})
    resolved = plan.resolve()
    steps = chosen_steps(resolved, count)
    assert steps == sorted(set(steps))
    assert len(steps) == min(count, 200)
    assert np.isin(steps, range(200)).all()
    if count >= 2:
        assert (steps[0], steps[-1]) == (0, 199)
    if count >= 12:
        assert {span.end - 1 for span in resolved.cycles} <= set(steps)


def test_pictures_are_written(run_file: Path, tmp_path: Path) -> None:
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    result = invoke(run_file, "--steps-per-epoch", 10, "--svg", svg, "--png", png)
    assert result.exit_code == 0
    assert svg.read_bytes().startswith(b"<?xml")
    assert png.read_bytes().startswith(b"\x89PNG")
    found = document(run_file, "--steps-per-epoch", 10, "--png", png)
    assert found["total_steps"] == 510


def test_pictures_that_cannot_be_written(run_file: Path, tmp_path: Path) -> None:
    result = invoke(run_file, "--steps-per-epoch", 10, "--svg", tmp_path / "missing" / "a.svg")
    assert isinstance(result.exception, StorageError)
    result = invoke(run_file, "--steps-per-epoch", 10, "--svg", tmp_path / "a.png")
    assert isinstance(result.exception, ConfigError)
    assert result.stdout == ""


def test_help_ends_with_an_example() -> None:
    assert "Example: ostinato preview plan.toml" in " ".join(invoke("--help").stdout.split())


def ostinato(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ostinato", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_the_installed_command(run_file: Path) -> None:
    done = ostinato("preview", run_file, "--steps-per-epoch", 391, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["total_steps"] == 19941
    wrong = ostinato("preview", run_file)
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert wrong.stderr.startswith("error: ")
    assert wrong.stderr.endswith("pass --steps-per-epoch N\n")
    assert wrong.stderr.count("\n") == 1
    assert ostinato("preview", run_file, "--rows", "-1").returncode == 2
