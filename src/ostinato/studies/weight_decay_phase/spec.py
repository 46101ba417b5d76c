"""What study ``weight-decay-phase`` claims and how it is decided."""

from __future__ import annotations

import math

from ostinato.studies.frame.spec import FASHION_MNIST, Contrast, Grid, Regime, Spec, Tuning, difference

__all__ = ["SHIFTS", "SPEC"]

SHIFTS = tuple(k / 8 for k in range(8))

_SMOKE = {"examples": 256, "epochs": 10, "judged_on": 300}
_SHARED = {"pool": 2, "batch": 64, "peak": 0.006}
_DECAYS = Grid("decay", (0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0))
_PHASES = Grid("shift", SHIFTS, extensions=0)


def _harmonic(kind: str, part: str) -> Contrast:
    """Return the amplitude of cos(2 pi shift), or sin, in the error over the eight shifts; positive: worse in step, or when late."""
    turn = math.cos if part == "cosine" else math.sin
    weights = {f"{kind}-{k}": round(turn(2 * math.pi * shift) / 4, 12) for k, shift in enumerate(SHIFTS)}
    weights = {arm: weight for arm, weight in weights.items() if weight}
    return Contrast(f"first harmonic over {kind}s, {part}", "secondary", weights, "error", 0.001)


SPEC = Spec(
    name="weight-decay-phase",
    claim="A phase difference between the learning rate and the weight decay reaches a generalisation that the two in step do not.",
    source="a conjecture from practice; scheduled decay: L. Smith, General Cyclical Training of Neural Networks, arXiv 2202.08835;"
    " decay that takes part in the rate: I. Loshchilov, F. Hutter, Decoupled Weight Decay Regularization, ICLR 2019, arXiv 1711.05101",
    scope="A perceptron 196-64-64-10 on Fashion-MNIST (14x14), AdamW (torch's: weights shrink by rate * decay), 3,120 steps in sine cycles, judged at"
    " the last trough. Peak rate 0.006, which study restart-shapes chose on development seeds for cycles under AdamW in both regimes. Seven constant"
    " decays against eight shifts of a decay between 0 and a high that gives the dose of the best constant: its mean of rate * decay ('shift'), or its"
    " mean decay alone ('mean'). The constants' sums of rate * decay over the run go from 0.3 to 19. Two sweeps: what vanishes in the first was dose. Not run again on MNIST.",
    arms={
        "constant": "one decay, tuned",
        "best-shift": "the shift of lowest validation error, mean of rate * decay matched",
        **{
            f"shift-{k}": f"decay {shift:g} of a cycle late, mean of rate * decay matched"
            for k, shift in enumerate(SHIFTS)
        },
        "best-mean": "the shift of lowest validation error, mean decay matched",
        **{f"mean-{k}": f"decay {shift:g} of a cycle late, mean decay matched" for k, shift in enumerate(SHIFTS)},
    },
    contrasts=(
        difference("constant", "best-shift", "primary"),
        difference("shift-0", "best-shift", "required"),
        difference("mean-0", "best-mean", "literal"),
        difference("constant", "best-mean", "secondary"),
        difference("constant", "shift-0", "secondary"),
        difference("shift-0", "shift-4", "secondary"),
        difference("mean-0", "mean-4", "secondary"),
        _harmonic("shift", "cosine"),
        _harmonic("shift", "sine"),
        _harmonic("mean", "cosine"),
        _harmonic("mean", "sine"),
        difference("constant", "best-shift", "secondary", "nll", 0.01),
        difference("constant", "best-shift", "secondary", "nll_at_temperature", 0.01),
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
        grids={"constant": _DECAYS, "best-shift": _PHASES, "best-mean": _PHASES},
        inherits={
            "best-shift": "constant",
            "best-mean": "constant",
            **{f"{kind}-{k}": "constant" for kind in ("shift", "mean") for k in range(len(SHIFTS))},
        },
        metric="validation_error",
        seeds=5,
    ),
    seeds=20,
    sd="0.22 points paired (overfit), 0.27 (underfit), by `ostinato study pilot weight-decay-phase --seeds 6`: 20 seeds are more than the 17 that these need",
    margin_reason="0.2 points of error: less than what another seed changes; 0.1 points for the amplitude of a harmonic, 0.2 from peak to peak",
    data="each seed draws its own images from the first 50,000 training images; settings and temperatures from the last 10,000; the official test"
    " images only in the confirming run",
)
