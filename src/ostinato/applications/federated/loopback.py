"""A whole federation on this machine: Flower's own processes on the loopback interface, each of which can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import tomli_w

from ostinato.errors import ConfigError, OstinatoError

__all__ = ["Loopback", "Node"]

_STARTS_WITHIN_S = 120.0
_CONNECTION = "loopback"


class Loopback:
    """A SuperLink on a free port of this machine, with its state and logs in a folder, for one `with` block.

    Flower's own configuration in the home directory is neither read nor written, nothing is installed, and nothing listens beyond 127.0.0.1.

    Args:
        folder: Where logs and Flower's own files go; it is made.
        simulated: Let Flower's simulation engine play the nodes, instead of a process for each (`node`).

    Raises:
        ConfigError: Flower is not installed beside this Python.
        OstinatoError: The SuperLink does not start; the message shows the end of its log.
    """

    def __init__(self, folder: str | os.PathLike[str], *, simulated: bool = False) -> None:
        self.folder, self.simulated = Path(folder).resolve(), simulated
        self._processes: list[subprocess.Popen[bytes]] = []
        self._port = 0

    def __enter__(self) -> Loopback:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        connection = {"address": f"127.0.0.1:{self._port}", "insecure": True}
        home = {"superlink": {"default": _CONNECTION, _CONNECTION: connection}}
        (self.folder / "config.toml").write_text(tomli_w.dumps(home))
        more = ["--simulation"] if self.simulated else []
        link = [
            "--insecure",
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--disable-runtime-dependency-installation",
            *more,
        ]
        process = self.start("link", "flower-superlink", *link)
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not _answers(self._port):
            if process.poll() is not None or time.monotonic() > deadline:
                end = " ".join((self.folder / "link.log").read_text(errors="replace").split()[-40:])
                self.close()
                raise OstinatoError(f"federation: the SuperLink did not start; its log ends: {end}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process."""
        for process in reversed(self._processes):
            _kill(process)
        self._processes = []

    def start(self, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of Flower's programs in a group of its own; what it says goes to ``NAME.log``.

        Raises:
            ConfigError: There is no such program beside this Python.
        """
        path = Path(sys.executable).parent / program
        if not path.exists():
            raise ConfigError(f"federation: {program} is not installed; type: pip install 'ostinato[federated]'")
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(path), *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def node(self, client: int, clients: int) -> Node:
        """Start the node of a client: a process of its own, which starts one for each message.

        Args:
            client: Its number, which is its identity.
            clients: How many there are.
        """
        identity = f"partition-id={client} num-partitions={clients}"
        name, link = f"node{client}", f"127.0.0.1:{self._port}"
        port = str(_free_port())
        process = self.start(
            name, "flower-supernode", "--insecure", "--superlink", link, "--port", port, "--node-config", identity
        )
        return Node(client, process)

    def run(
        self, app: str | os.PathLike[str], config: Mapping[str, Any] | None = None, *, nodes: int | None = None
    ) -> Iterator[str]:
        """Run a Flower app, from its folder, and yield what its server says, line by line.

        Args:
            app: The folder with the app's ``pyproject.toml``.
            config: Values of its ``[tool.flwr.app.config]`` to replace.
            nodes: How many nodes the simulation has, one core each.

        Raises:
            OstinatoError: The app could not be run; the message is the last line that Flower printed.
        """
        (self.folder / "run.toml").write_text(tomli_w.dumps(dict(config or {})))
        command = ["run", str(app), _CONNECTION, "--stream", "--run-config", str(self.folder / "run.toml")]
        if nodes is not None:
            command += ["--federation-config", f"num-supernodes={nodes} client-resources-num-cpus=1"]
        program = Path(sys.executable).parent / "flwr"
        process = subprocess.Popen(
            [str(program), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            start_new_session=True,
        )
        self._processes.append(process)
        last = ""
        assert process.stdout is not None  # a pipe was asked for
        with process.stdout as output:
            for line in output:
                last = line.decode(errors="replace").rstrip() or last
                yield last
        if process.wait() != 0:
            raise OstinatoError(f"federation: the app did not run: {last}")

    def _environment(self) -> dict[str, str]:
        own = {
            "FLWR_HOME": str(self.folder),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        return {"OMP_NUM_THREADS": "1", **os.environ, **own, "PATH": path, "NO_COLOR": "1"}


class Node:
    """A node's process."""

    def __init__(self, client: int, process: subprocess.Popen[bytes]) -> None:
        self.client, self.process = client, process

    def kill(self) -> None:
        """Kill it and what it started, as a power cut would: SIGKILL, no goodbye."""
        _kill(self.process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the group of a process; it leads one of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
