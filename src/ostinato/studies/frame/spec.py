"""What a study claims and how it is decided, fixed before it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from ostinato.core import documents
from ostinato.errors import ConfigError, suggest

__all__ = [
    "FASHION_MNIST",
    "MNIST",
    "Contrast",
    "Grid",
    "Profile",
    "Regime",
    "Role",
    "Spec",
    "Tuning",
    "difference",
    "on_mnist",
]

FASHION_MNIST = "1c2b8fe0b17dc4f475a153259444a54ca00b279894f63b8c58e52ffdaa10ee8d"
"""SHA-256 of the Fashion-MNIST that the studies were specified for."""
MNIST = "b4e7e403d7fe89182be9443f6de19f82882118a11ac66734e19c67758273d46c"
"""SHA-256 of the MNIST that they are repeated on."""

Role = Literal["primary", "required", "literal", "secondary"]
Profile = Literal["smoke", "full"]

_BLOCKS = {"development": (0, 100), "confirming": (1000, 9000), "smoke": (9000, 10000)}


@dataclass(frozen=True)
class Contrast:
    """One effect: a weighted sum of a metric over arms, seed by seed, positive where it is as claimed.

    Attributes:
        name: What it is called, such as ``"sorted - restarts"``.
        role: ``primary`` (the headline's comparator), ``required`` (a control that must be met too), ``literal`` (the source's own
            comparator), ``secondary``.
        weights: From arm to weight: ``{"cosine": 1, "snapshots": -1}`` is the metric of one cosine less that of the snapshots.
        metric: Name of a number in the records.
        margin: The smallest effect that counts, in units of the metric.
        paired: Whether seeds are compared with themselves.
        seeds: At most so many seeds, the first ones; by default all of the spec.
        no_worse: Whether all that is asked is that the effect is not below -margin: a condition that something is not lost.
    """

    name: str
    role: Role
    weights: Mapping[str, float]
    metric: str
    margin: float
    paired: bool = True
    seeds: int | None = None
    no_worse: bool = False


def difference(
    comparator: str, claimed: str, role: Role, metric: str = "error", margin: float = 0.002, *, plain: str = "error"
) -> Contrast:
    """Return the contrast of one arm less another, named after both, and after its metric unless that is the study's `plain` one.

    >>> difference("sorted", "restarts", "secondary", "nll", 0.01).name
    'sorted - restarts, nll'
    """
    name = f"{comparator} - {claimed}" + ("" if metric == plain else f", {metric}")
    return Contrast(name, role, {comparator: 1.0, claimed: -1.0}, metric, margin)


@dataclass(frozen=True)
class Grid:
    """Values that one setting of an arm is chosen from.

    Attributes:
        setting: What is chosen, such as ``"peak"``.
        values: Where the search begins.
        factor: A best value at the edge extends the grid by this factor beyond it.
        extensions: How often it may do so; 0 where the values are all there are, such as shares of a cycle, and have no edge.
    """

    setting: str
    values: tuple[float, ...]
    factor: float = 2.0
    extensions: int = 2


@dataclass(frozen=True)
class Tuning:
    """How settings are chosen, on development seeds and validation data alone.

    Attributes:
        grids: From arm to what is chosen for it. Every arm here gets the same number of runs at first.
        inherits: From arm to the arm whose chosen settings it takes over: what the causal controls do. An arm that has a grid too is tuned
            after that arm, with the settings that it takes over in place.
        metric: The number, measured on validation data, whose mean over the seeds is to be smallest.
        seeds: Development seeds.
    """

    grids: Mapping[str, Grid]
    inherits: Mapping[str, str]
    metric: str
    seeds: int = 3


@dataclass(frozen=True)
class Regime:
    """One setting of the study; regimes are never pooled.

    Attributes:
        name: Short.
        title: In words.
        data: Name of the data set.
        sha256: Digest of the data set that `ostinato.training.datasets.load` gives; empty for data that is made up.
        parameters: Sizes: examples, epochs, ...
        smoke: What is smaller in the smoke profile.
        arms: Arms that run here; by default all.
        seeds: Seeds here; by default the spec's.
    """

    name: str
    title: str
    data: str
    sha256: str
    parameters: Mapping[str, Any]
    smoke: Mapping[str, Any]
    arms: tuple[str, ...] = ()
    seeds: int | None = None


@dataclass(frozen=True)
class Spec:
    """A study's specification; its digest stands in every record.

    Attributes:
        name: The study.
        claim: What is claimed, in a sentence.
        source: Where the claim comes from.
        scope: What a verdict is about and what it is not.
        arms: From name to description.
        contrasts: The effects, the primary one first.
        regimes: The first is the headline.
        tuning: None where nothing is chosen.
        seeds: How many confirming seeds.
        few: Arms that run under the first few seeds only: costly bounds, which no verdict rests on.
        sd: The paired standard deviation that sized the study, with its origin.
        margin_reason: Why the margin is what it is.
        data: Which examples play which role.
        failed: What becomes of a run that diverges.
        version: Raised with every change.
        repeats: Name of the study that this repeats on other data; empty where it is a study of its own. A repetition answers no claim of its own.
    """

    name: str
    claim: str
    source: str
    scope: str
    arms: Mapping[str, str]
    contrasts: tuple[Contrast, ...]
    regimes: tuple[Regime, ...]
    tuning: Tuning | None
    seeds: int
    sd: str
    margin_reason: str
    data: str
    failed: str = (
        "a diverged run counts with the worst value of its metric that was observed in its regime; none is dropped"
    )
    few: Mapping[str, int] = field(default_factory=dict)
    version: int = 1
    repeats: str = ""

    def __post_init__(self) -> None:
        if not self.contrasts or self.contrasts[0].role != "primary":
            raise ConfigError(f"{self.name}: the first contrast must be the primary one")
        for contrast in self.contrasts:
            if not contrast.paired and sorted(contrast.weights.values()) != [-1.0, 1.0]:
                raise ConfigError(f"{self.name}: {contrast.name}: without pairs, a contrast is one arm less another")
            for arm in contrast.weights:
                if arm not in self.arms:
                    raise ConfigError(f"{self.name}: {contrast.name}: no arm {arm!r}{suggest(arm, self.arms)}")

    @property
    def primary(self) -> Contrast:
        """The contrast of the headline."""
        return self.contrasts[0]

    @property
    def subject(self) -> str:
        """What the headline is measured on: its data set, or what is made up."""
        headline = self.regimes[0]
        return headline.data if headline.sha256 else headline.title

    def regime(self, name: str) -> Regime:
        """Return a regime by name.

        Raises:
            ConfigError: There is none.
        """
        for regime in self.regimes:
            if regime.name == name:
                return regime
        raise ConfigError(f"regime: got {name!r}{suggest(name, [regime.name for regime in self.regimes])}")

    def arms_of(self, regime: Regime) -> tuple[str, ...]:
        """Return the arms that run in a regime."""
        return regime.arms or tuple(self.arms)

    def seeds_of(self, regime: Regime, profile: Profile, count: int | None = None) -> range:
        """Return the reported seeds of a regime.

        Args:
            regime: Of this study.
            profile: ``smoke`` has seeds and records of its own.
            count: How many, at most as many as were fixed beforehand; by default those.

        Raises:
            ConfigError: More seeds are asked for than were fixed, or fewer than 2.
        """
        fixed = 3 if profile == "smoke" else regime.seeds or self.seeds
        wanted = fixed if count is None else count
        if wanted < 2 or (profile == "full" and wanted > fixed):
            raise ConfigError(f"seeds: got {wanted}, {self.name} fixed {fixed} beforehand; expected 2 to {fixed}")
        first, end = _BLOCKS["smoke" if profile == "smoke" else "confirming"]
        return range(first, min(first + wanted, end))

    def development_seeds(self, profile: Profile) -> range:
        """Return the seeds that settings are chosen on."""
        count = 1 if profile == "smoke" else (self.tuning.seeds if self.tuning is not None else 3)
        first = _BLOCKS["smoke"][0] + 500 if profile == "smoke" else _BLOCKS["development"][0]
        return range(first, first + count)

    def parameters(self, regime: Regime, profile: Profile) -> dict[str, Any]:
        """Return the sizes of a regime under a profile."""
        return {**regime.parameters, **(regime.smoke if profile == "smoke" else {})}

    def to_document(self) -> dict[str, Any]:
        """Return the specification as a JSON document; what may be left out, and is, is left out."""
        document: dict[str, Any] = json.loads(documents.canonical(asdict(self)))
        if not self.repeats:
            del document["repeats"]
        for contrast in document["contrasts"]:
            if not contrast["no_worse"]:
                del contrast["no_worse"]
        return document

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical JSON."""
        return documents.digest(self.to_document())


def on_mnist(spec: Spec) -> Spec:
    """Return a study's specification unchanged, but for MNIST in place of Fashion-MNIST; regimes on other data are left out.

    Raises:
        ConfigError: The study's headline is not on Fashion-MNIST.
    """
    if spec.regimes[0].data != "fashion-mnist":
        raise ConfigError(f"{spec.name}: its headline is on {spec.regimes[0].data}, not on fashion-mnist")
    regimes = tuple(
        replace(regime, title=_renamed(regime.title), data="mnist", sha256=MNIST)
        for regime in spec.regimes
        if regime.data == "fashion-mnist"
    )
    return replace(
        spec,
        name=f"{spec.name}-mnist",
        repeats=spec.name,
        scope=f"Everything as study {spec.name} froze it, its grids and its choice of settings too, on MNIST in place of Fashion-MNIST.",
        sd=f"as many as there ({spec.sd})",
        data=_renamed(spec.data),
        regimes=regimes,
    )


def _renamed(text: str) -> str:
    return text.replace("Fashion-MNIST", "MNIST")
