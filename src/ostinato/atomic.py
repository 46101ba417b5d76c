"""Files that are either the old ones or the new ones, never half of each.

Every write goes to a temporary name in the same folder, is flushed to disk, renamed over the final name, and the
folder is flushed too. Only the standard library is used. One writer per folder is assumed (rank 0 writes).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from ostinato.errors import StorageError

__all__ = [
    "canonical_json",
    "clean_temporaries",
    "commit_directory",
    "read_bytes",
    "read_json",
    "remove_file",
    "sha256_file",
    "temporary_path",
    "write_bytes",
    "write_json",
]

_SUFFIX = ".ostinato-partial"
_BLOCK = 1 << 20
_WORDS = {
    errno.ENOSPC: ("the disk is full", "free some space and run it again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run it again"),
    errno.EFBIG: ("the file would be larger than is allowed here", "raise the limit, or choose another file system"),
    errno.EACCES: ("permission denied", "check the owner and mode of the folder, or choose another one"),
    errno.EPERM: ("permission denied", "check the owner and mode of the folder, or choose another one"),
    errno.EROFS: ("the file system is read-only", "choose a folder that can be written"),
    errno.ENOENT: ("the file or folder does not exist", "check the path, or make the folder first"),
    errno.ENOTDIR: ("a part of the path is not a folder", "check the path"),
    errno.EISDIR: ("it is a folder", "give the path of a file"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ENOTEMPTY: ("the folder is there already", "remove it or choose another name"),
    errno.EEXIST: ("it is there already", "remove it or choose another name"),
    errno.EIO: ("the disk reported an input/output error", "check the disk"),
}


def _failure(action: str, path: Path, error: OSError) -> StorageError:
    """Say in one line what could not be done, why, and what to do."""
    if isinstance(error, StorageError):
        return error
    reason, remedy = _WORDS.get(error.errno or 0, (error.strerror or type(error).__name__, "see the cause above"))
    return StorageError(f"cannot {action} {str(path)!r}: {reason}; {remedy}")


def temporary_path(final: str | os.PathLike[str]) -> Path:
    """Return an unused temporary name beside ``final``; `clean_temporaries` recognises it.

    >>> temporary_path("runs/result.json").parent.as_posix()
    'runs'
    """
    path = Path(final)
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{_SUFFIX}")


def write_bytes(path: str | os.PathLike[str], data: bytes) -> str:
    """Write ``data`` to ``path`` so that a reader sees the old file or the new one, also after a power cut.

    Args:
        path: the final name; its folder must exist.
        data: the whole content.

    Returns:
        The SHA-256 of ``data`` in hexadecimal.

    Raises:
        StorageError: the write failed. The temporary file is removed. The old file is still there, unless only
            the last flush (of the folder) failed: then the new one is, complete.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_bytes(folder / "note.txt", b"la sol fa mi")[:8]
    'bdbc4d72'
    >>> [entry.name for entry in folder.iterdir()]
    ['note.txt']
    """
    final = Path(path)
    temporary = temporary_path(final)
    try:
        _write_new(temporary, data)
        os.replace(temporary, final)  # noqa: PTH105 - one module of system calls, so that tests can fail each of them
        _flush_folder(final.parent)
    except OSError as error:
        raise _failure("write", final, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def _write_new(path: Path, data: bytes) -> None:
    """Create ``path``, write all of ``data``, flush it to disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest[: 1 << 30]) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to disk (Windows has no such call and keeps them itself)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def canonical_json(document: Any) -> bytes:
    r"""Return the one JSON text of ``document``: ASCII, sorted keys, no spaces, no NaN or infinity, newline at the end.

    Raises:
        StorageError: a value is not JSON, or is NaN or infinite (`ostinato.storage.pack` can hold those).

    >>> canonical_json({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}\n'
    """
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise StorageError(f"this document cannot be written as JSON: {error}; use ostinato.storage.pack") from error
    return text.encode("ascii") + b"\n"


def write_json(path: str | os.PathLike[str], document: Any) -> str:
    """Write ``document`` as canonical JSON, atomically; return its SHA-256. See `canonical_json` and `write_bytes`.

    >>> import tempfile
    >>> name = Path(tempfile.mkdtemp()) / "a.json"
    >>> digest = write_json(name, {"steps": 3})
    >>> read_json(name)
    {'steps': 3}
    """
    return write_bytes(path, canonical_json(document))


def read_bytes(path: str | os.PathLike[str], *, size: int | None = None) -> bytes:
    """Read a whole regular file; never follow a symbolic link in the last part of ``path``, never block on a pipe.

    Args:
        path: the file.
        size: the number of bytes that it must have; nothing is read where it has another.

    Raises:
        StorageError: the file is missing, unreadable, a link, no regular file, or of another size.
    """
    name = Path(path)
    try:
        descriptor = _open_regular(name)
        with os.fdopen(descriptor, "rb") as stream:
            found = os.fstat(descriptor).st_size
            if size is not None and found != size:
                what = "truncated" if found < size else "altered"
                raise StorageError(f"{str(name)!r} is {what}: {found} bytes, {size} expected; restore it from a copy")
            return stream.read()
    except OSError as error:
        raise _failure("read", name, error) from error


def _open_regular(path: Path) -> int:
    """Open a regular file that is no link, and return its descriptor."""
    refusal = StorageError(f"{str(path)!r} is not a regular file; links, folders and pipes are refused")
    if not stat.S_ISREG(path.lstat().st_mode):
        raise refusal
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refusal
    return descriptor


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file (UTF-8; NaN and infinity are refused).

    Raises:
        StorageError: the file is missing or no JSON; the message names the file and the line.
    """
    data = read_bytes(path)
    name = str(Path(path))
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f"line {line}: byte {error.start} is not UTF-8"
    except (ValueError, RecursionError) as error:
        where = f"{error}"
    raise StorageError(f"{name!r} is not JSON ({where}); restore it from a copy")


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not a JSON number")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a regular file in hexadecimal, read block by block.

    Raises:
        StorageError: the file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with os.fdopen(_open_regular(Path(path)), "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise _failure("read", Path(path), error) from error
    return digest.hexdigest()


def commit_directory(temporary: str | os.PathLike[str], final: str | os.PathLike[str]) -> None:
    """Make a finished folder appear under its final name at once: flush everything inside, rename, flush the parent.

    Args:
        temporary: the folder that holds the files; see `temporary_path`. Both must lie on one file system.
        final: the name that it gets; nothing may be there.

    Raises:
        StorageError: ``final`` exists, or a flush or the rename failed. ``temporary`` stays where it is then.
    """
    source, target = Path(temporary), Path(final)
    try:
        if os.path.lexists(target):
            raise StorageError(f"cannot write {str(target)!r}: it is there already; remove it or choose another name")
        for folder, _, files in os.walk(source, topdown=False, onerror=_raise):
            for name in files:
                entry = Path(folder, name)
                if not entry.is_symlink():
                    _flush_file(entry)
            _flush_folder(Path(folder))
        os.rename(source, target)  # noqa: PTH104 - as in write_bytes
        _flush_folder(target.parent)
    except OSError as error:
        raise _failure("write", target, error) from error


def _raise(error: OSError) -> None:
    raise error


def remove_file(path: str | os.PathLike[str]) -> None:
    """Remove a file; one that is gone already is fine.

    Raises:
        StorageError: it is there and cannot be removed.
    """
    try:
        os.unlink(path)  # noqa: PTH108 - as in write_bytes
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failure("remove", Path(path), error) from error


def clean_temporaries(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Remove the temporary files and folders that killed writers left in ``folder`` (not below it).

    Call it only where no other writer is at work in this folder. A missing folder has none.

    Returns:
        The names that were removed, sorted.

    Raises:
        StorageError: the folder cannot be read, or something in it cannot be removed.
    """
    removed = []
    try:
        entries = sorted(Path(folder).iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _failure("read", Path(folder), error) from error
    for entry in entries:
        if not (entry.name.startswith(".") and entry.name.endswith(_SUFFIX)):
            continue
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        except OSError as error:
            raise _failure("remove", entry, error) from error
        removed.append(entry.name)
    return tuple(removed)
