"""What study ``gan-phase`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.frame.spec import Contrast, Grid, Regime, Role, Spec, Tuning, difference

__all__ = ["SPEC"]

_M = 0.03
_MARGINS = {"jsd": _M, "jsd_final": _M, "jsd_worst": _M, "missed": 1.0, "junk": 0.05, "runaway": 0.05}
_RATES = (5e-5, 1e-4, 2e-4, 4e-4, 8e-4)
_SHARED = {
    "rounds": 20_000, "cycles": 10, "every": 250, "samples": 2500, "batch": 100, "hidden": 64, "layers": 2, "octaves": 2,
}  # fmt: skip
_SMOKE = {"rounds": 60, "cycles": 2, "every": 5, "samples": 100, "batch": 16, "hidden": 8}
_FEW = ("anti", "in-phase", "two-time-scale", "tuned-constant", "constant")


def _difference(comparator: str, claimed: str, role: Role = "secondary", metric: str = "jsd") -> Contrast:
    return difference(comparator, claimed, role, metric, _MARGINS[metric], plain="jsd")


SPEC = Spec(
    name="gan-phase",
    claim="Learning rates of generator and discriminator out of phase keep the game in balance and give better, more diverse samples.",
    source="a conjecture from practice; constant unequal rates: M. Heusel et al., GANs Trained by a Two Time-Scale Update Rule, NeurIPS 2017, arXiv 1706.08500;"
    " mixtures and protocol: Z. Lin et al., PacGAN, NeurIPS 2018, arXiv 1712.04086",
    scope="Two perceptrons with two hidden layers of 64 on mixtures in the plane, no images: the generator with batch normalisation, the discriminator sees a point also as sines of it"
    " (octaves), without which one so small did not tell modes of this spread from what is between them in 6,000 rounds. 20,000 rounds of one update each, batch 100, Adam with betas (0.8, 0.999): published runs"
    " take 400,000 and larger networks, and end with less junk; a verdict is about games that have not settled. The waves have a mean rate that is chosen for anti and inherited by"
    " every arm of equal mean; lowest 1/20 of the highest. The waveform is sine, in which half a cycle late and the mirror image are the same. What counts is the mean over the last cycle,"
    " never a best checkpoint; the end alone and the worst stand beside it. tuned-constant and two-time-scale are baselines of practice and chose for themselves, the rate first and then the ratio: one choice more"
    " than anti had. The ring runs five of the nine arms under ten seeds.",
    arms={
        "anti": "ten sine cycles, the discriminator half a cycle late: one rate is highest where the other is lowest",
        "in-phase": "the same cycles, both rates together",
        "lead": "the discriminator a quarter of a cycle ahead",
        "lag": "the discriminator a quarter of a cycle late",
        "decorrelated": "periods of their own: the discriminator makes seven cycles while the generator makes ten",
        "cosine": "one cosine decay of both rates",
        "constant": "both rates at the cycles' mean",
        "tuned-constant": "equal constant rates, chosen",
        "two-time-scale": "constant rates of the mean chosen for tuned-constant, their ratio chosen",
    },
    contrasts=(
        _difference("in-phase", "anti", "primary"),
        _difference("two-time-scale", "anti", "required"),
        _difference("constant", "anti", "literal"),
        _difference("tuned-constant", "anti"),
        _difference("in-phase", "lead"),
        _difference("in-phase", "lag"),
        _difference("decorrelated", "anti"),
        _difference("cosine", "anti"),
        _difference("constant", "in-phase"),
        _difference("tuned-constant", "two-time-scale"),
        *(_difference("in-phase", "anti", metric=metric) for metric in _MARGINS if metric != "jsd"),
        *(_difference("two-time-scale", "anti", metric=metric) for metric in ("jsd_final", "missed", "runaway")),
    ),
    regimes=(
        Regime("grid", "a grid of 25 modes", "made up", "", {**_SHARED, "mixture": "grid"}, _SMOKE),
        Regime(
            "ring", "a ring of 8 modes", "made up", "", {**_SHARED, "mixture": "ring"}, _SMOKE, arms=_FEW, seeds=10
        ),
    ),
    tuning=Tuning(
        grids={
            "anti": Grid("rate", _RATES),
            "tuned-constant": Grid("rate", _RATES),
            "two-time-scale": Grid("ratio", (0.25, 0.5, 1.0, 2.0, 4.0)),
        },
        inherits={
            **dict.fromkeys(("in-phase", "lead", "lag", "decorrelated", "cosine", "constant"), "anti"),
            "two-time-scale": "tuned-constant",
        },
        metric="jsd",
        seeds=4,
    ),
    seeds=20,
    sd="0.034 nat paired (grid), 0.031 (ring), over anti, in-phase and two-time-scale at a mean rate of 2e-4 in 8,000 rounds, development seeds 94 to 99: 20 seeds are more than the 11,"
    " and 10 than the 9, that these need",
    margin_reason="0.03 nat of Jensen-Shannon divergence is what two of 25 missing modes make; besides one mode, and 5 points of junk or of runaway rounds",
    data="made up: each seed draws weights, examples and latent numbers of its own, which all its arms share; 2,500 samples of the same latent numbers are counted every 250 rounds, eight times a cycle",
)  # fmt: skip
