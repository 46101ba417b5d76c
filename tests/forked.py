"""Children forked from this process, which has imported everything, so that a kill costs no import."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ostinato.training import RunConfig, resume, train


@dataclass
class Child:
    """A running child."""

    pid: int

    def wait(self) -> int:
        """Return the exit status, negative for the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def ended(self) -> bool:
        """Return whether it has ended by itself; `wait` must not be called then."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid and os.waitstatus_to_exitcode(status):
            raise AssertionError(f"the child failed with {os.waitstatus_to_exitcode(status)}")
        return bool(pid)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def forked(action: Callable[[], object]) -> Child:
    """Do something in a child process."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid)
    status = 1
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            action()
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(status)


def begin_or_resume(setting: RunConfig, out: Path) -> None:
    """What a person does after a crash: resume, or begin where there is no run yet."""
    if (out / "config.toml").is_file():
        resume(out)
    else:
        train(setting, out)


def wait_for(child: Child, seconds: float) -> bool:
    """Return whether the child still runs after so long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if child.ended():
            return False
        time.sleep(0.0005)
    return not child.ended()


def wait_for_write(child: Child, folder: Path, number: int) -> bool:
    """Return true as soon as the child is inside its `number`-th atomic write, false if it ends before."""
    seen: set[str] = set()
    while not child.ended():
        for name in _partials(folder):
            seen.add(name)
            if len(seen) >= number:
                return True
    return False


def _partials(folder: Path) -> list[str]:
    found = []
    for place in (folder / "checkpoint", folder / "snapshots", folder):
        with contextlib.suppress(OSError):
            found += [name for name in os.listdir(place) if name.endswith(".ostinato-partial")]  # noqa: PTH208 - as fast as may be
    return found
