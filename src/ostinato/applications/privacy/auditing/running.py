"""Running an audit: shadow models under the plan and under a constant rate, attacked at every phase."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato import controls
from ostinato.applications.privacy.auditing.result import Audit, Reading, SnapshotLeak, to_release
from ostinato.applications.privacy.auditing.subject import Subject, of_config, of_run
from ostinato.applications.privacy.leaks import FALSE_ALARMS, auc, leak, matched
from ostinato.applications.privacy.memory import MemoryFit, fit_memory
from ostinato.applications.privacy.scores import Bools, Floats, confidence, lira
from ostinato.applications.privacy.shadowing import Progress, lead_of, train_shadows
from ostinato.applications.privacy.shadows import Attack, Shadows, halves, over_pairs
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError
from ostinato.evaluation import Interval, at_phases, studentised_bootstrap
from ostinato.training import RunConfig

__all__ = ["audit"]

_ATTACKS = ("lira", "lira-offline", "loss")
_RATES = (0.01, 0.001)
_PHASES = 8
_BATCH = 512


def audit(
    subject: str | Path | RunConfig,
    *,
    models: int = 16,
    attack: Attack = "lira",
    tolerance: float = 0.005,
    seed: int = 0,
    progress: Progress | None = None,
) -> Audit:
    """Audit a training recipe by membership inference, phase by phase.

    `models` models are trained under the plan, and as many under a constant rate of the same mean, each on one half of all examples (training and test
    ones: members and non-members then come from one draw). Each is attacked at eight phases of every cycle with the models of the other pairs, at
    the same phase. The snapshots of a run are attacked by all of them at the ends of their cycles.

    Args:
        subject: The folder of a finished run of `ostinato train`, or a configuration: any model and data by factory.
        models: K, even, at least 6. The more, the stronger the attack and the narrower the intervals.
        attack: ``"lira"``, ``"lira-offline"`` or ``"loss"``.
        tolerance: Accuracy that may be given up for a smaller leak.
        seed: Of halves and weights.
        progress: Is told (member-steps done, in all).

    Raises:
        ConfigError: There is no finished run, or it cannot be audited so.
        DataError: The data cannot be divided, or is not in memory.
        RunInterruptedError: A shadow model diverged.
    """
    begun = time.monotonic()
    if attack not in _ATTACKS:
        raise ConfigError(f"attack: got {attack!r}, expected one of {', '.join(_ATTACKS)}")
    if models < 6 or models % 2:  # two further pairs, of which a variance can be told
        raise ConfigError(
            f"models: got {models}, expected an even number of at least 6 shadow models: pairs that share the examples"
        )
    if not 0.0 <= tolerance < 1.0:
        raise ConfigError(f"tolerance: got {tolerance!r}, expected an accuracy from 0 to 1")
    about = of_config(subject) if isinstance(subject, RunConfig) else of_run(subject)
    plans = _plans(about)
    inside = halves(len(about.labels), models, seed)
    made, _ = train_shadows(
        about.make, plans, (about.inputs, about.labels), inside, when=at_phases(_PHASES), optimizer=about.optimizer,
        optimizer_options=about.options, batch_size=about.batch_size, drop_last=len(about.labels) // 2 >= about.batch_size,
        seeds=np.random.SeedSequence([seed, 16_180]).generate_state(models).tolist(), progress=progress,
    )  # fmt: skip
    areas = [shadows.auc(attack) for shadows in made]
    readings = [_readings(shadows, area) for shadows, area in zip(made, areas, strict=True)]
    ends = np.flatnonzero(made[0].phase == 1.0)
    own = _own(about, made[0], ends)
    snapshots = tuple(
        _snapshot(made, areas, readings[0][e], int(e), (attack, own.get(int(made[0].cycle[e])))) for e in ends
    )
    return Audit(
        about.name, about.model, plans[0].digest, attack, models, len(about.labels), FALSE_ALARMS / (models * (len(about.labels) // 2)),
        readings[0], readings[1] if len(made) > 1 else (), snapshots, to_release(snapshots, tolerance), tolerance,
        _memory(plans, made, areas), time.monotonic() - begun,
    )  # fmt: skip


def _plans(about: Subject) -> list[ResolvedPlan]:
    """Return the plan and, where it drives a rate, the constant rate of the same mean, as the shadow models follow them."""
    half = len(about.labels) // 2
    per_epoch = max(half // about.batch_size, 1)
    rates: dict[str, Any] = {"steps_per_epoch": per_epoch, "samples_per_step": about.batch_size}
    plan = about.plan.resolve(**rates)
    if not any(span.complete for span in plan.cycles):
        raise ConfigError(
            "audit: the plan completes no cycle within the shadow models' epochs, so that there is no snapshot to release; give it a cycle, or a longer total"
        )
    if lead_of(plan) is None:
        return [plan]
    return [plan, controls.constant(about.plan, **rates).resolve(**rates)]


def _readings(shadows: Shadows, areas: Floats) -> tuple[Reading, ...]:
    def known(value: float) -> float | None:
        return float(value) if np.isfinite(value) else None

    return tuple(
        Reading(
            int(shadows.steps[e]),
            int(shadows.cycle[e]),
            known(shadows.phase[e]),
            known(shadows.rate[e]),
            float(areas[e].mean()),
            over_pairs(areas[e]),
            float(shadows.accuracy[e].mean()),
        )
        for e in range(len(areas))
    )


def _snapshot(
    made: Sequence[Shadows],
    areas: Sequence[Floats],
    reading: Reading,
    e: int,
    how: tuple[Attack, Mapping[str, float] | None],
) -> SnapshotLeak:
    attack, own = how
    shadows = made[0]
    at = shadows.only(e)
    scores = next(iter(at.scores(attack)))
    tpr = leak(scores.ravel(), shadows.inside.ravel(), rates=_RATES).tpr
    loss = float(at.auc("loss").mean())
    if len(made) == 1:
        return SnapshotLeak(reading, loss, tpr, own=own)
    accuracy, leaks = _pairs(made[1].accuracy), _pairs(areas[1])
    wanted = _pairs(shadows.accuracy)[e]
    whole, reached = matched(accuracy.mean(axis=1), leaks.mean(axis=1), wanted.mean())
    return SnapshotLeak(
        reading, loss, tpr, float(whole[0]), _jackknifed(accuracy, leaks, wanted), bool(reached[0]), own
    )


def _pairs(values: Floats) -> Floats:
    """Return means over the pairs of models, (E, K / 2), of (E, K)."""
    found: Floats = values.reshape(len(values), -1, 2).mean(axis=2)
    return found


def _jackknifed(accuracy: Floats, leaks: Floats, wanted: Floats) -> Interval:
    """Return the interval of the early-stopped leak over pairs, from jackknife pseudo-values."""

    def read(kept: Bools) -> float:
        return float(matched(accuracy[:, kept].mean(axis=1), leaks[:, kept].mean(axis=1), wanted[kept].mean())[0][0])

    count = len(wanted)
    every = np.ones(count, np.bool_)
    whole = read(every)
    left = [read(np.arange(count) != k) for k in range(count)]
    return studentised_bootstrap([count * whole - (count - 1) * one for one in left])


def _own(about: Subject, shadows: Shadows, ends: NDArray[np.int64]) -> dict[int, dict[str, float]]:
    """Attack the run's own snapshots with all shadow models at the same cycle's end; by cycle."""
    ensemble = about.snapshots
    if ensemble is None:
        return {}
    parts = [ensemble.member_outputs(part).float().cpu() for part in torch.split(about.inputs, _BATCH)]
    logits = torch.cat(parts, dim=1).numpy()
    labels = about.labels.numpy()
    among = np.arange(len(labels)) < about.trained
    found = {}
    for member, outputs in zip(ensemble.members, logits, strict=True):
        at = [int(e) for e in ends if shadows.cycle[e] == member.cycle]
        if not at or among.all():
            continue
        own = confidence(outputs, labels)
        found[member.cycle] = {
            "auc": float(auc(lira(own, shadows.confidences[at[0]], shadows.inside), among)),
            "loss_auc": float(auc(own, among)),
            "accuracy": float((outputs.argmax(axis=-1) == labels)[~among].mean()),
        }
    return found


def _memory(plans: Sequence[ResolvedPlan], made: Sequence[Shadows], areas: Sequence[Floats]) -> MemoryFit | None:
    if len(plans) == 1:
        return None
    courses = []
    for plan, shadows, area in zip(plans, made, areas, strict=True):
        lead = lead_of(plan)
        assert lead is not None
        courses.append((plan.table()[lead], shadows.steps, _pairs(area)))
    return fit_memory(courses)
