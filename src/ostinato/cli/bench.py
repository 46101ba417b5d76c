"""``ostinato bench``: what it costs, as ratios against the peers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ostinato.cli.console import err, out, print_json
from ostinato.errors import ConfigError

__all__ = ["bench"]


def bench(
    name: Annotated[str, typer.Argument(help="A benchmark, or all.")] = "all",
    document: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Write the page docs/BENCHMARKS.md is, with the machine named."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Measure what Ostinato costs beside its peers, in one process and in turn. Leave the machine alone meanwhile.

    Example: ostinato bench overhead
    """
    from ostinato.bench import machine, run
    from ostinato.bench.suite import names_of

    rows = run(names_of(name), told=lambda benchmark: err.print(f"{benchmark} ..."))
    if not rows:
        raise ConfigError(
            f"bench: {name} reads the records under evidence/, and there are none here; run it in a checkout"
        )
    result: dict[str, Any] = {"benchmarks": [row.to_document() for row in rows], "machine": machine()}
    if document is not None:
        from ostinato.bench.page import write_page

        write_page(document, result)
    if json:
        print_json(result)
        return
    table = Table("benchmark", "ratio", "spread", "must reach", "aim", "holds")
    for row in rows:
        sign = ">=" if row.higher else "<="
        low, high = row.spread
        table.add_row(
            row.name,
            f"{row.ratio:.3g}",
            f"{low:.3g} to {high:.3g}",
            *_targets(row.reach, row.aim, sign),
            {True: "yes", False: "no", None: "-"}[row.holds],
        )
    out.print(table)


def _targets(reach: float | None, aim: float | None, sign: str) -> tuple[str, str]:
    return ("-" if reach is None else f"{sign} {reach:g}", "-" if aim is None else f"{sign} {aim:g}")
