"""Published data files: found in a folder of the user's, in the cache, or fetched from their home, and verified."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from ostinato.errors import DataError

__all__ = ["PUBLISHED", "RemoteFile", "cache_folder", "fetch", "locate", "verify"]

_TIMEOUT_S = 30.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes:
        name: File name.
        sha256: SHA-256 of its bytes, hexadecimal.
        urls: Where it can be had, its official home first.
    """

    name: str
    sha256: str
    urls: tuple[str, ...]


def _files(homes: tuple[str, ...], sums: dict[str, str]) -> dict[str, RemoteFile]:
    return {
        key: RemoteFile(name, sums[name], tuple(home + name for home in homes))
        for key, name in (
            ("train_images", "train-images-idx3-ubyte.gz"),
            ("train_labels", "train-labels-idx1-ubyte.gz"),
            ("test_images", "t10k-images-idx3-ubyte.gz"),
            ("test_labels", "t10k-labels-idx1-ubyte.gz"),
        )
    }


# The SHA-256 of the files whose MD5 their authors publish, as TensorFlow Datasets and others record them. The homes
# serve http (the first has no https, the second often refuses): it is the checksum that makes the files trustworthy.
PUBLISHED: dict[str, dict[str, RemoteFile]] = {
    "fashion-mnist": _files(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "mnist": _files(
        ("http://yann.lecun.com/exdb/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
}
"""The files of each published data set, by their role."""


def cache_folder() -> Path:
    """Return where downloads are kept: ``OSTINATO_CACHE``, or ``ostinato`` in the platform's folder for caches."""
    own = os.environ.get("OSTINATO_CACHE")
    if own:
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(base) / "ostinato" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ostinato"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ostinato"


def locate(name: str, files: dict[str, RemoteFile] | None = None) -> dict[str, Path]:
    """Return the verified files of a published data set, by their role.

    ``$OSTINATO_DATA/<name>/`` is taken if it holds all of them; otherwise the cache, and what is missing there is
    downloaded.

    Args:
        name: Name of the data set.
        files: Its files by role; without them, those of `PUBLISHED`.

    Raises:
        DataError: a file has a wrong checksum or cannot be had; the line says where to put it.
    """
    files = PUBLISHED[name] if files is None else files
    given = os.environ.get("OSTINATO_DATA")
    if given:
        folder = Path(given).expanduser() / name
        paths = {role: folder / file.name for role, file in files.items()}
        if all(path.is_file() for path in paths.values()):
            for role, file in files.items():
                verify(paths[role], file)
            return paths
    folder = cache_folder() / name
    return {role: fetch(file, folder) for role, file in files.items()}


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Return the verified file in ``folder``, downloaded if it is not there; it appears whole or not at all.

    Raises:
        DataError: no address answers, or the bytes are not the published ones.
    """
    target = folder / file.name
    if target.is_file():
        verify(target, file)
        return target
    reasons = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for url in file.urls:
            try:
                _download(url, file, target)
            except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
                reasons.append(f"{url}: {' '.join(str(error).split()) or type(error).__name__}")
            else:
                return target
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error}; set OSTINATO_CACHE to a folder that can") from error
    why = f"cannot be downloaded ({'; '.join(reasons)})" if reasons else "is not fetched"
    raise DataError(
        f"{file.name}: {why}; put it into {folder}, "
        f"or set OSTINATO_DATA to a folder that holds {folder.name}/{file.name}"
    )


def verify(path: Path, file: RemoteFile) -> None:
    """Compare a file with the published checksum.

    Raises:
        DataError: it differs or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if found != file.sha256:
        raise DataError(
            f"{path}: SHA-256 is {found}, published is {file.sha256}; "
            "delete the file and run again, or set OSTINATO_DATA to a folder that holds the right one"
        )


def _download(url: str, file: RemoteFile, target: Path) -> None:
    """Write to a temporary name beside the target, verify, flush to disk, rename."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            digest = _copy(url, stream)
            stream.flush()
            os.fsync(stream.fileno())
        if digest != file.sha256:
            raise ValueError(f"sent a file with SHA-256 {digest}, published is {file.sha256}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _copy(url: str, stream: object) -> str:
    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "ostinato"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        while chunk := answer.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)  # type: ignore[attr-defined]  # a file that was opened for bytes
    return digest.hexdigest()
