"""What an audit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ostinato._version import __version__
from ostinato.applications.privacy.memory import MemoryFit
from ostinato.evaluation import Interval

__all__ = ["Audit", "Reading", "SnapshotLeak", "to_release"]

SCHEMA = "ostinato.audit"


@dataclass(frozen=True)
class Reading:
    """Models of one plan at one evaluation, attacked at that phase.

    Attributes:
        step: The update before it.
        cycle: From 0 on; -1 outside.
        phase: Share of the cycle that is through.
        rate: Learning rate of that update; None where the plan drives none.
        auc: Mean area over the models.
        interval: Of that mean, over models.
        accuracy: Mean, on the points that each model was not trained with.
    """

    step: int
    cycle: int
    phase: float | None
    rate: float | None
    auc: float
    interval: Interval
    accuracy: float

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**self.__dict__, "interval": self.interval.to_document()}


@dataclass(frozen=True)
class SnapshotLeak:
    """What a snapshot leaks: models trained as the run was, at the end of one cycle.

    Attributes:
        reading: Area and accuracy.
        loss_auc: The area of the loss attack alone.
        tpr: From false-positive rate to the share of members named at it, all models under one threshold; None where there are too few non-members.
        stopped: The area of a constant rate of the same mean, stopped where it first is as accurate; None where there is none to compare with.
        stopped_interval: Over models.
        reached: Whether it ever was as accurate; else its most accurate evaluation was read.
        own: Of the run's own snapshot: ``auc``, ``loss_auc``, ``accuracy``; None without a run.
    """

    reading: Reading
    loss_auc: float
    tpr: Mapping[float, float | None]
    stopped: float | None = None
    stopped_interval: Interval | None = None
    reached: bool = True
    own: Mapping[str, float] | None = None

    def to_document(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **self.reading.to_document(),
            "loss_auc": self.loss_auc,
            "tpr": {f"{rate:g}": value for rate, value in self.tpr.items()},
            "early_stopped": None
            if self.stopped is None or self.stopped_interval is None
            else {"auc": self.stopped, "interval": self.stopped_interval.to_document(), "reached": self.reached},
            "run": None if self.own is None else dict(self.own),
        }


def to_release(snapshots: Sequence[SnapshotLeak], tolerance: float) -> int:
    """Return the place of the snapshot that leaks least among those whose accuracy is within `tolerance` of the best; of equals the first."""
    best = max(snapshot.reading.accuracy for snapshot in snapshots)
    good = [place for place, one in enumerate(snapshots) if one.reading.accuracy >= best - tolerance]
    return min(good, key=lambda place: snapshots[place].reading.auc)


@dataclass(frozen=True)
class Audit:
    """An audit of a training recipe by membership inference.

    Attributes:
        data: Name of the data.
        model: Of the model.
        plan_digest: Of the plan as the shadow models followed it.
        attack: Which attack.
        models: How many models were trained under each plan.
        points: How many points, half of them in each model.
        least_rate: The smallest false-positive rate that all models' non-members together can tell.
        readings: At each evaluation, in order.
        constant: The same of the constant rate of the same mean; empty where the plan drives no rate.
        snapshots: At each cycle's end.
        release: Which of `snapshots` to release: the least leaking of those whose accuracy is within `tolerance` of the best.
        tolerance: In accuracy.
        memory: The model of memory fitted to both courses; None where the plan drives no rate.
        wall_s: Seconds.
    """

    data: str
    model: str
    plan_digest: str
    attack: str
    models: int
    points: int
    least_rate: float
    readings: tuple[Reading, ...]
    constant: tuple[Reading, ...]
    snapshots: tuple[SnapshotLeak, ...]
    release: int
    tolerance: float
    memory: MemoryFit | None
    wall_s: float

    @property
    def chosen(self) -> SnapshotLeak:
        """The snapshot to release."""
        return self.snapshots[self.release]

    @property
    def sentence(self) -> str:
        """What to release, and why, in one sentence."""
        chosen, last = self.chosen.reading, self.snapshots[-1].reading
        best = max(snapshot.reading.accuracy for snapshot in self.snapshots)
        start = (
            f"Release the snapshot of cycle {chosen.cycle + 1}: of those within {100 * self.tolerance:.1f} points of the best accuracy ({100 * best:.2f} %)"
            f" it leaks least, with an area of {chosen.auc:.3f} ({chosen.interval}) at {100 * chosen.accuracy:.2f} %"
        )
        if chosen.step == last.step:
            return f"{start}; it is the last one."
        return f"{start}; the last one leaks {last.auc:.3f} ({last.interval}) at {100 * last.accuracy:.2f} %."

    @property
    def comparison(self) -> str:
        """How the chosen snapshot compares with stopping a constant rate early; empty where there is none."""
        chosen = self.chosen
        if chosen.stopped is None or chosen.stopped_interval is None:
            return ""
        where = (
            "stopped where it first is as accurate"
            if chosen.reached
            else "never as accurate, read where it is most accurate"
        )
        difference = chosen.reading.auc - chosen.stopped
        apart = (
            chosen.reading.interval.low > chosen.stopped_interval.high
            or chosen.reading.interval.high < chosen.stopped_interval.low
        )
        told = ("more" if difference > 0 else "less") if apart else "no more and no less, as far as these models tell,"
        return f"A constant rate of the same mean, {where}, leaks {chosen.stopped:.3f} ({chosen.stopped_interval}): the snapshot leaks {told} than that."

    @property
    def limits(self) -> tuple[str, ...]:
        """What the audit cannot promise."""
        own = (
            " The run itself was trained with more examples than each of them, on which it was attacked by them."
            if self.chosen.own
            else ""
        )
        return (
            f"The leak is that of {self.models} models trained as the plan says on half of {self.points} points each.{own}",
            "It is a lower bound: of this attack, with these shadow models, on these data. A stronger attack may find more, and an area near 0.5 proves nothing.",
            "The area is a mean over examples; single ones, rare or wrongly labelled, may be exposed far more than that.",
            f"The smallest false-positive rate that these points resolve is {100 * self.least_rate:.2g} %; whatever lies below is not told.",
            "A promise needs differential privacy: noise and clipping in every update, with an accountant. ostinato.applications.privacy.ScheduledNoise puts"
            " both on the same clock, with Opacus (pip install 'ostinato[privacy]').",
        )

    def to_document(self) -> dict[str, Any]:
        """Return the document of ``audit.json``."""
        memory = None
        if self.memory is not None:
            fitted = self.memory.memory
            memory = {
                "learning": fitted.learning, "grip": fitted.grip, "forgetting": fitted.forgetting, "scale": fitted.scale,
                "explained": self.memory.explained,
                "intervals": {name: interval.to_document() for name, interval in self.memory.intervals.items()},
            }  # fmt: skip
        return {
            "schema": SCHEMA,
            "version": __version__,
            "data": self.data,
            "model": self.model,
            "plan_digest": self.plan_digest,
            "attack": self.attack,
            "models": self.models,
            "points": self.points,
            "least_rate": self.least_rate,
            "readings": [reading.to_document() for reading in self.readings],
            "constant": [reading.to_document() for reading in self.constant],
            "snapshots": [snapshot.to_document() for snapshot in self.snapshots],
            "release": {
                "cycle": self.chosen.reading.cycle,
                "step": self.chosen.reading.step,
                "tolerance": self.tolerance,
            },
            "sentence": self.sentence,
            "comparison": self.comparison,
            "limits": list(self.limits),
            "memory": memory,
            "wall_s": round(self.wall_s, 3),
        }
