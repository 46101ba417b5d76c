from __future__ import annotations

import json
import math
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ostinato.core.clock import Tick
from ostinato.ensembles import Member
from ostinato.ensembles.store import SnapshotStore
from ostinato.errors import NonFiniteError, RunInterruptedError, StateError, StorageError, TruncatedCycleWarning
from ostinato.storage import load_tensors
from ostinato.training import Observer, RunConfig, resume, train
from ostinato.training.checkpoint import CheckpointStore
from ostinato.training.log import read_metrics
from ostinato.training.loop import TrainingLoop
from ostinato.training.session import Session
from running import (
    PLAN,
    Crash,
    Crasher,
    Stopper,
    config,
    fingerprint,
    interrupted_run,
    newest_checkpoint,
    partials,
    tree,
)

torch.set_num_threads(1)

JITTERED = {"factory": "running:jittered"}
CONFIGS = {
    "sgd with batch norm and dropout": config(),
    "accumulate 4, adamw": config(
        {**PLAN, "bind": PLAN["bind"][:3]},
        train__accumulate=4,
        train__batch_size=50,
        optimizer={"name": "adamw", "lr": 0.01},
    ),
    "clipped, keep 1, logits": config(train__clip_norm=0.5, train__keep=1, train__average="logits"),
    "random transforms": config(data=JITTERED, train__batch_size=30, optimizer="adamw"),
    "sparse log, bf16": config(train__log_every=7, train__precision="bf16-mixed"),
}
EPOCH, CYCLE, SAVE = 9, 10, 5  # boundaries of the first configuration: digits in batches of 160, warm-up 2 and period 8


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    found = {}
    for number, (name, setting) in enumerate(CONFIGS.items()):
        train(setting, folder / str(number))
        found[name] = fingerprint(folder / str(number))
    return found


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    "stops",
    [[1, 2], [SAVE, SAVE + 1, EPOCH], [EPOCH - 1, CYCLE, CYCLE + 1], [17, 18]],
    ids=str,
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    tmp_path: Path, uninterrupted: dict[str, dict[str, Any]], name: str, stops: list[int]
) -> None:
    interrupted_run(CONFIGS[name], tmp_path / "run", stops)
    assert fingerprint(tmp_path / "run") == uninterrupted[name]
    assert partials(tmp_path) == []


def test_a_run_interrupted_after_every_update_is_the_uninterrupted_one(
    tmp_path: Path, uninterrupted: dict[str, dict[str, Any]]
) -> None:
    name = next(iter(CONFIGS))
    interrupted_run(CONFIGS[name], tmp_path / "run", range(1, 26))
    assert fingerprint(tmp_path / "run") == uninterrupted[name]


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_change_nothing(tmp_path: Path, uninterrupted: dict[str, dict[str, Any]]) -> None:
    name = "random transforms"
    interrupted_run(CONFIGS[name].replace({"train.workers": 2}), tmp_path / "run", [3])
    found, expected = fingerprint(tmp_path / "run"), uninterrupted[name]
    assert found.pop("config") != expected["config"]
    assert found == {key: value for key, value in expected.items() if key != "config"}


@pytest.mark.parametrize(("method", "count"), [("updated", 12), ("saved", 1), ("captured", 0), ("evaluated", 1)])
def test_a_run_that_ends_abruptly_goes_on_from_its_checkpoint(
    tmp_path: Path, uninterrupted: dict[str, dict[str, Any]], method: str, count: int
) -> None:
    name = next(iter(CONFIGS))
    with pytest.raises(Crash):
        train(CONFIGS[name], tmp_path / "run", observer=Crasher(method, count))
    resume(tmp_path / "run")
    assert fingerprint(tmp_path / "run") == uninterrupted[name]


def test_the_seed_decides(tmp_path: Path, uninterrupted: dict[str, dict[str, Any]]) -> None:
    name = next(iter(CONFIGS))
    train(CONFIGS[name].replace({"train.seed": 1}), tmp_path / "run")
    assert fingerprint(tmp_path / "run")["tensors"] != uninterrupted[name]["tensors"]


def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    tmp_path: Path, uninterrupted: dict[str, dict[str, Any]]
) -> None:
    name = next(iter(CONFIGS))
    with pytest.raises(Crash):
        train(CONFIGS[name], tmp_path / "run", observer=Crasher("updated", 2))
    assert not list((tmp_path / "run").glob("checkpoint/step-*"))
    resume(tmp_path / "run")
    assert fingerprint(tmp_path / "run") == uninterrupted[name]


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_an_update_and_names_the_way_on(tmp_path: Path, which: signal.Signals) -> None:
    out = tmp_path / "a run"
    with pytest.raises(RunInterruptedError) as caught:
        train(config(), out, observer=Stopper(6, which))
    assert str(caught.value) == f"{which.name} after step 8 of 26; resume with: ostinato train --resume '{out}'"
    assert newest_checkpoint(out).name == "step-000000000008"
    assert (out / "report.html").is_file()
    assert not (out / "result.json").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_during_the_last_update_lets_the_run_end(tmp_path: Path) -> None:
    _, document = train(config(), tmp_path / "run", observer=Stopper(24))
    assert document["steps"] == 26


def test_a_finished_run_resumed_stays_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(config(), out)
    before = tree(out)
    resume(out)
    assert tree(out) == before


# -- snapshots -------------------------------------------------------------------------------------------------


class Recorder(Observer):
    """Keeps what the live model is when a snapshot is taken."""

    def __init__(self) -> None:
        self.live: dict[str, dict[str, Tensor]] = {}
        self.ticks: list[Tick] = []

    def begun(self, session: Session, count: int) -> None:
        self.session = session

    def updated(self, tick: Tick, loss: float) -> None:
        self.ticks.append(tick)
        self.now = {name: tensor.clone() for name, tensor in self.session.model.state_dict().items()}

    def captured(self, member: Member) -> None:
        self.live[member.file.name] = self.now
        self.member = member


def test_a_snapshot_is_the_live_model_at_the_cycle_s_last_update_with_buffers(tmp_path: Path) -> None:
    recorder = Recorder()
    folder, document = train(config(), tmp_path / "run", observer=recorder)
    ends = [tick.step for tick in recorder.ticks if tick.cycle_end]
    assert ends == [9, 17, 25] == document["snapshots"]
    store = TrainingLoop(recorder.session, folder).snapshots
    for member in store.members:
        saved = load_tensors(folder.snapshots / member.file.name, member.file)
        live = recorder.live[member.file.name]
        assert {name for name in saved if name.endswith(("running_mean", "running_var", "num_batches_tracked"))}
        assert saved.keys() == live.keys()
        assert all(torch.equal(saved[name], live[name]) for name in live)
        assert member.values["optimizer.lr"] < 0.02  # the trough's rate, not the restart's


def test_the_snapshot_of_the_last_cycle_is_the_final_model(tmp_path: Path) -> None:
    recorder = Recorder()
    _, document = train(config(), tmp_path / "run", observer=recorder)
    assert document["metrics"]["last"]["error"] == document["metrics"]["final"]["error"]
    assert document["metrics"]["last"]["nll"] == pytest.approx(document["metrics"]["final"]["nll"], rel=1e-6)


def test_a_truncated_last_cycle_gives_no_snapshot(tmp_path: Path) -> None:
    with pytest.warns(TruncatedCycleWarning, match="a total of 18 or 26 steps fits"):
        _, document = train(config({**PLAN, "total": 20}), tmp_path / "run")
    assert document["snapshots"] == [9, 17]
    assert [cycle["complete"] for cycle in document["cycles"]] == [True, True, False]


def test_only_the_last_snapshots_stay_where_keep_says_so(tmp_path: Path) -> None:
    folder, document = train(config(train__keep=2), tmp_path / "run")
    assert document["snapshots"] == [17, 25]
    assert len(list(folder.snapshots.glob("*.safetensors"))) == 2


class Listed(Observer):
    """Notes which snapshots the manifest names when a checkpoint is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.at: dict[int, list[int]] = {}

    def saved(self, count: int) -> None:
        manifest = self.folder / "snapshots" / "manifest.json"
        members = json.loads(manifest.read_text())["members"] if manifest.exists() else []
        self.at[count] = [member["step"] for member in members]


def slowly(real: Any) -> Any:
    def add(*args: Any) -> Any:
        time.sleep(0.1)  # longer than the updates up to the next checkpoint
        return real(*args)

    return add


def test_a_checkpoint_waits_for_the_snapshots_that_it_relies_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SnapshotStore, "add", slowly(SnapshotStore.add))
    listed = Listed(tmp_path / "run")
    train(config(train__checkpoint_every=3), tmp_path / "run", observer=listed)
    assert listed.at == {
        count: [step for step in (9, 17, 25) if step < count] for count in (3, 6, 9, 12, 15, 18, 21, 24, 26)
    }


class Waiting(Observer):
    """Sees, when a snapshot is taken, whether the loop goes on while it is written."""

    def __init__(self) -> None:
        self.done: list[bool] = []

    def captured(self, member: Member) -> None:
        self.done.append(member.done)


def test_the_loop_goes_on_while_a_snapshot_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SnapshotStore, "add", slowly(SnapshotStore.add))
    waiting, before = Waiting(), set(threading.enumerate())
    train(config(), tmp_path / "run", observer=waiting)
    assert waiting.done == [False, False, False]
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "ostinato-snapshots"]


def test_a_snapshot_that_cannot_be_written_ends_the_run_before_the_next_checkpoint(
    tmp_path: Path, uninterrupted: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(iter(CONFIGS))
    real = SnapshotStore.add

    def add(self: SnapshotStore, step: int, *rest: Any) -> Any:
        if step == 17:
            raise StorageError("the disk is full; free some space and run it again")
        return real(self, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(SnapshotStore, "add", add)
        with pytest.raises(StorageError, match=r"^the snapshot of step 17 was not saved: the disk is full; free some"):
            train(CONFIGS[name], tmp_path / "run")
    assert newest_checkpoint(tmp_path / "run").name == "step-000000000015"
    assert not (tmp_path / "run" / "result.json").exists()
    resume(tmp_path / "run")
    assert fingerprint(tmp_path / "run") == uninterrupted[name]


def test_accumulation_counts_updates_not_batches(tmp_path: Path) -> None:
    plan = {**PLAN, "total": "2ep", "warmup": 0, "cycle": {"waveform": "cosine", "count": 2}}
    _, document = train(config(plan, train__accumulate=4), tmp_path / "run")
    assert (document["steps_per_epoch"], document["steps"], document["snapshots"]) == (3, 6, [2, 5])


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    plan = {"total": 6, "bind": [{"target": "optimizer.lr", "low": 0.01, "high": 0.1}], "cycle": PLAN["cycle"]}
    settings = config({**plan, "cycle": {"waveform": "cosine", "count": 1}}, model="linear", train__batch_size=320)
    one, _ = train(settings, tmp_path / "one")
    four, _ = train(settings.replace({"train.batch_size": 80, "train.accumulate": 4}), tmp_path / "four")
    losses = [[record["loss"] for record in read_metrics(run.metrics) if "loss" in record] for run in (one, four)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


# -- values that are not finite --------------------------------------------------------------------------------


def stopped(setting: RunConfig, out: Path, observer: Observer | None = None) -> str:
    with pytest.raises(NonFiniteError) as caught:
        train(setting, out, observer=observer)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("and start again")
    return str(caught.value)


def assert_good(folder: Path) -> None:
    """Every checkpoint verifies and holds finite weights only; the report says what happened."""
    checkpoint = CheckpointStore(folder / "checkpoint").latest()
    if checkpoint is not None:
        assert all(torch.isfinite(tensor).all() for tensor in checkpoint.state["model"].values())
    for path in (folder / "snapshots").glob("*.safetensors"):
        assert path.stat().st_size
    assert "was not made" in (folder / "report.html").read_text()
    assert not (folder / "result.json").exists()


def test_a_rate_that_is_too_high_stops_before_the_update(tmp_path: Path) -> None:
    plan = {
        "total": 30,
        "cycle": {"waveform": "sawtooth", "count": 1},
        "bind": [{"target": "optimizer.lr", "high": 1e20, "low": 1e-3}],
    }
    recorder = Recorder()
    message = stopped(config(plan, train__checkpoint_every=1), tmp_path / "run", recorder)
    made = len(recorder.ticks)
    assert message.startswith(f"step {made}: ")
    assert "with optimizer.lr = " in message
    assert newest_checkpoint(tmp_path / "run").name == f"step-{made:012d}"  # made updates are the ones saved
    assert all(
        math.isfinite(record["loss"]) for record in read_metrics(tmp_path / "run/metrics.jsonl") if "loss" in record
    )


def test_a_nan_in_the_data_stops_before_the_update_and_names_step_and_values(tmp_path: Path) -> None:
    setting = config(
        data={"factory": "running:jittered", "args": {"bad": 57}}, train__batch_size=10, train__checkpoint_every=2
    )
    recorder = Recorder()
    message = stopped(setting, tmp_path / "run", recorder)
    made = len(recorder.ticks)
    assert made <= 10
    assert message.startswith(f"step {made}: the loss is nan, with optimizer.lr = ")
    assert "model:Dropout.p = " in message
    assert_good(tmp_path / "run")
    assert all(torch.isfinite(tensor).all() for tensor in recorder.now.values())


def test_a_run_resumed_into_the_same_nan_stops_at_the_same_step(tmp_path: Path) -> None:
    setting = config(
        data={"factory": "running:jittered", "args": {"bad": 57}}, train__batch_size=10, train__checkpoint_every=2
    )
    message = stopped(setting, tmp_path / "run")
    before = tree(tmp_path / "run" / "checkpoint")
    with pytest.raises(NonFiniteError) as caught:
        resume(tmp_path / "run")
    assert str(caught.value) == message
    assert tree(tmp_path / "run" / "checkpoint") == before


class Poison(Observer):
    """Makes the gradient of one weight not finite although the loss is: a hook that fires at one update."""

    def __init__(self, step: int, value: float = math.inf) -> None:
        self.step, self.value = step, value

    def begun(self, session: Session, count: int) -> None:
        weight = next(session.model.parameters())
        weight.register_hook(lambda grad: grad * self.value if session.scheduler.count == self.step else grad)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_gradient_that_is_not_finite_stops_before_the_update(tmp_path: Path, value: float) -> None:
    message = stopped(config(), tmp_path / "run", Poison(7, value))
    assert message.startswith("step 7: a gradient is not finite, with optimizer.lr = ")
    assert newest_checkpoint(tmp_path / "run").name == "step-000000000005"
    assert_good(tmp_path / "run")


def test_gradients_whose_norm_alone_overflows_are_finite(tmp_path: Path) -> None:
    plan = {
        "total": 1,
        "cycle": {"waveform": "constant", "count": 1},
        "bind": [{"target": "optimizer.lr", "low": 1e-30, "high": 1e-30}],
    }
    _, document = train(config(plan), tmp_path / "run", observer=Poison(0, 1e25))
    assert document["steps"] == 1


# -- mixed precision -------------------------------------------------------------------------------------------


class Scaled(Recorder):
    """Gives a run on the CPU the scaler that half precision has on a GPU, beginning at a scale that overflows."""

    def __init__(self, scale: float = 2.0**16, crash_at: int | None = None, bad: int | None = None) -> None:
        super().__init__()
        self.scale, self.crash_at, self.bad = scale, crash_at, bad
        self.seen: list[tuple[int, float]] = []

    def begun(self, session: Session, count: int) -> None:
        super().begun(session, count)
        weight = next(session.model.parameters())
        weight.register_hook(lambda grad: self._half(session, grad))

    def _half(self, session: Session, grad: Tensor) -> Tensor:
        scale = session.precision.scaler.get_scale()
        self.seen.append((session.scheduler.count, scale))
        overflow = scale > 2.0**13 or session.scheduler.count == self.bad
        return grad * math.inf if overflow else grad

    def updated(self, tick: Tick, loss: float) -> None:
        super().updated(tick, loss)
        if tick.step == self.crash_at:
            raise Crash


@pytest.fixture
def scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every session a gradient scaler for the CPU."""
    from ostinato.training import session as module

    real = module.launched

    def launched(setting: RunConfig) -> Any:
        fabric = real(setting)
        fabric._precision.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=6)
        return fabric

    monkeypatch.setattr(module, "launched", launched)


@pytest.mark.usefixtures("scaler")
def test_a_skipped_update_is_no_step_and_is_made_again_from_the_same_batches(tmp_path: Path) -> None:
    setting = config(train__precision="bf16-mixed")
    recorder = Scaled()
    _, document = train(setting, tmp_path / "run", observer=recorder)
    assert [tick.step for tick in recorder.ticks] == list(range(26))
    assert document["steps"] == 26
    assert [scale for count, scale in recorder.seen if count == 0] == [2.0**16, 2.0**15, 2.0**14, 2.0**13]
    skipped = [count for number, (count, _) in enumerate(recorder.seen[1:]) if count == recorder.seen[number][0]]
    assert len(skipped) > 4  # the scale grows again every six updates, which skips one more each time
    assert document["snapshots"] == [9, 17, 25]


@pytest.mark.usefixtures("scaler")
def test_a_run_with_skipped_updates_resumes_bit_for_bit(tmp_path: Path) -> None:
    setting = config(train__precision="bf16-mixed")
    train(setting, tmp_path / "whole", observer=Scaled())
    with pytest.raises(Crash):
        train(setting, tmp_path / "run", observer=Scaled(crash_at=8))
    with pytest.raises(Crash):
        resume(tmp_path / "run", observer=Scaled(crash_at=17))
    resume(tmp_path / "run", observer=Scaled())
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")


@pytest.mark.usefixtures("scaler")
def test_an_update_skipped_at_every_scale_ends_the_run(tmp_path: Path) -> None:
    message = stopped(config(train__precision="bf16-mixed"), tmp_path / "run", Scaled(bad=4))
    assert message.startswith("step 4: a gradient is not finite at any loss scale down to ")


def test_half_precision_without_a_gpu_trains_in_bfloat16_or_says_why_not(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="bf16|not supported on CPU|does not"):
        _, document = train(config(train__precision="16-mixed"), tmp_path / "run")
    assert document["steps"] == 26


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_other_precisions_train_and_resume(tmp_path: Path, precision: str) -> None:
    setting = config(train__precision=precision)
    train(setting, tmp_path / "whole")
    interrupted_run(setting, tmp_path / "run", [7])
    assert fingerprint(tmp_path / "run") == fingerprint(tmp_path / "whole")


# -- what a checkpoint belongs to ------------------------------------------------------------------------------


@pytest.fixture
def halfway(tmp_path: Path) -> Path:
    with pytest.raises(Crash):
        train(config(), tmp_path / "run", observer=Crasher("updated", 12))
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("seed = 0", "seed = 7", r"\[train\] seed was 0, is 7"),
        ("batch_size = 160", "batch_size = 80", r"\[train\] batch_size was 160, is 80"),
        ("total = 26", 'total = "34step"', r"total was .*26.*, is .*34"),
        ("high = 0.1", "high = 0.2", r"optimizer.lr/high was 0.1, is 0.2"),
        ("momentum = 0.9", "momentum = 0.8", r"\[optimizer\] momentum was 0.9, is 0.8"),
        ("momentum = 0.9", "", r"\[optimizer\] momentum was 0.9, is absent"),
    ],
)
def test_a_configuration_edited_since_the_checkpoint_is_refused(
    halfway: Path, before: str, after: str, words: str
) -> None:
    file = halfway / "config.toml"
    text = file.read_text()
    if before not in text:
        before = before.replace("26", '"26step"')
    assert before in text
    file.write_text(text.replace(before, after, 1))
    kept = tree(halfway)
    with pytest.raises(
        StateError, match=rf"config\.toml: was changed since the checkpoint: .*{words}.*; change it back"
    ):
        resume(halfway)
    assert tree(halfway) == kept


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_what_changes_no_result_may_be_edited(halfway: Path, uninterrupted: dict[str, dict[str, Any]]) -> None:
    file = halfway / "config.toml"
    file.write_text(
        file.read_text().replace("checkpoint_every = 5", "checkpoint_every = 3").replace("workers = 0", "workers = 1")
    )
    resume(halfway)
    found, expected = fingerprint(halfway), uninterrupted[next(iter(CONFIGS))]
    assert (found["tensors"], found["metrics"]) == (expected["tensors"], expected["metrics"])


def test_other_data_under_the_same_name_is_refused(tmp_path: Path) -> None:
    rows = ["a,b,label", *(f"{n % 7},{n % 3},{n % 2}" for n in range(200))]
    file = tmp_path / "table.csv"
    file.write_text("\n".join(rows) + "\n")
    setting = config({**PLAN, "total": 26}, data={"path": str(file)})
    with pytest.raises(Crash):
        train(setting, tmp_path / "run", observer=Crasher("updated", 12))
    file.write_text("\n".join([rows[0], "5,1,0", *rows[2:]]) + "\n")
    kept = tree(tmp_path / "run")
    with pytest.raises(StateError, match=r"the data set 'table' is not the one that the run began with"):
        resume(tmp_path / "run")
    assert tree(tmp_path / "run") == kept
