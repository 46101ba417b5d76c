from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import ostinato as ost
from ostinato.cli.export import export
from ostinato.errors import ConfigError, PlanError, StorageError
from ostinato.export import to_torch

app = typer.Typer()
app.command()(export)

PLAN = ost.Plan(
    total="6ep", warmup="1ep", cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(1e-4, 0.1, shift=0.25)}
)
RATE = ("--steps-per-epoch", "10")


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    PLAN.save(tmp_path / "plan.toml")
    return tmp_path / "plan.toml"


def test_the_code_is_printed(plan_file: Path) -> None:
    result = invoke(plan_file, "--to", "torch", *RATE)
    resolved = PLAN.resolve(steps_per_epoch=10)
    assert result.exit_code == 0
    assert result.stdout == to_torch(resolved)
    script: dict[str, Any] = {"__name__": "exported"}
    exec(result.stdout, script)
    mine = [script["optimizer_lr"](step) for step in range(60)]
    assert np.allclose(mine, resolved.table()["optimizer.lr"], rtol=0, atol=1e-13)


def test_the_file_is_written_once(plan_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "schedule.py"
    first = invoke(plan_file, "--out", out, *RATE)
    assert (first.exit_code, first.stdout) == (0, "")
    assert out.read_text() == to_torch(PLAN.resolve(steps_per_epoch=10))
    out.write_text("mine")
    again = invoke(plan_file, "--out", out, *RATE)
    assert isinstance(again.exception, ConfigError)
    assert "--force" in str(again.exception)
    assert out.read_text() == "mine"
    assert invoke(plan_file, "--out", out, "--force", *RATE).exit_code == 0
    assert out.read_text() == to_torch(PLAN.resolve(steps_per_epoch=10))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["plan.toml", "schedule.py"]


def test_an_unknown_framework_is_told_what_exists(plan_file: Path) -> None:
    result = invoke(plan_file, "--to", "jax", *RATE)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith("--to: got 'jax', expected one of: ")
    assert "torch" in str(result.exception)


def test_rates_and_totals_have_options(plan_file: Path) -> None:
    result = invoke(plan_file)
    assert isinstance(result.exception, PlanError)
    assert str(result.exception).endswith("pass --steps-per-epoch N")
    assert "TOTAL = 80" in invoke(plan_file, "--steps", 80, *RATE).stdout


def test_a_folder_that_is_not_there(plan_file: Path, tmp_path: Path) -> None:
    result = invoke(plan_file, "--out", tmp_path / "missing" / "a.py", *RATE)
    assert isinstance(result.exception, StorageError)


def test_help_ends_with_an_example() -> None:
    assert "Example: ostinato export plan.toml --to torch" in " ".join(invoke("--help").stdout.split())


def test_the_installed_command(plan_file: Path) -> None:
    command = [sys.executable, "-m", "ostinato", "export", str(plan_file), "--to"]
    done = subprocess.run([*command, "torch", *RATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == to_torch(PLAN.resolve(steps_per_epoch=10))
    wrong = subprocess.run([*command, "jax"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("error: --to: got 'jax'")
