"""The application: its commands, and how it ends."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

import typer
from pydantic import ValidationError

from ostinato._version import __version__
from ostinato.cli import audit, bench, compare, evaluate, export, fold, preview, range_test, search, study, train
from ostinato.errors import FollowedError, OstinatoError, OstinatoWarning, RunInterruptedError

__all__ = ["app", "run"]

DONE, WRONG, INTERRUPTED = 0, 2, 3
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
"""What every error of usage is: click's ``ClickException`` in the typer that Flower asks for, typer's own class in later ones."""
_STOPPED = 130  # how typer tells of Ctrl-C outside a command's own care

app = typer.Typer(
    name="ostinato",
    help="One clock for every hyperparameter, snapshots at every cycle's end, and an honest answer to 'did cycling help?'.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (
    train.train,
    compare.compare,
    preview.preview,
    search.search,
    evaluate.evaluate,
    audit.audit,
    export.export,
    fold.fold,
    bench.bench,
):
    app.command()(_command)
app.command("range-test")(range_test.range_test)
app.add_typer(study.study)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ostinato {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """One clock for every hyperparameter, snapshots at every cycle's end, and an honest answer to 'did cycling help?'."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status."""
    warnings.showwarning = _show_warning
    warnings.filterwarnings("always", category=OstinatoWarning)
    _show_logs()
    try:
        status = typer.main.get_command(app).main(list(arguments), prog_name="ostinato", standalone_mode=False)
    except typer.Exit as end:
        if end.exit_code == _STOPPED:
            return _fail("nothing was lost that a checkpoint holds", INTERRUPTED, word="interrupted")
        return int(end.exit_code)
    except FollowedError:  # the leading process speaks, and its status counts
        return DONE
    except RunInterruptedError as stop:
        return _fail(str(stop), INTERRUPTED, word="interrupted")
    except (KeyboardInterrupt, typer.Abort):
        return _fail("nothing was lost that a checkpoint holds", INTERRUPTED, word="interrupted")
    except _UsageError as error:
        return _fail(f"{_in_words(error)} (see: ostinato {_command_of(arguments)}--help)", WRONG)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (OstinatoError, OSError) as error:
        return _fail(str(error), WRONG)
    return status if isinstance(status, int) else DONE


def _in_words(error: Any) -> str:
    """Return what is wrong with the usage, with the value that arrived."""
    text: str = error.format_message().rstrip(".").replace("Value error, ", "")
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        given = cause.errors(include_url=False)[0]["input"]
        text = text.replace("Input should be", f"got {given!r}, expected").partition(", unable to parse")[0]
    return text


def _show_logs() -> None:
    """Show other packages' log messages as notes, but not what Fabric tells about its processes."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("note: %(message)s"))
    handler.addFilter(lambda record: record.levelno >= logging.ERROR or not record.name.startswith("lightning"))
    logging.basicConfig(handlers=[handler])


def _command_of(arguments: Sequence[str]) -> str:
    names = {
        command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands
    }
    return f"{arguments[0]} " if arguments and arguments[0] in names else ""


def _fail(message: str, status: int, *, word: str = "error") -> int:
    print(f"{word}: {' '.join(message.split())}", file=sys.stderr)
    return status


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our own warnings as one line; leave out other packages', which speak to programmers."""
    if isinstance(message, OstinatoWarning) or os.environ.get("PYTHONWARNINGS"):
        print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
