"""What study ``membership-breathing`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.frame.spec import FASHION_MNIST, Contrast, Regime, Role, Spec, difference

__all__ = ["CYCLES", "SPEC"]

CYCLES = 4

_SIZES = {
    "points": 5_000,
    "models": 16,
    "epochs": 80,
    "batch": 64,
    "peak": 0.1,
    "pool": 2,
    "judged_on": 2_000,
    "phases": 8,
}
_SMOKE = {"points": 2_400, "models": 6, "epochs": 2, "judged_on": 200, "phases": 4}
_CANARIES = ("quarter-canaries", "trough-canaries", "sorted-canaries", "sorted-late-canaries")


def _less(comparator: str, claimed: str, role: Role, metric: str = "auc", margin: float = 0.005) -> Contrast:
    return difference(comparator, claimed, role, metric, margin, plain="auc")


SPEC = Spec(
    name="membership-breathing",
    claim="Vulnerability to membership inference oscillates with the learning rate: it falls where the rate is high and rises where it is low.",
    source="a conjecture; a large rate improves membership privacy: openreview cTF4loOltJ; the attack: N. Carlini et al., Membership Inference Attacks From First"
    " Principles, arXiv 2112.03570; the risk of the most vulnerable examples is set early: arXiv 2507.23291",
    scope="A perceptron 196-64-64-10 on 2,500 images of Fashion-MNIST (14x14), SGD with momentum 0.9 and weight decay 5e-4, 3,120 steps in four cosine cycles under a peak"
    " rate of 0.1, which study restart-shapes chose for restarts in this regime. A seed is a block: 5,000 images of its own and 16 models under each plan,"
    " eight pairs whose two models share the images, half each, so that members and non-members come from one draw. Every model is attacked at eight phases"
    " of each cycle by LiRA (online, one variance) with the 14 models of the other pairs at the same phase as shadows; models of other plans are attacked with their own."
    " The n of the intervals are blocks. Within a block models are no independent draws, since they share images and are each other's shadows, so that the mean over them counts once."
    " The first quarter is the mean over the first two eighths of cycles 2 to 4. The headline holds accuracy equal: it compares with the sorted twin where that first has, in the mean over"
    " its models, the accuracy of the quarter, evaluation by evaluation: what one would have got by stopping the twin early. Any reading of equal accuracy later in the twin's run has memorised more;"
    " 'sorted-late' shows it after as many updates, at its own accuracy. 14 shadows make a weaker attack than the 63 of a single block of 64 models would; blocks"
    " were preferred for independent replicates. The rule for equal accuracy was fixed after one development block had been looked at. The area is a lower bound of the leak: of these attacks, these data. TPR at 1 % only: 2,500 non-members cannot resolve 0.1 %. Not run with a CNN, nor again on MNIST.",
    arms={
        "quarter": "cycles 2 to 4 in their first quarter, where the rate is high",
        "sorted": "the sorted twin where it first has the accuracy of the quarter",
        "trough": "the same cycles at their ends, where the rate is 0",
        "sorted-late": "the sorted twin after as many updates as the quarter, at its own accuracy",
        "constant": "the constant rate of the same mean where it first has the accuracy of the quarter",
        "cosine": "one cosine of the same mean where it first has the accuracy of the quarter",
        "quarter-canaries": "the wrongly labelled points alone, in the first quarter",
        "trough-canaries": "the wrongly labelled points alone, at the ends",
        "sorted-canaries": "the wrongly labelled points alone, the sorted twin at the accuracy of the quarter",
        "sorted-late-canaries": "the wrongly labelled points alone, the sorted twin after as many updates",
    },
    contrasts=(
        _less("sorted", "quarter", "primary"),
        _less("trough", "quarter", "literal", margin=0.01),
        _less("sorted-late", "quarter", "secondary"),
        _less("constant", "quarter", "secondary"),
        _less("cosine", "quarter", "secondary"),
        _less("sorted-canaries", "quarter-canaries", "secondary"),
        _less("trough-canaries", "quarter-canaries", "secondary", margin=0.01),
        _less("sorted-late-canaries", "quarter-canaries", "secondary"),
        _less("sorted", "quarter", "secondary", "tpr"),
        _less("trough", "quarter", "secondary", "tpr", 0.01),
        _less("sorted", "quarter", "secondary", "loss_auc"),
        _less("trough", "quarter", "secondary", "loss_auc", 0.01),
        _less("sorted", "quarter", "secondary", "rmia_auc"),
        _less("trough", "quarter", "secondary", "rmia_auc", 0.01),
    ),
    regimes=(
        Regime(
            "plain",
            "2,500 of 5,000 images, labels as they are",
            "fashion-mnist",
            FASHION_MNIST,
            {**_SIZES, "canaries": 0.0},
            _SMOKE,
            arms=("quarter", "sorted", "trough", "sorted-late", "constant", "cosine"),
        ),
        Regime(
            "canaries",
            "the same with 10 % of the labels wrong",
            "fashion-mnist",
            FASHION_MNIST,
            {**_SIZES, "canaries": 0.1},
            _SMOKE,
            arms=("quarter", "sorted", "trough", "sorted-late", *_CANARIES),
        ),
    ),
    tuning=None,
    seeds=12,
    sd="0.0021 of the area between blocks (3 development blocks under the full sizes, paired; 0.0026 for the swing), so that the floor of 12 is ample",
    margin_reason="0.005 of the area: an attacker who names a member among two points is right so much more often; 0.01 for the swing itself, which is larger",
    data="each block draws its own images from the first 50,000 training images; accuracy is measured on 2,000 official test images in the confirming run, on 2,000 of the last 10,000 training images"
    " before; these are RMIA's population too",
)
