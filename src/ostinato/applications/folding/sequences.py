"""Chains of two kinds of beads: A, which is hydrophobic, and B, which is polar."""

from __future__ import annotations

from ostinato.errors import DataError

__all__ = ["SHORTEST", "checked", "fibonacci", "of_residues"]

SHORTEST = 3
"""Two beads are one stiff bond: without an angle there is nothing to fold."""

_HYDROPHOBIC = frozenset("IVLPCMAG")
_POLAR = frozenset("DEFHKNQRSTWY")
_AMINO_ACIDS = "".join(sorted(_HYDROPHOBIC | _POLAR))
_SHOWN = 12


def checked(sequence: str) -> str:
    """Return a sequence of A and B in capitals.

    Raises:
        DataError: It has a letter that is neither, or fewer than 3.

    >>> checked("abba")
    'ABBA'
    """
    found = sequence.strip().upper()
    for place, letter in enumerate(found):
        if letter not in "AB":
            raise DataError(
                f"sequence: got {letter!r} at place {place + 1} of {_shown(found)}, expected beads A and B; amino acids,"
                f" {_AMINO_ACIDS}, become beads by of_residues, and have no B"
            )
    if len(found) < SHORTEST:
        raise DataError(f"sequence: got {len(found)} beads ({found!r}), expected at least {SHORTEST}: an angle to fold")
    return found


def fibonacci(length: int) -> str:
    """Return the Fibonacci sequence of a length: S0 = A, S1 = B, S(k+1) = S(k-1) S(k).

    Raises:
        DataError: The length is not that of such a sequence, or less than 3.

    Source: F. Stillinger, T. Head-Gordon: Collective aspects of protein folding illustrated by a toy model, Phys. Rev. E 52, 2872, 1995.

    >>> fibonacci(13)
    'ABBABBABABBAB'
    """
    before, found = "A", "B"
    while len(found) < length:
        before, found = found, before + found
    if len(found) != length or length < SHORTEST:
        raise DataError(
            f"length: got {length}, expected a Fibonacci number of at least {SHORTEST}: 3, 5, 8, 13, 21, 34, 55, 89, ..."
        )
    return found


def of_residues(residues: str) -> str:
    """Return the beads of amino acids in one-letter code: A for I, V, L, P, C, M, A, G, and B for the other twelve.

    Raises:
        DataError: A letter is none of the twenty amino acids, or there are fewer than 3.

    Source: the mapping under which the protein sequences of the model were published (`ostinato.applications.folding.references`).

    >>> of_residues("YYDPETGTWY")
    'BBBABBABBB'
    """
    found = residues.strip().upper()
    for place, letter in enumerate(found):
        if letter not in _HYDROPHOBIC | _POLAR:
            raise DataError(
                f"residues: got {letter!r} at place {place + 1} of {_shown(found)}, expected the one-letter code of the twenty amino acids,"
                f" {_AMINO_ACIDS}"
            )
    return checked("".join("A" if letter in _HYDROPHOBIC else "B" for letter in found))


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
