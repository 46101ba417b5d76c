from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ostinato.errors import DataError
from ostinato.training.config import DataConfig
from ostinato.training.datasets import load
from ostinato.training.downloads import PUBLISHED, RemoteFile, cache_folder, fetch, locate, verify

CONTENT = b"published bytes\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9/"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server of this machine with one file; its address ends in a slash."""
    monkeypatch.setenv("no_proxy", "*")
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "a.gz").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OSTINATO_DATA", raising=False)
    monkeypatch.setenv("OSTINATO_CACHE", str(tmp_path / "cache"))


def test_fetches_once_and_leaves_nothing_else(home: str, tmp_path: Path) -> None:
    file = RemoteFile("a.gz", DIGEST, (NOWHERE + "a.gz", home + "missing.gz", home + "a.gz"))
    path = fetch(file, tmp_path / "cache" / "set")
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["a.gz"]
    (tmp_path / "home" / "a.gz").unlink()
    assert fetch(file, path.parent) == path  # without the server's copy


def test_a_wrong_file_from_the_server_never_appears(home: str, tmp_path: Path) -> None:
    file = RemoteFile("a.gz", "0" * 64, (home + "a.gz",))
    with pytest.raises(DataError) as caught:
        fetch(file, tmp_path / "cache" / "set")
    assert DIGEST in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert list((tmp_path / "cache" / "set").iterdir()) == []


def test_a_wrong_file_in_the_cache_is_named_with_both_sums(home: str, tmp_path: Path) -> None:
    file = RemoteFile("a.gz", DIGEST, (home + "a.gz",))
    path = fetch(file, tmp_path)
    damaged = bytearray(CONTENT)
    damaged[7] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DataError) as caught:
        fetch(file, tmp_path)
    said = str(caught.value)
    assert all(part in said for part in (str(path), DIGEST, hashlib.sha256(damaged).hexdigest()))
    assert "delete the file and run again, or set OSTINATO_DATA" in said
    assert "\n" not in said


def test_without_a_network_one_line_says_where_to_put_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    file = RemoteFile("a.gz", DIGEST, (NOWHERE + "a.gz",))
    with pytest.raises(DataError) as caught:
        locate("some-set", {"only": file})
    said = str(caught.value)
    assert said.startswith("a.gz: cannot be downloaded (http://127.0.0.1:9/a.gz: ")
    assert f"put it into {tmp_path / 'cache' / 'some-set'}, or set OSTINATO_DATA" in said
    assert "holds some-set/a.gz" in said
    assert "\n" not in said
    assert list((tmp_path / "cache" / "some-set").iterdir()) == []


def test_the_named_sets_say_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in PUBLISHED:
        with pytest.raises(DataError, match="cannot be downloaded"):
            load(DataConfig(name=name))


def test_the_users_folder_comes_first_and_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_DATA", str(tmp_path / "own"))
    folder = tmp_path / "own" / "set"
    folder.mkdir(parents=True)
    files = {role: RemoteFile(f"{role}.gz", DIGEST, (NOWHERE,)) for role in ("one", "two")}
    (folder / "one.gz").write_bytes(CONTENT)
    with pytest.raises(DataError, match=r"one\.gz: cannot be downloaded"):  # incomplete: the cache is asked
        locate("set", files)
    (folder / "two.gz").write_bytes(CONTENT)
    assert locate("set", files) == {"one": folder / "one.gz", "two": folder / "two.gz"}
    (folder / "two.gz").write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=r"own.set.two\.gz: SHA-256 is"):
        locate("set", files)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.*set OSTINATO_CACHE"):
        fetch(RemoteFile("a.gz", DIGEST, (NOWHERE,)), tmp_path / "file" / "set")


def test_a_missing_file_is_not_verified(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        verify(tmp_path / "none", RemoteFile("none", DIGEST, ()))


@pytest.mark.parametrize(
    ("platform", "variable", "tail"),
    [("linux", "XDG_CACHE_HOME", "ostinato"), ("win32", "LOCALAPPDATA", "ostinato/Cache")],
)
def test_the_cache_is_where_the_platform_has_it(
    platform: str, variable: str, tail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("OSTINATO_CACHE")
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv(variable, str(tmp_path / "base"))
    assert cache_folder() == tmp_path / "base" / tail
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder() == Path.home() / "Library" / "Caches" / "ostinato"
