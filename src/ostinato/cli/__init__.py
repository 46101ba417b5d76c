"""The command line: thin, one module a command.

Exit status: 0 done, 2 wrong usage or input (one line on standard error, no traceback), 3 interrupted and resumable.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        arguments: What follows ``ostinato``; by default the process's own.
    """
    from ostinato.cli.app import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
