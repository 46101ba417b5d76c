"""The page of evidence: ``docs/EVIDENCE.md``, rebuilt from the records alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ostinato import evaluation
from ostinato.atomic import read_json, write_bytes
from ostinato.evaluation import Decision
from ostinato.evaluation.decisions import told_needed
from ostinato.studies.frame.figure import draw
from ostinato.studies.frame.instruments import lines_of as instrument_lines
from ostinato.studies.frame.judging import Finding, Judgement
from ostinato.studies.frame.study import NAMES, find
from ostinato.studies.frame.summary import Summary, in_unit, summarise, unit_of

__all__ = ["write_page"]

_CLAIMS = 15
_HEAD = """# Evidence

Made by `ostinato study report` from the records under `evidence/`; do not edit.

Every claim is answered with **supported**, **not supported** or **inconclusive**. Effects are written comparator - claimed, so that a positive
number is as claimed; points are percentage points of error, % IQR percent of the interquartile range of true scores, % of E* percent of the size of the lowest energy known. With the 95 % interval [L, U] (studentised bootstrap over seeds) and the margin m fixed
before the run: *supported* is L > 0 and effect >= m, against the primary comparator and every required control; *not supported* is U < m against any of
them, harm included; *inconclusive* is the rest. A condition "no worse than -m" is met where L > -m and failed where U < -m. Intervals are conditional on the test images; the line "seeds x images" resamples both. Regimes are
never pooled. With {claims} claims and a rule that errs in 2.5 %, at most {false:.1f} false "supported" are to be expected; the Holm column adjusts the primary
contrasts' p values over the studies that have run.

| study | claim | verdict | effect | 95 % interval | margin | seeds | p (Holm) |
|---|---|---|---|---|---|---|---|
"""
_REPEATED = """
Specifications that were repeated on other data, everything else as it was frozen. They answer no claim of their own and are not counted above: they show
whether an answer hangs on the data.

| repetition | on | verdict there | verdict of the study | effect | 95 % interval | margin | seeds |
|---|---|---|---|---|---|---|---|
"""


def write_page(file: Path, root: Path) -> list[Summary]:
    """Write the page and its figures, and return what it says.

    Args:
        file: The page; figures go to ``pictures/evidence/`` beside it.
        root: Folder of all evidence.

    Raises:
        StorageError: Evidence cannot be read or the page cannot be written.
    """
    studies = [find(name) for name in NAMES]
    summaries = [summarise(study, root, images=True) for study in studies]
    repeated = [[summarise(each, root, images=True) for each in study.repetitions] for study in studies]
    pictures = file.parent / "pictures" / "evidence"
    pictures.mkdir(parents=True, exist_ok=True)
    everything = [*summaries, *(each for found in repeated for each in found)]
    drawn = {each.study.spec.name: draw(each, pictures) for each in everything if each.primary is not None}
    text = _HEAD.format(claims=_CLAIMS, false=_CLAIMS * 0.025) + "\n".join(_overview(summaries)) + "\n"
    text += _REPEATED + "\n".join(_repetitions(summaries, repeated)) + "\n"
    for summary, again in zip(summaries, repeated, strict=True):
        text += "\n" + "\n".join(_section(summary, again, drawn)) + "\n"
    text += "\n".join(instrument_lines(root)) + "\n"
    write_bytes(file, text.encode())
    return everything


def _overview(summaries: Sequence[Summary]) -> Iterator[str]:
    ran = [(summary, summary.primary) for summary in summaries]
    adjusted = iter(evaluation.holm([decision.p for _, decision in ran if decision is not None]))
    for summary, decision in ran:
        spec = summary.study.spec
        head = f"| [{spec.name}](#{spec.name}) | {spec.claim}"
        if decision is None:
            yield f"{head} | {summary.verdict} | | | | | |"
        else:
            yield f"{head} | **{summary.verdict}** | {_decided(summary, decision)} | {next(adjusted):.2g} |"


def _repetitions(summaries: Sequence[Summary], repeated: Sequence[Sequence[Summary]]) -> Iterator[str]:
    for first, found in zip(summaries, repeated, strict=True):
        for summary in found:
            spec, decision = summary.study.spec, summary.primary
            name = f"[{spec.name}](#{spec.name})" if summary.folder.frozen.exists() else spec.name
            head = f"| {name} | {spec.subject}"
            if decision is None:
                yield f"{head} | {summary.verdict} | {first.verdict} | | | | |"
            else:
                yield f"{head} | **{summary.verdict}** | {first.verdict} | {_decided(summary, decision)} |"


def _decided(summary: Summary, decision: Decision) -> str:
    """Return the primary contrast's cells: effect, interval, margin, seeds."""
    metric = summary.study.spec.primary.metric
    low, high = (in_unit(metric, end) for end in decision.interval.to_document())
    effect, margin = in_unit(metric, decision.effect), in_unit(metric, decision.margin, signed=False)
    return f"{effect} | {low} to {high} | {margin} | {decision.n}"


def _section(summary: Summary, repeated: Sequence[Summary], drawn: Mapping[str, Path]) -> Iterator[str]:
    spec = summary.study.spec
    yield f"## {spec.name}\n"
    yield f"*{spec.claim}*\n"
    yield f"- Source: {spec.source}."
    yield f"- Scope: {spec.scope}"
    yield f"- Margin: {spec.margin_reason}. Seeds: {spec.seeds}; {spec.sd}."
    yield f"- Data: {spec.data}."
    yield f"- Failed runs: {spec.failed}.\n"
    yield from _answers(summary, drawn, "###")
    for again in repeated:
        if not again.folder.frozen.exists():
            continue
        yield f"\n### {again.study.spec.name}\n"
        yield f"- Scope: {again.study.spec.scope}"
        yield f"- Seeds: {again.study.spec.seeds}; {again.study.spec.sd}."
        yield f"- Data: {again.study.spec.data}.\n"
        yield from _answers(again, drawn, "####")


def _answers(summary: Summary, drawn: Mapping[str, Path], level: str) -> Iterator[str]:
    """Yield what the records say: the picture, regime by regime, the settings, the attempts."""
    spec = summary.study.spec
    if spec.name in drawn:
        yield f"![effects of {spec.name}](pictures/evidence/{drawn[spec.name].name})\n"
    if summary.outdated:
        yield f"**No verdict**: {summary.outdated}\n"
    for place, judgement in enumerate(summary.judgements):
        yield from _regime(summary, judgement, level, headline=place == 0)
    if lines := summary.study.across(summary.folder.records()):
        yield "Across regimes:\n"
        yield from (f"- {line}" for line in lines)
        yield ""
    if not spec.repeats:
        yield "Arms: " + "; ".join(f"**{arm}** {text}" for arm, text in spec.arms.items()) + ".\n"
    yield from _settings(summary)
    yield from _attempts(summary)


def _regime(summary: Summary, judgement: Judgement, level: str, *, headline: bool) -> Iterator[str]:
    spec = summary.study.spec
    yield f"{level} {judgement.regime.title}{' (headline)' if headline else ''}\n"
    if judgement.verdict is None:
        yield f"No verdict: {judgement.missing} cells are missing.\n"
        return
    yield f"- Controlled: **{judgement.verdict.verdict}**. {_sentence(judgement)}"
    if judgement.literal is not None:
        literal = next(found for found in judgement.findings if found.contrast.role == "literal")
        yield f"- Literal ({_against(literal)}): **{judgement.literal.verdict}**, {_told(literal)}."
    records = [record for record in summary.folder.records() if record["regime"] == judgement.regime.name]
    for line in summary.study.remarks(records):
        yield f"- {line}"
    yield ""
    yield from summary.study.table(records)
    yield f"| arm | {spec.primary.metric} | 95 % interval | seeds |\n|---|---|---|---|"
    for arm, (mean, ends, count) in judgement.means.items():
        low, high = (in_unit(spec.primary.metric, end, signed=False) for end in ends)
        yield f"| {arm} | {in_unit(spec.primary.metric, mean, signed=False)} | {low} to {high} | {count} |"
    yield "\n| contrast | role | effect | 95 % interval | Student's t | seeds x images | margin | verdict | p (Holm) |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for finding in judgement.findings:
        yield _row(finding)
    yield ""


def _row(finding: Finding) -> str:
    contrast, decision = finding.contrast, finding.decision
    ends = [in_unit(contrast.metric, end) for end in (*decision.interval.to_document(), *finding.t_interval)]
    both = "" if finding.two_way is None else " to ".join(in_unit(contrast.metric, end) for end in finding.two_way)
    holm = "" if finding.p_holm is None else f"{finding.p_holm:.2g}"
    unit = unit_of(contrast.metric)
    verdict = f"{decision.verdict} ({finding.diverged} diverged)" if finding.diverged else decision.verdict
    return (
        f"| {_cell(contrast.name)} | {contrast.role} | {in_unit(contrast.metric, decision.effect)} {unit} | {ends[0]} to {ends[1]} | {ends[2]} to {ends[3]} |"
        f" {both} | {_margin(finding)} | {verdict} | {holm} |"
    )


def _margin(finding: Finding) -> str:
    margin = in_unit(finding.contrast.metric, finding.contrast.margin, signed=False)
    return f"no worse than -{margin}" if finding.contrast.no_worse else margin


def _sentence(judgement: Judgement) -> str:
    """Return the headline in words, in the metric's unit."""
    assert judgement.verdict is not None
    leading = [found for found in judgement.findings if found.contrast.role in ("primary", "required")]
    told = "; ".join(f"{_against(found)} {_told(found)}: {found.decision.verdict}" for found in leading)
    needed = judgement.verdict.n_needed
    open_still = judgement.verdict.verdict == "inconclusive" and needed
    more = f" {_sentence_case(told_needed(needed, 'seeds'))}." if open_still else ""
    return f"{told}.{more}"


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]


def _against(finding: Finding) -> str:
    """Return the comparator of a difference; an interaction has none, and goes by its name."""
    weights = finding.contrast.weights
    if len(weights) > 2:
        return finding.contrast.name
    return "against " + " and ".join(arm for arm, weight in weights.items() if weight > 0)


def _told(finding: Finding) -> str:
    metric, decision = finding.contrast.metric, finding.decision
    low, high = (in_unit(metric, end) for end in decision.interval.to_document())
    unit = unit_of(metric)
    asked = f", asked to be {_margin(finding)}" if finding.contrast.no_worse else ""
    return f"{in_unit(metric, decision.effect)} {unit} ({low} to {high}{asked})"


def _settings(summary: Summary) -> Iterator[str]:
    spec = summary.study.spec
    tuned = summary.folder.tuned()
    if tuned is None or spec.tuning is None:
        return
    yield f"Settings chosen on {spec.tuning.seeds} development seeds by {spec.tuning.metric.replace('_', ' ')} (value: mean):\n"
    yield "| regime | arm | chosen | whole curve |\n|---|---|---|---|"
    for regime, found in tuned["regimes"].items():
        for arm, curve in found["curves"].items():
            told = ", ".join(f"{value:g}: {_score(spec.tuning.metric, score)}" for value, score in curve)
            chosen = ", ".join(f"{name} {value:g}" for name, value in found["chosen"][arm].items())
            yield f"| {regime} | {arm} | {chosen}{' (at the edge)' if arm in found['at_edge'] else ''} | {told} |"
    yield ""


def _cell(text: str) -> str:
    """Return text as a cell of a table holds it: a bar in it would begin another cell."""
    return text.replace("|", "\\|")


def _score(metric: str, score: float | None) -> str:
    if score is None:
        return "diverged"
    percent = "%" if unit_of(metric) == "points" else ""
    return f"{in_unit(metric, score, signed=False)}{percent}"


def _attempts(summary: Summary) -> Iterator[str]:
    folder = summary.folder
    events = [line["event"] for line in folder.ledger()]
    wall = sum(record["wall_s"] for record in folder.records())
    yield (
        f"Attempts: {events.count('start')} starts, {events.count('end')} ended, {events.count('stopped')} stopped (`{folder.path.name}/ledger.jsonl`)."
        f" The records took {wall / 60:.0f} process-minutes, a run that several arms share counted for each. To run it again: `ostinato study run {summary.study.spec.name} --profile full`.\n"
    )
    for line in folder.amendments():
        place = folder.path / "superseded" / line["kept"]
        verdict = read_json(place / "verdict.json") if (place / "verdict.json").exists() else {"verdict": "not run"}
        yield f"- Amended {line['at'][:10]}: {line['why']} (superseded verdict: {verdict['verdict']}, records in `superseded/{line['kept']}`)."
