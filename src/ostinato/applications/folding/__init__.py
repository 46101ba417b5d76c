"""Folding."""

from ostinato.applications.folding.energy import Energy
from ostinato.applications.folding.sequences import fibonacci, of_residues

__all__ = ["Energy", "fibonacci", "of_residues"]
