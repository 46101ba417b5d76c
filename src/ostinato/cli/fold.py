"""``ostinato fold``: the lowest energy of an AB chain, from many starts at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ostinato.cli.console import out, print_json, sparkline
from ostinato.cli.options import Json
from ostinato.errors import ConfigError, RunInterruptedError

if TYPE_CHECKING:
    from ostinato.applications.folding import Folding
    from ostinato.core.plan import Plan

__all__ = ["fold"]

_SPARK = 60
_SCHEMA = "ostinato.fold/1"


def fold(
    sequence: Annotated[
        str, typer.Argument(help="Beads (ABBAB), amino acids (NLYIQWLKDGG), F13, F21, ..., or a .pdb or .cif file.")
    ],
    model: Annotated[
        str, typer.Option(help="I, II or azimuth: energies of different models cannot be compared.")
    ] = "I",
    dim: Annotated[int, typer.Option(help="2 or 3; model II and azimuth are defined in 3.")] = 3,
    method: Annotated[str, typer.Option(help="basin-hopping, lbfgs, plan or noise.")] = "basin-hopping",
    chains: Annotated[int, typer.Option(min=1, help="Random starts, folded at once.")] = 64,
    evaluations: Annotated[
        int | None,
        typer.Option(
            min=20, help="Energies or gradients that each start may use.  [default: 10000, or what the plan asks for]"
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="A plan file that drives optimizer.lr, and noise.scale.  [default: ten cosine cycles, or one with noise]"
        ),
    ] = None,
    chain: Annotated[str | None, typer.Option(help="Chain of the file.  [default: its first protein]")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    folder: Annotated[
        Path | None, typer.Option("--out", help="A folder to make, for result.json and fold.png.")
    ] = None,
    json: Json = False,
) -> None:
    """Fold a chain of the AB off-lattice model: a toy with a rugged energy, not a predictor of structure.

    Example: ostinato fold F13 --model azimuth --out folds/f13
    """
    from ostinato.applications import folding
    from ostinato.applications.folding.structures import chain_of

    named, followed = chain_of(sequence, chain), _plan_of(plan, method)
    if folder is not None and os.path.lexists(folder):
        raise ConfigError(f"--out: {str(folder)!r} is there already; choose another name")
    with _told() as (progress, stopped):
        found = folding.fold(
            named.sequence, model, dim, method=method, chains=chains, evaluations=evaluations, plan=followed, seed=seed, progress=progress
        )  # fmt: skip
    document = {"schema": _SCHEMA, "name": named.name, "residues": named.residues, "seed": seed, **found.to_document()}
    if folder is not None:
        _write(folder, found, document)
    if stopped():
        kept = f"the best fold so far is kept in {folder}" if folder is not None else "nothing is kept without --out"
        raise RunInterruptedError(f"stopped at energy {found.best:.4f}; {kept}")
    if json:
        print_json(document)
    else:
        _show(found, named.name, folder)


def _plan_of(file: Path | None, method: str) -> Plan | None:
    if file is None:
        return None
    if method not in ("plan", "noise"):
        raise ConfigError(f"--plan: method {method} follows none; add --method plan, or --method noise")
    from ostinato.core.plan import Plan

    return Plan.load(file)


@contextmanager
def _told() -> Iterator[tuple[Callable[[int, int, float], bool], Callable[[], bool]]]:
    """Show a bar on a terminal; let the first Ctrl-C end the search, not the program."""
    from ostinato.cli.bar import Bar
    from ostinato.training.signals import StopRequest

    with StopRequest() as request, Bar() as bar:

        def told(done: int, every: int, lowest: float) -> bool:
            bar("fold", done, every, f"lowest energy {lowest:.4f}")
            return request.name is not None

        yield told, lambda: request.name is not None


def _write(folder: Path, found: Folding, document: dict[str, Any]) -> None:
    from ostinato.applications.folding.picture import save_picture
    from ostinato.atomic import write_json
    from ostinato.folders import make_folder

    make_folder(folder)
    save_picture(found, folder / "fold.png")
    write_json(folder / "result.json", document)


def _show(found: Folding, name: str, folder: Path | None) -> None:
    out.print(f"[bold]{name}[/bold], model {found.model} in {found.dim}D: energy {found.best:.4f}", end="")
    if found.reference is None:
        out.print("; no reference is known for it")
    else:
        out.print(
            f"; reference {found.reference.energy:.4f} ({found.reference.name}), gap {round(found.best - found.reference.energy, 4) + 0.0:.4f}"
        )
    out.print(
        f"{sparkline(found.lowest.clip(max=0.0).tolist(), _SPARK)}  lowest energy so far, from 0 down, over the evaluations"
    )
    hits = found.hits(None if found.reference is not None else found.best)
    assert hits is not None
    what = "found the reference" if found.reference is not None else "found that energy"
    out.print(
        f"{hits.count} of {hits.chains} starts {what}: {hits.share:.1%} ({hits.interval.low:.1%} to {hits.interval.high:.1%}); {found.evaluations:,} evaluations"
    )
    if folder is not None:
        out.print(f"wrote {folder / 'result.json'} and {folder / 'fold.png'}")
