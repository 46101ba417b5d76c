"""``ostinato range-test``: the command line around the range test."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lines import Ended, ostinato, plan_file

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("default")


def swept(*words: object) -> Ended:
    return ostinato("range-test", *words)


def test_with_no_argument_it_suggests_a_rate_for_digits(tmp_path: Path) -> None:
    ended = swept("--png", tmp_path / "lr.png")
    assert ended.status == 0, ended
    assert ended.out.startswith("optimizer.lr on digits: ")
    for rule in ("peak", "valley", "steepest", "minimum/10", "slide"):
        assert rule in ended.out
    assert "suggested: 0.0" in ended.out
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert ended.err == f"wrote {tmp_path / 'lr.png'}\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "lr.png"]


def test_json_is_one_document_and_the_same_again() -> None:
    words = (
        "--model",
        "linear",
        "--optimizer",
        "adamw",
        "--steps",
        30,
        "--low",
        1e-5,
        "--high",
        1,
        "--seed",
        3,
        "--json",
    )
    document = swept(*words).document
    assert document["sweep"] == {
        "target": "optimizer.lr",
        "low": 1e-5,
        "high": 1.0,
        "steps": 30,
        "scale": "exponential",
        "restart": 0,
        "relative": False,
    }
    assert {"version", "judge", "stopped", "suggestion", "suggestions", "values", "losses", "smoothed"} <= set(document)
    assert (document["data"]["name"], document["seed"], document["optimizer"]["name"]) == ("digits", 3, "adamw")
    assert document["judge"] == "train"
    assert swept(*words).document == document
    assert swept(*words[:-3], "--seed", 4, "--json").document["losses"] != document["losses"]


def test_another_target_is_judged_by_examples_held_out(tmp_path: Path) -> None:
    file = plan_file(tmp_path)
    words = (file, "--target", "model:Dropout.p", "--steps", 5, "--restart", 4, "--json")
    document = swept(*words).document
    assert document["judge"] == "validation"
    assert document["values"] == pytest.approx([0.0, 0.225, 0.45, 0.675, 0.9])
    assert document["data"]["train"] + document["data"]["test"] == 1437
    assert set(document["suggestions"]) == {"minimum", "tolerated"}
    assert document["originals"] == {"model.4.p": 0.1}  # the plan of the file is set aside
    smoothing = swept("--target", "loss.label_smoothing", "--high", 1, "--steps", 3, "--restart", 1)
    assert "validation loss" in smoothing.out


def test_the_configuration_counts(tmp_path: Path) -> None:
    words = ("--steps", 8, "--model", "linear", "--json")
    alone = swept(*words).document
    clipped = swept(*words, "--set", "train.clip_norm=0.001").document
    grouped = swept(*words, "--set", "train.accumulate=2").document
    assert alone["losses"] != clipped["losses"] != grouped["losses"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--target", "optimizer.rate", "--low", 0, "--high", 1), "optimizer.rate: no parameter group has it; keys: lr, "),
        (("--target", "model:Drop.p", "--low", 0, "--high", 1), "model:Drop.p: matches nothing in Sequential; there are "),
        (("--target", "dropout.p"), "low, high: missing; 'p' has no usual range, so give both low and high"),
        (("--target", "dropout.p", "--low", 0, "--high", 1), "dropout.p: bind was given no 'dropout'"),
        (("--target", "a b"), "target: got 'a b', expected an address such as 'optimizer.lr'"),
        (("--low", 1, "--high", 0.1), "low, high: got 1 and 0.1, expected low < high"),
        (("--low", "nan"), "low: got nan, expected a finite number"),
        (("--low", 0, "--sweep", "exponential"), "low: got 0, expected more than 0 for an exponential sweep"),
        (("--steps", 1), "steps: got 1, expected a whole number >= 2"),
        (("--restart", -1), "restart: got -1, expected a whole number >= 0"),
        (("--sweep", "cubic"), "sweep: got 'cubic', expected 'exponential' or 'linear'"),
        (("--target", "model:Dropout.p", "--high", 1.5), "model:Dropout.p: 1.02632 at step 13, expected a probability in [0, 1]"),
        (("--png", "a.jpg"), "--png: got 'a.jpg', expected a name that ends in .png"),
        (("--data", "digit"), "no data set is named 'digit'; did you mean 'digits'?"),
        (("--model", "cnm"), "model: no model is named 'cnm'; did you mean 'cnn'?"),
        (("nowhere.toml",), "nowhere.toml: no such file"),
        (("--seed", -1), "--seed: [train] seed: got -1, expected a whole number from 0"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(words: tuple[object, ...], line: str) -> None:
    assert swept(*words).line.startswith(line)


def test_usage_names_the_command() -> None:
    assert swept("--steps", "many").line.endswith("(see: ostinato range-test --help)")
    helped = swept("--help")
    assert "Example: ostinato range-test --data fashion-mnist" in " ".join(helped.out.split())


MODEL = """
import signal
from torch import nn

class Interrupted(nn.Sequential):
    calls = 0

    def forward(self, inputs):
        Interrupted.calls += 1
        if Interrupted.calls == 5:
            signal.raise_signal(signal.SIGINT)
        return super().forward(inputs)

def make():
    return Interrupted(nn.Flatten(), nn.Linear(64, 10))
"""


def test_ctrl_c_ends_it_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "interrupted_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    ended = swept("--model", "interrupted_model:make", "--png", tmp_path / "a.png", "--json")
    assert (ended.status, ended.out) == (3, "")
    assert ended.err == "interrupted: the mock run was stopped; nothing is kept of it, so run it again\n"
    assert not (tmp_path / "a.png").exists()
