"""Many workers on one PostgreSQL storage: a real server, real processes, a real kill."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

import postgresql
from ostinato.errors import StorageError
from ostinato.search import optimize
from ostinato.search.outcome import rows_of
from ostinato.search.queue import Queue
from ostinato.search.storage import open_storage, told_as_ours
from searching import LONG, SPACE, config, queue, setup

pytestmark = pytest.mark.skipif(
    postgresql.binaries() is None, reason="needs a PostgreSQL server (Debian's package postgresql)"
)
WORKER = """
import sys, torch, warnings
torch.set_num_threads(1)
sys.path[:0] = {path!r}
import searching
from ostinato.search.queue import Queue
from ostinato.search.storage import open_storage
from ostinato.search.worker import Worker
from ostinato.training.signals import StopRequest
warnings.simplefilter("ignore")
long = searching.resolve_config(searching.config(searching.LONG))
queue = Queue.begin(open_storage(sys.argv[1], heartbeat_s=1), "small", searching.setup(trials=12, config=long))
print("ready", flush=True)
Worker(queue, searching.laboratory(config=long), "alone", StopRequest()).run()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[postgresql.Server]:
    with postgresql.server() as running:
        yield running


def worker(url: str) -> subprocess.Popen[str]:
    path = [str(Path(__file__).parents[1])]
    return subprocess.Popen([sys.executable, "-c", WORKER.format(path=path), url], stdout=subprocess.PIPE, text=True)


def test_one_of_two_workers_is_killed_and_every_trial_ends_once_with_the_values_of_a_single_process(
    server: postgresql.Server, tmp_path: Path
) -> None:
    workers = [worker(server.url) for _ in range(2)]
    for each in workers:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    watched = Queue.join(open_storage(server.url), "small")
    victim, other = _held(watched, workers)
    victim.kill()
    assert (other.wait(240), victim.wait()) == (0, -signal.SIGKILL)
    for each in workers:
        assert each.stdout is not None
        each.stdout.close()
    trials = watched.trials()
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    lost = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert len(done) == 12
    assert len(trials) == len(done) + len(lost)  # nothing waits or runs
    assert len(lost) >= 1
    points = [tuple(sorted(trial.params.items())) for trial in done]
    assert len(set(points)) == 12
    assert {tuple(sorted(trial.params.items())) for trial in lost} <= set(points)
    alone = optimize(
        config(LONG), SPACE, trials=12, engine="processes", workers=1, baseline=False, out=tmp_path / "alone"
    )
    expected = {tuple(sorted(row.values.items())): row.score for row in alone.trials}
    found = {tuple(sorted(row.values.items())): row.score for row in rows_of(watched) if row.status == "done"}
    assert found == expected
    assert min(found.values(), key=float) == alone.document["best"]["score"]


def _held(watched: Queue, workers: list[subprocess.Popen[str]]) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """Stop a worker in the middle of a trial, after some have ended; return it and the other one."""
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        for victim in workers if watched.trials(TrialState.COMPLETE) else ():
            victim.send_signal(signal.SIGSTOP)  # first: what it runs then, it runs for as long as one looks
            marks = [trial.user_attrs.get("ostinato:worker") for trial in watched.trials(TrialState.RUNNING)]
            if any(mark is not None and mark[1].endswith(f":{victim.pid}") for mark in marks):
                return victim, next(each for each in workers if each is not victim)
            victim.send_signal(signal.SIGCONT)
    raise AssertionError("no trial was caught running")


def test_a_server_that_restarts_meanwhile_loses_nothing(server: postgresql.Server) -> None:
    one = Queue.begin(open_storage(server.url), "restarted", setup(trials=2))
    trial = one.take(1, "a")[0]
    server.stop()
    server.start()
    assert one.open
    assert one.trials()[0].number == trial.number
    assert [other.number for other in one.take(1, "a")] == [1]


def test_a_server_that_is_gone_is_one_line(server: postgresql.Server) -> None:
    one = Queue.begin(open_storage(server.url), "gone", setup(trials=2))
    server.stop()
    try:
        with pytest.raises(StorageError, match="finished trials are kept") as caught, told_as_ours(one.url):
            one.storage.get_all_studies()
    finally:
        server.start()
    assert "\n" not in str(caught.value)
    assert postgresql.PASSWORD not in str(caught.value)


def test_a_wrong_password_or_database_is_said_at_once_and_not_shown(server: postgresql.Server) -> None:
    for url, words in (
        (server.url.replace(postgresql.PASSWORD, "do-re-mi"), "password authentication failed"),
        (server.url.replace("/trials", "/elsewhere"), 'database "elsewhere" does not exist'),
    ):
        with pytest.raises(StorageError, match=words) as caught:
            open_storage(url, patience_s=60)
        assert "do-re-mi" not in str(caught.value)
        assert postgresql.PASSWORD not in str(caught.value)


def test_sqlite_and_postgresql_hold_the_same_queue(server: postgresql.Server, tmp_path: Path) -> None:
    there = Queue.begin(open_storage(server.url), "same", setup())
    here = queue(tmp_path)
    assert [trial.params for trial in there.trials()] == [trial.params for trial in here.trials()]
