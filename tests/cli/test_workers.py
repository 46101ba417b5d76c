"""``ostinato train --workers`` as processes of their own: launched here and by torchrun, killed with -9, and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from lines import plan_file
from ostinato.applications.federated import workers
from ostinato.training import datasets, load_config
from ranks import launched
from running import fingerprint

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # forking: there are no other threads of ours
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes to kill in /proc"),
]
OSTINATO = [sys.executable, "-m", "ostinato", "train"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TOTAL = 302


def long_plan(folder: Path) -> Path:
    file = plan_file(folder, '"18step"', f'"{TOTAL}step"')
    file.write_text(file.read_text().replace('"8step"', '"100step"').replace("every = 5", "every = 10"))
    return file


def torchrun(count: int) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={count}", "--master-port=0"]
    return [*launcher, "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", "-m", "ostinato", "train"]


def children_of(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(number) for number in found]


def kill_in_the_midst(command: list[str], folder: Path, *, launcher: bool) -> None:
    """Begin a run and kill -9 its processes as soon as there is a checkpoint; of a launcher, the processes that it started."""
    with subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        end = time.monotonic() + 120
        while not list((folder / "run" / "checkpoint").glob("step-*")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        for number in children_of(process.pid) if launcher else [process.pid]:
            os.kill(number, signal.SIGKILL)
        assert process.wait(120) != 0
    assert not (folder / "run" / "result.json").exists()


def finish(command: list[str], folder: Path) -> None:
    ended = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == json.loads((folder / "run" / "result.json").read_text())


def whole_run(file: Path, count: int) -> Path:
    chosen = load_config(file).replace({"workers": {"count": count, "phase_shift": True}})
    datasets.load(chosen.data)  # imported before forking
    out = file.parent / "whole"
    assert [child.wait() for child in launched(count, lambda rank: workers.train(chosen, out))] == [0] * count
    return out


def test_two_workers_of_one_machine(tmp_path: Path) -> None:
    file = plan_file(tmp_path)
    finish([*OSTINATO, file.name, "--workers", "2", "--phase-shift", "--out", "run", "--json"], tmp_path)
    assert fingerprint(tmp_path / "run") == fingerprint(whole_run(file, 2))
    told = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (told["workers"]["phases"], told["workers"]["average_every"]) == ([0.0, 0.5], 8)
    assert told["snapshots"] == [9, 17]


@pytest.mark.slow
def test_two_workers_of_one_machine_killed_and_resumed(tmp_path: Path) -> None:
    file = long_plan(tmp_path)
    begin = [*OSTINATO, file.name, "--workers", "2", "--phase-shift", "--out", "run"]
    kill_in_the_midst(begin, tmp_path, launcher=False)
    finish([*OSTINATO, "--resume", "run", "--json"], tmp_path)
    assert fingerprint(tmp_path / "run") == fingerprint(whole_run(file, 2))


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_workers_of_torchrun_killed_and_resumed(tmp_path: Path, count: int) -> None:
    file = long_plan(tmp_path)
    kill_in_the_midst([*torchrun(count), file.name, "--phase-shift", "--out", "run"], tmp_path, launcher=True)
    finish([*torchrun(count), "--resume", "run", "--json"], tmp_path)
    assert fingerprint(tmp_path / "run") == fingerprint(whole_run(file, count))


@pytest.mark.slow
def test_torchrun_with_another_number_of_workers(tmp_path: Path) -> None:
    file = long_plan(tmp_path)
    kill_in_the_midst([*torchrun(4), file.name, "--phase-shift", "--out", "run"], tmp_path, launcher=True)
    refused = subprocess.run(
        [*torchrun(2), "--resume", "run"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300
    )  # fmt: skip
    lines = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert lines == [
        "error: run: the checkpoint is of 4 workers, now there are 2; start 4, or add --elastic to go on from the average of their models"
    ]
    finish([*torchrun(2), "--resume", "run", "--elastic", "--json"], tmp_path)
    told = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (told["workers"]["count"], told["steps"]) == (2, TOTAL)
    assert told["workers"]["earlier"][0]["count"] == 4
