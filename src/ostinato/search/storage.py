"""Where trials are kept: SQLite for one machine, PostgreSQL for many; opened with patience, named without its password."""

from __future__ import annotations

import time
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ostinato.errors import ConfigError, StorageError
from ostinato.search.samplers import quiet

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import URL

__all__ = [
    "HEARTBEAT_S",
    "RETRIES",
    "address",
    "exclusive",
    "one_after_another",
    "open_storage",
    "patiently",
    "told_as_ours",
    "url_of",
]

HEARTBEAT_S = 10
"""Seconds from one sign of life of a worker to the next; after three without one its trials are given to others."""
RETRIES = 3
_PATIENCE_S = 20.0
_EXPECTED = "expected sqlite:///FILE or postgresql://USER@HOST/DATABASE"

T = TypeVar("T")
Told = Callable[[str], object]


def url_of(text: str | Path) -> URL:
    """Return a storage's address, with the driver that is used; a plain path is an SQLite file.

    Raises:
        ConfigError: It is no address of a storage that can be used.

    >>> str(url_of("trials.sqlite3")), url_of("postgresql://me:secret@db/trials").drivername
    ('sqlite:///trials.sqlite3', 'postgresql+psycopg')
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    given = str(text)
    try:
        url = make_url(given if "://" in given else f"sqlite:///{given}")
    except (ArgumentError, ValueError):
        raise ConfigError(f"storage: got an address that cannot be read, {_EXPECTED}") from None
    kind = url.get_backend_name()
    if kind in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ConfigError(f"storage: got {url.render_as_string(hide_password=True)!r}, {_EXPECTED}")
    if url.database in (None, "", ":memory:"):
        raise ConfigError(f"storage: got {given!r}, which no other process sees, {_EXPECTED}")
    return url


def address(url: URL) -> str:
    """Return an address to show: without the password.

    >>> address(url_of("postgresql://me:secret@db/trials"))
    'postgresql://me:***@db/trials'
    """
    return url.render_as_string(hide_password=True).replace("+psycopg", "", 1)


def open_storage(
    text: str | Path, *, heartbeat_s: int = HEARTBEAT_S, patience_s: float | None = None, told: Told | None = None
) -> RDBStorage:
    """Return a storage, its tables made where there are none.

    Args:
        text: As for `url_of`.
        heartbeat_s: Seconds between signs of life.
        patience_s: For how long to try again where the connection is refused; by default 20 seconds.
        told: Is told in a sentence that it is tried again.

    Raises:
        ConfigError: The address cannot be, or its driver is not installed.
        StorageError: It refuses the connection, or another version of Optuna made its tables.
    """
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    url = url_of(text)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": 60.0}
        folder = Path(str(url.database)).parent
        if not folder.is_dir():
            raise StorageError(
                f"storage: {address(url)}: there is no folder {str(folder)!r}; make it, or choose another file"
            )

    def made() -> RDBStorage:
        with quiet():
            storage = RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs=dict(options),
                heartbeat_interval=heartbeat_s,
                grace_period=3 * heartbeat_s,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=RETRIES),
            )
        weakref.finalize(storage, storage.engine.dispose)  # connections are closed with it
        return storage

    try:
        return patiently(made, url, patience_s, told)
    except ImportError:
        raise ConfigError("storage: PostgreSQL needs its driver; type: pip install 'ostinato[postgresql]'") from None
    except RuntimeError as error:  # Optuna's own version check
        raise StorageError(
            f"storage: {address(url)}: was made by another version of Optuna ({' '.join(str(error).split())})"
        ) from None


def patiently(action: Callable[[], T], url: URL, patience_s: float | None = None, told: Told | None = None) -> T:
    """Do something with a storage, again and again while the connection is refused.

    Raises:
        StorageError: It was refused all the time, or the refusal is final (no such user or database).
    """
    from sqlalchemy.exc import DBAPIError

    patience = _PATIENCE_S if patience_s is None else patience_s
    begun, tries, wait = time.monotonic(), 0, 0.25
    while True:
        tries += 1
        try:
            return action()
        except DBAPIError as error:
            spent = time.monotonic() - begun
            final = not _passing(error)
            if final or spent + wait > patience:
                raise StorageError(_refused(url, error, tries, spent)) from None
            if told is not None and tries == 1:
                told(f"{address(url)}: {_reason(url, error)}; trying again for {patience:.0f} s")
            time.sleep(wait)
            wait = min(2 * wait, 2.0)


_PASSING_STATES = ("57P03", "53300", "23505", "42P07", "42710", "40001", "40P01")
"""SQLSTATE of what passes: starting up, too many connections, and two processes that make the same tables at once."""
_PASSING_WORDS = ("starting up", "shutting down", "too many", "recovery")


def _passing(error: Any) -> bool:
    """Whether trying again may help: not where the server answered with a refusal of its own, as of a wrong password."""
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state in _PASSING_STATES
    words = str(error.orig)
    return "FATAL" not in words or any(word in words for word in _PASSING_WORDS)


@contextmanager
def told_as_ours(url: URL) -> Iterator[None]:
    """Say in one line what a storage refuses in the block.

    Raises:
        StorageError: It was gone, or refused something.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (DBAPIError, StorageInternalError) as error:
        cause = error if isinstance(error, DBAPIError) else error.__cause__ or error
        raise StorageError(
            f"storage: {address(url)}: {_reason(url, cause)}; finished trials are kept: run the same command when it is back"
        ) from None


def _refused(url: URL, error: Any, tries: int, spent: float) -> str:
    after = f" ({tries} tries in {spent:.0f} s)" if tries > 1 else ""
    return f"storage: {address(url)}: {_reason(url, error)}{after}; start the server, or correct --storage"


def _reason(url: URL, error: Any) -> str:
    """Return what the driver says, on one line, without the password."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return text.replace(url.password, "***") if isinstance(url.password, str) and url.password else text


@contextmanager
def exclusive(storage: RDBStorage, name: str) -> Iterator[None]:
    """Let one process at a time, of all that share a storage, do what is in the block; a process that dies lets go."""
    from sqlalchemy import text

    number = zlib.crc32(f"ostinato.search/{name}".encode())
    if storage.engine.dialect.name == "postgresql":
        with storage.engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": number})
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})
                connection.commit()
        return
    from filelock import FileLock

    file = Path(str(url_of(storage.url).database))
    with FileLock(file.with_name(f".{file.name}.{number:08x}.lock")):
        yield


@contextmanager
def one_after_another(storage: RDBStorage, name: str) -> Iterator[None]:
    """Let processes change the states of trials one after another.

    Optuna reads a trial's state and then writes it. PostgreSQL locks the row between the two; SQLite does not, so that two processes may both take
    a trial that waits.
    """
    if storage.engine.dialect.name == "sqlite":
        with exclusive(storage, f"{name}/states"):
            yield
    else:
        yield
