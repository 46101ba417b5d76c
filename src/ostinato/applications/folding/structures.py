"""Coordinate files: the residues of a protein's chain, read by gemmi."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.applications.folding.sequences import checked, fibonacci, of_residues
from ostinato.errors import ConfigError, DataError, suggest

__all__ = ["Chain", "chain_of", "read_chain"]

_SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif", ".gz")


@dataclass(frozen=True)
class Chain:
    """A chain to fold.

    Attributes:
        name: Short: ``F13``, ``1l2y chain A``, or the beads themselves.
        residues: One-letter code of its amino acids; empty where none are known.
        sequence: Its beads, A and B.
    """

    name: str
    residues: str
    sequence: str


def chain_of(text: str, chain: str | None = None) -> Chain:
    """Return the chain that a person means.

    Args:
        text: Beads (``ABBAB``), amino acids in one-letter code (``NLYIQWLKDGG``), the name of a Fibonacci sequence (``F13``), or a coordinate file.
        chain: Which chain of the file; by default its first protein.

    Raises:
        DataError: It is none of these.
        ConfigError: The file cannot be read, or gemmi is not installed; or a chain is asked for where there is no file.

    >>> chain_of("F13").sequence, chain_of("YYDPETGTWY").sequence, chain_of("abba").sequence
    ('ABBABBABABBAB', 'BBBABBABBB', 'ABBA')
    """
    if text.lower().endswith(_SUFFIXES) or "/" in text:
        return read_chain(Path(text), chain)
    if chain is not None:
        raise ConfigError(f"--chain: got {chain!r} with {text!r}, which is no coordinate file; leave it out")
    letters = text.strip().upper()
    if letters[:1] == "F" and letters[1:].isdecimal():
        return Chain(letters, "", fibonacci(int(letters[1:])))
    if "B" in letters or set(letters) <= {"A"}:
        sequence = checked(letters)
        return Chain(sequence, "", sequence)
    return Chain(letters, letters, of_residues(letters))


def read_chain(file: Path, chain: str | None = None) -> Chain:
    """Return a chain of the first model of a PDB or mmCIF file: the residues that have an alpha carbon, in their order.

    Of alternative conformations the first counts; a modified amino acid counts as the one that it was made from. Residues that the file lacks are
    left out, so that their neighbours become neighbours.

    Args:
        file: ``.pdb``, ``.ent``, ``.cif``, also ``.gz``.
        chain: Its name; by default the first chain with an alpha carbon.

    Raises:
        ConfigError: gemmi is not installed; there is no such file or chain; it is no coordinate file.
        DataError: There is no alpha carbon, a residue is no amino acid, or there are fewer than 3.
    """
    model = _first_model(file)
    found = {
        one.name: [residue.name for residue in one.first_conformer() if _has_alpha_carbon(residue)] for one in model
    }
    chains = {name: residues for name, residues in found.items() if residues}
    if not chains:
        raise DataError(f"{file}: got no alpha carbon (CA), expected the coordinates of a protein")
    if chain is not None and chain not in chains:
        raise ConfigError(f"--chain: got {chain!r}{suggest(chain, chains)} in {file}")
    name = next(iter(chains)) if chain is None else chain
    letters = "".join(_letter(residue, place, file) for place, residue in enumerate(chains[name]))
    try:
        return Chain(f"{file.stem.partition('.')[0]} chain {name}".rstrip(), letters, of_residues(letters))
    except DataError as error:
        raise DataError(f"{file}: {error}") from None


def _first_model(file: Path) -> Any:
    try:
        import gemmi
    except ImportError:
        raise ConfigError(
            f"{file}: reading coordinate files needs gemmi; type: pip install 'ostinato[folding]'"
        ) from None
    if not file.is_file():
        raise ConfigError(
            f"{file}: no such file; give beads such as ABBAB, amino acids such as NLYIQWLKDGG, F13, or a .pdb or .cif file"
        )
    try:
        structure = gemmi.read_structure(str(file))
    except (ValueError, RuntimeError, OSError) as error:
        raise DataError(f"{file}: is no coordinate file ({error})") from None
    return structure[0] if len(structure) else ()


def _has_alpha_carbon(residue: Any) -> bool:
    return any(atom.name == "CA" and atom.element.name == "C" for atom in residue)


def _letter(residue: str, place: int, file: Path) -> str:
    import gemmi

    found = gemmi.find_tabulated_residue(residue)
    letter = found.one_letter_code.strip().upper() if found.is_amino_acid() else ""
    if not letter or letter == "X":
        raise DataError(f"{file}: residue {place + 1} is {residue}, which is none of the twenty amino acids")
    return letter
