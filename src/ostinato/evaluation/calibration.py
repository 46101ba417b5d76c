"""Whether the intervals and the rule for a verdict do what they say: thousands of synthetic studies whose truth is known.

``python -m ostinato.evaluation.calibration`` prints the table. Differences have standard deviation 1 and the margin is √(8/n), the one for which n
is about enough; ``below`` (the interval lies above the true mean) is also the rate of false "supported" at a margin of 0, the worst that it can be.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.checks import whole
from ostinato.errors import DataError, suggest
from ostinato.evaluation._resampling import Floats, counts_of, percentile_ends, ranks, spread_of, studentised_ends
from ostinato.evaluation.statistics import GUARD, RESAMPLES, critical

__all__ = ["DISTRIBUTIONS", "METHODS", "Calibration", "coverage", "main", "table"]

_CHUNK = 200
_LOGNORMAL = 0.5


def _lognormal(generator: np.random.Generator, shape: tuple[int, int]) -> Floats:
    square = _LOGNORMAL**2
    mean, variance = math.exp(square / 2), math.expm1(square) * math.exp(square)
    return (generator.lognormal(0.0, _LOGNORMAL, shape) - mean) / math.sqrt(variance)


DISTRIBUTIONS: Mapping[str, Callable[[np.random.Generator, tuple[int, int]], Floats]] = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "t3": lambda generator, shape: generator.standard_t(3, shape) / math.sqrt(3),
    "laplace": lambda generator, shape: generator.laplace(0.0, math.sqrt(0.5), shape),
    "exponential": lambda generator, shape: generator.exponential(1.0, shape) - 1.0,
    "lognormal": _lognormal,
}
"""Differences of mean 0 and variance 1: normal; heavy tails (Student's t with 3 degrees of freedom, Laplace); skewed (exponential, skewness 2;
lognormal with sigma 0.5, skewness 1.75)."""

Ends = Callable[[Floats, Floats, float], tuple[Floats, Floats]]


def _student(values: Floats, _: Floats, level: float) -> tuple[Floats, Floats]:
    mean, deviation = spread_of(values)
    half = critical(level, values.shape[1] - 1) * deviation / math.sqrt(values.shape[1])
    return mean - half, mean + half


def _bootstrap_t(guard: float) -> Ends:
    return lambda values, counts, level: studentised_ends(
        values, counts, level, critical(level, values.shape[1] - 1), guard
    )


METHODS: Mapping[str, Ends] = {
    "studentised": _bootstrap_t(GUARD),
    "bootstrap-t": _bootstrap_t(0.0),
    "envelope": _bootstrap_t(1.0),
    "paired t": _student,
    "percentile": percentile_ends,
}
"""``studentised`` is `studentised_bootstrap`; ``bootstrap-t`` and ``envelope`` are it with guard 0 and 1, ``percentile`` the plain bootstrap."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What an interval and the rule did in many synthetic studies; all shares in [0, 1].

    Attributes:
        method, distribution, n, studies: What was simulated.
        margin: In standard deviations of the differences.
        effect: The planted effect, in the same unit.
        coverage: Studies whose interval holds the true mean.
        below: Studies whose whole interval lies above the true mean: false "supported" at a margin of 0.
        above: Studies whose whole interval lies below it: "not supported" although the true effect equals the margin.
        false_supported: Under no effect, studies that the rule calls supported.
        not_supported: Under no effect, studies that the rule calls not supported.
        power: Under the planted effect, studies that the rule calls supported.
    """

    method: str
    distribution: str
    n: int
    studies: int
    margin: float
    effect: float
    coverage: float
    below: float
    above: float
    false_supported: float
    not_supported: float
    power: float

    @property
    def holds(self) -> bool:
        """Whether coverage is within 93 to 97 %."""
        return 0.93 <= self.coverage <= 0.97


def _known(name: str, known: Mapping[str, object], what: str) -> None:
    if name not in known:
        raise DataError(f"{what}: got {name!r}{suggest(str(name), known)}")


def coverage(
    method: str = "studentised",
    n: int = 12,
    distribution: str = "normal",
    *,
    studies: int = 10_000,
    margin: float | None = None,
    effect: float | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 1,
) -> Calibration:
    """Simulate studies of `n` differences and return how often the interval and the rule are right.

    Every study is what `decide` computes, with its seed of 0: the resamples' counts are the same, so that all studies are one matrix product.

    Args:
        method: Of `METHODS`.
        n: Differences a study.
        distribution: Of `DISTRIBUTIONS`.
        studies: How many; the standard error of a coverage of 95 % is 0.22 points at 10,000.
        margin: By default √(8/n).
        effect: Planted; by default twice the margin.
        level: Of the interval.
        resamples: Of the bootstrap.
        seed: Of the synthetic data.

    Raises:
        DataError: A name is not known, or a number cannot be.

    >>> found = coverage("paired t", 12, "normal", studies=2000)
    >>> found.holds, found.false_supported < 0.025
    (True, True)
    """
    _known(method, METHODS, "method")
    _known(distribution, DISTRIBUTIONS, "distribution")
    for name, value, least in (("n", n, 2), ("studies", studies, 1)):
        whole(name, value, least, error=DataError)
    ranks(resamples, level)
    margin = math.sqrt(8.0 / n) if margin is None else margin
    effect = 2.0 * margin if effect is None else effect
    values = DISTRIBUTIONS[distribution](np.random.default_rng(seed), (studies, n))
    counts = counts_of(n, resamples, 0)
    parts = [METHODS[method](values[at : at + _CHUNK], counts, level) for at in range(0, studies, _CHUNK)]
    low, high = (np.concatenate(ends) for ends in zip(*parts, strict=True))
    mean = values.mean(axis=1)

    def share(true: NDArray[np.bool_]) -> float:
        return float(true.mean())

    return Calibration(
        method, distribution, n, studies, margin, effect,
        coverage=share((low <= 0.0) & (high >= 0.0)),
        below=share(low > 0.0),
        above=share(high < 0.0),
        false_supported=share((low > 0.0) & (mean >= margin)),
        not_supported=share(high < margin),
        power=share((low + effect > 0.0) & (mean + effect >= margin)),
    )  # fmt: skip


def table(found: Iterable[Calibration]) -> str:
    """Return the calibrations as lines of text, shares in percent."""
    head = ("method", "distribution", "n", "coverage", "below", "above", "false supp.", "not supp.", "power", "93-97")
    rows = [head]
    for entry in found:
        shares = (entry.coverage, entry.below, entry.above, entry.false_supported, entry.not_supported, entry.power)
        texts = (f"{100 * share:.1f}" for share in shares)
        rows.append((entry.method, entry.distribution, str(entry.n), *texts, "yes" if entry.holds else "no"))  # type: ignore[arg-type]  # four texts, which a starred tuple hides
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of every method asked for, each distribution and n = 8, 12, 20."""
    parser = argparse.ArgumentParser(
        prog="python -m ostinato.evaluation.calibration", description="Coverage of intervals over synthetic studies."
    )
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--methods", nargs="+", default=["studentised", "paired t"], choices=[*METHODS])
    parser.add_argument("--n", nargs="+", type=int, default=[8, 12, 20])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    found = [
        coverage(method, n, distribution, studies=given.studies, seed=given.seed)
        for method in given.methods for distribution in DISTRIBUTIONS for n in given.n
    ]  # fmt: skip
    print(json.dumps([asdict(entry) for entry in found]) if given.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
