"""The page of an audit: one self-contained HTML file."""

from __future__ import annotations

import base64
from pathlib import Path

from ostinato.applications.privacy.auditing.picture import draw
from ostinato.applications.privacy.auditing.result import Audit, SnapshotLeak
from ostinato.atomic import write_bytes, write_json
from ostinato.errors import StorageError
from ostinato.training.report.document import html_document, section
from ostinato.training.report.markup import DASH, Markup, duration, number, percent, table, tag

__all__ = ["render", "save_audit"]


def render(audit: Audit, picture: bytes | None = None) -> str:
    """Return the page; `picture` is that of `draw`, drawn if it is not given."""
    image = base64.b64encode(draw(audit) if picture is None else picture).decode("ascii")
    shown = tag("img", src=f"data:image/png;base64,{image}", alt=_described(audit), style=None, width="100%")
    body = tag(
        "main",
        _header(audit),
        section("course", "Phase by phase", tag("div", shown, class_="panel")),
        section("snapshots", "Snapshots", tag("p", _HINT, class_="hint"), _snapshots(audit)),
        section("memory", "What the rate does to memory", *_memory(audit)) if audit.memory is not None else Markup(""),
        section(
            "limits", "What this cannot promise", tag("ul", *(tag("li", line, class_="more") for line in audit.limits))
        ),
        section("phases", "Every phase", _phases(audit)),
    )
    return html_document(f"{audit.data} audit", body)


_HINT = (
    "Area: the chance that the attack ranks a member above a non-member; 0.5 is a coin. TPR: the share of members that are named at that share of false"
    " alarms. Intervals are over models. Early-stopped: a constant rate of the same mean where it first is as accurate"
    " (*: never; where it is most accurate)."
)


def _header(audit: Audit) -> Markup:
    brand = tag("p", tag("b", "ostinato"), " privacy audit", class_="brand")
    about = tag("p", tag("b", audit.model), " on ", tag("b", audit.data), class_="about")
    words = [tag("p", audit.sentence, class_="lead")]
    words += [tag("p", audit.comparison, class_="more")] if audit.comparison else []
    words.append(tag("p", audit.limits[1], class_="more"))
    facts = [
        ("attack", audit.attack), ("models", str(audit.models)), ("points", str(audit.points)),
        ("plan", audit.plan_digest[:12]), ("wall time", duration(audit.wall_s)),
    ]  # fmt: skip
    listed = tag("dl", *(tag("div", tag("dt", k), tag("dd", v)) for k, v in facts), class_="facts")
    intro = tag("div", brand, tag("h1", "What the snapshots give away"), about, *words, class_="intro")
    return tag("header", tag("div", intro, class_="hero"), listed)


def _snapshots(audit: Audit) -> Markup:
    rates = list(audit.snapshots[0].tpr)
    own = any(snapshot.own for snapshot in audit.snapshots)
    named = [f"TPR at {100 * rate:g} %" for rate in rates]
    head = ["cycle", "updates", "accuracy", "area (95 %)", *named, "loss attack", "early-stopped (95 %)"]
    rows = [[*head, "this run's own"] if own else head]
    for place, snapshot in enumerate(audit.snapshots):
        rows.append([*_row(snapshot, mark=place == audit.release), *([_own(snapshot)] if own else [])])
    return table(rows, caption="What each snapshot leaks")


def _row(snapshot: SnapshotLeak, *, mark: bool) -> list[str]:
    reading, stopped = snapshot.reading, DASH
    if snapshot.stopped is not None:
        stopped = f"{snapshot.stopped:.3f}{'' if snapshot.reached else ' *'} ({snapshot.stopped_interval})"
    return [
        f"{reading.cycle + 1}{' (release)' if mark else ''}",
        str(reading.step + 1),
        percent(reading.accuracy, 2),
        f"{reading.auc:.3f} ({reading.interval})",
        *(DASH if value is None else percent(value, 2) for value in snapshot.tpr.values()),
        f"{snapshot.loss_auc:.3f}",
        stopped,
    ]


def _own(snapshot: SnapshotLeak) -> str:
    return DASH if snapshot.own is None else f"{snapshot.own['auc']:.3f} at {100 * snapshot.own['accuracy']:.2f} %"


def _memory(audit: Audit) -> list[Markup]:
    assert audit.memory is not None
    fit, told = audit.memory, audit.memory.memory
    rows = [["constant", "value", "95 %"]]
    rows += [[name, number(getattr(told, name)), str(interval)] for name, interval in fit.intervals.items()]
    words = (
        "ds/dt = learning · r · (1 - s), dm/dt = grip · r · (s - m) - forgetting · r² · m, area = 0.5 + scale · m, with r the rate and t in updates, fitted to the plan"
        f" and to the constant rate together: it explains {100 * fit.explained:.0f} % of their variance."
    )
    return [tag("p", words, class_="hint"), table(rows, caption="Constants of memory")]


def _phases(audit: Audit) -> Markup:
    rows = [["updates", "cycle", "phase", "rate", "area", "95 %", "accuracy"]]
    for reading in audit.readings:
        phase = DASH if reading.phase is None else f"{reading.phase:.2f}"
        rows.append([
            str(reading.step + 1), str(reading.cycle + 1), phase, number(reading.rate), f"{reading.auc:.3f}", str(reading.interval), percent(reading.accuracy, 2),
        ])  # fmt: skip
    return tag("details", tag("summary", "Values as a table"), table(rows, caption="Every evaluation"))


def _described(audit: Audit) -> str:
    first, last = audit.snapshots[0].reading, audit.snapshots[-1].reading
    return (
        f"Area of the attack, accuracy and rate over the run, with 95 % bands: {first.auc:.3f} at the first snapshot, {last.auc:.3f} at the last;"
        f" and the area against the accuracy."
    )


def save_audit(audit: Audit, folder: str | Path) -> Path:
    """Write ``audit.json``, ``audit.png`` and ``audit.html`` into a folder, each whole or not at all, and return the page's path.

    Raises:
        StorageError: The folder cannot be written.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{place}: cannot be made ({error.strerror or error}); choose another --out") from None
    picture = draw(audit)
    write_json(place / "audit.json", audit.to_document())
    write_bytes(place / "audit.png", picture)
    write_bytes(place / "audit.html", render(audit, picture).encode())
    return place / "audit.html"
