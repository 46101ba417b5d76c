"""What study ``snapshot-ensemble`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.frame.spec import FASHION_MNIST, Contrast, Grid, Regime, Spec, Tuning

__all__ = ["SPEC"]

_GRID = Grid("peak", (0.025, 0.05, 0.1, 0.2, 0.4))


def _against(name: str, role: str, arm: str, metric: str = "error", margin: float = 0.002) -> Contrast:
    return Contrast(name, role, {arm: 1.0, "snapshots": -1.0}, metric, margin)  # type: ignore[arg-type]  # one of the roles


SPEC = Spec(
    name="snapshot-ensemble",
    claim="The snapshots at the cycles' ends of one run are free, diverse members whose average beats any single model of equal budget.",
    source="G. Huang, Y. Li, G. Pleiss, Z. Liu, J. Hopcroft, K. Weinberger: Snapshot Ensembles, ICLR 2017, arXiv 1704.00109",
    scope="A CNN of 16 and 32 channels with batch norm, SGD with momentum 0.9, five cycles, 10,000 images of Fashion-MNIST (14x14) for 20 epochs."
    " Nothing is said of long runs of large networks.",
    arms={
        "snapshots": "five cosine cycles; softmax averages of the five snapshots",
        "cosine": "one cosine of equal steps, peak tuned; its last weights",
        "cold-starts": "five cosine runs of a fifth of the steps each, peak tuned; softmax averages",
        "sorted": "the snapshots' rates in descending order; softmax averages at the same five steps",
        "no-cycle": "softmax averages of the one cosine's weights at the same five steps",
        "last-snapshot": "the last snapshot alone",
        "best-snapshot": "the snapshot of lowest validation error alone",
        "augmented": "the one cosine, softmax averages over the image and its four shifts by one pixel",
        "full-ensemble": "upper bound at five times the cost: five runs of the one cosine on the same images; softmax averages",
    },
    contrasts=(
        _against("cosine - snapshots", "primary", "cosine"),
        _against("cold-starts - snapshots", "required", "cold-starts"),
        _against("sorted - snapshots", "secondary", "sorted"),
        _against("no-cycle - snapshots", "secondary", "no-cycle"),
        _against("best-snapshot - snapshots", "secondary", "best-snapshot"),
        _against("augmented - snapshots", "secondary", "augmented"),
        _against("cosine - snapshots, NLL", "secondary", "cosine", "nll", 0.01),
        _against("cosine - snapshots, NLL after temperature", "secondary", "cosine", "nll_at_temperature", 0.01),
        _against(
            "cold-starts - snapshots, NLL after temperature", "secondary", "cold-starts", "nll_at_temperature", 0.01
        ),
    ),
    regimes=(
        Regime(
            "fashion-10k",
            "Fashion-MNIST, 10,000 images, 20 epochs",
            "fashion-mnist",
            FASHION_MNIST,
            {"examples": 10_000, "epochs": 20, "pool": 2, "batch": 64},
            {"examples": 512, "epochs": 5, "judged_on": 300},
        ),
        Regime(
            "digits",
            "digits, 1,000 images, 40 epochs",
            "digits",
            "b5e20df7283cbce51c77839f67099a377ef4d7a8c62144d30ddfea3a1e873669",
            {"examples": 1_000, "epochs": 40, "pool": 1, "batch": 64},
            {"examples": 256, "epochs": 5, "judged_on": 300},
        ),
    ),
    tuning=Tuning(
        grids={"snapshots": _GRID, "cosine": _GRID, "cold-starts": _GRID},
        inherits={
            "sorted": "snapshots",
            "last-snapshot": "snapshots",
            "best-snapshot": "snapshots",
            "no-cycle": "cosine",
            "augmented": "cosine",
            "full-ensemble": "cosine",
        },
        metric="validation_error",
    ),
    seeds=20,
    sd="0.24 points paired (pilot, perceptron): 20 seeds give about +-0.11",
    margin_reason="0.2 points of error: less than what another seed changes",
    data="each seed draws its own images from the first 50,000 training images; settings and temperatures from the last 10,000; the official test"
    " images only in the confirming run (digits: the last 360 training images for settings; its 360 test images are no headline)",
    few={"full-ensemble": 5},
)
