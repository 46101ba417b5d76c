"""Folding chains of the AB off-lattice model, thousands of starts at once, under any plan or by the usual searches at equal evaluations.

The model knows two kinds of beads, A (hydrophobic) and B (polar), at unit distance along a chain. It is a toy of protein folding: what it shares
with proteins is a rugged landscape with many metastable states, not their chemistry.

>>> from ostinato.applications import folding
>>> found = folding.fold(folding.fibonacci(13), "azimuth", chains=8, evaluations=2_000, seed=1)
>>> found.energies.shape, found.reference.energy
((8,), -6.9961)
"""

from __future__ import annotations

from ostinato.applications.folding.annealing import Course, Noise, anneal
from ostinato.applications.folding.descent import Descent, polish
from ostinato.applications.folding.energy import MODELS, Energy
from ostinato.applications.folding.folding import METHODS, Folding, Hits, default_plan, fold
from ostinato.applications.folding.references import REFERENCES, Reference, reference
from ostinato.applications.folding.searching import BasinHopping, Found, Multistart, random_angles, search
from ostinato.applications.folding.sequences import fibonacci, of_residues

__all__ = [
    "METHODS",
    "MODELS",
    "REFERENCES",
    "BasinHopping",
    "Course",
    "Descent",
    "Energy",
    "Folding",
    "Found",
    "Hits",
    "Multistart",
    "Noise",
    "Reference",
    "anneal",
    "default_plan",
    "fibonacci",
    "fold",
    "of_residues",
    "polish",
    "random_angles",
    "reference",
    "search",
]
