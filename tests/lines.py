"""Command lines in this process: status, standard output and standard error."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ostinato.cli.app import run

PLAN = """\
total = "18step"
warmup = "2step"
[cycle]
waveform = "cosine"
period = "8step"
[[bind]]
target = "optimizer.lr"
low = 0.01
high = 0.1
[[bind]]
target = "model:Dropout.p"
relation = "mirror"
low = 0.05
high = 0.3
[model]
name = "mlp"
args = { hidden = 12, depth = 1 }
[train]
batch_size = 160
checkpoint_every = 5
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on standard error of a command that was refused."""
        lines = self.err.splitlines()
        assert self.status == 2, self
        assert self.out == "", self
        assert len(lines) == 1, self
        assert lines[0].startswith("error: "), self
        return lines[0].removeprefix("error: ")

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        assert self.status == 0, self
        return json.loads(self.out)


def ostinato(*words: object) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([str(word) for word in words])
    return Ended(status, out.getvalue(), err.getvalue())


def plan_file(folder: Path, before: str = "", after: str = "", name: str = "plan.toml") -> Path:
    """Write the plan with one place changed."""
    assert before in PLAN
    file = folder / name
    file.write_text(PLAN.replace(before, after, 1) if before else PLAN + after)
    return file
