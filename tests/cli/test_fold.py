"""``ostinato fold``: what it prints, writes and refuses, and how it is stopped."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from lines import ostinato
from ostinato.cli.bar import Bar
from running import tree

torch.set_num_threads(1)

QUICK = ("--chains", 4, "--evaluations", 60)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_fold_is_told_with_its_reference_and_written(here: Path) -> None:
    ended = ostinato("fold", "F13", "--model", "azimuth", *QUICK, "--out", "folds/f13")
    assert ended.status == 0, ended
    lines = ended.out.splitlines()
    assert lines[0].startswith("F13, model azimuth in 3D: energy -")
    assert "; reference -6.9961 (F13), gap " in lines[0]
    assert lines[2].startswith("0 of 4 starts found the reference: 0.0% (0.0% to ")
    assert tree(here / "folds" / "f13").keys() == {"fold.png", "result.json"}
    document = json.loads((here / "folds/f13/result.json").read_text())
    assert document["schema"] == "ostinato.fold/1"
    assert document["sequence"] == "ABBABBABABBAB"
    assert document["reference"]["energy"] == -6.9961


def test_json_is_one_document_and_depends_on_the_seed_alone(here: Path) -> None:
    first, again, other = (
        ostinato("fold", "YYDPETGTWY", "--method", "noise", *QUICK, "--seed", s, "--json").document for s in (1, 1, 2)
    )
    assert first == again
    assert first["energies"] != other["energies"]
    assert first["residues"] == "YYDPETGTWY"
    assert first["reference"] is first["gap"] is first["hits"] is None
    assert len(first["coordinates"]) == 10
    assert tree(here) == {}


def test_a_plan_file_is_followed(here: Path) -> None:
    (here / "plan.toml").write_text(
        'version = 1\ntotal = "45step"\n[cycle]\nwaveform = "triangular"\ncount = 3\n'
        '[[bind]]\ntarget = "optimizer.lr"\nlow = 0.0\nhigh = 0.1\n[[bind]]\ntarget = "noise.scale"\nlow = 0.0\nhigh = 1.0\n'
    )
    document = ostinato("fold", "ABBABBA", "--method", "noise", "--plan", "plan.toml", "--chains", 3, "--json").document
    assert document["trace"]["evaluation"][-1] == 45
    assert document["evaluations"] <= 3 * 50


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("F13", "--model", "azimuth", "--dim", 2), "dim: got 2 with model azimuth, which is defined in space alone; type 3, or model I"),
        (("F13", "--model", "III"), "model: got 'III'; did you mean 'II'?"),
        (("AB",), "sequence: got 2 beads ('AB'), expected at least 3: an angle to fold"),
        (("ABX",), "sequence: got 'X' at place 3 of ABX, expected beads A and B; amino acids, ACDEFGHIKLMNPQRSTVWY, become beads by of_residues, and have no B"),
        (("nothing.pdb",), "nothing.pdb: no such file; give beads such as ABBAB, amino acids such as NLYIQWLKDGG, F13, or a .pdb or .cif file"),
        (("F13", "--method", "annealing"), "method: got 'annealing'; known: basin-hopping, lbfgs, noise, plan"),
        (("F13", "--plan", "plan.toml"), "--plan: method basin-hopping follows none; add --method plan, or --method noise"),
        (("F13", "--out", "."), "--out: '.' is there already; choose another name"),
        (("F13", "--chains", 0), "Invalid value for '--chains': got '0', expected greater than or equal to 1 (see: ostinato fold --help)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(words: tuple[object, ...], line: str, here: Path) -> None:
    assert ostinato("fold", *words).line == line
    assert tree(here) == {}


def test_an_interrupted_fold_keeps_its_best_and_ends_with_3(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Bar.__call__

    def with_ctrl_c(self: Bar, what: str, done: int, every: int, text: str | None = None) -> None:
        shown(self, what, done, every, text)
        if done == 128:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Bar, "__call__", with_ctrl_c)
    ended = ostinato("fold", "F13", "--chains", 4, "--evaluations", 100_000, "--out", "kept", "--json")
    assert (ended.status, ended.out) == (3, "")
    document = json.loads((here / "kept" / "result.json").read_text())
    assert (
        ended.err.strip()
        == f"interrupted: stopped at energy {document['energy']:.4f}; the best fold so far is kept in kept"
    )
    assert document["trace"]["evaluation"][-1] == 128
    assert document["evaluations"] <= 4 * 1_128
    assert ostinato("fold", "F13", "--chains", 4, "--evaluations", 100_000).err.endswith(
        "nothing is kept without --out\n"
    )
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
