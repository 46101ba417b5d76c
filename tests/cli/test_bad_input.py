"""Everything that a person can get wrong ends with status 2, one line that says where and what to type, and nothing changed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from lines import PLAN, ostinato, plan_file
from running import tree

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("default")  # warnings become lines here


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    ended = ostinato("train", plan_file(folder), "--out", folder / "run")
    assert ended.status == 0, ended
    return folder / "run"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(finished: Path, here: Path) -> Path:
    return Path(shutil.copytree(finished, here / "run"))


def refused(here: Path, *words: object) -> str:
    """Return the line, after checking that nothing was written or lost."""
    before = tree(here)
    line = ostinato(*words).line
    assert tree(here) == before
    assert not line.startswith("[Errno")
    assert "Traceback" not in line
    return line


PLANS = {
    "unknown key": ("period = ", "perod = ", r"plan\.toml: .*perod.*did you mean 'period'"),
    "unknown key at the top": ("warmup =", "warm_up =", r"plan\.toml: .*warm_up.*did you mean 'warmup'"),
    "unknown key of a binding": ("high = 0.1", "hi = 0.1", r"plan\.toml: .*hi\b"),
    "unknown table key": ("batch_size", "batchsize", r"plan\.toml: \[train\] batchsize: no such key; did you mean 'batch_size'"),
    "unknown table": ("[train]", "[trian]", r"plan\.toml: \[trian\] is no table; did you mean 'train'"),
    "unknown unit": ('"8step"', '"8stp"', r"plan\.toml: .*8stp"),
    "unknown target": ('"optimizer.lr"', '"optimizer.lrr"', r"plan\.toml: optimizer\.lrr: no parameter group has it; keys: lr, momentum"),
    "unknown root": ('"optimizer.lr"', '"optim.lr"', r"optim.lr: .*optimizer"),
    "unknown class": ("model:Dropout.p", "model:Dropot.p", r"model:Dropot.p: .*Dropout"),
    "unknown waveform": ('"cosine"', '"cosin"', r"plan\.toml: .*did you mean 'cosine'"),
    "unknown relation": ('"mirror"', '"miror"', r"plan\.toml: .*miror.*mirror"),
    "period 0": ('"8step"', '"0step"', r"plan\.toml: .*period.*0step"),
    "high below low": ("high = 0.1", "high = 0.001", r"plan\.toml: optimizer\.lr/high: got 0\.001, which is below low = 0\.01; swap them, or use mirror"),
    "probability above 1": ("high = 0.3", "high = 1.3", r"plan\.toml: model:Dropout\.p: 1\.1\d* at step 8, expected a probability in \[0, 1\]; change low and high"),
    "rate below 0": ("low = 0.01", "low = -0.01", r"plan\.toml: optimizer\.lr: -0\.005\d* at step 9, expected a number in \[0, inf\); change low and high"),
    "nan": ("high = 0.1", "high = nan", r"plan\.toml: .*(nan|finite)"),
    "inf": ("high = 0.1", "high = inf", r"plan\.toml: .*(inf|finite)"),
    "text for a number": ("low = 0.01", 'low = "0.01"', r"plan\.toml: .*low.*'0\.01'"),
    "syntax": ("low = 0.01", "low = ", r"plan\.toml: is no TOML: .*line 8"),
    "total 0": ('"18step"', '"0step"', r"plan\.toml: .*total.*0step"),
    "warm-up past the total": ('"2step"', '"20step"', r"warmup"),
    "batch size 0": ("batch_size = 160", "batch_size = 0", r"\[train\] batch_size: got 0, expected a whole number > 0 \(write batch_size = 64\)"),
    "unknown model": ('name = "mlp"', 'name = "mpl"', r"no model is named 'mpl'; did you mean 'mlp'"),
    "unknown argument": ("depth = 1", "deep = 1", r"'mlp' has no argument 'deep'; did you mean 'depth'"),
    "unknown unit of a plan": ('total = "18step"', 'unit = "epoch"\ntotal = 18', r"unit: a training run counts in steps, got 'ep'; leave unit out"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_cannot_be(here: Path, name: str) -> None:
    before, after, words = PLANS[name]
    line = refused(here, "train", plan_file(here, before, after), "--out", "out")
    assert re.search(words, line), line


LINES = {
    "missing file": (["train", "plam.toml"], r"plam\.toml: no such file; did you mean 'plan.toml'"),
    "a folder": (["train", "."], r"\.: is a directory, expected a TOML file"),
    "unknown command": (["trian"], r"No such command 'trian'.*\(see: ostinato --help\)"),
    "unknown option": (["train", "--sed", "3"], r"No such option: --sed.*--seed.*\(see: ostinato train --help\)"),
    "an option without a value": (["train", "--seed"], r"--seed.* requires an argument"),
    "a seed that is no number": (["train", "--seed", "x"], r"'--seed': got 'x', expected a valid integer \(see: ostinato train --help\)"),
    "a seed below 0": (["train", "--seed", "-1"], r"--seed: \[train\] seed: got -1, expected a whole number from 0"),
    "a total without a unit's sense": (["train", "--total", "5epoc"], r"total.*5epoc"),
    "no data set": (["train", "--data", "digitss"], r"no data set is named 'digitss'; did you mean 'digits'\?; one's own is"),
    "no data file": (["train", "--data", "table.csv"], r"table\.csv.*(no such file|does not exist)"),
    "no data factory": (["train", "--data", "nowhere:make"], r"'nowhere:make': no module 'nowhere' in .* or installed"),
    "no model factory": (["train", "--model", "running:absent"], r"model: 'running:absent'.*absent"),
    "no optimizer": (["train", "--optimizer", "adm"], r"adm.*did you mean 'adam'"),
    "no device": (["train", "--devices", "0"], r"--devices: \[train\] devices: got 0, expected a whole number > 0 or \"auto\""),
    "no worker": (["train", "--workers", "0"], r"--workers: \[workers\] count: got 0, expected a whole number > 0 \(write count = 2\)"),
    "workers and devices": (["train", "--workers", "2", "--devices", "2"], r"--workers and --devices: each worker is a process with one device; leave --devices out"),
    "a phase shift of nobody": (["train", "--phase-shift"], r"\[workers\] count: is not said; write count = 2 \(--workers 2\), or start the run with torchrun"),
    "more phases than workers": (["train", "--workers", "2", "--phase-shift", "--set", "workers.phases=3"], r"phases: got 3 for 2 workers, so that some would be nobody's; write phases = 2 or less"),
    "phases that are not shifted": (["train", "--workers", "2", "--set", "workers.phases=2"], r"phases are for shifted workers; write phase_shift = true, or leave phases out"),
    "never averaged": (["train", "--workers", "2", "--set", "workers.average_every=0"], r"\[workers\] average_every: got 0, expected a whole number > 0 \(write average_every = 8\)"),
    "elastic without a run": (["train", "--elastic", "--workers", "2"], r"--elastic: goes on with a run of workers; add --resume RUN, or leave --elastic out"),
    "a comparison of workers": (["compare", "plan.toml", "--set", "workers.count=2"], r"\[workers\]: only ostinato train .* has workers; leave the table out"),
    "a search of workers": (["search", "plan.toml", "--set", "workers.count=2", "--trials", "2"], r"\[workers\]: only ostinato train .* has workers; leave the table out"),
    "resume of nothing": (["train", "--resume", "nothing"], r"nothing: holds no run \(no config.toml\); give the folder of a run, or start one with --out nothing"),
    "resume with out": (["train", "--resume", "run", "--out", "b"], r"--resume and --out: a run goes on in its own folder; leave --out out"),
    "a setting without a value": (["train", "--set", "train.seed"], r"--set: got 'train.seed', expected ADDRESS=VALUE"),
    "a setting of nothing": (["train", "--set", "trian.seed=3"], r"trian\.seed"),
    "a setting of no key": (["train", "--set", "train.sed=3"], r"\[train\] sed: no such key; did you mean 'seed'"),
    "evaluate nothing": (["evaluate", "nothing"], r"nothing: holds no run"),
    "evaluate without a run": (["evaluate"], r"Missing argument 'run' \(see: ostinato evaluate --help\)"),
    "an average that is none": (["evaluate", "run", "--average", "median"], r"--average.*'median'.*probabilities.*logits"),
    "the last 0": (["evaluate", "run", "--last", "0"], r"'--last': got '0', expected greater than or equal to 1 \(see: "),
    "preview of nothing": (["preview", "nothing.toml"], r"nothing\.toml"),
    "preview without rates": (["preview", "epochs.toml"], r"epochs\.toml: .*pass --steps-per-epoch N"),
    "export to nowhere": (["export", "plan.toml", "--to", "tensorflow"], r"--to: got 'tensorflow', expected one of: torch"),
    "two files": (["train", "plan.toml", "plan.toml"], r"unexpected extra argument.*plan\.toml"),
    "an unwritable folder": (["train", "--out", "plan.toml/run"], r"plan\.toml/run: cannot be made \(Not a directory\); choose another --out"),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_command_line_that_cannot_be(here: Path, name: str) -> None:
    words, expected = LINES[name]
    plan_file(here)
    plan_file(here, '"18step"', '"5ep"', name="epochs.toml")
    line = refused(here, *words)
    assert re.search(expected, line), line


def test_a_folder_that_holds_a_run(here: Path, run: Path) -> None:
    line = refused(here, "train", "--out", "run")
    assert line == "run: holds a run already; go on with it by --resume run, or choose another --out"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--total", "26step"], r"run: was begun under another plan: total was '18step', is '26step'; leave it out to go on with run, or start another"),
        (["--seed", "1"], r"run: \[train\] seed was 0, is 1"),
        (["--data", "mnist"], r"run: \[data\] name was 'digits', is 'mnist'"),
        (["--set", "optimizer.lr/high=0.2"], r"another plan: optimizer\.lr/high was 0\.1, is 0\.2"),
    ],
)  # fmt: skip
def test_a_resume_with_something_else(here: Path, run: Path, words: list[str], expected: str) -> None:
    line = refused(here, "train", "--resume", "run", *words)
    assert re.search(expected, line), line


def test_a_resume_with_another_plan_file(here: Path, run: Path) -> None:
    file = plan_file(here, "high = 0.3", "high = 0.4")
    line = refused(here, "train", file, "--resume", "run")
    assert "run: was begun under another plan: model:Dropout.p/high was 0.3, is 0.4; leave it out" in line
    assert ostinato("train", plan_file(here), "--resume", "run").status == 0


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_in_a_snapshot_is_refused_by_name_and_the_rest_used(here: Path, run: Path) -> None:
    whole = ostinato("evaluate", "run", "--json").document
    flip(run / "snapshots" / "snapshot-000000009.safetensors")
    before = tree(here)
    ended = ostinato("evaluate", "run", "--json")
    assert tree(here) == before
    assert ended.document["snapshots"] == [17]
    assert ended.document["metrics"]["last"] == whole["metrics"]["last"]
    assert re.fullmatch(
        r"warning: snapshot left out: '.*snapshot-000000009.safetensors' is altered: .*; restore it from a copy",
        ended.err.strip(),
    )
    flip(run / "snapshots" / "snapshot-000000017.safetensors")
    ended = ostinato("evaluate", "run")
    assert (ended.status, ended.out) == (2, "")
    assert [line.partition(":")[0] for line in ended.err.splitlines()] == ["warning", "warning", "error"]
    assert "none of the 2 snapshots" in ended.err


def test_damaged_checkpoints(here: Path, run: Path) -> None:
    for place in (run / "checkpoint").iterdir():
        flip(place / "tensors.safetensors")
    before = tree(here)
    ended = ostinato("train", "--resume", "run")
    assert ended.status == 2
    assert ended.err.splitlines()[-1].startswith("error: run/checkpoint: every checkpoint is damaged; restore one")
    assert tree(here) == before


def test_a_broken_configuration_of_a_run(here: Path, run: Path) -> None:
    (run / "config.toml").write_text("total = \n")
    assert re.match(r"run/config\.toml: is no TOML: .*line 1", refused(here, "train", "--resume", "run"))
    assert re.match(r"run/config\.toml: is no TOML: .*line 1", refused(here, "evaluate", "run"))


def test_a_data_set_with_a_wrong_checksum(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        place = here / "data" / "fashion-mnist" / f"{name}.gz"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"not what it was")
    monkeypatch.setenv("OSTINATO_DATA", str(here / "data"))
    line = refused(here, "train", "--data", "fashion-mnist", "--out", "out")
    assert re.search(r"fashion-mnist/.*(SHA-256|checksum|bytes)", line), line


def test_a_full_disk(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    plan_file(here)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        line = ostinato("train", "plan.toml", "--out", "out").line
    assert line == "cannot write 'out/config.toml': the disk is full; free some space and run it again"
    assert not list((here / "out").iterdir())
    assert ostinato("train", "plan.toml", "--out", "out").status == 0


def test_a_loss_that_is_not_finite(here: Path) -> None:
    file = plan_file(here, "high = 0.1", "high = 1e20")
    ended = ostinato("train", file, "--out", "out")
    assert (ended.status, ended.out) == (2, "")
    line = ended.err.splitlines()[-1]
    assert re.match(
        r"error: step \d+: (the loss is (nan|inf)|a gradient is not finite), with optimizer\.lr = .*, model:Dropout\.p = ",
        line,
    )
    assert "Traceback" not in ended.err


def test_the_plan_is_the_one_of_this_page(here: Path) -> None:
    assert plan_file(here).read_text() == PLAN
    assert ostinato("preview", "plan.toml", "--json").document["total_steps"] == 18
