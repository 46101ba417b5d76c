"""Showing what came out of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from ostinato.cli.console import out

if TYPE_CHECKING:
    from ostinato.search import Search

__all__ = ["show_search"]

_SHOWN = 5


def show_search(done: Search) -> None:
    """Print the best trials, what mattered, the baseline, and where to look."""
    document = done.document
    counts = ", ".join(f"{count} {status}" for status, count in document["trials"].items() if count)
    out.print(f"{document['study']}: {counts}; {document['cost']['steps']:,} updates")
    if document["best"] is None:
        out.print("No trial was scored; the reason stands with each trial in the storage.")
        return
    out.print(_trials(done))
    out.print(_importance(document))
    _show_baseline(document)
    out.print(f"best plan: {done.folder.best} (ostinato train {done.folder.best})")
    for picture in done.pictures:
        out.print(f"picture: {picture}")


def _trials(done: Search) -> Table:
    objective = done.document["search"]["objective"]
    best = sorted((row for row in done.trials if row.score is not None), key=lambda row: (row.score, row.number))[
        :_SHOWN
    ]
    fields = list(done.document["importance"])
    table = Table(title=f"the best of {len(done.trials)} trials", title_justify="left")
    for column in ("trial", f"{objective['metric']}, {objective['moment']}", *fields):
        table.add_column(column, justify="right")
    for row in best:
        assert row.score is not None
        shown = _score(objective["metric"], row.score)
        table.add_row(str(row.number), shown, *(_short(row.values.get(name)) for name in fields))
    return table


def _short(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _importance(document: dict[str, Any]) -> str:
    known = {name: share for name, share in document["importance"].items() if share is not None}
    if not known:
        return "importance: not told by so few scores"
    return "importance: " + ", ".join(
        f"{name} {share:.0%}" for name, share in sorted(known.items(), key=lambda pair: -pair[1])
    )


def _show_baseline(document: dict[str, Any]) -> None:
    baseline = document["baseline"]
    if baseline is None:
        return
    metric = document["search"]["objective"]["metric"]
    best = "none" if baseline["best"] is None else _score(metric, baseline["best"])
    out.print(
        f"at the same cost, a range test (peak {baseline['rate']:.3g}) and five cosine cycles: best of {baseline['runs']} seeds {best}"
    )
    confirmed = baseline["confirmed"]
    if confirmed is not None:
        ours, theirs = (_score(metric, confirmed[side]) for side in ("search", "baseline"))
        out.print(
            f"both under {confirmed['seeds']} fresh seeds on {confirmed['examples']:,} test examples: search {ours}, baseline {theirs};"
            f" that the search is better is [bold]{confirmed['gain']['verdict']}[/bold]"
        )


def _score(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric == "error" else f"{value:.4f}"
