"""Runs of several workers: phases, averages, kill -9 and resume, and going on with another number."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from forked import forked
from ostinato.applications.federated import workers
from ostinato.core.plan import Plan
from ostinato.errors import ConfigError, FollowedError, RunInterruptedError, StateError
from ostinato.storage import TensorFile, load_tensors, unpack
from ostinato.training import RunConfig, datasets, evaluate_run, train
from ostinato.training.session import resolve_config
from ranks import Recorder, digest_of, launched, returned
from running import PLAN, Stopper, config, fingerprint, newest_checkpoint, partials, tree

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # forking: there are no other threads of ours
    pytest.mark.filterwarnings("ignore::UserWarning:lightning_fabric"),
]
datasets.load(config().data)  # imported before forking
PLAIN = {**PLAN, "bind": [{"target": "optimizer.lr", "low": 0.01, "high": 0.1}]}
"""No randomness in the model, so that as many workers as one likes compute the same."""


def setting(count: int, every: int = 3, *, plan: dict[str, Any] = PLAN, **table: Any) -> RunConfig:
    chosen = config(plan, workers={"count": count, "average_every": every, **table})
    if plan is PLAIN:
        return chosen.replace({"model": "linear", "optimizer": {"name": "sgd", "lr": 0.1}})
    return chosen


def run(chosen: RunConfig, out: Path) -> list[Any]:
    def action(rank: int) -> Any:
        recorder = Recorder()
        workers.train(chosen, out, observer=recorder)
        return recorder.told()

    return returned(chosen.workers.count or 1, action, out.parent / f"{out.name}-told")


def go_on(count: int, out: Path, *, elastic: bool = False) -> list[Any]:
    def action(rank: int) -> Any:
        recorder = Recorder()
        workers.resume(out, observer=recorder, elastic=elastic)
        return recorder.told()

    return returned(count, action, out.parent / f"{out.name}-resumed-{count}")


def killed(chosen: RunConfig, out: Path, after: int, *, ranks: set[int]) -> list[int]:
    """Return how each process ended; those of `ranks` were killed after an update."""

    def action(rank: int) -> None:
        workers.train(chosen, out, observer=Recorder(after if rank in ranks else None))

    return [child.wait() for child in launched(chosen.workers.count or 1, action)]


def result(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "result.json").read_text())
    return document


def saved_state(out: Path, count: int) -> dict[str, Any]:
    place = out / "checkpoint" / f"step-{count:012d}"
    body = json.loads((place / "state.json").read_text())
    state: dict[str, Any] = unpack(
        body["state"], load_tensors(place / "tensors.safetensors", TensorFile.from_document(body["tensors"]))
    )
    return state


# -- what a run is -----------------------------------------------------------------------------------------------


def test_each_worker_follows_its_phase_and_snapshots_are_the_average_at_the_common_cycle_ends(tmp_path: Path) -> None:
    chosen, out = setting(4, phase_shift=True), tmp_path / "run"
    told = run(chosen, out)
    plan = Plan.from_document(chosen.plan or {})
    for rank, each in enumerate(told):
        table = plan.shifted(rank / 4).resolve(steps_per_epoch=9, samples_per_step=160).table()
        for target in plan.bound:
            assert [step["used"][target] for step in each["steps"]] == table[target].tolist()
    ends, averaged = {9, 17, 25}, {step for step in range(26) if (step + 1) % 3 == 0}
    epochs = {8, 17}
    for step in range(26):
        alike = len({each["steps"][step]["weights"] for each in told}) == 1
        assert alike == (step in ends | averaged | epochs), step
    for end in ends:  # what the observer of every worker saw there is what the snapshot holds
        snapshot = load_file(out / "snapshots" / f"snapshot-{end:09d}.safetensors")
        names = [name for name in snapshot if "running" not in name and "num_batches" not in name]
        assert digest_of({name: snapshot[name] for name in names}) == told[0]["steps"][end]["weights"]
    assert result(out)["workers"] == {
        "count": 4, "phases": [0.0, 0.25, 0.5, 0.75], "average_every": 3, "normalise": False, "earlier": [],
    }  # fmt: skip
    assert result(out)["snapshots"] == sorted(ends)
    assert evaluate_run(out)["metrics"]["ensemble"] == result(out)["metrics"]["ensemble"]
    assert (out / "report.html").is_file()


def test_in_step_and_averaged_at_every_update_workers_are_one_process(tmp_path: Path) -> None:
    chosen = setting(2, 1, plan=PLAIN)
    told = run(chosen, tmp_path / "two")
    folder, alone = train(chosen.replace({"workers": {}}), tmp_path / "one")
    assert alone["workers"] is None
    assert told[0]["left"].keys() == told[1]["left"].keys()
    last = load_file(folder.snapshots / "snapshot-000000025.safetensors")
    for name, tensor in last.items():
        assert torch.equal(told[0]["left"][name], told[1]["left"][name])
        torch.testing.assert_close(told[0]["left"][name], tensor, rtol=1e-4, atol=1e-6)
    losses = [json.loads(line)["loss"] for line in folder.metrics.read_text().splitlines() if '"loss"' in line]
    assert [step["loss"] for step in told[0]["steps"]] == pytest.approx(losses, rel=1e-4)
    assert alone["plan_digest"] == result(tmp_path / "two")["plan_digest"]


def test_fewer_phases_than_workers(tmp_path: Path) -> None:
    run(setting(4, phase_shift=True, phases=2), tmp_path / "run")
    assert result(tmp_path / "run")["workers"]["phases"] == [0.0, 0.5, 0.0, 0.5]


def test_two_machines_of_two_are_as_one_machine_of_four(tmp_path: Path) -> None:
    chosen = setting(4, phase_shift=True)
    for machines in (1, 2):
        begun = launched(4, lambda rank, out=tmp_path / f"{machines}": workers.train(chosen, out), machines)
        assert [child.wait() for child in begun] == [0] * 4
    assert fingerprint(tmp_path / "1") == fingerprint(tmp_path / "2")


# -- kill -9 and resume ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "table"), [(2, {"normalise": True}), (4, {})])
def test_killed_between_two_averagings_and_resumed_a_run_ends_as_if_nothing_had_happened(
    tmp_path: Path, count: int, table: dict[str, Any]
) -> None:
    chosen = setting(count, phase_shift=True, **table)
    told = run(chosen, tmp_path / "whole")
    out = tmp_path / "run"
    assert killed(chosen, out, 12, ranks=set(range(count))) == [-signal.SIGKILL] * count
    assert newest_checkpoint(out).name == "step-000000000010"  # 10 is no multiple of 3: the models differ there
    assert not (out / "result.json").exists()
    resumed = go_on(count, out)
    assert fingerprint(out) == fingerprint(tmp_path / "whole")
    assert partials(out) == []
    for whole, again in zip(told, resumed, strict=True):
        assert again["steps"] == whole["steps"][10:]
        assert digest_of(again["left"]) == digest_of(whole["left"])
    assert len({digest_of(each["left"]) for each in told}) == count  # each has its own weights to the end


def test_one_worker_killed_ends_the_others_and_the_run_goes_on(tmp_path: Path) -> None:
    chosen = setting(2, phase_shift=True)
    run(chosen, tmp_path / "whole")
    out = tmp_path / "run"

    def action(rank: int) -> None:
        ends = RunInterruptedError if rank == 0 else FollowedError
        with pytest.raises(ends, match=r"another process of the run has ended; resume with: ostinato train --resume "):
            workers.train(chosen, out, observer=Recorder(12 if rank == 1 else None))

    assert [child.wait() for child in launched(2, action)] == [0, -signal.SIGKILL]
    go_on(2, out)
    assert fingerprint(out) == fingerprint(tmp_path / "whole")


def test_a_signal_to_one_worker_stops_all_after_the_same_update(tmp_path: Path) -> None:
    chosen, out = setting(2, phase_shift=True), tmp_path / "run"
    run(chosen, tmp_path / "whole")

    def action(rank: int) -> None:
        with pytest.raises(
            RunInterruptedError if rank == 0 else FollowedError, match="after step 8 of 26; resume with: "
        ):
            workers.train(chosen, out, observer=Stopper(6) if rank == 1 else None)

    assert [child.wait() for child in launched(2, action)] == [0, 0]
    go_on(2, out)
    assert fingerprint(out) == fingerprint(tmp_path / "whole")


def test_states_of_accelerators_are_gathered_past_their_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the group is an accelerator's, checkpoints are gathered by a group of their own; here it is made beside gloo's."""
    chosen = setting(2)
    run(chosen, tmp_path / "whole")
    real, made = torch.distributed.get_backend, tmp_path / "made"
    told: Any = lambda group=None: "nccl" if group is torch.distributed.group.WORLD else real(group)  # noqa: E731 - it is one expression
    monkeypatch.setattr("ostinato.training.states.torch.distributed.get_backend", told)
    new_group = torch.distributed.new_group
    monkeypatch.setattr(
        "torch.distributed.new_group", lambda **how: (made.write_text(how["backend"]), new_group(**how))[1]
    )
    run(chosen, tmp_path / "run")
    assert made.read_text() == "gloo"
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    run(setting(2), tmp_path / "run")
    before = tree(tmp_path / "run")
    go_on(2, tmp_path / "run")
    assert tree(tmp_path / "run") == before


# -- another number of workers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four workers that was killed after update 12."""
    out = tmp_path_factory.mktemp("four") / "run"
    assert killed(setting(4, phase_shift=True), out, 12, ranks={0, 1, 2, 3}) == [-signal.SIGKILL] * 4
    return out


def test_a_checkpoint_of_another_number_of_workers_is_one_line(of_four: Path) -> None:
    before = tree(of_four)
    line = "run: the checkpoint is of 4 workers, now there are 2; start 4, or add --elastic to go on from the average of their models"

    def action(rank: int) -> None:
        with pytest.raises(StateError if rank == 0 else FollowedError, match=line):
            workers.resume(of_four)

    assert [child.wait() for child in launched(2, action)] == [0, 0]
    assert tree(of_four) == before


@pytest.mark.parametrize("count", [1, 2])
def test_elastic_another_number_begins_from_the_average(tmp_path: Path, of_four: Path, count: int) -> None:
    out = Path(shutil.copytree(of_four, tmp_path / "run"))
    state = saved_state(out, 10)
    everyone = [state["model"], *(other["model"] for other in state["others"])]
    told = go_on(count, out, elastic=True)
    assert len({digest_of(each["begun"]) for each in told}) == 1
    for name, tensor in told[0]["begun"].items():
        exact = np.mean([model[name].double().numpy() for model in everyone], axis=0)
        np.testing.assert_allclose(tensor.double().numpy(), exact, rtol=1e-7, atol=0)
    document = result(out)
    assert document["workers"]["count"] == count
    assert document["workers"]["earlier"] == [{"count": 4, "until": 10}]
    assert document["workers"]["phases"] == [worker / count for worker in range(count)]
    assert (document["steps"], document["snapshots"]) == (26, [9, 17, 25])
    assert f"[workers]\ncount = {count}\n" in (out / "config.toml").read_text()
    before = tree(out)
    go_on(count, out)  # it is a run of so many now
    assert tree(out) == before


def test_elastic_in_step_and_averaged_at_every_update_it_is_the_same_run_within_1e_4(tmp_path: Path) -> None:
    chosen, out = setting(4, 1, plan=PLAIN), tmp_path / "run"
    whole = run(chosen, tmp_path / "whole")[0]["left"]
    assert killed(chosen, out, 12, ranks={0, 1, 2, 3}) == [-signal.SIGKILL] * 4
    left = go_on(2, out, elastic=True)[0]["left"]
    for name, tensor in whole.items():
        assert not torch.equal(tensor, torch.zeros_like(tensor))
        torch.testing.assert_close(left[name], tensor, rtol=1e-4, atol=1e-6)


# -- what cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": {"phase_shift": True}}, r"\[workers\] count: is not said; write count = 2 \(--workers 2\), or start the run with torchrun"),
        ({"workers": {"count": 2}, "train.devices": 2}, r"\[train\] devices: got 2, but each worker is a process with one device and a model of its own; write devices = 1"),
        ({"workers": {"count": 2}, "train.strategy": "ddp"}, r"\[train\] strategy: got 'ddp', but .*; write strategy = \"auto\""),
        ({"workers": {"count": 2}, "train.precision": "16-mixed"}, r"\[train\] precision: 16-mixed skips updates of one worker and not of another; write precision = \"bf16-mixed\""),
    ],
)  # fmt: skip
def test_what_workers_cannot_have(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        workers.train(config(**{key.replace(".", "__"): value for key, value in changes.items()}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_workers_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[workers\]: only ostinato train .* has workers; leave the table out"):
        train(setting(2), tmp_path / "run")


def test_torchrun_says_how_many_there_are(tmp_path: Path) -> None:
    def action(rank: int) -> Any:
        counted = resolve_config(config(workers={"phase_shift": True})).workers.count
        with pytest.raises(
            ConfigError, match=r"\[workers\] count: got 3, but torchrun started 2 processes; type --nproc-per-node=3"
        ):
            resolve_config(setting(3))
        return counted

    assert returned(2, action, tmp_path / "told") == [2, 2]


def test_elastic_is_for_runs_of_workers(tmp_path: Path) -> None:
    assert forked(lambda: train(config(), tmp_path / "run")).wait() == 0
    with pytest.raises(StateError, match="run: is a run without workers; leave --elastic out"):
        workers.resume(tmp_path / "run", elastic=True)
