from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ostinato.errors import ConfigError, DataError
from ostinato.training.factories import call_factory, load_factory

_count = itertools.count()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Write a module into the current directory under a fresh name."""
    monkeypatch.chdir(tmp_path)
    path, loaded = list(sys.path), set(sys.modules)

    def write(text: str) -> str:
        name = f"ostinato_factory_{next(_count)}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - loaded:
        if name.startswith("ostinato_factory_"):
            del sys.modules[name]


def test_loads_from_the_current_directory_also_by_a_dotted_name(module: Callable[[str], str]) -> None:
    name = module("class Maker:\n    @staticmethod\n    def make(): return 7\ndef make(): return 5\n")
    assert load_factory(f"{name}:make", "model")() == 5
    assert load_factory(f"{name}:Maker.make", "model")() == 7


@pytest.mark.parametrize("text", ["make", ":make", "module:", ""])
def test_a_text_without_both_parts(text: str) -> None:
    with pytest.raises(ConfigError, match=r"model: got .*, expected 'module:name' \(write model = "):
        load_factory(text, "model")
    with pytest.raises(DataError, match="expected 'module:name'"):
        load_factory(text, "data")


def test_a_missing_module_is_not_an_import_error_inside_it(module: Callable[[str], str]) -> None:
    inside = module("import surely_not_installed\n")
    near = inside[:-1] + "x"
    with pytest.raises(ConfigError, match=f"no module '{near}' in .* or installed; did you mean '{inside}'"):
        load_factory(f"{near}:make", "model")
    with pytest.raises(
        ConfigError, match=rf"importing '{inside}' raised ModuleNotFoundError: .*surely.*{inside}\.py:1\)"
    ):
        load_factory(f"{inside}:make", "model")
    broken = module("x = 1\nfrom math import surely_nothing\n")
    with pytest.raises(DataError, match=rf"raised ImportError: .*{broken}\.py:2\)"):
        load_factory(f"{broken}:make", "data")
    torn = module("def make(:\n")
    with pytest.raises(ConfigError, match=rf"raised SyntaxError: .*{torn}\.py, line 1\)"):
        load_factory(f"{torn}:make", "model")
    with pytest.raises(ConfigError, match="no module 'surely_no_package'"):
        load_factory("surely_no_package.part:make", "model")


def test_a_missing_name_lists_near_misses_and_a_number_is_not_called(module: Callable[[str], str]) -> None:
    name = module("def make_model(): ...\nwidth = 3\n")
    with pytest.raises(ConfigError, match="has no 'make_modle'; did you mean 'make_model'"):
        load_factory(f"{name}:make_modle", "model")
    with pytest.raises(ConfigError, match="is a int, expected a function or class to call"):
        load_factory(f"{name}:width", "model")


def test_offers_are_given_where_they_are_named_and_args_come_first() -> None:
    offers = {"shape": (1, 8, 8), "classes": 10}
    assert call_factory(lambda classes, *, depth: (classes, depth), {"depth": 2}, offers, "model") == (10, 2)
    assert call_factory(lambda **others: others, {"depth": 2}, offers, "model") == {"depth": 2}
    assert call_factory(lambda classes: classes, {"classes": 3}, offers, "model") == 3
    assert call_factory(dict, {"a": 1}, offers, "model") == {"a": 1}


def test_arguments_that_do_not_fit_and_errors_inside_take_one_line() -> None:
    def make(width: int) -> int:
        raise ValueError("first\nsecond")

    with pytest.raises(ConfigError, match=r"make\(width.*missing a required argument: 'width' \(given by name: none\)"):
        call_factory(make, {}, {"shape": (1,)}, "model")
    with pytest.raises(ConfigError, match="unexpected keyword argument 'wdith'"):
        call_factory(make, {"wdith": 1, "width": 1}, {}, "model")
    with pytest.raises(DataError, match=r"make raised ValueError: first second \(.*test_factories\.py:\d+\)") as caught:
        call_factory(make, {"width": 1}, {}, "data")
    assert isinstance(caught.value.__cause__, ValueError)

    def refuse() -> None:
        raise DataError("as it is")

    with pytest.raises(DataError, match=r"^as it is$"):
        call_factory(refuse, {}, {}, "model")
