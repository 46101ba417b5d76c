"""``ostinato study``: claims about cyclical training, run and judged by rules that were fixed before."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ostinato.cli.console import err, out, print_json
from ostinato.errors import RunInterruptedError

__all__ = ["study"]

study = typer.Typer(
    name="study",
    help="Studies that test claims about cyclical training: list them, run them, rebuild the page of evidence.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class ProfileName(StrEnum):
    """How much of a study is run."""

    smoke = "smoke"
    full = "full"


_Name = Annotated[str, typer.Argument(help="A study, such as snapshot-ensemble.")]
_Root = Annotated[Path, typer.Option("--evidence", metavar="DIR", help="Folder of all evidence.")]
_Engine = Annotated[str, typer.Option(help="local: processes of this machine. ray: a Ray cluster.")]
_Workers = Annotated[int | None, typer.Option(min=1, help="Processes at once; by default one a core.")]
_EVIDENCE = Path("evidence")


@study.command("list")
def list_studies(
    evidence: _Root = _EVIDENCE,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """List every study with its claim and what its records say, and what was repeated on other data.

    Example: ostinato study list
    """
    from ostinato.studies import every
    from ostinato.studies.frame.summary import in_unit, summarise

    summaries = [summarise(study, evidence) for study in every()]
    if json:
        print_json([summary.to_document() for summary in summaries])
        return
    table = Table("study", "verdict", "effect", "95 % interval", "seeds", "claim")
    for summary in summaries:
        spec, primary = summary.study.spec, summary.primary
        cells = ("", "", "0")
        if primary is not None:
            low, high = (in_unit(spec.primary.metric, end) for end in primary.interval.to_document())
            cells = (in_unit(spec.primary.metric, primary.effect), f"{low} to {high}", str(primary.n))
        claim = f"{spec.repeats} again, on {spec.subject}" if spec.repeats else spec.claim
        table.add_row(spec.name, summary.verdict, *cells, claim)
    out.print(table)


@study.command("run")
def run_study(
    name: _Name,
    profile: Annotated[
        ProfileName, typer.Option(help="smoke tries the machinery and claims nothing; full is reported.")
    ] = ProfileName.smoke,
    seeds: Annotated[int | None, typer.Option(help="Reported seeds, at most as many as the study fixed.")] = None,
    engine: _Engine = "local",
    workers: _Workers = None,
    evidence: Annotated[
        Path | None,
        typer.Option("--evidence", metavar="DIR", help="Folder of all evidence; smoke runs use a temporary one."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Run what is still missing of a study, and judge it. It can be stopped and started again at any time.

    Example: ostinato study run snapshot-ensemble --profile smoke
    """
    from ostinato.studies import Runner, find
    from ostinato.studies.frame.summary import summarise

    chosen = find(name)
    with tempfile.TemporaryDirectory() as temporary, _bar() as bar:
        root = evidence or (Path(temporary) if profile is ProfileName.smoke else _EVIDENCE)
        task = bar.add_task("", total=None)

        def told(what: str, done: int, every: int) -> None:
            bar.update(task, description=what, completed=done, total=every)

        try:
            Runner(chosen, profile.value, root, seeds, engine, workers, told).run()
        except KeyboardInterrupt:
            raise RunInterruptedError(
                f"what was finished is kept; go on with: ostinato study run {name} --profile {profile.value}"
            ) from None
        summary = summarise(chosen, root, profile.value)
    if json:
        print_json(summary.to_document())
        return
    for judgement in summary.judgements:
        answer = "cells are missing" if judgement.verdict is None else judgement.verdict.sentence
        out.print(f"{judgement.regime.title}: {answer}")
    if profile is ProfileName.smoke:
        out.print("A smoke run shows that the study runs; its verdict claims nothing.")


def _bar() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


@study.command("freeze")
def freeze_study(name: _Name, evidence: _Root = _EVIDENCE) -> None:
    """Write a study's specification down; commit the file before the study runs.

    Example: ostinato study freeze restart-shapes
    """
    from ostinato.studies import EvidenceFolder, find

    file = EvidenceFolder(evidence, find(name).spec, "full").freeze()
    out.print(f"{file}: commit it, then: ostinato study run {name} --profile full")


@study.command("amend")
def amend_study(
    name: _Name,
    why: Annotated[str, typer.Option(help="The reason; it is shown on the page.")],
    evidence: _Root = _EVIDENCE,
) -> None:
    """Put a study's records aside, kept and shown, and freeze its specification as it is now.

    Example: ostinato study amend restart-shapes --why "the grid of rates was too narrow"
    """
    from ostinato.studies import EvidenceFolder, find

    file = EvidenceFolder(evidence, find(name).spec, "full").amend(why)
    out.print(f"{file}: commit it, then: ostinato study run {name} --profile full")


@study.command("pilot")
def pilot_study(
    name: _Name,
    seeds: Annotated[int, typer.Option(min=2, max=100, help="Development seeds.")] = 3,
    engine: _Engine = "local",
    workers: _Workers = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Try a study on development seeds: spread and cost alone, which sizes it without a look at who is ahead.

    Example: ostinato study pilot restart-shapes --seeds 4
    """
    from ostinato.studies import find
    from ostinato.studies.frame.pilot import pilot

    found = pilot(find(name), seeds, engine=engine, workers=workers)
    if json:
        print_json(found)
        return
    table = Table("regime", "pooled SD", "paired SD", "minutes a seed", "seeds for 80 %")
    for row in found:
        table.add_row(*(str(value) if isinstance(value, str | int) else f"{value:.4g}" for value in row.values()))
    out.print(table)


@study.command("instruments")
def measure_instruments(evidence: _Root = _EVIDENCE) -> None:
    """Measure the instruments: whether the interval covers, and whether the timing of an evaluation deceives. It takes some minutes.

    Example: ostinato study instruments
    """
    from ostinato.studies.frame.instruments import measure_instruments as measure

    out.print(f"{measure(evidence)}: shown by ostinato study report")


@study.command("report")
def report_studies(
    evidence: _Root = _EVIDENCE,
    page: Annotated[Path, typer.Option("--page", metavar="FILE", help="Where to write it.")] = Path("docs/EVIDENCE.md"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Rebuild the page of evidence and its figures from the records.

    Example: ostinato study report
    """
    from ostinato.studies.frame.page import write_page

    page.parent.mkdir(parents=True, exist_ok=True)
    summaries: Any = write_page(page, evidence)
    if json:
        print_json([summary.to_document() for summary in summaries])
    else:
        out.print(f"{page}: " + "; ".join(f"{one.study.spec.name} {one.verdict}" for one in summaries))
