"""What study ``replay-phase`` claims and how it is decided."""

from __future__ import annotations

from dataclasses import replace

from ostinato.studies.frame.spec import FASHION_MNIST, Contrast, Grid, Regime, Role, Spec, Tuning, difference
from ostinato.studies.replay_phase.plans import ARMS

__all__ = ["SPEC"]

_SHARED = {"pool": 2, "tasks": 5, "examples": 1_600, "epochs": 8, "batch": 32, "cycles": 20, "buffer": 200}
_SMOKE = {"examples": 128, "epochs": 4, "buffer": 40, "judged_on": 300}
_GRID = Grid("peak", (0.0125, 0.025, 0.05, 0.1))
_ALL_SEEDS = ("high", "random", "dose", "tuned")
_FEW = 32
"""Seeds of the arms that no verdict rests on."""

_TUNED = ("high", "tuned", "decay", "gdumb")


def _effect(comparator: str, claimed: str = "high", role: Role = "secondary", metric: str = "error") -> Contrast:
    seeds = None if {comparator, claimed} <= set(_ALL_SEEDS) else _FEW
    return replace(difference(comparator, claimed, role, metric, 0.01), seeds=seeds)


SPEC = Spec(
    name="replay-phase",
    claim="Replay that is gated to where the rate is high recalls the old tasks better than replay at any other time, and the new task survives.",
    source="a conjecture from practice; for re-warming with replay: A. Ibrahim et al., Simple and Scalable Strategies to Continually Pre-train Large Language Models, arXiv 2403.08763; against"
    " re-warming: arXiv 2503.02844; against high rates in later tasks: S. Mirzadeh et al., NeurIPS 2020",
    scope="A perceptron 196-64-64-10 on five tasks of Fashion-MNIST (14x14), SGD with momentum 0.9, 400 updates a task in four cosine cycles: all tasks end at a"
    " trough, and high rates come throughout a task, not only at its beginning. An update takes 32 new examples; with replay, 32 from a reservoir of 200 examples of the"
    " earlier tasks join them and the loss is the mean over all 64. New examples, their order and the buffer are the same for all arms of a seed; arms of equal counts have the same number"
    " of updates with replay in every cycle. The error is the mean over the tasks after the last one, over all classes. New-task error is the mean, over the tasks after the first,"
    " of the error on a task when it has just been learnt. The summed rate cannot be matched at equal counts and equal rates: dose gives the comparator more updates with replay until the sums are equal in"
    " expectation, and is required; thrift gives the claim fewer. tuned is required beyond what the design asked for: at the peak of high, replay at random may be unstable. Arms that no verdict rests on have the first 32 seeds. Both streams are small, and what holds for an online stream or larger models is not tested."
    " Not run again on MNIST.",
    arms=ARMS,
    contrasts=(
        _effect("random", role="primary"),
        _effect("dose", role="required"),
        replace(_effect("random", role="required", metric="new_error"), no_worse=True),
        _effect("tuned", role="required"),
        _effect("uniform", role="literal"),
        _effect("low"),
        _effect("random", "thrift"),
        _effect("random", "wave"),
        _effect("gdumb"),
        _effect("decay"),
        _effect("none"),
        _effect("random", metric="forgotten"),
        _effect("low", metric="new_error"),
    ),
    regimes=(
        Regime(
            "split",
            "Split: two classes a task, drawn anew for each seed",
            "fashion-mnist",
            FASHION_MNIST,
            {**_SHARED, "stream": "split"},
            _SMOKE,
        ),
        Regime(
            "permuted",
            "Permuted: all classes, an order of the pixels a task",
            "fashion-mnist",
            FASHION_MNIST,
            {**_SHARED, "stream": "permuted", "judged_on": 2_000},
            _SMOKE,
            seeds=_FEW,
        ),
    ),
    tuning=Tuning(
        grids=dict.fromkeys(_TUNED, _GRID),
        inherits={arm: "high" for arm in ARMS if arm not in _TUNED},
        metric="validation_error",
        seeds=6,
    ),
    seeds=128,
    few={arm: _FEW for arm in ARMS if arm not in _ALL_SEEDS},
    sd="of random - high on development seeds 96 to 99, validation images: split 4.0, 5.0 and 2.8 points at the peaks 0.0125, 0.025 and 0.05, so that 128 seeds are 8 (4 / 1)^2;"
    " permuted 1.9 at 0.1, 32 seeds",
    margin_reason="1 point of average error: less is not worth another rule of when to rehearse",
    data="each seed draws its own images from the first 50,000 training images, which classes share a task, and the orders of the pixels; peaks are chosen on the last 10,000"
    " (permuted: 2,000 of them); the official test images (permuted: the first 2,000, in every order) only in the confirming run",
)
