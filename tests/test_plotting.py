from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure

import ostinato as ost
from ostinato import schedules
from ostinato.errors import ConfigError, StorageError
from ostinato.plotting import figure, notebook_html, plot, sample_steps, save_picture

Cycle = ost.Cycle


def a_plan(**changes: object) -> ost.Plan:
    plan = ost.Plan(
        total="51ep",
        warmup="1ep",
        cycle=Cycle("cosine", period="10ep"),
        bindings={
            "optimizer.lr": ost.wave(1e-4, 0.1, scale="geometric"),
            "optimizer.weight_decay": ost.wave(1e-5, 5e-4, shift=0.25),
            "model:Dropout.p": ost.mirror(0.05, 0.3),
        },
    )
    return plan.replace(changes) if changes else plan


def test_one_lane_a_target_on_one_axis() -> None:
    resolved = a_plan().resolve(steps_per_epoch=391)
    axes = plot(resolved)
    assert [ax.get_title(loc="left") for ax in axes] == list(resolved.targets)
    assert all(ax.get_xlim() == (0, resolved.total) for ax in axes)
    assert [ax.get_yscale() for ax in axes] == ["log", "linear", "linear"]
    words = axes[1].get_title(loc="right")
    assert words.split("  ·  ") == ["wave", "1e-05 to 0.0005", "shift 0.25"]
    assert "mirror" in axes[2].get_title(loc="right")


def test_the_total_of_rate_and_strengths_has_the_last_lane() -> None:
    total = figure(a_plan(**{"optimizer.lr/scale": "linear"}).resolve(steps_per_epoch=391)).axes[3]
    assert total.get_title(loc="left") == "total of rate and strengths"
    assert total.get_title(loc="right").endswith("·  constant")
    steps, values = total.lines[0].get_data()
    assert np.ptp(values) == 0.0
    assert steps[0] == 391  # after the warm-up
    uneven = figure(a_plan().resolve(steps_per_epoch=391)).axes[3]  # the rate is geometric, the mirror is not
    assert "spread" in uneven.get_title(loc="right")
    assert np.ptp(uneven.lines[0].get_data()[1]) > 0.05
    plain = a_plan().replace({"model:Dropout.p": None})
    assert len(figure(plain.resolve(steps_per_epoch=391)).axes) == 2


def test_the_curves_are_the_tables_values() -> None:
    resolved = a_plan().resolve(steps_per_epoch=391)
    for ax, target in zip(plot(resolved), resolved.targets, strict=True):
        steps, values = ax.lines[0].get_data()
        assert np.array_equal(values, resolved.table()[target][np.asarray(steps, dtype=int)])


def test_epochs_are_a_second_scale_where_they_are_known() -> None:
    axes = plot(a_plan().resolve(steps_per_epoch=391))
    axes[0].figure.draw_without_rendering()
    known = axes[0].figure.axes[-1].child_axes
    unknown = figure(a_plan(total=510, warmup=10, **{"cycle.period": 100}).resolve()).axes[-1].child_axes
    assert len(known) == 1
    assert known[0].get_xlim() == pytest.approx((0, 51))
    assert not unknown


def test_cycle_ends_and_warmup_are_marked() -> None:
    resolved = a_plan().resolve(steps_per_epoch=391)
    ax = plot(resolved)[0]
    lines = next(item for item in ax.collections if len(getattr(item, "get_segments", list)()) == 5)
    assert [segment[0][0] for segment in lines.get_segments()] == [span.end for span in resolved.cycles]
    shades = [patch for patch in ax.patches if patch.get_width() == resolved.warmup]
    assert len(shades) == 1


def test_given_axes_take_all_values_scaled() -> None:
    ax = Figure().subplots()
    resolved = a_plan().resolve(steps_per_epoch=391)
    assert plot(resolved, ax=ax) is ax
    assert len(ax.lines) == 3
    assert all(line.get_ydata().min() >= 0.0 and line.get_ydata().max() <= 1.0 for line in ax.lines)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.split()[0] for label in labels] == list(resolved.targets)


def test_pyplot_is_left_alone() -> None:
    code = (
        "import sys, ostinato as ost, matplotlib\n"
        "before = dict(dict.items(matplotlib.rcParams))\n"
        "plan = ost.Plan(total=30, cycle=ost.Cycle(count=3), bindings={'o.lr': ost.wave(0, 1)})\n"
        "plan.plot(); plan._repr_html_()\n"
        "assert dict(dict.items(matplotlib.rcParams)) == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={**os.environ, "MPLBACKEND": ""})


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("waveform", ["cosine", "square", "sawtooth"])
def test_a_long_plan_keeps_both_sides_of_every_jump(waveform: str, shift: float) -> None:
    plan = ost.Plan(
        total=1_000_000, warmup=777, cycle=Cycle(waveform, period="12345.5"), bindings={"x.y": ost.wave(0, 1, shift=shift)}
    )  # fmt: skip
    assert_jumps_are_kept(plan.resolve())


@pytest.mark.parametrize(
    "course",
    [
        ost.wave(0, 1, cycle=Cycle("cosine", period=34567)),
        ost.wave(0, 1, cycle=Cycle("square", period="1/3cycle", duty=0.2)),
        schedules.join(0.0, 1.0, schedules.linear(0.5, 0.0), at=[123_456, 700_001]),
        schedules.product(ost.wave(0, 1, shift=0.1), schedules.one_cycle(1.0)),
    ],
)
def test_jumps_inside_other_schedules_are_kept(course: schedules.Schedule) -> None:
    assert_jumps_are_kept(ost.Plan(total=1_000_000, cycle=Cycle(period=90_001), bindings={"x.y": course}).resolve())


def assert_jumps_are_kept(resolved: ost.ResolvedPlan) -> None:
    values = resolved.table()["x.y"]
    jumps = np.flatnonzero(np.abs(np.diff(values)) > 0.2)
    steps = sample_steps(resolved, "x.y")
    assert jumps.size
    assert np.isin(jumps, steps).all()
    assert np.isin(jumps + 1, steps).all()
    assert steps.size < 30_000
    assert {span.end - 1 for span in resolved.cycles} <= set(steps.tolist())


def test_a_run_of_a_billion_steps_is_drawn_from_few() -> None:
    resolved = ost.Plan(total=10**9, cycle=Cycle(period=1000), bindings={"x.y": ost.wave(0, 1)}).resolve()
    assert sample_steps(resolved, "x.y").size < 20_000
    assert plot(resolved).shape == (1,)


@pytest.mark.parametrize(
    "plan",
    [
        ost.Plan(total=1, bindings={"x.y": 0.5}),
        ost.Plan(total=2, warmup=1, cycle=Cycle(period=1), bindings={"o.lr": ost.wave(0, 0)}),
        ost.Plan(total=10),
        ost.Plan(total=10, bindings={"x.$y_$": -3.0, "x" * 90: ost.schedules.linear(-1, 1)}),
        ost.Plan(total=40, unit="round", cycle=Cycle(count=4), bindings={"x.y": ost.wave(0.1, 0.1, scale="geometric")}),
    ],
)
def test_odd_plans_have_a_picture_too(plan: ost.Plan, tmp_path: Path) -> None:
    save_picture(plan.resolve(), tmp_path / "plan.svg")
    ET.parse(tmp_path / "plan.svg")
    assert len(figure(plan.resolve()).axes) == max(len(plan.bindings), 1)


@pytest.mark.parametrize("name", ["plan.svg", "plan.PNG"])
def test_pictures_are_the_same_every_time(name: str, tmp_path: Path) -> None:
    resolved = a_plan().resolve(steps_per_epoch=391)
    first, second = tmp_path / f"1{name}", tmp_path / f"2{name}"
    save_picture(resolved, first)
    save_picture(resolved, second)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(b"\x89PNG" if name.endswith("PNG") else b"<?xml")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([first.name, second.name])


def test_an_svg_has_no_date(tmp_path: Path) -> None:
    save_picture(a_plan().resolve(steps_per_epoch=391), tmp_path / "plan.svg")
    assert b"<dc:date>" not in (tmp_path / "plan.svg").read_bytes()


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    resolved = a_plan().resolve(steps_per_epoch=391)
    with pytest.raises(StorageError, match=r"cannot write .*plan\.svg") as caught:
        save_picture(resolved, tmp_path / "missing" / "plan.svg")
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"ends in \.svg or \.png"):
        save_picture(resolved, tmp_path / "plan.pdf")
    assert not list(tmp_path.iterdir())


def test_the_notebook_shows_a_picture_and_a_table() -> None:
    shown = notebook_html(a_plan(total=510, warmup=10, **{"cycle.period": 100}))
    page = ET.fromstring(shown)
    assert [part.tag.rpartition("}")[2] for part in page] == ["svg", "table"]
    assert not [word for word in ("<script", "<?xml", "<!DOCTYPE") if word in shown]
    assert [cell.text for cell in page[1].iter("code")] == ["optimizer.lr", "optimizer.weight_decay", "model:Dropout.p"]


def test_the_notebook_says_why_there_is_no_picture() -> None:
    shown = ost.Plan(total="5ep", bindings={"optimizer[<b>].lr": 0.1})._repr_html_()
    assert "steps_per_epoch" in shown
    assert "&lt;b&gt;" in shown
    assert not [word for word in ("<svg", "<b>") if word in shown]
