"""The page: header, score, members, plan, commands and environment in one file without network."""

from __future__ import annotations

from ostinato.training.report.charts import hero_strip, line_stride, score, values_table
from ostinato.training.report.document import asset, html_document, section
from ostinato.training.report.lanes import Lane, build_lanes, lanes_document
from ostinato.training.report.markup import Markup, data_island, duration, join, number, table, tag
from ostinato.training.report.members import members_section, part
from ostinato.training.report.model import RunReport
from ostinato.training.report.summary import cards, sentences

__all__ = ["render"]


def render(report: RunReport) -> str:
    """Write the whole page as one HTML document.

    The same report gives the same text. The page loads nothing: a content security policy allows its own style
    and script alone, by their SHA-256. It is readable without JavaScript; with it, a cursor reads all lanes.

    Args:
        report: what to show.

    Returns:
        The document; write it as UTF-8.

    >>> page = render(RunReport("a", "digits", "mlp", 0, 10, None, 0, [(0, 10)], [], [], [], [], None,
    ...     "version = 1", [["target"]], "ostinato train", None, {}, None, "complete"))
    >>> page.startswith("<!doctype html>")
    True
    """
    lanes = build_lanes(report)
    body = tag("main", _header(report), _score_section(report, lanes), _members(report), _plan(report), _again(report))
    island = data_island(lanes_document(report, lanes), id_="run-data")
    return html_document(report.title, body, island, script=asset("script.js"))


def _header(report: RunReport) -> Markup:
    state = tag("span", report.status, class_=f"badge {report.status}")
    name = tag("h1", report.title)
    about = tag("p", tag("b", report.model), " on ", tag("b", report.data), " ", state, class_="about")
    lead, *rest = sentences(report)
    words = [tag("p", lead, class_="lead"), *(tag("p", line, class_="more") for line in rest)]
    brand = tag("p", tag("b", "ostinato"), " training report", class_="brand")
    top = tag("div", tag("div", brand, name, about, *words, class_="intro"), hero_strip(report), class_="hero")
    return tag("header", top, cards(report), _facts(report))


def _facts(report: RunReport) -> Markup:
    steps = f"{report.total_steps:,}".replace(",", "\u202f")
    facts = [("seed", str(report.seed)), ("steps", steps)]
    if report.steps_per_epoch:
        facts.append(("epochs", number(report.total_steps / report.steps_per_epoch)))
    facts += [("cycles", str(len(report.cycles))), ("warm-up", f"{report.warmup} steps")]
    facts.append(("wall time", duration(report.wall_s)))
    examples = part(report.evaluation, "examples")
    if examples is not None:
        facts.append(("test examples", str(examples)))
    facts += [(k, report.environment[k]) for k in ("ostinato", "torch", "python") if k in report.environment]
    return tag("dl", *(tag("div", tag("dt", k), tag("dd", v)) for k, v in facts), class_="facts")


def _score_section(report: RunReport, lanes: list[Lane]) -> Markup:
    stride = line_stride(report)
    words = [
        "Every scheduled value on one clock. Vertical lines are cycle ends",
        ", a dot above them is a snapshot" if report.snapshots else "",
        ", the shaded part is warm-up" if report.warmup else "",
        ".",
        f" Every {stride}th cycle end has a line; at this scale the lanes show the range that is swept."
        if stride > 2
        else "",
    ]
    scrub = tag(
        "input",
        type="range",
        id="scrub",
        min="0",
        max=max(0, report.total_steps - 1),
        value=max(0, report.total_steps - 1),
        step="1",
        aria_label="Step to read; page keys jump between cycles",
    )
    when = tag("output", "", id="when", for_="scrub")
    how = tag("span", "Move over the lanes, or use the slider: arrow keys step, page keys jump a cycle.", class_="how")
    cursor = tag("div", when, how, tag("div", scrub, class_="track"), class_="reader", id="reader", hidden=True)
    values = tag("details", tag("summary", "Values as a table"), values_table(report, lanes))
    return section(
        "score",
        "The rhythm",
        tag("p", *words, class_="hint"),
        tag("div", cursor, score(report, lanes), class_="panel"),
        values,
    )


def _members(report: RunReport) -> Markup:
    count = len(report.snapshots)
    title = "Members and ensemble"
    if report.evaluation is None:
        why = (
            "No snapshot was taken, so there are no members to compare and no ensemble."
            if count == 0
            else f"{count} snapshot{'s' if count != 1 else ''} taken, not evaluated yet."
        )
        return section("members", title, tag("p", why, class_="empty"))
    found = part(report.evaluation, "members") or []
    if not found:
        return section(
            "members", title, tag("p", "No snapshot was taken, so there are no members to compare.", class_="empty")
        )
    lone = "" if len(found) > 1 else "One snapshot: the ensemble is that member, and there is nothing to disagree with."
    hint = tag("p", lone, class_="hint") if lone else Markup("")
    best = part(report.evaluation, "best_member", "step")
    return section("members", title, hint, members_section(report.evaluation, best))


def _code(title: str, source: str, id_: str) -> Markup:
    button = tag(
        "button", "Copy", type="button", class_="copy", data_copy=id_, hidden=True, aria_label=f"Copy: {title}"
    )
    block = tag("pre", tag("code", source), id=id_, tabindex="0", role="region", aria_label=title)
    return tag("div", tag("div", tag("h3", title), button, class_="code-head"), block, class_="code")


def _plan(report: RunReport) -> Markup:
    rows = table(report.plan_rows, caption="Resolved plan", class_="data plan-rows")
    return section("plan", "The plan", rows, _code("Resolved plan as TOML", report.plan_toml, "plan-toml"))


def _again(report: RunReport) -> Markup:
    blocks = [_code("Run it again", report.command, "command")]
    if report.resume_command is not None:
        blocks.append(_code("Resume it", report.resume_command, "resume-command"))
    rows = [["name", "version or value"], *([k, v] for k, v in report.environment.items())]
    where = [tag("h3", "Environment"), table(rows, caption="Environment")] if report.environment else []
    return section("again", "Again", join(blocks), *where)
