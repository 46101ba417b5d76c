"""What study ``folding`` claims and how it is decided."""

from __future__ import annotations

from typing import Any

from ostinato.studies.frame.spec import Grid, Regime, Spec, Tuning, difference

__all__ = ["SPEC"]

_PEAKS = Grid("peak", (0.02, 0.04, 0.08, 0.16, 0.32))
_SIZES = Grid("size", (0.15, 0.3, 0.6, 1.2, 2.4))
_SMOKE = {"starts": 4, "evaluations": 100}
_MARGIN = 0.02


def _regime(name: str, title: str, **own: Any) -> Regime:
    """Return a regime; its own parameters are sequence, model, dim, best energy, starts of a batch, and evaluations of a start."""
    return Regime(name, title, "made up", "", {**own, "cycles": 10, "noise": 3.0, "temperature": 0.5}, _SMOKE)


SPEC = Spec(
    name="folding",
    claim="Cyclic learning rates help a folding model out of metastable states, to lower end energies.",
    source="a metaphor from practice: warm restarts as a kick over a barrier (I. Loshchilov, F. Hutter, SGDR, ICLR 2017, arXiv 1608.03983); the model: F. Stillinger, T. Head-Gordon,"
    " C. Hirshfeld, Phys. Rev. E 48, 1469, 1993; its azimuth convention and best energies: B. Bošković, J. Brest, J. Mol. Model. 22, 252, 2016",
    scope="A toy for a metaphor: the AB off-lattice model, two kinds of beads on a stiff chain, folded by Adam on its angles; nothing here is about proteins or about networks that predict"
    " them. Each regime is one sequence, so that a verdict is about that landscape and the seeds are batches of random starts. A start's end is polished by L-BFGS, the polish counted, and the"
    " endpoint is the mean over a batch of (E - E*) / |E*|: not the best so far, which flatters whatever wanders. An end above 0, a knot, counts as 0, the energy of no fold. Every"
    " start has the same number of energy or gradient evaluations: nine tenths under its plan or in its search, and for the polish at most the rest, of which most need little. The end of a search"
    " is the lowest energy that a start met, as is its practice; `restarts-lowest` is the same of the cycles, beside the verdict. The polish cools every arm, so that no arm is worse for ending hot alone. E* is published for F21 and F34 (differential"
    " evolution), the known optimum of F13 in the plane, and for the protein sequence the lowest that 300 chains of basin hopping found in development, at 15,000 evaluations each: a scale, not a known optimum. The"
    " protein is PDB 1L2Y (NLYIQWLKDGGPSSGRPPPS) as 20 beads. In the plane 8 of 2,048 starts of annealing by noise found E* in development, and none of 4,608 starts of cycles and searches: there the share that misses it is near its ceiling for every arm. F34, the plane and the protein have smaller batches and budgets.",
    arms={
        "restarts": "ten cosine cycles of the rate under Adam; peak tuned",
        "sorted": "the same rates in descending order",
        "constant": "their mean, held",
        "cosine": "one cosine decay; peak tuned on the same grid",
        "noise": "annealing: one cosine decay of the rate, and noise on the gradient that falls with it from a standard deviation of 3; peak tuned on the same grid",
        "restarts-lowest": "restarts, but what is polished is the lowest point that a start met, as in the searches",
        "multistart": "L-BFGS from one random start after another; nothing to tune",
        "basin-hopping": "L-BFGS, displacement, Metropolis' rule at temperature 0.5; size of the displacement tuned on as many values",
    },
    contrasts=(
        difference("sorted", "restarts", "primary", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("noise", "restarts", "required", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("constant", "restarts", "literal", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("cosine", "restarts", "secondary", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("multistart", "restarts", "secondary", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("basin-hopping", "restarts", "secondary", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("basin-hopping", "restarts-lowest", "secondary", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("multistart", "restarts-lowest", "secondary", "energy_gap", _MARGIN, plain="energy_gap"),
        difference("restarts", "restarts-lowest", "secondary", "energy_gap", _MARGIN, plain="energy_gap"),
        *(
            difference(arm, "restarts", "secondary", metric, margin, plain="energy_gap")
            for metric, margin in (("best_energy_gap", _MARGIN), ("far", 0.05))
            for arm in ("sorted", "noise", "basin-hopping")
        ),
        difference("sorted", "restarts", "secondary", "miss", 0.05, plain="energy_gap"),
        difference("basin-hopping", "restarts", "secondary", "miss", 0.05, plain="energy_gap"),
    ),
    regimes=(
        _regime("f21", "F21, azimuth", sequence="BABABBABABBABBABABBAB", model="azimuth", dim=3, best=-16.5544, starts=50, evaluations=10_000),
        _regime("f34", "F34, azimuth", sequence="ABBABBABABBABBABABBABABBABBABABBAB", model="azimuth", dim=3, best=-31.3455, starts=10, evaluations=5_000),
        _regime("f13-plane", "F13, model I in the plane", sequence="ABBABBABABBAB", model="I", dim=2, best=-3.2941, starts=25, evaluations=3_000),
        _regime("1l2y", "PDB 1L2Y, azimuth", sequence="BABABBABBAAABBABAAAB", model="azimuth", dim=3, best=-21.3868, starts=10, evaluations=4_000),
    ),
    tuning=Tuning(
        grids={"restarts": _PEAKS, "cosine": _PEAKS, "noise": _PEAKS, "basin-hopping": _SIZES},
        inherits={"sorted": "restarts", "constant": "restarts", "restarts-lowest": "restarts"},
        metric="energy_gap",
        seeds=3,
    ),
    seeds=20,
    sd="a start's end spreads by 1.9 units of energy for F21, 2.0 for F34 and 1L2Y (development seeds 5 and 90, untuned), so that the difference of two independent batches spreads by"
    " 2.3 %, 2.9 % and 4.2 % of |E*|: 20 seeds, more than the 11 that F21 needs, give about +-1.1 %, 1.3 % and 2.0 %",
    margin_reason="2 % of |E*|: a third of an energy unit for F21, a sixth of the spread of single starts. 5 points of the starts for the shares",
    data="none: a seed draws the batch of starts, the same for every arm, the noise and the displacements. `energy_gap` is the mean over the batch, `best_energy_gap` its lowest, `far` the share that ends"
    " more than a tenth of |E*| above E*, `miss` the share that ends more than 0.001 above it",
)  # fmt: skip
