"""What study ``weight-decay-escape`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.frame.spec import Contrast, Grid, Regime, Role, Spec, Tuning, difference

__all__ = ["SPEC"]

_WELLS = {
    "wells": 100, "steps": 2000, "cycles": 5, "rate": 0.03, "weak": 1.0, "noise": 0.0, "arm_noise": 8.0, "width": (0.5, 1.5), "shallow": (0.3, 0.7),
}  # fmt: skip
_SYMMETRIC = {**_WELLS, "placed": "either", "barrier": (-4.0, 4.0)}
_BESIDE = {**_WELLS, "barrier": (1.0, 5.0)}
_SMOKE = {"wells": 20, "steps": 200, "cycles": 4, "rate": 0.1}
_DECAYS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def _difference(comparator: str, claimed: str, role: Role = "secondary") -> Contrast:
    return difference(comparator, claimed, role, "trapped", 0.05, plain="trapped")


_FROM_CYCLIC = ("sorted", "max", "mean", "shuffled", "from-peak", "to-peak", "rate-kick", "noise")
_ARMS = {
    "cyclic": "weight decay in five sine cycles between 0 and a high, tuned; constant learning rate",
    "sorted": "the same decays in descending order",
    "constant": "one decay, tuned over the same grid",
    "max": "the high of the cycles throughout",
    "mean": "the mean of the cycles throughout",
    "none": "no decay",
    "shuffled": "the decays of the cycles in random order, in blocks of a tenth of a cycle",
    "from-peak": "cosine cycles of the decay, each begun at the high and ended at 0",
    "to-peak": "the sine cycles half a cycle late, begun and ended at the high",
    "rate-kick": "the mean decay, and the learning rate in the cycles instead, at the same mean rate",
    "noise": "the mean decay, and noise in the gradient instead",
    "weak-cyclic": "cycles up to a decay of 1, where the pull is about as strong as an update",
    "weak-sorted": "those decays in descending order",
    "weak-max": "a decay of 1 throughout",
    "weak-mean": "a decay of 1/2 throughout",
}


SPEC = Spec(
    name="weight-decay-escape",
    claim="Cyclic weight decay in AdamW kicks a parameter out of a shallow minimum into a deeper one, where a constant decay stays trapped.",
    source="a landscape that was built to show it; scheduled decay: L. Smith, General Cyclical Training of Neural Networks, arXiv 2202.08835; AdamW: I. Loshchilov, F. Hutter, ICLR 2019,"
    " arXiv 1711.05101",
    scope="One parameter between two wells of a stated depth, width and place, under torch's AdamW (the parameter shrinks by rate * decay, then moves by about the rate); no network. A source"
    " that shows one landscape shows that an escape exists; asked here is whether it is general. The headline's wells are symmetric about 0 in distribution: the barrier lies anywhere from -4 to"
    " 4, the deeper well (depth 1 against 0.3 to 0.7) on either side, its width independent of its depth, so that a pull to 0 knows nothing about which well is deeper. Every run starts in the"
    " shallower well; 'trapped' is the share that does not end in the deeper one, over 100 wells a seed. Without noise Adam does not see depths at all, as its updates do not depend on the"
    " gradient's scale; the regime 'noisy' has noise in the gradient of every arm. In 'inner' the deeper well is the one on the side of 0, as in the source: there the claim is true by construction,"
    " of any decay that is strong enough. 'mirrored' turns the same wells round at their barriers, 'shifted' moves them until 0 lies at the barrier: if the decay searches, both should"
    " leave it its gain. Their settings are those that were chosen before the wells were moved. Decay can matter only where decay * |parameter| exceeds about 1; the tuned highs and the 'weak' arms, a high of 1, lie on both sides of that.",
    arms=_ARMS,
    contrasts=(
        _difference("sorted", "cyclic", "primary"),
        _difference("constant", "cyclic", "required"),
        _difference("max", "cyclic", "required"),
        _difference("mean", "cyclic", "literal"),
        _difference("none", "cyclic"),
        _difference("rate-kick", "cyclic"),
        _difference("noise", "cyclic"),
        _difference("shuffled", "cyclic"),
        _difference("from-peak", "cyclic"),
        _difference("to-peak", "cyclic"),
        _difference("weak-sorted", "weak-cyclic"),
        _difference("weak-max", "weak-cyclic"),
        _difference("weak-mean", "weak-cyclic"),
    ),
    regimes=(
        Regime("symmetric", "wells symmetric about 0", "made up", "", _SYMMETRIC, _SMOKE),
        Regime(
            "noisy",
            "the same with noise in the gradient",
            "made up",
            "",
            {**_SYMMETRIC, "noise": 8.0},
            _SMOKE,
            arms=tuple(arm for arm in _ARMS if arm != "noise"),
        ),
        Regime(
            "inner",
            "as in the source: the deeper well on the side of 0",
            "made up",
            "",
            {**_BESIDE, "placed": "inner"},
            _SMOKE,
        ),
        Regime(
            "mirrored",
            "those wells mirrored at their barriers",
            "made up",
            "",
            {**_BESIDE, "placed": "mirrored"},
            _SMOKE,
        ),
        Regime(
            "shifted",
            "those wells moved until 0 lies at the barrier",
            "made up",
            "",
            {**_BESIDE, "placed": "shifted"},
            _SMOKE,
        ),
    ),
    tuning=Tuning(
        grids={"cyclic": Grid("high", _DECAYS), "constant": Grid("decay", _DECAYS)},
        inherits=dict.fromkeys(_FROM_CYCLIC, "cyclic"),
        metric="trapped",
        seeds=5,
    ),
    seeds=20,
    sd="0.8 points between the tuned arms (symmetric), 1.8 (noisy), none in the others, by `ostinato study pilot weight-decay-escape --seeds 6`; 20 seeds of 100 wells make the 2,000 wells",
    margin_reason="5 points of the wells: one in twenty",
    data="wells and starts are drawn by the seed; settings on development seeds, whose wells no confirming seed has",
)
