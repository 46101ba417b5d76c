"""Folding as a user does it: known energies, equal budgets, honest hits; chains from text and files; what is refused."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ostinato as ost
from ostinato.applications import folding
from ostinato.applications.folding.picture import save_picture
from ostinato.applications.folding.structures import chain_of, read_chain
from ostinato.errors import ConfigError, DataError, OstinatoError

F13 = folding.fibonacci(13)
PLANE_F13 = (-1.491, -1.500, 0.869, -1.480, -1.519, 1.466, -1.953, 1.449, -1.517, -1.483, 1.042)
"""Bends of the best fold known of F13 in the plane, to 0.001: those of a public simulation, polished here."""


def test_the_reference_of_f13_is_found_in_seconds() -> None:
    found = folding.fold(F13, "azimuth", chains=48, evaluations=5_000, seed=1)
    assert found.best == pytest.approx(-6.9961, abs=1e-4)
    hits = found.hits()
    assert hits is not None
    assert hits.count == (found.energies <= -6.9961 + 1e-3).sum() >= 1
    assert hits.interval.low < hits.share < hits.interval.high
    assert abs(found.gap or 1.0) < 1e-4
    assert (found.reached > 0).sum() == hits.count


def test_the_published_fold_in_the_plane_has_its_published_energy() -> None:
    energy = folding.Energy(F13, "I", dim=2)
    values, _ = folding.polish(energy, torch.tensor([PLANE_F13], dtype=torch.float64), 200)
    known = folding.reference(F13, "I", 2)
    assert known is not None
    assert float(values) == pytest.approx(known.energy, abs=1e-4)


@pytest.mark.slow
def test_annealing_by_noise_leaves_the_trap_of_f13_in_the_plane() -> None:
    plan = folding.default_plan("noise", 9_000).replace({"optimizer.lr/high": 0.1})
    found = folding.fold(F13, "I", 2, method="noise", plan=plan, chains=2_048, seed=11)
    assert found.best == pytest.approx(-3.2941, abs=1e-4)


@pytest.mark.slow
def test_basin_hopping_brings_f21_below_what_is_easily_found() -> None:
    found = folding.fold(folding.fibonacci(21), "azimuth", chains=128, evaluations=40_000, seed=1)
    assert -16.5544 - 1e-3 < found.best <= -16.17


def test_the_sequences_of_the_references_are_what_they_are_named_after() -> None:
    for known in folding.REFERENCES:
        if known.name.startswith("F"):
            assert known.sequence == folding.fibonacci(int(known.name[1:]))
    crambin = "TTCCPSIVARSNFNVCRLPGTPEALCATYTGCIIIPGATCPGDYAN"
    assert {k.name: k.sequence for k in folding.REFERENCES}["1CRN"] == folding.of_residues(crambin)


@pytest.mark.parametrize("method", folding.METHODS)
def test_a_fold_keeps_to_its_budget_and_depends_on_the_seed_alone(method: str) -> None:
    first, again, other = (
        folding.fold(F13, "azimuth", method=method, chains=6, evaluations=500, seed=s) for s in (3, 3, 4)
    )
    assert first.energies.tolist() == again.energies.tolist()
    assert first.energies.tolist() != other.energies.tolist()
    assert 6 * 450 <= first.evaluations <= 6 * 500
    energy = folding.Energy(F13, "azimuth")
    assert energy(torch.from_numpy(first.angles)).numpy() == pytest.approx(first.energies, rel=1e-9)
    place = int(first.energies.argmin())
    assert np.array_equal(first.coordinates, energy.coordinates(torch.from_numpy(first.angles[place : place + 1]))[0])
    assert len(first.mean) == len(first.lowest) == 450
    assert bool(first.plan) == (method in ("plan", "noise"))


def test_every_method_begins_at_the_same_starts() -> None:
    begun = {folding.fold(F13, method=method, chains=5, evaluations=100, seed=7).mean[0] for method in folding.METHODS}
    assert len(begun) == 1


def test_a_plan_of_ones_own_sets_the_length_of_the_run() -> None:
    plan = ost.Plan(total=180, cycle=ost.Cycle("triangular", count=2), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    found = folding.fold(F13, method="plan", plan=plan, chains=4)
    assert len(found.mean) == 180
    assert found.evaluations <= 4 * 200
    assert found.plan == plan.resolve().digest
    open_ended = plan.replace({"total": None})
    assert len(folding.fold(F13, method="plan", plan=open_ended, chains=4, evaluations=100).mean) == 90


def test_what_is_polished_is_the_lowest_point_or_the_last() -> None:
    """A rate that ends hot: nearly every chain was lower on its way than at its end."""
    hot = ost.Plan(total=300, bindings={"optimizer.lr": ost.schedules.hold(0.3)})
    energy = folding.Energy(F13, "azimuth")
    starts = folding.random_angles(energy, 12, torch.Generator().manual_seed(5))
    course = folding.anneal(energy, starts, hot)
    low, end = energy(course.lowest_angles), energy(course.angles)
    assert float(low.min()) == pytest.approx(course.lowest[-1], rel=1e-12)
    assert (low < end).sum() >= 8
    polished = {}
    for ends, angles in (("lowest", course.lowest_angles), ("last", course.angles)):
        found = folding.fold(F13, "azimuth", method="plan", plan=hot, chains=12, evaluations=600, ends=ends, seed=5)
        assert found.energies == pytest.approx(folding.polish(energy, angles, 300)[0].numpy(), rel=1e-9)
        polished[ends] = found.energies.tolist()
    assert polished["lowest"] != polished["last"]


def test_targets_count_from_the_first_evaluation_that_meets_them() -> None:
    found = folding.fold(F13, "azimuth", chains=16, evaluations=1_000, target=-4.0, seed=2)
    met = found.energies <= -4.0 + 1e-3
    assert ((found.reached > 0) == met).all()
    assert 0 < met.sum() < 16
    times = np.sort(found.reached[found.reached > 0])
    median = found.time_to_target()
    assert median == (times[7] if len(times) >= 8 else None)
    document = found.to_document()
    assert document["energy"] == found.best
    assert len(document["coordinates"]) == 13
    assert len(document["trace"]["lowest"]) <= 200


def test_without_a_reference_nothing_is_a_hit() -> None:
    found = folding.fold("ABBABBA", "II", chains=3, evaluations=50)
    assert (found.reference, found.gap, found.hits(), found.time_to_target()) == (None, None, None, None)
    told = found.hits(found.best)
    assert told is not None
    assert told.count >= 1


@pytest.mark.parametrize(("model", "dim", "sequence"), [("I", 2, "ABA"), ("azimuth", 3, F13), ("II", 3, "AAAA")])
def test_the_picture_is_drawn(model: str, dim: int, sequence: str, tmp_path: Path) -> None:
    found = folding.fold(sequence, model, dim, chains=3, evaluations=60)
    for name in ("fold.png", "fold.svg"):
        first = save_picture(found, tmp_path / name).read_bytes()
        assert len(first) > 10_000
        assert save_picture(found, tmp_path / name).read_bytes() == first


# -- chains from text and files ----------------------------------------------------------------------------------

ATOM = "ATOM  {n:5d}  {atom:<3s} {residue:3s} {chain}{n:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2s}\n"


def pdb(place: Path, residues: str, chain: str = "A", atom: str = "CA", element: str = "C") -> Path:
    lines = [
        ATOM.format(n=n, atom=atom, residue=residue, chain=chain, x=3.8 * n, y=0.0, z=0.0, element=element)
        for n, residue in enumerate(residues.split(), 1)
    ]
    place.write_text("".join(lines) + "END\n")
    return place


def test_a_chain_is_read_from_its_alpha_carbons(tmp_path: Path) -> None:
    file = pdb(tmp_path / "five.pdb", "TYR ASP PRO MSE GLY")
    found = chain_of(str(file))
    assert (found.name, found.residues, found.sequence) == ("five chain A", "YDPMG", "BBAAA")
    both = tmp_path / "two.pdb"
    both.write_text(file.read_text().replace("END\n", "") + pdb(tmp_path / "b.pdb", "ALA ALA LYS", "B").read_text())
    assert (read_chain(both).residues, read_chain(both, "B").sequence) == ("YDPMG", "AAB")
    models = tmp_path / "models.pdb"
    one, other = (
        file.read_text().replace("END\n", ""),
        pdb(tmp_path / "c.pdb", "ALA ALA LYS").read_text().replace("END\n", ""),
    )
    models.write_text(f"MODEL        1\n{one}ENDMDL\nMODEL        2\n{other}ENDMDL\nEND\n")
    assert read_chain(models).residues == "YDPMG"


def bad(make: Callable[[Path], Any], message: str) -> Any:
    return pytest.param(make, message, id=message[:30])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        bad(lambda t: chain_of("ABCAB"), "sequence: got 'C' at place 3 of ABCAB, expected beads A and B"),
        bad(lambda t: chain_of("NLXW"), "residues: got 'X' at place 3 of NLXW, expected the one-letter code of the twenty amino acids"),
        bad(lambda t: chain_of("AB"), "sequence: got 2 beads ('AB'), expected at least 3: an angle to fold"),
        bad(lambda t: chain_of("W"), "sequence: got 1 beads ('B'), expected at least 3"),
        bad(lambda t: chain_of(""), "sequence: got 0 beads (''), expected at least 3"),
        bad(lambda t: chain_of("F14"), "length: got 14, expected a Fibonacci number of at least 3"),
        bad(lambda t: chain_of("ABBA", "A"), "--chain: got 'A' with 'ABBA', which is no coordinate file; leave it out"),
        bad(lambda t: chain_of(str(t / "no.pdb")), "no.pdb: no such file; give beads such as ABBAB"),
        bad(lambda t: read_chain(pdb(t / "x.pdb", "HOH HOH HOH", atom="O", element="O")), "x.pdb: got no alpha carbon (CA)"),
        bad(lambda t: read_chain(pdb(t / "x.pdb", " CA  CA  CA", element="CA")), "x.pdb: got no alpha carbon (CA)"),
        bad(lambda t: read_chain(pdb(t / "x.pdb", "ALA UNL ALA")), "x.pdb: residue 2 is UNL, which is none of the twenty amino acids"),
        bad(lambda t: read_chain(pdb(t / "x.pdb", "ALA LYS")), "x.pdb: sequence: got 2 beads ('AB'), expected at least 3"),
        bad(lambda t: read_chain(pdb(t / "x.pdb", "ALA LYS ALA"), "Q"), "--chain: got 'Q'; known: A in"),
        bad(lambda t: read_chain((t / "x.cif", (t / "x.cif").write_text("hello"))[0]), "x.cif: is no coordinate file"),
        bad(lambda t: read_chain((t / "x.pdb", (t / "x.pdb").write_text(""))[0]), "x.pdb: got no alpha carbon (CA)"),
        bad(lambda t: folding.fold(F13, method="sa"), "method: got 'sa'; known: basin-hopping, lbfgs, noise, plan"),
        bad(lambda t: folding.fold(F13, chains=0), "chains: got 0, expected a whole number >= 1"),
        bad(lambda t: folding.fold(F13, evaluations=5), "evaluations: got 5, expected a whole number >= 20"),
        bad(lambda t: folding.fold(F13, plan=folding.default_plan()), "plan: got one with method basin-hopping, which follows none"),
        bad(lambda t: folding.fold(F13, method="noise", plan=folding.default_plan("plan", 90)), "plan: it drives no noise.scale"),
        bad(lambda t: folding.fold(F13, method="plan", plan=folding.default_plan("plan", 90), evaluations=50), "evaluations: got 50, fewer than the 90 steps of the plan; leave one of them out"),
    ],
)  # fmt: skip
def test_what_cannot_be_folded_is_refused_in_one_line(
    make: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(OstinatoError, match=re.escape(message)) as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ConfigError | DataError)


def test_without_gemmi_a_file_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, real = pdb(tmp_path / "x.pdb", "ALA LYS ALA"), builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "gemmi":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.delitem(sys.modules, "gemmi", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=re.escape("needs gemmi; type: pip install 'ostinato[folding]'")):
        read_chain(file)
