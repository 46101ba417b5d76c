"""Commands as processes of their own, and what all of them promise."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lines import ostinato, plan_file
from running import fingerprint, tree

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("default")
COMMANDS = ["train", "compare", "range-test", "preview", "evaluate", "audit", "export", "fold", "bench"]
STUDY = ["list", "run", "freeze", "amend", "pilot", "instruments", "report"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert ostinato("train", plan_file(folder), "--out", folder / "run").status == 0
    return folder / "run"


@pytest.mark.parametrize("command", [*COMMANDS, *(f"study {name}" for name in STUDY)])
def test_help_has_an_example_that_names_the_command(command: str) -> None:
    ended = ostinato(*command.split(), "--help")
    assert (ended.status, ended.err) == (0, "")
    assert re.search(rf"Example: ostinato {command}( \S+)?", " ".join(ended.out.split()))


def test_help_lists_the_commands() -> None:
    ended = ostinato("--help")
    assert ended.status == 0
    assert all(re.search(rf"\b{command}\b", ended.out) for command in [*COMMANDS, "study"])
    assert ostinato("-h").out == ended.out


def test_version() -> None:
    assert re.fullmatch(r"ostinato \d+\.\d+.*\n", ostinato("--version").out)


def test_json_is_the_one_thing_on_standard_output(tmp_path: Path, finished: Path) -> None:
    file = plan_file(tmp_path)
    trained = ostinato("train", file, "--out", tmp_path / "run", "--json")
    assert trained.document == json.loads((tmp_path / "run" / "result.json").read_text())
    assert ostinato("evaluate", finished, "--json").document["snapshots"] == [9, 17]
    preview = ostinato("preview", file, "--json").document
    assert {"total_steps", "cycles", "snapshots", "targets"} <= set(preview)
    assert preview["snapshots"] == [9, 17]
    assert {"start", "end"} <= set(preview["cycles"][0])


def test_without_json_people_see_a_table(finished: Path) -> None:
    ended = ostinato("evaluate", finished)
    assert ended.status == 0
    assert "ensemble" in ended.out
    assert f"report: {finished}/report.html" in "".join(ended.out.splitlines())


def test_export_runs_as_it_is(tmp_path: Path) -> None:
    ended = ostinato("export", plan_file(tmp_path), "--to", "torch")
    assert ended.status == 0
    compile(ended.out, "exported.py", "exec")


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path, finished: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    assert ostinato("train", "--resume", run).status == 0
    before = tree(run)
    ended = ostinato("train", "--resume", run, "--json")
    assert tree(run) == before
    assert ended.document == json.loads((run / "result.json").read_text())
    assert fingerprint(run) == fingerprint(finished)


def test_options_override_the_file(tmp_path: Path) -> None:
    words = [
        "--seed",
        "5",
        "--optimizer",
        "adamw",
        "--total",
        "10step",
        "--set",
        "optimizer.lr/high=0.02",
        "--set",
        "train.batch_size=320",
    ]
    document = ostinato("train", plan_file(tmp_path), "--out", tmp_path / "run", "--json", *words).document
    assert (document["seed"], document["optimizer"], document["steps"], document["steps_per_epoch"]) == (
        5,
        "adamw",
        10,
        5,
    )
    text = (tmp_path / "run" / "config.toml").read_text()
    assert "high = 0.02" in text
    assert "batch_size = 320" in text


# -- processes of their own ------------------------------------------------------------------------------------

OSTINATO = [sys.executable, "-m", "ostinato"]


def test_as_a_process_a_mistake_is_status_2_and_one_line(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*OSTINATO, "train", "absent.toml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", "error: absent.toml: no such file\n")
    assert not list(tmp_path.iterdir())


def test_interrupted_a_process_ends_with_status_3_and_says_how_to_go_on(tmp_path: Path, finished: Path) -> None:
    file = plan_file(tmp_path, '"18step"', '"100002step"')
    command = [*OSTINATO, "train", file.name, "--out", "run", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("digits: 100,002 steps")
        assert process.stderr.readline().startswith("cycle 1 of")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 3
    assert out == ""
    assert re.fullmatch(
        r"interrupted: SIGINT after step \d+ of 100002; resume with: ostinato train --resume run",
        err.splitlines()[-1],
    )
    assert "Traceback" not in err


def test_two_processes_of_one_machine(tmp_path: Path) -> None:
    file = plan_file(tmp_path, 'name = "mlp"\nargs = { hidden = 12, depth = 1 }', 'name = "linear"')
    text = file.read_text()
    file.write_text(text[: text.index('[[bind]]\ntarget = "model')] + text[text.index("[model]") :])
    one = ostinato("train", file, "--out", tmp_path / "one", "--json").document
    command = [*OSTINATO, "train", file.name, "--out", "two", "--json", "--devices", "2"]
    two = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert two.returncode == 0, two.stderr
    document = json.loads(two.stdout)
    assert document["plan_digest"] == one["plan_digest"]
    assert document["cycles"] == one["cycles"]
    assert document["snapshots"] == one["snapshots"]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    assert document["metrics"]["last"]["nll"] == pytest.approx(one["metrics"]["last"]["nll"], rel=1e-4)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    line = "error: two: holds a run already; go on with it by --resume two, or choose another --out\n"
    assert (again.returncode, again.stdout, again.stderr) == (2, "", line)


def losses(folder: Path) -> list[float]:
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [record["loss"] for record in records if "loss" in record]


@pytest.mark.slow
def test_torchrun_trains_and_goes_on_from_an_earlier_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    file = plan_file(tmp_path)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=0"]
    launcher = [*launcher, "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "-m", "ostinato", "train"]

    def launched(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*launcher, *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400
        )

    options = ["--set", "train.devices=2", "--set", "train.checkpoint_every=5"]
    whole = launched(file.name, "--out", "whole", "--json", *options)
    assert whole.returncode == 0, whole.stderr
    assert json.loads(whole.stdout)["snapshots"] == [9, 17]
    shutil.copytree(tmp_path / "whole", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint" / "step-000000000018")
    (tmp_path / "run" / "result.json").unlink()
    resumed = launched("--resume", "run", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")
    other = subprocess.run(
        [*OSTINATO, "train", "--resume", "run"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400
    )
    assert other.returncode == 0, other.stderr  # `devices` is of the run: it launches two processes itself
