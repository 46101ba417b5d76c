"""Schedules of one's own: named, versioned, and never imported by what a file says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ostinato as ost
from ostinato.core import registry
from ostinato.errors import PlanError
from strategies import zigzag


@ost.schedule("test_registry.bumps", version=2)
def bumps(t: Any, *, low: float, high: float, every: int = 5) -> Any:
    return np.where(t % every == 0, high, low)


def test_a_registered_schedule_is_vectorised_named_and_saved() -> None:
    course = bumps(low=0.1, high=1)
    assert course(np.arange(6)).tolist() == [1.0, 0.1, 0.1, 0.1, 0.1, 1.0]
    assert course(5) == 1.0
    plan = ost.Plan(bindings={"loss.x": course})
    table = plan.to_document()["bind"][0]
    assert table["schedule"] == {"kind": "test_registry.bumps", "version": 2, "low": 0.1, "high": 1}
    assert ost.Plan.from_toml(plan.to_toml()) == ost.Plan.from_json(plan.to_json()) == plan


def test_the_type_of_a_parameter_belongs_to_it() -> None:
    whole, real = bumps(low=0, high=1), bumps(low=0.0, high=1)
    assert whole != real
    assert ost.Plan(bindings={"loss.x": whole}).digest != ost.Plan(bindings={"loss.x": real}).digest
    assert bumps(high=1, low=0) == whole
    assert hash(bumps(high=1, low=0)) == hash(whole)
    assert bumps(low=np.float64(0.0), high=np.int64(1)) == real
    assert whole != "bumps"


def test_name_version_and_parameters_enter_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ost.Plan(bindings={"loss.x": bumps(low=0.0, high=1.0)}).digest
    newer = registry.ScheduleFactory("test_registry.bumps", 3, bumps.function)
    monkeypatch.setitem(registry._REGISTRY, "test_registry.bumps", newer)
    assert ost.Plan(bindings={"loss.x": newer(low=0.0, high=1.0)}).digest != before


def test_a_plan_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ost.Plan(total=3, bindings={"loss.x": bumps(low=0.0, high=1.0)})
    text = plan.to_toml()
    monkeypatch.setitem(
        registry._REGISTRY, "test_registry.bumps", registry.ScheduleFactory("test_registry.bumps", 3, bumps.function)
    )
    expected = "version: the plan was written for 'test_registry.bumps' version 2, installed is version 3"
    with pytest.raises(PlanError, match=f"^loss.x/schedule.{expected}$"):
        ost.Plan.from_toml(text)
    with pytest.raises(PlanError, match=f"^loss.x: {expected}$"):
        plan.resolve()


def test_a_plan_file_without_a_version_takes_the_installed_one() -> None:
    text = "[[bind]]\ntarget = 'loss.x'\nschedule = { kind = 'test_registry.bumps', low = 0.0, high = 1.0 }\n"
    assert ost.Plan.from_toml(text).bindings["loss.x"] == ost.Binding(bumps(low=0.0, high=1.0))


def test_an_unknown_name_is_answered_with_near_ones_and_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_schedule.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    for kind in ("evil_schedule", "evil_schedule:bumps", "evil_schedule.bumps", "os.system"):
        with pytest.raises(
            PlanError,
            match=f"^loss.x/schedule.kind: no schedule is called '{kind}'; import the module that registers it first",
        ):
            ost.Plan.from_toml(f"[[bind]]\ntarget = 'loss.x'\nschedule = {{ kind = '{kind}' }}\n")
    assert "evil_schedule" not in sys.modules
    with pytest.raises(PlanError, match=r"did you mean 'test_registry.bumps'"):
        registry.lookup("test_registry.bump")


def test_an_installed_package_announces_its_schedules_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "announced_schedules.py").write_text(
        "import ostinato as ost\n@ost.schedule('announced.ramp', version=4)\ndef ramp(t, *, slope):\n    return t * slope\n"
        "other = 3\n"
    )
    info = tmp_path / "announced-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: announced\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ostinato.schedules]\nannounced.ramp = announced_schedules:ramp\nannounced.none = announced_schedules:other\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    table = {"target": "loss.x", "schedule": {"kind": "announced.ramp", "version": 4, "slope": 0.5}}
    plan = ost.Plan.from_document({"total": 4, "bind": [table]})
    assert plan.table()["loss.x"].tolist() == [0.0, 0.5, 1.0, 1.5]
    with pytest.raises(PlanError, match=r"no schedule is called 'announced.none'"):
        registry.lookup("announced.none")
    monkeypatch.delitem(sys.modules, "announced_schedules")


def test_a_lambda_cannot_be_bound_because_it_could_not_be_saved() -> None:
    with pytest.raises(
        PlanError, match=r"^loss.x: got the function '<lambda>'; name it with @ost.schedule\('name', version=1\)"
    ):
        ost.Plan(bindings={"loss.x": lambda t: t})
    with pytest.raises(PlanError, match="got the function 'cos'"):
        ost.schedules.product(np.cos)


def test_what_a_function_returns_is_checked() -> None:
    @ost.schedule("test_registry.wrong", version=1)
    def wrong(t: Any, *, how: str) -> Any:
        return {
            "scalar": 0.5,
            "column": np.zeros((t.size, 1)),
            "short": t[:-1],
            "text": ["a"] * t.size,
            "list": [0.5] * t.size,
            "none": None,
        }[how]

    for how, message in [
        ("scalar", r"got \(\) values for \(4,\) counts, expected one value a count"),
        ("column", r"got \(4, 1\) values"),
        ("short", r"got \(3,\) values"),
        ("none", r"got \(\) values|got NoneType"),
        ("text", "got list, expected an array of numbers"),
    ]:
        with pytest.raises(PlanError, match=f"schedule 'test_registry.wrong': {message}"):
            wrong(how=how)(np.arange(4))
    assert wrong(how="list")(np.arange(4)).tolist() == [0.5] * 4


def test_an_error_inside_the_function_is_the_functions_own() -> None:
    @ost.schedule("test_registry.raising", version=1)
    def raising(t: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        raising()(3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"low": 0.0}, "high: missing, schedule 'test_registry.bumps' needs it; write high = ..."),
        ({"low": 0.0, "high": 1.0, "evry": 3}, "evry: schedule 'test_registry.bumps' does not take it; did you mean 'every'?"),
        ({"low": 0.0, "high": [1.0]}, "high: schedule 'test_registry.bumps' got [1.0], expected a finite number, text or true/false, which can be saved"),
        ({"low": float("nan"), "high": 1.0}, "low: schedule 'test_registry.bumps' got nan, expected a finite number, text or true/false, which can be saved"),
        ({"low": None, "high": 1.0}, "low: schedule 'test_registry.bumps' got None, expected a finite number, text or true/false, which can be saved"),
        ({"t": 1, "low": 0.0, "high": 1.0}, "t: schedule 'test_registry.bumps' does not take it; known: every, high, low"),
    ],
)  # fmt: skip
def test_parameters_are_checked_when_they_are_given(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        bumps(**parameters)
    assert str(caught.value) == message


def test_a_function_that_takes_anything_takes_anything() -> None:
    @ost.schedule("test_registry.open", version=1)
    def anything(t: Any, **parameters: float) -> Any:
        return t * parameters["slope"]

    assert anything(slope=2.0, note="x")(3) == 6.0


def test_a_name_belongs_to_one_function() -> None:
    def other(t: Any) -> Any:
        return t

    with pytest.raises(PlanError, match=r"schedule 'strategies.zigzag' is already .*zigzag; choose another name"):
        ost.schedule("strategies.zigzag", version=9)(other)
    assert ost.schedule("strategies.zigzag", version=3)(zigzag.function) == zigzag  # a module loaded anew


@pytest.mark.parametrize(
    "name", ["hold", "wave", "mirror", "join", "linear", "one_cycle", "product", "sum", "warmup", "clip", "", 3]
)
def test_a_name_that_plan_files_know_already_is_refused(name: Any) -> None:
    with pytest.raises(PlanError, match=r"^schedule: the name .* cannot be used"):
        ost.schedule(name, version=1)(lambda t: t)


@pytest.mark.parametrize("version", [0, -1, 1.0, "1", True, None])
def test_a_version_is_a_whole_number(version: Any) -> None:
    with pytest.raises(PlanError, match=r"^version: got .*, expected a whole number >= 1$"):
        ost.schedule("test_registry.version", version=version)(lambda t: t)


@pytest.mark.parametrize("reserved", ["kind", "version"])
def test_a_parameter_that_plan_files_need_is_refused(reserved: str) -> None:
    function = eval(f"lambda t, *, {reserved}: t")
    with pytest.raises(PlanError, match=f"^{reserved}: the parameter of schedule"):
        ost.schedule("test_registry.reserved", version=1)(function)
