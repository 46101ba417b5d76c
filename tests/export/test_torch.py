from __future__ import annotations

import ast
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato import schedules
from ostinato.core.registry import _REGISTRY
from ostinato.errors import ConfigError, PlanError
from ostinato.export import export, frameworks, to_torch

Cycle = ost.Cycle
HARD = 1e-12


def run(code: str) -> dict[str, Any]:
    """Execute an exported script with all warnings as errors."""
    script: dict[str, Any] = {"__name__": "exported"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(code, "exported.py", "exec"), script)
    return script


def assert_same(resolved: ost.ResolvedPlan) -> dict[str, Any]:
    """Check that the exported functions have the table's values, past the end too, and return the script."""
    script = run(to_torch(resolved))
    table = resolved.table(0, resolved.total + 7)
    assert list(script["VALUES"]) == list(resolved.targets)
    for target, function in script["VALUES"].items():
        mine = np.array([function(step) for step in table["step"].tolist()])
        scale = max(np.abs(table[target]).max(), 1e-300)
        assert np.abs(mine - table[target]).max() <= HARD * scale, target
    return script


def planned(course: Any, *, total: int = 300, warmup: int = 0, cycle: Cycle | None = None, target: str = "x.y") -> Any:
    return ost.Plan(total=total, warmup=warmup, cycle=cycle or Cycle(period=37), bindings={target: course}).resolve()


WAVEFORMS = [
    Cycle("cosine", period=37),
    Cycle("triangular", period=37),
    Cycle("triangular", period=36, up=0.25),
    Cycle("triangular", period=37, up=0.0),
    Cycle("triangular", period=37, up=1.0),
    Cycle("sine", period=37),
    Cycle("sawtooth", period=37),
    Cycle("square", period=40, duty=0.3),
    Cycle("exponential", period=37, ratio=50.0),
    Cycle("constant", period=37),
]


@pytest.mark.parametrize("cycle", WAVEFORMS, ids=lambda cycle: f"{cycle.waveform}-{cycle.up}")
@pytest.mark.parametrize("kind", [ost.wave, ost.mirror])
@pytest.mark.parametrize("shift", [0.0, 0.25, 1 / 3])
def test_every_waveform(cycle: Cycle, kind: Any, shift: float) -> None:
    assert_same(planned(kind(0.01, 0.3, shift=shift), cycle=cycle))
    decayed = Cycle(
        cycle.waveform, period=cycle.period, amplitude_decay=0.7, up=cycle.up, duty=cycle.duty, ratio=cycle.ratio
    )
    assert_same(planned(kind(1e-5, 0.3, shift=shift, scale="geometric"), cycle=decayed, warmup=11, target="o.lr"))


@pytest.mark.parametrize(
    "cycle",
    [
        Cycle(period="22.5"),
        Cycle(period="100/7"),
        Cycle(count=7),
        Cycle(count=4, mult=2),
        Cycle(period=10, mult=3),
        Cycle(period="40", mult="0.9"),
        Cycle(period="7/3", mult="11/10"),
    ],
)
def test_boundaries_are_exact(cycle: Cycle) -> None:
    resolved = ost.Plan(
        total=293,
        warmup=13,
        cycle=cycle,
        bindings={
            "saw.a": ost.wave(0.0, 1.0, cycle=Cycle("sawtooth", period="1cycle")),
            "half.a": ost.wave(0.0, 1.0, cycle=Cycle("square", period="1/2cycle")),
            "odd.a": ost.mirror(0.0, 1.0, cycle=Cycle("triangular", period="5/3cycle")),
            "own.a": ost.wave(0.0, 1.0, cycle=Cycle("sawtooth", period=19, mult="1.5")),
            "shared.a": ost.wave(0.0, 1.0),
        },
    ).resolve()
    assert_same(resolved)


def test_no_drift_far_away() -> None:
    resolved = planned(ost.wave(0.0, 1.0), total=10**9, cycle=Cycle("sawtooth", period="1000003/7"))
    function = run(to_torch(resolved))["VALUES"]["x.y"]
    steps = [step for k in (0, 3, 6998, -1) for step in (resolved.cycles[k].start, resolved.cycles[k].end - 1)]
    assert [function(step) for step in steps] == [resolved.curves["x.y"](step) for step in steps]


COURSES = {
    "hold": schedules.hold(0.3),
    "linear": schedules.linear(1.0, -2.0, over="0.4dur"),
    "one_cycle": schedules.one_cycle(0.5, over=200),
    "one_cycle_linear": schedules.one_cycle(0.5, anneal_strategy="linear", three_phase=True),
    "one_cycle_at_once": schedules.one_cycle(0.5, pct_start=0.0),
    "one_cycle_late": schedules.one_cycle(0.5, pct_start=1.0, over=1),
    "warmup": schedules.warmup(ost.wave(0.1, 0.9), over=21, start=0.05),
    "warmup_of_nothing": schedules.warmup(0.4, over=0),
    "product": schedules.product(ost.wave(0.1, 0.9), schedules.linear(1.0, 0.1), -2.0),
    "sum": schedules.sum(ost.wave(0.1, 0.9), schedules.one_cycle(1.0), -0.5),
    "clip": schedules.clip(schedules.one_cycle(1.0), 0.2, 0.7),
    "join": schedules.join(
        schedules.linear(0.0, 1.0, over=50),
        schedules.warmup(ost.wave(0.0, 1.0, cycle=Cycle("sawtooth", period=13, mult="1.2")), over=9),
        schedules.join(ost.wave(0.0, 1.0), schedules.one_cycle(2.0, over=60), at=[70]),
        at=[50, 120],
    ),
    "long_sum": schedules.sum(*(schedules.linear(float(k), 1.0, over=10 + k) for k in range(12))),
}


@pytest.mark.parametrize("name", COURSES)
@pytest.mark.parametrize("target", ["x.y", "optimizer.lr"])
def test_every_schedule(name: str, target: str) -> None:
    binding = ost.Binding(COURSES[name], domain=(-100.0, 100.0))
    assert_same(planned(binding, warmup=17, target=target))
    assert_same(planned(binding, target=target))


DECAY = ost.wave(1e-5, 1e-3, effective=True, shift=0.5)


def test_effective_weight_decay_and_relative_factors() -> None:
    resolved = ost.Plan(
        total=200,
        warmup=10,
        cycle=Cycle(count=3),
        bindings={
            "optimizer.lr": ost.wave(0.01, 0.1),
            "optimizer.weight_decay": DECAY,
            "model:Dropout.p": ost.wave(0.5, 2.0, relative=True),
        },
    ).resolve()
    script = assert_same(resolved)
    product = script["optimizer_lr"](50) * script["optimizer_weight_decay"](50)
    assert product == pytest.approx(script["optimizer_weight_decay_times_lr"](50), rel=1e-14)
    assert_same(
        resolved.plan.replace({"optimizer.weight_decay": None, "optimizer[decay].weight_decay": DECAY}).resolve()
    )


@settings(max_examples=60, deadline=None)
@given(
    waveform=st.sampled_from(["cosine", "triangular", "sine", "sawtooth", "square", "exponential"]),
    period=st.fractions(min_value=1, max_value=90, max_denominator=40),
    mult=st.sampled_from(["1", "1.5", "2", "1.01"]),
    shift=st.integers(0, 1000).map(lambda share: share / 1000),
    total=st.integers(20, 250),
    warmup=st.integers(0, 15),
    low=st.floats(1e-6, 1.0),
    width=st.floats(0.0, 10.0),
    scale=st.sampled_from(["linear", "geometric"]),
)
def test_any_wave(
    *,
    waveform: str,
    period: Any,
    mult: str,
    shift: float,
    total: int,
    warmup: int,
    low: float,
    width: float,
    scale: Any,
) -> None:
    cycle = Cycle(waveform, period=period, mult=mult)
    binding = ost.wave(low, low + width, shift=shift, scale=scale)
    assert_same(planned(binding, total=total, warmup=warmup, cycle=cycle, target="o.lr"))


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.4))
        self.head = torch.nn.Sequential(torch.nn.Dropout1d(0.2), torch.nn.Linear(4, 2))


def scene() -> dict[str, Any]:
    """Return objects of every kind that a plan drives."""
    net = Net()
    groups = [
        {"params": net.body.parameters(), "lr": 0.1, "name": "body"},
        {"params": net.head.parameters(), "lr": 0.001, "name": "head", "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.02)
    sgd = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.5, momentum=0.1)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    settings = type("Settings", (), {"gamma": torch.tensor(2.0), "table": {"noise": 1.0}, "list": [1.0, 2.0]})()
    return {"optimizer": optimizer, "critic": sgd, "model": net, "loss": loss, "settings": settings}


BOUND = {
    "optimizer.lr": ost.wave(1.0, 2.0, relative=True),
    "optimizer.weight_decay": ost.mirror(0.01, 0.05),
    "optimizer.betas.1": ost.wave(0.9, 0.99),
    "optimizer.momentum": ost.wave(0.8, 0.9),
    "optimizer[name==head].eps": ost.wave(1e-8, 1e-6, scale="geometric"),
    "critic[0].lr": ost.wave(0.1, 0.2, shift=0.5),
    "critic[lr>0.3].momentum": ost.wave(0.2, 0.3),
    "model.body:Dropout.p": ost.mirror(0.05, 0.3),
    "model.*:Dropout1d.p": ost.mirror(0.1, 0.2),
    "model:BatchNorm.momentum": ost.mirror(0.01, 0.3),
    "loss.label_smoothing": ost.mirror(0.0, 0.1),
    "settings.gamma": ost.wave(0.0, 2.0),
    "settings.table.noise": ost.wave(0.0, 1.0),
    "settings.list.1": ost.wave(0.0, 1.0),
}


def driven(objects: dict[str, Any]) -> list[float]:
    """Return every number that the plan drives, and some beside them."""
    found = [group[key] for group in objects["optimizer"].param_groups for key in ("lr", "weight_decay", "eps")]
    found += [beta for group in objects["optimizer"].param_groups for beta in group["betas"]]
    found += [objects["critic"].param_groups[0][key] for key in ("lr", "momentum", "weight_decay")]
    net, given = objects["model"], objects["settings"]
    found += [net.body[2].p, net.head[0].p, net.body[1].momentum, objects["loss"].label_smoothing]
    return [float(value) for value in [*found, given.gamma, given.table["noise"], *given.list]]


def test_the_writer_writes_what_the_scheduler_writes() -> None:
    plan = ost.Plan(total=40, warmup=4, cycle=Cycle(count=3), bindings=BOUND)
    ours, theirs = scene(), scene()
    scheduler = plan.bind(**ours)
    gamma = theirs["settings"].gamma
    writer = run(to_torch(plan.resolve()))["Writer"](**theirs)
    for step in range(40):
        writer.write(step)
        assert driven(theirs) == pytest.approx(driven(ours), rel=1e-12), step
        scheduler.step()
        if step == 20:  # loading a state replaces the dictionaries of the groups
            theirs["optimizer"].load_state_dict(theirs["optimizer"].state_dict())
    assert theirs["settings"].gamma is gamma


def test_wrapped_modules_are_looked_into() -> None:
    net = Net()
    plan = ost.Plan(total=5, bindings={"model.body:Dropout.p": 0.25, "model.head.0.p": 0.125})
    run(to_torch(plan.resolve()))["Writer"](model=torch.nn.DataParallel(net)).write(0)
    assert (net.body[2].p, net.head[0].p) == (0.25, 0.125)


def test_group_patterns() -> None:
    plan = ost.Plan(total=5, bindings={"optimizer[h*].lr": 0.25, "optimizer[*].weight_decay": 0.5})
    objects = scene()
    run(to_torch(plan.resolve()))["Writer"](optimizer=objects["optimizer"]).write(0)
    assert [group["lr"] for group in objects["optimizer"].param_groups] == [0.1, 0.25]
    assert [group["weight_decay"] for group in objects["optimizer"].param_groups] == [0.5, 0.5]


def test_setters_take_what_no_address_reaches() -> None:
    plan = ost.Plan(total=5, bindings={"noise": schedules.linear(0.0, 4.0), "optimizer[a*b].lr": 0.5, "loss.x": 0.25})
    script = run(to_torch(plan.resolve()))
    with pytest.raises(ValueError, match="noise is written by a setter"):
        script["Writer"](noise=None, optimizer=None, loss=None)
    seen: list[float] = []
    setters = {"noise": seen.append, "optimizer[a*b].lr": seen.append, "loss.x": seen.append}
    script["Writer"](noise=None, optimizer=None, loss=None, setters=setters).write(2)
    assert seen == [1.6, 0.5, 0.25]


def test_an_address_without_a_match_is_named() -> None:
    plan = ost.Plan(total=5, bindings={"model:Conv2d.p": 0.5})
    with pytest.raises(ValueError, match=r"model:Conv2d\.p matches nothing"):
        run(to_torch(plan.resolve()))["Writer"](model=Net())


AWKWARD = {
    "class.lr": 0.1,
    "self.step": 0.1,
    "math": 0.1,
    "setters.x": 0.1,
    "cycle": ost.wave(0.0, 1.0),
    "x.y": 0.1,
    "x.Y": 0.2,
    'x."quoted\\".y': 0.1,
    "x.größe.π": 0.1,
    "optimizer[a 'b' \"c\"].lr": 0.1,
    "model.encoder.blocks.**:AVeryLongNameOfAModuleClass.an_even_longer_name_of_an_attribute": 0.1,
}


def test_awkward_names_stay_code() -> None:
    code = to_torch(ost.Plan(total=5, cycle=Cycle(period=2), bindings=AWKWARD).resolve())
    assert list(run(code)["VALUES"]) == list(AWKWARD)
    assert code.isascii()


def every_kind() -> dict[str, ost.ResolvedPlan]:
    plans = {name: planned(ost.Binding(course, domain=(-100.0, 100.0)), warmup=5) for name, course in COURSES.items()}
    plans["bound"] = ost.Plan(total=40, warmup=4, cycle=Cycle(period=3, mult="1.2"), bindings=BOUND).resolve()
    plans["many"] = ost.Plan(
        total=4000, cycle=Cycle(period=9, mult="1.01"), bindings={"o.lr": ost.wave(0, 1)}
    ).resolve()
    plans["empty"] = ost.Plan(total=3).resolve()
    plans["awkward"] = ost.Plan(total=5, cycle=Cycle(period=2), bindings=AWKWARD).resolve()
    return plans


def ruff(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ruff", *arguments], capture_output=True, text=True, check=False)


def test_the_code_passes_the_linter_and_is_formatted(tmp_path: Path) -> None:
    for name, resolved in every_kind().items():
        (tmp_path / f"{name}.py").write_text(to_torch(resolved))
    checked = ruff("check", "--isolated", "--no-cache", "--select", "E,F,W,I", str(tmp_path))
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "awkward.py").unlink()  # addresses longer than a line cannot be broken
    formatted = ruff("format", "--isolated", "--no-cache", "--diff", str(tmp_path))
    assert formatted.returncode == 0, formatted.stdout


def test_the_code_imports_math_and_torch_at_most_and_no_more_than_it_needs() -> None:
    for resolved in every_kind().values():
        imported = {
            alias.name
            for node in ast.walk(ast.parse(to_torch(resolved)))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert imported <= {"math", "torch"}
    assert "import" not in to_torch(ost.Plan(total=3, bindings={"noise": 0.5}).resolve()).split('"""')[2]


def test_it_runs_alone_without_a_warning(tmp_path: Path) -> None:
    resolved = planned(ost.wave(0.0, 1.0), cycle=Cycle(period="7.5"))
    last = "\nimport json\n\nprint(json.dumps([x_y(step) for step in range(20)]))\n"
    (tmp_path / "plan.py").write_text(to_torch(resolved) + last)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-W", "ignore::DeprecationWarning:torch", str(tmp_path / "plan.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == pytest.approx(resolved.table(0, 20)["x.y"].tolist(), abs=1e-15)


def test_the_same_plan_gives_the_same_code() -> None:
    first, second = (to_torch(every_kind()["bound"]) for _ in range(2))
    assert first == second


def test_code_of_ones_own_is_refused_in_one_line() -> None:
    @ost.schedule("export_test_bumps", version=1)
    def bumps(t: Any, *, high: float) -> Any:
        return np.where(t % 3 == 0, high, 0.0)

    try:
        resolved = planned(schedules.product(0.5, bumps(high=1.0)))
        with pytest.raises(PlanError, match=r"^x\.y: the schedule 'export_test_bumps' is code of its own.*") as caught:
            to_torch(resolved)
    finally:
        del _REGISTRY["export_test_bumps"]
    assert "\n" not in str(caught.value)


def test_frameworks_are_what_exists() -> None:
    assert "torch" in frameworks()
    with pytest.raises(ConfigError, match=r"got 'keras3', expected one of: .*torch"):
        export(ost.Plan(total=3).resolve(), "keras3")
