"""Calling what a configuration names as ``"module:name"``."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from ostinato.errors import ConfigError, DataError, OstinatoError, suggest

__all__ = ["call_factory", "load_factory"]


def load_factory(text: str, what: str) -> Callable[..., Any]:
    """Import the callable that ``"module:name"`` names.

    The current directory is importable, before installed packages, as it is for ``python -m``. The name may
    be dotted (``"package.module:Class.method"``).

    Args:
        text: ``"module:name"``.
        what: What it makes, for the message: ``"model"``, ``"data"``, ...

    Raises:
        DataError: (for ``what="data"``) or
        ConfigError: the colon is missing, the module does not exist or fails while it is imported, or the name
            is missing or not callable.

    >>> load_factory("collections:OrderedDict", "model")
    <class 'collections.OrderedDict'>
    """
    module_name, colon, name = text.strip().partition(":")
    if not (colon and module_name and name):
        raise _failure(what, f"got {text!r}, expected 'module:name' (write {what} = \"my_module:make_{what}\")")
    made: Any = _import(module_name, text, what)
    for part in name.split("."):
        if not hasattr(made, part):
            public = [known for known in dir(made) if not known.startswith("_")]
            raise _failure(what, f"{text!r}: {module_name!r} has no {name!r}{_near(part, public)}")
        made = getattr(made, part)
    if not callable(made):
        raise _failure(what, f"{text!r} is a {type(made).__name__}, expected a function or class to call")
    factory: Callable[..., Any] = made
    return factory


def call_factory(factory: Callable[..., Any], args: Mapping[str, Any], offers: Mapping[str, Any], what: str) -> Any:
    """Call a factory with the configured arguments, and with those offers that it names as parameters.

    ``args`` come first: an offer of the same name is left out. A parameter that only collects others (``**kwargs``)
    is not offered anything, because it usually passes them on to what does not know them.

    Args:
        factory: What ``load_factory`` returned.
        args: The ``args`` table of the configuration.
        offers: Further values by name, such as ``shape`` and ``classes``.
        what: What it makes, for the message.

    Returns:
        What the factory returns.

    Raises:
        DataError: (for ``what="data"``) or
        ConfigError: the arguments do not fit the signature, or the factory itself raises; the cause is chained.

    >>> call_factory(lambda width, classes: (width, classes), {"width": 8}, {"classes": 10, "shape": (4,)}, "model")
    (8, 10)
    """
    name = getattr(factory, "__qualname__", repr(factory))
    arguments = {**_accepted(factory, offers), **args}
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # built in: no signature to look at
        signature = None
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise _failure(what, f"{name}{signature}: {error} (given by name: {_names(arguments)})") from error
    try:
        return factory(**arguments)
    except OstinatoError:
        raise
    except Exception as error:
        raise _failure(what, f"{name} raised {_one_line(error)}") from error


def _import(module_name: str, text: str, what: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:  # stays: worker processes started afresh import from the same places
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except OstinatoError:
        raise
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (module_name == missing or module_name.startswith(missing + ".")):
            found = [path.stem for path in Path.cwd().glob("*.py")]
            raise _failure(
                what, f"{text!r}: no module {missing!r} in {here} or installed{_near(missing, found)}"
            ) from error
        raise _failure(what, f"{text!r}: importing {module_name!r} raised {_one_line(error)}") from error


def _accepted(factory: Callable[..., Any], offers: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {name: value for name, value in offers.items() if name in parameters and parameters[name].kind in by_name}


def _one_line(error: BaseException) -> str:
    """``Type: message (file:line)``, the place being where the error arose."""
    message = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "importlib" not in frame.filename]
    place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = ""  # its message names the place already
    return f"{type(error).__name__}: {message}{place}"


def _names(arguments: Mapping[str, Any]) -> str:
    return ", ".join(arguments) if arguments else "none"


def _near(word: str, known: list[str]) -> str:
    return suggest(word, known) if len(known) <= 30 or "did you mean" in suggest(word, known) else ""


def _failure(what: str, message: str) -> ConfigError | DataError:
    return DataError(message) if what == "data" else ConfigError(f"{what}: {message}")
