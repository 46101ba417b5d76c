"""What study ``adam-cycles`` claims and how it is decided."""

from __future__ import annotations

from ostinato.studies.frame.spec import Contrast, Regime, Role, Spec, difference

__all__ = ["SPEC"]

_M = 0.1
_RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
_SHARED = {
    "starts": 10,
    "steps": 2000,
    "cycles": 10,
    "every": 10,
    "endpoint": "excess",
    "rates": _RATES,
    "sgd_rates": _RATES,
}
_SMOKE = {"starts": 2, "steps": 200, "cycles": 4}
_LOGISTIC = {**_SHARED, "scales": (0.3, 3.0), "ridge": 1e-3, "batch": 32, "target": 0.01}
_TO_LEAVE = {
    **_SHARED,
    "endpoint": "time",
    "every": 1,
    "target": 0.5,
    "dimension": 10,
    "sgd_rates": (0.003, 0.01, 0.03, 0.1, 0.3),
}


def _difference(comparator: str, claimed: str, role: Role = "secondary", metric: str = "gap") -> Contrast:
    return difference(comparator, claimed, role, metric, _M, plain="gap")


def _interaction(comparator: str) -> Contrast:
    """Return by how much more cycles gain on a comparator under Adam than under SGD."""
    weights = {comparator: 1.0, "restarts": -1.0, f"sgd-{comparator}": -1.0, "sgd-restarts": 1.0}
    return Contrast(f"{comparator} - restarts, Adam less SGD", "secondary", weights, "gap", _M)


SPEC = Spec(
    name="adam-cycles",
    claim="Under Adam a cycled rate is faster than a constant one of the same mean: cycles and Adam's normalisation go well together.",
    source="a conjecture from practice; theory has it for non-adaptive methods alone: long steps between short ones (J. Altschuler, P. Parrilo, arXiv 2309.07879), momentum"
    " with cyclical steps (B. Goujaud et al., AISTATS 2022, arXiv 2106.09687)",
    scope="Small problems with a known minimum, no network: what is measured is the excess over the minimum in decades (decimal logarithms), 'gap' decades above the cycles under the"
    " same seed, start and mean rate, 10 starts averaged, the median over five mean rates. Ten cosine cycles of 200 updates from the peak to 0, so that the end is a trough; every arm has the"
    " same mean rate exactly. The headline is minibatch logistic regression. Starts do not stand for problems: each seed draws its own data, features and scales, or condition number, rotation,"
    " steepness and width, and n counts seeds. The regimes saddle and plateau count the updates until they are left, in decades as well; there a run that never leaves counts with its whole length. Of the sources'"
    " claims of speed, gap_time is the other reading: decades of updates until a fixed excess (0.01, Rosenbrock 0.1), censored runs with their whole length. Everything is float64; the"
    " deterministic problems have no noise. Rates are given, not tuned: a verdict is about one mean rate against the same, over two decades of it.",
    arms={
        "restarts": "Adam under ten cosine cycles, each from its peak to 0",
        "sorted": "the same rates in descending order",
        "cosine": "one cosine of the same mean rate",
        "constant": "the mean rate throughout",
        "shuffled": "the same rates in random order, in blocks of a tenth of a cycle",
        "trough-to-trough": "sine cycles of the same mean, begun and ended at 0",
        "peak-to-peak": "the same half a cycle late: begun and ended at the peak",
        "trough-to-peak": "the cosine cycles mirrored: begun at 0, ended at the peak",
        "sgd-restarts": "SGD with momentum 0.9 under the cycles",
        "sgd-sorted": "its sorted twin",
        "sgd-cosine": "its single cosine",
        "sgd-constant": "its constant rate",
    },
    contrasts=(
        _difference("sorted", "restarts", "primary"),
        _difference("cosine", "restarts", "required"),
        _difference("constant", "restarts", "literal"),
        _difference("sorted", "restarts", metric="gap_cycle"),
        _difference("constant", "restarts", metric="gap_cycle"),
        _difference("sorted", "restarts", metric="gap_peak"),
        _difference("constant", "restarts", metric="gap_peak"),
        _difference("sorted", "restarts", metric="gap_time"),
        _difference("constant", "restarts", metric="gap_time"),
        _difference("constant", "sorted"),
        _difference("shuffled", "restarts"),
        _difference("trough-to-trough", "restarts"),
        _difference("peak-to-peak", "restarts"),
        _difference("sorted", "trough-to-trough"),
        _difference("constant", "trough-to-trough"),
        _difference("constant", "peak-to-peak"),
        _difference("constant", "trough-to-peak"),
        _interaction("sorted"),
        _interaction("constant"),
        _difference("sgd-sorted", "sgd-restarts"),
        _difference("sgd-cosine", "sgd-restarts"),
        _difference("sgd-constant", "sgd-restarts"),
    ),
    regimes=(
        Regime(
            "logistic",
            "minibatch logistic regression, breast-cancer",
            "breast-cancer",
            "32a42d9eaa54642a6ec7f9daea94c3ee2936d37ba01ce2f9e9f9dca1e1b686a7",
            {**_LOGISTIC, "problem": "breast-cancer", "examples": 300, "features": 20},
            _SMOKE,
        ),
        Regime(
            "digits",
            "minibatch logistic regression, even digits against odd",
            "digits",
            "04571e7c98ed1d035b58c3fa66eda6c8923b6a6ab04665130d111027d541e7c8",
            {**_LOGISTIC, "problem": "digits", "examples": 600, "features": 30},
            _SMOKE,
        ),
        Regime(
            "quadratic",
            "quadratics in 10 dimensions, no noise",
            "made up",
            "",
            {
                **_SHARED, "problem": "quadratic", "dimension": 10, "condition": (10.0, 1000.0), "target": 0.01,
                "rates": (0.0005, 0.001, 0.002, 0.004, 0.008), "sgd_rates": (0.0003, 0.001, 0.003, 0.01, 0.03),
            },
            _SMOKE,
        ),
        Regime(
            "rosenbrock",
            "Rosenbrock's valley in 4 dimensions, no noise",
            "made up",
            "",
            {
                **_SHARED, "problem": "rosenbrock", "dimension": 4, "steepness": (10.0, 1000.0), "target": 0.1,
                "sgd_rates": (0.000003, 0.00001, 0.00003, 0.0001, 0.0003),
            },
            _SMOKE,
        ),
        Regime(
            "saddle",
            "updates to leave a saddle",
            "made up",
            "",
            {**_TO_LEAVE, "problem": "saddle", "width": (1.0, 10.0)},
            _SMOKE,
        ),
        Regime(
            "plateau",
            "updates to leave a plateau",
            "made up",
            "",
            {**_TO_LEAVE, "problem": "plateau", "condition": (1.0, 100.0)},
            _SMOKE,
        ),
    ),
    tuning=None,
    seeds=20,
    sd="over all pairs of arms 0.067 decades (logistic), 0.131 (digits), 0.100 (quadratic), 0.089 (rosenbrock), 0.078 (saddle), 0.035 (plateau), by `ostinato study pilot adam-cycles --seeds 6`:"
    " 20 seeds are more than the 16 that these need",
    margin_reason="0.1 decades: a quarter more or less of the excess, or of the updates",
    data="each seed draws its own 300 of 569 examples and 20 of 30 features (breast-cancer), 600 of 1,797 examples and 30 of 64 pixels (digits), multiplies each standardised feature by a"
    " number between 0.3 and 3, and draws starts and minibatches of 32; the minimum is Newton's. The other problems are drawn by their seed. Nothing is predicted, so that there is no test data",
    failed="a diverged run counts with the largest excess that any run of its optimizer and seed has; none is dropped",
)  # fmt: skip
