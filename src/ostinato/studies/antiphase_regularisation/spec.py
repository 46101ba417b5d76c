"""What study ``antiphase-regularisation`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.antiphase_regularisation.plans import SETS, arms_of
from ostinato.studies.frame.spec import FASHION_MNIST, Contrast, Grid, Regime, Role, Spec, Tuning

__all__ = ["SPEC"]

_SMOKE = {"examples": 128, "epochs": 10, "judged_on": 300}
_SHARED = {"pool": 2, "batch": 64, "peak": 0.1}
_GRID = Grid("strength", (0.0625, 0.125, 0.25, 0.5, 1.0, 2.0), extensions=1)


def _effect(comparator: str, role: Role, chosen: str = "all", metric: str = "error", margin: float = 0.002) -> Contrast:
    suffix = "" if metric == "error" else f", {metric}"
    name = f"{chosen}: {comparator} - anti{suffix}"
    return Contrast(name, role, {f"{chosen}-{comparator}": 1.0, f"{chosen}-anti": -1.0}, metric, margin)


_ALONE = tuple(chosen for chosen in SETS if chosen != "all")

SPEC = Spec(
    name="antiphase-regularisation",
    claim="Regularisers that are weak where the rate is high and strong where it is low keep the total constant and generalise better.",
    source="a conjecture from practice about augmentation, label smoothing and dropout, each; the other sign: L. Smith, General Cyclical Training of"
    " Neural Networks, arXiv 2202.08835; a sign that depends on the regime: Z. Liu et al., Dropout Reduces Underfitting, ICML 2023, arXiv 2303.01500",
    scope="A perceptron 196-64-64-10 on Fashion-MNIST (14x14), SGD with momentum 0.9, 3,120 steps, judged at the last trough with hard labels. Strength 1"
    " is dropout 0.2, label smoothing 0.1 and random shifts up to 1 pixel; together they share one strength. Peak rate 0.1, which study restart-shapes chose"
    " on development seeds for these cycles in both regimes. In every arm the rate ends at its trough, so that none ends hot. Left out for cost: a CNN,"
    " digits, and the arms high and rising of each regulariser alone. Not run again on MNIST.",
    arms={
        f"{chosen}-{arm}": f"{'all three' if chosen == 'all' else chosen}: {text}"
        for chosen in SETS
        for arm, text in arms_of(chosen).items()
    },
    contrasts=(
        _effect("shuffled", "primary"),
        _effect("tuned", "required"),
        _effect("in-phase", "required"),
        _effect("constant", "literal"),
        _effect("high", "secondary"),
        _effect("rising", "secondary"),
        *(_effect(arm, "secondary", chosen) for chosen in _ALONE for arm in ("shuffled", "tuned", "in-phase")),
        _effect("shuffled", "secondary", metric="nll", margin=0.01),
        _effect("tuned", "secondary", metric="nll", margin=0.01),
        _effect("shuffled", "secondary", metric="nll_at_temperature", margin=0.01),
        _effect("tuned", "secondary", metric="nll_at_temperature", margin=0.01),
    ),
    regimes=(
        Regime(
            "overfit",
            "2,500 images, 80 epochs, 4 cycles",
            "fashion-mnist",
            FASHION_MNIST,
            {**_SHARED, "examples": 2_500, "epochs": 80, "cycles": 4},
            _SMOKE,
        ),
        Regime(
            "underfit",
            "10,000 images, 20 epochs, 5 cycles",
            "fashion-mnist",
            FASHION_MNIST,
            {**_SHARED, "examples": 10_000, "epochs": 20, "cycles": 5},
            _SMOKE,
        ),
    ),
    tuning=Tuning(
        grids={f"{chosen}-{arm}": _GRID for chosen in SETS for arm in ("anti", "tuned")},
        inherits={
            f"{chosen}-{arm}": f"{chosen}-anti"
            for chosen in SETS
            for arm in arms_of(chosen)
            if arm not in ("anti", "tuned")
        },
        metric="validation_error",
    ),
    seeds=20,
    sd="0.18 points paired (overfit), 0.20 (underfit), by `ostinato study pilot antiphase-regularisation --seeds 4`: 20 seeds are more than the 12 that these need",
    margin_reason="0.2 points of error: less than what another seed changes",
    data="each seed draws its own images from the first 50,000 training images; settings and temperatures from the last 10,000; the official test"
    " images only in the confirming run",
)
