"""What study ``restart-shapes`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.frame.spec import FASHION_MNIST, Grid, Regime, Spec, Tuning, difference

__all__ = ["SPEC"]

_GRID = Grid("rate", (0.25, 0.5, 1.0, 2.0, 4.0))
_SMOKE = {"examples": 256, "epochs": 10, "judged_on": 300}
_UNDERFIT = {"examples": 10_000, "epochs": 20, "cycles": 5, "pool": 2, "batch": 64, "target": 0.17}
_OVERFIT = {"examples": 2_500, "epochs": 80, "cycles": 4, "pool": 2, "batch": 64, "target": 0.20}


SPEC = Spec(
    name="restart-shapes",
    claim="Restarts kick a model out of poor minima: cycling the rate trains a better model than a rate that only falls.",
    source="I. Loshchilov, F. Hutter: SGDR, ICLR 2017, arXiv 1608.03983; L. Smith: Cyclical Learning Rates, WACV 2017, arXiv 1506.01186",
    scope="A perceptron 196-64-64-10 on Fashion-MNIST (14x14), 3,120 steps, cycles of equal length, judged at the last trough."
    " SGD with momentum 0.9 and 10,000 images is the headline; small data and AdamW have lines of their own.",
    arms={
        "restarts": "cosine cycles of equal length, peak tuned",
        "sorted": "the rates of the restarts in descending order",
        "cosine": "one cosine, peak tuned",
        "triangular": "triangular cycles of equal length, peak tuned",
        "triangular-sorted": "the rates of the triangles in descending order",
        "linear": "one straight line to 0, peak tuned",
        "constant": "one rate, tuned",
        "mean-constant": "the mean rate of the restarts",
        "momentum": "the restarts with momentum (beta 1) mirrored between 0.85 and 0.95",
    },
    contrasts=(
        difference("sorted", "restarts", "primary"),
        difference("cosine", "restarts", "required"),
        difference("constant", "restarts", "literal"),
        difference("mean-constant", "restarts", "secondary"),
        difference("linear", "restarts", "secondary"),
        difference("triangular-sorted", "triangular", "secondary"),
        difference("cosine", "triangular", "secondary"),
        difference("restarts", "momentum", "secondary"),
        difference("sorted", "restarts", "secondary", "nll", 0.01),
        difference("sorted", "restarts", "secondary", "nll_at_temperature", 0.01),
        difference("cosine", "restarts", "secondary", "area", 0.002),
        difference("constant", "restarts", "secondary", "area", 0.002),
        difference("cosine", "restarts", "secondary", "share_to_target", 0.02),
    ),
    regimes=(
        Regime(
            "sgd-10k",
            "SGD, 10,000 images, 20 epochs",
            "fashion-mnist",
            FASHION_MNIST,
            {**_UNDERFIT, "optimizer": "sgd", "unit": 0.1},
            _SMOKE,
        ),
        Regime(
            "sgd-2500",
            "SGD, 2,500 images, 80 epochs",
            "fashion-mnist",
            FASHION_MNIST,
            {**_OVERFIT, "optimizer": "sgd", "unit": 0.1},
            _SMOKE,
        ),
        Regime(
            "adamw-10k",
            "AdamW, 10,000 images, 20 epochs",
            "fashion-mnist",
            FASHION_MNIST,
            {**_UNDERFIT, "optimizer": "adamw", "unit": 0.003},
            _SMOKE,
        ),
        Regime(
            "adamw-2500",
            "AdamW, 2,500 images, 80 epochs",
            "fashion-mnist",
            FASHION_MNIST,
            {**_OVERFIT, "optimizer": "adamw", "unit": 0.003},
            _SMOKE,
        ),
    ),
    tuning=Tuning(
        grids={"restarts": _GRID, "cosine": _GRID, "triangular": _GRID, "linear": _GRID, "constant": _GRID},
        inherits={
            "sorted": "restarts",
            "mean-constant": "restarts",
            "momentum": "restarts",
            "triangular-sorted": "triangular",
        },
        metric="validation_error",
    ),
    seeds=20,
    sd="0.24 points paired (pilot): 20 seeds give about +-0.11",
    margin_reason="0.2 points of error: less than what another seed changes",
    data="each seed draws its own images from the first 50,000 training images; settings and temperatures from the last 10,000; the official test"
    " images only in the confirming run, 2,000 of them for the curve over the steps and all for the final scores",
)
