"""The direction of imports, from the imports themselves; and that the pure parts load no torch."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ostinato"

# Each part may import the parts of lower rank, and itself. What is not listed here is refused, so that a new part gets its place.
RANKS: dict[str, int] = {
    "errors": -1, "_version": -1,
    "atomic": 0, "checks": 0, "cluster": 0,
    "core": 1, "folders": 1,
    "schedules": 2, "_samples": 2, "balance": 2, "evaluation": 2, "_data": 2, "records": 2,
    "plotting": 3, "storage": 3, "targets": 3, "data": 3, "augment": 3, "export": 3,
    "state": 4, "ensembles": 4, "mixed_precision": 4, "nn": 4,
    "driver": 5, "compilation": 5, "views": 6, "scheduler": 7,
    "controls": 8, "testing": 8,
    "training": 9,
    "population": 10,
    "applications": 11, "comparison": 11,
    "search": 12,
    "integrations": 12,
    "studies": 13, "bench": 13,
    "cli": 14, "__main__": 15,
}  # fmt: skip
FLAT_API = "__init__"
FLAT_API_FROM = 8
"""The flat public API names parts of every rank, lazily; only what builds on the whole (from this rank on) may import it."""

UPWARDS = {
    ("core.plan", "scheduler"),  # Plan.bind
    ("core.plan", "plotting"),  # Plan.plot
}
"""Conveniences of `Plan` that need what is above it: imported where they are called, pinned here."""

OUTERMOST = ("integrations", "studies", "bench", "cli", "__main__")
CORE_ALLOWS = {*sys.stdlib_module_names, "numpy"}
CORE_ALLOWS_LAZILY = {"tomli_w"}
NO_TORCH = (
    "errors",
    "_version",
    "atomic",
    "checks",
    "core",
    "schedules",
    "evaluation",
    "controls",
    "records",
    "_samples",
    "balance",
    "plotting",
)


@dataclass(frozen=True)
class Import:
    """One import: where it stands, what it names, whether it runs when its module is imported."""

    module: str
    line: int
    name: str
    lazy: bool
    typing: bool

    @property
    def part(self) -> str:
        return self.module.partition(".")[0]

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def into(self) -> str:
        """The part of ostinato that is imported."""
        return self.name.split(".")[1] if "." in self.name else FLAT_API

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _visit(
    node: ast.AST, module: str, parts: set[str], *, lazy: bool = False, typing: bool = False
) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, child.lineno, alias.name, lazy, typing) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}:{child.lineno}: write imports in full"
            named = child.module or ""
            if (
                named == "ostinato"
            ):  # `from ostinato import schedules` names a part, `from ostinato import Plan` the flat API
                for alias in child.names:
                    name = f"ostinato.{alias.name}" if alias.name in parts else "ostinato"
                    yield Import(module, child.lineno, name, lazy, typing)
            else:
                yield Import(module, child.lineno, named, lazy, typing)
        else:
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _visit(child, module, parts, lazy=inside, typing=typing or _is_type_checking(child))


def imports_of(root: Path) -> list[Import]:
    """Every import statement below a package's folder."""
    parts = {path.stem for path in root.glob("*.py")} | {path.name for path in root.iterdir() if path.is_dir()}
    found: list[Import] = []
    for path in sorted(root.rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        found.extend(_visit(ast.parse(path.read_text(encoding="utf-8")), module, parts))
    return found


def own(imports: list[Import]) -> list[Import]:
    return [found for found in imports if found.top == "ostinato" and not found.typing]


def against_the_direction(imports: list[Import]) -> list[str]:
    """Imports of a part of the same or a higher rank."""
    wrong = []
    for found in own(imports):
        if found.part in (FLAT_API, found.into) or (found.lazy and (found.module, found.into) in UPWARDS):
            continue
        if found.into == FLAT_API and RANKS.get(found.part, -9) >= FLAT_API_FROM:
            continue
        if RANKS.get(found.into, 99) >= RANKS.get(found.part, -9):
            wrong.append(str(found))
    return wrong


def into_the_outermost(imports: list[Import]) -> list[str]:
    """Imports of parts that nothing may import."""
    return [str(i) for i in own(imports) if i.into in OUTERMOST and i.part not in (i.into, "__main__", "cli", FLAT_API)]


def impure(imports: list[Import]) -> list[str]:
    """What core imports beside the standard library, numpy and the leaves."""
    wrong = []
    for found in imports:
        if found.part != "core" or found.top == "ostinato" or found.typing:
            continue
        if found.top not in CORE_ALLOWS and not (found.lazy and found.top in CORE_ALLOWS_LAZILY):
            wrong.append(str(found))
    return wrong


IMPORTS = imports_of(SOURCE)


def test_imports_point_one_way() -> None:
    assert against_the_direction(IMPORTS) == []


def test_every_part_has_its_rank() -> None:
    parts = {found.part for found in IMPORTS} | {
        path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()
    }
    assert parts - {FLAT_API} <= RANKS.keys()


def test_nothing_imports_the_outermost_parts() -> None:
    assert into_the_outermost(IMPORTS) == []


def test_core_imports_the_standard_library_and_numpy_only() -> None:
    assert impure(IMPORTS) == []
    leaves = {
        found.into for found in own(IMPORTS) if found.part == "core" and (found.module, found.into) not in UPWARDS
    }
    assert leaves <= {"core", "errors", "atomic", "checks", "_version"}


def test_the_conveniences_that_look_upwards_are_still_there_and_lazy() -> None:
    upward = {(found.module, found.into) for found in own(IMPORTS) if (found.module, found.into) in UPWARDS}
    assert upward == UPWARDS
    assert all(found.lazy for found in own(IMPORTS) if (found.module, found.into) in UPWARDS)


def test_an_integration_imports_one_framework() -> None:
    frameworks = {
        "lightning",
        "transformers",
        "accelerate",
        "ignite",
        "keras",
        "optax",
        "jax",
        "skorch",
        "fastai",
        "gymnasium",
        "flwr",
    }
    named: dict[str, set[str]] = {}
    for found in IMPORTS:
        if found.part == "integrations":
            named.setdefault(found.module, set()).update({found.top} & frameworks)
    assert {module: tops for module, tops in named.items() if len(tops) > 1} == {}


PICKLING = {"testing.targets", "population.pool"}
"""Modules that ask whether a user's object survives pickling; they write none."""


def test_no_module_imports_pickle() -> None:
    banned = ("pickle", "cloudpickle", "dill", "joblib", "torchvision")
    assert [str(found) for found in IMPORTS if found.top in banned and found.module not in PICKLING] == []


EXEMPTION = re.compile(
    r"# (?:noqa\b(?:: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*)?|type: ignore\b(?:\[[a-z, -]+\])?)(?P<reason>.*)$", re.MULTILINE
)


def without_reason(text: str) -> list[str]:
    """Exemptions from a check that do not say why."""
    return [found[0] for found in EXEMPTION.finditer(text) if len(found["reason"].strip(" #-")) < 3]


def test_every_exemption_gives_its_reason() -> None:
    root = SOURCE.parents[1]
    bare = {
        str(file.relative_to(root)): found
        for folder in ("src", "tests", "examples")
        for file in sorted((root / folder).rglob("*.py"))
        if (found := without_reason(file.read_text()))
    }
    assert bare == {}


def test_an_exemption_without_its_reason_is_found() -> None:
    mark = "# "
    assert without_reason(f"x = 1  {mark}noqa: E741\ny = 2  {mark}type: ignore[misc]\n") == [
        f"{mark}noqa: E741",
        f"{mark}type: ignore[misc]",
    ]
    assert (
        without_reason(
            f"x = 1  {mark}noqa: E741 - as the formula has it\ny = f()  {mark}type: ignore[misc]  {mark}it is one\n"
        )
        == []
    )


def test_the_checks_find_what_they_look_for(tmp_path: Path) -> None:
    """Each check must be able to fail."""
    for name, text in {
        "core/bad.py": "import torch\nfrom ostinato.scheduler import Scheduler\nfrom ostinato import Plan, targets\n",
        "core/plan.py": "from ostinato.scheduler import Scheduler\ndef f():\n    from ostinato.plotting import plot\n    import tomli_w\n",
        "core/typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ostinato.scheduler import Scheduler\n    import torch\n",
        "core/early.py": "import tomli_w\n",
        "targets/good.py": "import torch\nfrom ostinato.core.plan import Plan\nfrom ostinato.targets import slots\n",
        "ensembles/bad.py": "def f():\n    from ostinato.cli import main\n",
        "unplaced/bad.py": "from ostinato.core.plan import Plan\n",
        "cli/good.py": "import ostinato as ost\nfrom ostinato import Plan\nfrom ostinato.bench import run\n",
        "scheduler.py": "", "plotting.py": "",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = imports_of(tmp_path)
    assert against_the_direction(found) == [
        "core.bad:2 imports ostinato.scheduler",
        "core.bad:3 imports ostinato",
        "core.bad:3 imports ostinato.targets",
        "core.plan:1 imports ostinato.scheduler",
        "ensembles.bad:2 imports ostinato.cli",
        "unplaced.bad:1 imports ostinato.core.plan",
    ]
    assert into_the_outermost(found) == ["ensembles.bad:2 imports ostinato.cli"]
    assert impure(found) == ["core.bad:1 imports torch", "core.early:1 imports tomli_w"]


def pure_modules() -> list[str]:
    """The modules whose import must load no torch: `ostinato` itself and every module of the pure parts."""
    modules = ["ostinato"]
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[0] in NO_TORCH:
            modules.append(".".join(["ostinato", *(part for part in parts if part != "__init__")]))
    return modules


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running some code."""
    script = f"{code}\nimport sys, json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


HEAVY = {"torch", "pandas", "lightning_fabric", "pydantic", "typer", "safetensors"}


def test_the_pure_parts_load_no_torch() -> None:
    modules = pure_modules()
    assert {
        "ostinato",
        "ostinato.core.plan",
        "ostinato.core.resolved",
        "ostinato.schedules",
        "ostinato.evaluation",
    } <= set(modules)
    loaded = loaded_after("\n".join(f"import {name}" for name in modules))
    assert "ostinato" in loaded
    assert HEAVY & loaded == set()


def test_making_saving_and_resolving_a_plan_loads_no_torch(tmp_path: Path) -> None:
    code = f"""
import ostinato as ost
plan = ost.Plan(total=100, cycle=ost.Cycle(count=5), bindings={{"optimizer.lr": ost.wave(0.0, 0.1), "loss.x": ost.one_cycle(0.1)}})
for name in ("plan.toml", "plan.json"):
    plan.save({str(tmp_path)!r} + "/" + name)
    assert ost.Plan.load({str(tmp_path)!r} + "/" + name) == plan
plan.replace({{"cycle.count": 4}}).shifted(0.5).table()
list(plan.resolve().cycles), plan.digest, plan.resolve().digest
"""
    assert HEAVY & loaded_after(code) == set()


@pytest.mark.parametrize(
    "code", ["import torch", "import ostinato as ost; ost.Scheduler", "from ostinato import SnapshotEnsemble"]
)
def test_the_check_for_torch_can_fail(code: str) -> None:
    assert "torch" in loaded_after(code)
