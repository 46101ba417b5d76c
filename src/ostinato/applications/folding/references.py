"""The lowest energies that are known, with where they come from; each belongs to one model in one dimension."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.applications.folding.sequences import checked, fibonacci

__all__ = ["REFERENCES", "Reference", "reference"]

_PUBLISHED = (
    "published: B. Bošković, J. Brest, differential evolution for the three-dimensional AB off-lattice model, as listed with the EARS framework,"
    " University of Maribor"
)
_REACHED = "reached by this package's methods, and published"
_RARE = "reached by this package's methods (annealing by noise, 8 of 2,048 starts), and published; what is found easily is a trap at -3.1990"


@dataclass(frozen=True)
class Reference:
    """The lowest energy known of a sequence.

    Attributes:
        name: Of the sequence: F13 is the Fibonacci sequence of 13 beads, four letters are an entry of the Protein Data Bank.
        sequence: Beads.
        model: Of `ostinato.applications.folding.MODELS`.
        dim: 2 or 3.
        energy: To the digits given.
        source: Where it comes from.
    """

    name: str
    sequence: str
    model: str
    dim: int
    energy: float
    source: str


REFERENCES: tuple[Reference, ...] = (
    Reference("F13", fibonacci(13), "I", 2, -3.2941, _RARE),
    Reference("F13", fibonacci(13), "I", 3, -4.9746, _REACHED),
    Reference("F13", fibonacci(13), "II", 3, -26.5066, _REACHED),
    Reference("F13", fibonacci(13), "azimuth", 3, -6.9961, _REACHED),
    Reference("F21", fibonacci(21), "azimuth", 3, -16.5544, _REACHED),
    Reference("F34", fibonacci(34), "azimuth", 3, -31.3455, _PUBLISHED),
    Reference("F55", fibonacci(55), "azimuth", 3, -51.9030, _PUBLISHED),
    Reference("1BXP", "ABBBBBBABBBAB", "azimuth", 3, -5.6104, _PUBLISHED),
    Reference("1CB3", "BABBBAABBAAAB", "azimuth", 3, -8.4589, _PUBLISHED),
    Reference("1BXL", "ABAABBAAAAABBABB", "azimuth", 3, -17.3962, _PUBLISHED),
    Reference("1EDP", "ABABBAABBBAABBABA", "azimuth", 3, -15.0092, _PUBLISHED),
    Reference("2ZNF", "ABABBAABBABAABBABA", "azimuth", 3, -18.3402, _PUBLISHED),
    Reference("1CRN", "BBAAABAAABBBBBAABAAABABAAAABBBAAAAAAAABAAABBAB", "azimuth", 3, -92.9853, _PUBLISHED),
)  # fmt: skip


def reference(sequence: str, model: str = "I", dim: int = 3) -> Reference | None:
    """Return the lowest energy known of a sequence; None where this package knows none.

    >>> from ostinato.applications.folding import fibonacci
    >>> reference(fibonacci(21), "azimuth").energy
    -16.5544
    >>> reference(fibonacci(21), "II") is None
    True
    """
    beads = checked(sequence)
    return next((one for one in REFERENCES if (one.sequence, one.model, one.dim) == (beads, model, dim)), None)
