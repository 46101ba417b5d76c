"""The report page: well-formed, closed to the network, escaped, thinned out honestly, and the same every time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato.training.report as report_package
from ostinato.errors import DataError
from ostinato.training.report import RunReport, Series, render
from ostinato.training.report.curves import at, axis_for, downsample, nice_ticks, smooth, tidy
from ostinato.training.report.draw import path_data
from ostinato.training.report.markup import number, table, tag

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & \"quoted\" 'single' ]]> \x00 \ud800 <!--"
VOID = {"meta", "link", "br", "wbr", "input", "hr"}


class Page(HTMLParser):
    """Collects elements and text, and fails on unbalanced tags."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def of_class(self, tag: str, name: str) -> list[dict[str, str | None]]:
        return [a for t, a in self.elements if t == tag and name in (a.get("class") or "").split()]


def figures(n: int, examples: int = 360) -> dict[str, Any] | None:
    members = [
        {"step": 40 * (i + 1), "cycle": i, "error": 0.05 - 0.005 * i, "nll": 0.2 / (i + 1), "ece": 0.02}
        for i in range(n)
    ]
    matrix = [[0.0 if i == j else 0.01 * (i + j + 1) for j in range(n)] for i in range(n)]
    curve = {"confidence": [0.25, 0.75, None], "accuracy": [0.3, 0.7, None], "count": [10, 350, 0]}
    return {
        "members": members,
        "ensemble": {"error": 0.0139, "nll": 0.0612, "ece": 0.0121},
        "last": {"error": 0.0222, "nll": 0.09, "ece": 0.02},
        "best_member": {"error": 0.0222, "nll": 0.09, "ece": 0.02, "step": 40 * n},
        "disagreement": matrix,
        "calibration": {"ensemble": curve, "last": curve},
        "examples": examples,
    }


def sample(cycles: int = 5, targets: int = 3, total: int = 200, snapshots: int | None = None) -> RunReport:
    ends = [round(total * (k + 1) / cycles) for k in range(cycles)]
    steps = np.arange(total)
    values = 0.5 + 0.5 * np.cos(np.pi * (steps * cycles / total % 1))
    notes = ("wave", "mirror, shift 0.25")
    count = cycles if snapshots is None else snapshots
    return RunReport(
        title="a run",
        data="digits",
        model="mlp",
        seed=7,
        total_steps=total,
        steps_per_epoch=10,
        warmup=0,
        cycles=list(zip([0, *ends[:-1]], ends, strict=True)),
        snapshots=ends[:count],
        schedules=[Series(f"target{i}", steps, values, "schedule", 0.0, 1.0, notes[i % 2]) for i in range(targets)],
        losses=[Series("train loss", steps, 1 / (1 + steps), "loss")],
        metrics=[Series("test error", ends, np.linspace(0.1, 0.02, cycles), "metric")],
        evaluation=figures(count) if count else None,
        plan_toml='version = 1\ntotal = "200step"\n',
        plan_rows=[["target", "low"], ["target0", "0.0"]],
        command="ostinato train --seed 7",
        resume_command=None,
        environment={"python": "3.11", "torch": "2.13"},
        wall_s=12.5,
        status="complete",
    )


def island(source: str) -> Any:
    found = re.findall(r'<script type="application/json" id="run-data">(.*?)</script>', source, re.S)
    assert len(found) == 1
    return json.loads(found[0])


def trace(source: str, lane: int, index: int = 0) -> tuple[list[int], list[float | None]]:
    found = island(source)["lanes"][lane]["traces"][index]
    return np.cumsum(found["steps"]).tolist(), found["values"]


def test_exports() -> None:
    assert report_package.__all__ == ["RunReport", "Series", "render"]


def test_same_input_same_bytes() -> None:
    assert render(sample()).encode() == render(sample()).encode()


@pytest.mark.parametrize(
    "report",
    [
        sample(),
        sample(cycles=1, targets=1),
        sample(cycles=1, snapshots=0),
        sample(cycles=500, targets=20, total=5000),
        replace(sample(), schedules=[], losses=[], metrics=[]),
        replace(sample(), plan_rows=[], environment={}, steps_per_epoch=None, wall_s=None, cycles=[]),
        replace(sample(), total_steps=0, cycles=[], snapshots=[], schedules=[], losses=[], metrics=[]),
        replace(sample(), evaluation={}),
        replace(sample(), evaluation={"members": [{}, {"error": "?"}], "disagreement": [[1]], "calibration": None}),
        replace(sample(), status="interrupted", message="stopped by a signal", resume_command="ostinato train"),
    ],
    ids=["five", "one", "none", "many", "bare", "unknown", "empty", "no figures", "odd figures", "interrupted"],
)
def test_page_is_balanced_and_ids_are_unique(report: RunReport) -> None:
    page = Page(render(report))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    for _, attributes in page.elements:
        for key in ("aria-labelledby", "for", "data-copy"):
            assert attributes.get(key) is None or attributes[key] in ids
    assert sum(t == "h1" for t, _ in page.elements) == 1


def test_nothing_is_loaded_and_nothing_runs_inline() -> None:
    source = render(sample())
    page = Page(source)
    assert set(re.findall(r"https?://[^\"' <]*", source)) <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in source
    assert "@import" not in source
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("href", "data:,") == "data:,"
        assert "src" not in attributes


def test_policy_allows_exactly_the_style_and_script_of_the_page() -> None:
    source = render(sample())
    policy = next(
        a["content"] or "" for t, a in Page(source).elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for name, kind in (("style", "style-src"), ("script", "script-src")):
        inner = re.findall(rf"<{name}>(.*?)</{name}>", source, re.S)
        assert len(inner) == 1
        digest = base64.b64encode(hashlib.sha256(inner[0].encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy


def test_hostile_text_stays_text_everywhere() -> None:
    base = sample()
    series = Series(HOSTILE, [0, 1], [0.0, 1.0], "schedule", note=HOSTILE)
    hostile = replace(
        base,
        title=HOSTILE,
        data=HOSTILE,
        model=HOSTILE,
        plan_toml=HOSTILE,
        plan_rows=[[HOSTILE], [HOSTILE]],
        command=HOSTILE,
        resume_command=HOSTILE,
        environment={HOSTILE: HOSTILE, "python": HOSTILE},
        message=HOSTILE,
        schedules=[series],
        losses=[replace(series, kind="loss")],
        metrics=[replace(series, kind="metric")],
        evaluation={
            "members": [{"step": HOSTILE, "cycle": HOSTILE}],
            "ensemble": {"error": HOSTILE},
            "examples": HOSTILE,
        },
    )
    source = render(hostile)
    page = Page(source)
    assert sum(t == "script" for t, _ in page.elements) == 2
    assert not [t for t, _ in page.elements if t == "img"]
    assert "<!--" not in source
    assert "\x00" not in source
    assert source.encode("utf-8")
    assert island(source)["lanes"][0]["name"] == HOSTILE
    assert any(HOSTILE.split("\x00", maxsplit=1)[0] in words for words in page.texts["code"])


def test_embedded_values_round_trip() -> None:
    report = sample()
    source = render(report)
    steps, values = trace(source, 0)
    assert steps == list(range(200))
    np.testing.assert_allclose(np.array(values, dtype=float), report.schedules[0].values, rtol=1e-5, atol=1e-9)
    document = island(source)
    assert document["cycles"] == [list(c) for c in report.cycles]
    assert document["snapshots"] == list(report.snapshots)
    assert document["total"] == 200


def test_missing_values_are_null_and_interrupt_the_line() -> None:
    values = [0.0, 1.0, float("nan"), 1.0, float("inf"), 0.5]
    source = render(replace(sample(), schedules=[Series("x", range(6), values, "schedule")]))
    assert trace(source, 0)[1] == [0.0, 1.0, None, 1.0, None, 0.5]
    drawn = path_data(np.arange(6), np.array([0.0, 1.0, np.nan, 1.0, np.nan, 0.5]), 6)
    assert drawn.count("M") == 3


def test_an_all_missing_series_is_drawn_as_nothing() -> None:
    source = render(replace(sample(), schedules=[Series("x", range(6), [float("nan")] * 6, "schedule")]))
    assert "x: no values" in source


@pytest.mark.parametrize("cycles", [1, 2, 5, 30])
def test_one_line_a_cycle_end(cycles: int) -> None:
    assert len(Page(render(sample(cycles=cycles, total=3000))).of_class("line", "cycle-end")) == cycles


def test_cycle_end_lines_stand_at_the_cycle_ends() -> None:
    places = [a["x1"] for a in Page(render(sample(cycles=5))).of_class("line", "cycle-end")]
    assert places == ["20%", "40%", "60%", "80%", "100%"]


def test_lines_and_numbers_thin_out_with_many_cycles() -> None:
    page = Page(render(sample(cycles=500, total=5000, targets=1)))
    assert len(page.of_class("line", "cycle-end")) <= 120
    numbers = [t for t in page.texts["text"] if t in {str(k) for k in range(1, 501)}]
    assert len(numbers) < 100


def test_each_target_has_a_lane_that_says_what_it_shows() -> None:
    page = Page(render(sample(targets=20)))
    assert len(page.of_class("div", "schedule")) == 20
    labels = [a.get("aria-label") or "" for t, a in page.elements if t == "svg" and a.get("role") == "img"]
    assert any(words.startswith("target1 (mirror, shift 0.25)") and "between" in words for words in labels)
    assert all(labels)


def test_warm_up_is_shaded_only_where_there_is_one() -> None:
    assert not Page(render(sample())).of_class("rect", "warm")
    shaded = Page(render(replace(sample(), warmup=20))).of_class("rect", "warm")
    assert [a["width"] for a in shaded] == ["10%"]


def test_result_in_words() -> None:
    source = render(sample()).replace("\u00a0", " ")
    assert "5 snapshots, ensemble error 1.4 %, last snapshot 2.2 %." in source
    assert "3 fewer wrong of 360" in source
    assert "5 of 360 wrong" in source


def test_a_worse_ensemble_is_called_worse() -> None:
    evaluation = figures(5)
    assert evaluation is not None
    evaluation["ensemble"]["error"] = 0.05
    source = render(replace(sample(), evaluation=evaluation))
    assert "The ensemble is worse than the last snapshot" in source
    assert "10 more wrong of 360" in source


def test_the_best_member_is_called_flattered_only_when_these_examples_chose_it() -> None:
    evaluation = figures(5)
    assert evaluation is not None
    assert "flattered" not in render(replace(sample(), evaluation=evaluation | {"best_member": {"error": 0.2}}))
    assert "flattered" in render(replace(sample(), evaluation=evaluation | {"best_member": {"error": 0.02}}))


def test_no_snapshot_is_a_sentence_and_no_figure() -> None:
    source = render(sample(cycles=1, snapshots=0))
    assert "No snapshot was taken in 200 steps." in source
    assert "no members to compare" in source
    assert "<figure" not in source
    assert 'class="cards"' not in source


def test_one_snapshot_has_no_matrix() -> None:
    source = render(sample(cycles=1))
    assert "1 snapshot, error 2.2\u00a0%." in source
    assert ">Disagreement<" not in source
    assert "nothing to disagree with" in source


def test_snapshots_without_evaluation_say_so() -> None:
    assert "5 snapshots taken, not evaluated yet." in render(replace(sample(), evaluation=None))


def test_disagreement_has_a_number_a_pair_until_it_is_too_large() -> None:
    page = Page(render(sample(cycles=5)))
    cells = [a for t, a in page.elements if t == "td" and re.fullmatch(r"h\d", a.get("class") or "")]
    assert len(cells) == 20
    large = Page(render(sample(cycles=60, total=600)))
    assert not [a for t, a in large.elements if t == "td" and re.fullmatch(r"h\d", a.get("class") or "")]
    assert large.of_class("svg", "cells")


def test_commands_and_plan_can_be_copied() -> None:
    page = Page(render(replace(sample(), resume_command="ostinato train --resume runs/a")))
    assert [a["data-copy"] for t, a in page.elements if t == "button"] == ["plan-toml", "command", "resume-command"]
    assert 'version = 1\ntotal = "200step"\n' in page.texts["code"]
    assert "ostinato train --resume runs/a" in page.texts["code"]


def test_a_million_steps_stay_small() -> None:
    n = 1_000_000
    steps = np.arange(n)
    values = 0.5 + 0.5 * np.cos(np.pi * (steps / 2000 % 1))
    rng = np.random.default_rng(0)
    report = replace(
        sample(cycles=500),
        total_steps=n,
        cycles=[(2000 * k, 2000 * (k + 1)) for k in range(500)],
        snapshots=[2000 * (k + 1) for k in range(500)],
        schedules=[Series(f"t{i}", steps, values * (i + 1) / 7, "schedule") for i in range(20)],
        losses=[Series("train loss", steps, rng.gamma(2.0, 1.0, n), "loss")],
    )
    source = render(report)
    assert len(source.encode()) < 1_500_000
    for lane in island(source)["lanes"]:
        assert all(len(found["steps"]) <= 1500 for found in lane["traces"])


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.floats(-1e300, 1e300), st.just(float("nan"))), min_size=1, max_size=400),
    limit=st.integers(10, 60),
)
def test_thinning_keeps_extremes_ends_and_gaps(values: list[float], limit: int) -> None:
    array = np.array(values)
    steps, kept = downsample(np.arange(len(array)), array, limit)
    assert len(steps) <= limit or len(array) <= limit
    assert (np.diff(steps) > 0).all()
    present, remaining = array[np.isfinite(array)], kept[np.isfinite(kept)]
    assert np.isnan(kept).any() == np.isnan(array).any()
    if len(present):
        assert (present.min(), present.max()) == (remaining.min(), remaining.max())
        assert (present[0], present[-1]) == (remaining[0], remaining[-1])


def test_a_single_spike_survives_thinning_in_the_page() -> None:
    values = np.ones(100_000)
    values[54_321] = 77.0
    lane = replace(sample(), total_steps=100_000, schedules=[Series("x", np.arange(100_000), values, "schedule")])
    steps, kept = trace(render(lane), 0)
    assert kept[steps.index(54_321)] == 77.0


def test_tidy_sorts_and_the_last_of_equal_steps_wins() -> None:
    steps, values = tidy(Series("x", [3, 1, 2, 2], [30.0, 10.0, 19.0, 20.0], "loss"))
    assert steps.tolist() == [1, 2, 3]
    assert values.tolist() == [10.0, 20.0, 30.0]


def test_smoothing_is_local_and_leaves_gaps() -> None:
    values = np.ones(9000)
    values[100], values[5000:5200] = 1e30, np.nan
    steps, mean = smooth(np.arange(9000), values, 31)
    away = (np.abs(steps - 100) > 40) & np.isfinite(mean)
    np.testing.assert_array_equal(mean[away], 1.0)
    assert np.isnan(mean[(steps > 5010) & (steps < 5190)]).all()


def test_smoothing_a_line_gives_the_line() -> None:
    _, mean = smooth(np.arange(101), np.arange(101.0), 11)
    np.testing.assert_allclose(mean[10:-10], np.arange(101.0)[10:-10])


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1e-4, 0.1, True), (1e-5, 5.1e-4, True), (1.0, 50.0, False), (0.0, 1.0, False)]
)
def test_axis_is_logarithmic_past_a_ratio_of_fifty(low: float, high: float, log: bool) -> None:
    assert axis_for(np.array([low, high]), low, high).log is log


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1.0, 1e12, 1e300])
@pytest.mark.parametrize("shape", [[0.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [1e-3, 1.0], [0.0, 0.0]])
def test_huge_and_tiny_values_are_placed_inside(scale: float, shape: list[float]) -> None:
    values = np.array(shape) * scale
    axis = axis_for(values)
    placed = axis.place(values)
    assert ((placed >= -1e-9) & (placed <= 1 + 1e-9)).all()
    assert all(
        axis.low - 1e-9 * abs(axis.low) <= t <= axis.high * (1 + 1e-9) for t in nice_ticks(axis) if axis.high > 0
    )
    Page(render(replace(sample(), schedules=[Series("x", [0, 199], values, "schedule")])))


def test_values_past_the_end_of_a_curve_are_not_made_up() -> None:
    steps, values = np.arange(0, 50, 5), np.arange(10.0)
    assert at(steps, values, 49, hold=False) == 9.0
    assert np.isnan(at(steps, values, 50, hold=False))
    assert at(steps, values, 50) == 9.0
    assert np.isnan(at(steps, values, -1))
    source = render(replace(sample(), schedules=[Series("x", np.arange(120), np.ones(120), "schedule")]))
    assert island(source)["lanes"][0]["traces"][0]["reach"] == 119
    last_row = re.findall(r'<tr><th scope="row">199</th><td>(.*?)</td>', source)
    assert last_row == ["\u2013"]


def test_an_interrupted_run_says_so() -> None:
    source = render(replace(sample(), status="interrupted", message="stopped by a signal"))
    assert '<span class="badge interrupted">interrupted</span>' in source
    assert "stopped by a signal" in source


def test_ticks_are_round_numbers() -> None:
    assert nice_ticks(axis_for(np.array([0.0, 1.0])), 4) == [0.0, 0.5, 1.0]
    assert nice_ticks(axis_for(np.array([1e-4, 0.1])), 4) == [1e-4, 1e-3, 1e-2, 0.1]


def test_numbers_keep_their_sign_and_size() -> None:
    assert number(-0.25) == "\u22120.25"
    assert number(123456) == "123456"
    assert number(-1e-8) == "\u22121e-8"
    assert number(None) == number(float("inf")) == number("7") == "\u2013"


def test_attributes_are_escaped() -> None:
    assert tag("p", title='"><b>') == '<p title="&quot;&gt;&lt;b&gt;"></p>'
    assert table([], caption="x") == ""


def test_series_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="'x' has 2 steps but 1 values; give one value a step"):
        Series("x", [0, 1], [0.0], "loss")
    with pytest.raises(DataError, match="kind 'los'; use 'schedule', 'loss' or 'metric'"):
        Series("x", [0], [0.0], "los")
