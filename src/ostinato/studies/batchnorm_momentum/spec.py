"""What study ``batchnorm-momentum`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.frame.spec import FASHION_MNIST, Contrast, Grid, Regime, Role, Spec, Tuning, difference

__all__ = ["CYCLES", "PHASES", "RATIO", "SPEC"]

CYCLES = 5
PHASES = 8
RATIO = 30.0
"""High momentum over low."""

_SMOKE = {"examples": 256, "epochs": 10, "judged_on": 300}
_MOMENTA = (0.003, 0.01, 0.03, 0.1, 0.3)


def _cut(comparator: str, claimed: str, role: Role, metric: str = "nll_gap", margin: float = 0.005) -> Contrast:
    return difference(comparator, claimed, role, metric, margin, plain="nll_gap")


SPEC = Spec(
    name="batchnorm-momentum",
    claim="Batch-norm momentum that is small where the rate is high and large where it is low gives snapshots the statistics that match them"
    " and shrinks the gap between training and inference.",
    source="a conjecture from practice, no paper is known; the yardstick is Y. Wu, J. Johnson: Rethinking 'Batch' in BatchNorm, arXiv 2105.07576",
    scope="A CNN of 16 and 32 channels on 10,000 images of Fashion-MNIST (14x14), SGD with momentum 0.9, five cosine cycles under the largest stable"
    " peak rate: that of the grid under which, after the first cycle, no eighth of a cycle has a mean training loss above half of chance. Momentum never"
    " touches training: one training a seed, each arm a shadow copy of the running statistics fed with the same batches, so that arms are paired exactly."
    " The gap is the mean over the five troughs of |NLL with the running statistics - NLL with statistics averaged over the training images (PreciseBN)|."
    " Momentum is torch's: the weight of the new batch. Where the gap under 0.1 is below the margin there is nothing to gain.",
    arms={
        "constant": "0.1 throughout, torch's default",
        "anti": "high where the rate is low, high/30 where it is high; high tuned",
        "best-constant": "one momentum, tuned on the same grid",
        "in-phase": "the values of anti in step with the rate",
        "constant-low": "the low value of anti throughout",
    },
    contrasts=(
        _cut("constant", "anti", "primary"),
        _cut("best-constant", "anti", "required"),
        _cut("in-phase", "anti", "secondary"),
        _cut("constant-low", "anti", "secondary"),
        _cut("constant", "best-constant", "secondary"),
        _cut("constant", "anti", "secondary", "nll_gap_first"),
        _cut("constant", "anti", "secondary", "nll_gap_last"),
        _cut("constant", "anti", "secondary", "nll_gap_cycle"),
        _cut("constant", "anti", "secondary", "nll"),
        _cut("constant", "anti", "secondary", "error", 0.002),
    ),
    regimes=(
        Regime(
            "batch-32",
            "batches of 32, 10 epochs",
            "fashion-mnist",
            FASHION_MNIST,
            {"examples": 10_000, "epochs": 10, "batch": 32, "pool": 2, "judged_on": 5_000},
            _SMOKE,
        ),
        Regime(
            "batch-128",
            "batches of 128, 20 epochs",
            "fashion-mnist",
            FASHION_MNIST,
            {"examples": 10_000, "epochs": 20, "batch": 128, "pool": 2, "judged_on": 5_000},
            {**_SMOKE, "epochs": 20},
        ),
    ),
    tuning=Tuning(
        grids={
            "constant": Grid("peak", (0.05, 0.1, 0.2, 0.4, 0.8), extensions=1),
            "anti": Grid("high", _MOMENTA, factor=3.0, extensions=1),
            "best-constant": Grid("momentum", _MOMENTA, factor=3.0, extensions=1),
        },
        inherits={
            "anti": "constant",
            "best-constant": "constant",
            "in-phase": "anti",
            "constant-low": "anti",
        },
        metric="criterion",
    ),
    seeds=20,
    sd="0.0004 nat paired (`ostinato study pilot batchnorm-momentum`, 3 development seeds), so that the default of 20 is ample",
    margin_reason="0.005 nat: a hundredth of the NLL of such a model, and less than another seed changes",
    data="each seed draws its own images from the first 50,000 training images, which also give the precise statistics; the criterion is minus the peak of"
    " a stable run for the peak, and the gap on the last 10,000 training images for the momenta; the official test images only in the confirming run,"
    " the first 5,000 of them for the troughs and 1,000 for the eight phases of the last cycle",
)
