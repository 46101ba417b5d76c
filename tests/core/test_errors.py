"""Every way to write a plan wrongly: one line, which says where, what arrived and what to type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ostinato as ost
from ostinato import schedules
from ostinato.core.address import Address
from ostinato.errors import PlanError
from strategies import plans

LR = "target = 'optimizer.lr'\n"
RATE = LR + "low = 0.0\nhigh = 0.1\n"

FILES: list[tuple[str, str]] = [
    ("totl = '10ep'", "totl: unknown key of a plan; did you mean 'total'?"),
    ("\"to\\ntal\" = 3", "'to\\ntal': unknown key of a plan"),
    ("[cycle]\n\"\\n\" = 3", "cycle.'\\n': unknown key of a cycle"),
    ("[[bind]]\n" + RATE + "\"a\\u2028b\" = 3", "optimizer.lr/'a\\u2028b': unknown key"),
    ("total = true", "total: got True, expected a number"),
    ("total = '10epo'", "total: got '10epo' with unknown unit 'epo'; did you mean 'ep'"),
    ("total = '-3ep'", "total: got '-3ep', expected a duration of at least 0"),
    ("total = 0", "total: got 0, expected a length above 0 such as '10ep' or '5000step'"),
    ("total = '0.5dur'", "total: got '0.5dur', expected a length above 0 such as '10ep' or '5000step'"),
    ("total = 'ten epochs'", "total: got 'ten epochs', expected a duration such as '10ep', '500step' or 500"),
    ("total = nan", "total: got 'nan', expected a finite number"),
    ("total = '1/0ep'", "total: got '1/0', which divides by zero"),
    ("total = '1e99step'", "total: got '1e99', expected a number between 1e-30 and 1e30"),
    ("total = [10]", "total: got [10], expected a number"),
    ("warmup = 'x'", "warmup: got 'x', expected a duration such as '10ep', '500step' or 500"),
    ("unit = 'hour'", "unit: got 'hour', expected one of step, ep, sample, token, round"),
    ("version = 2", "version: got 2, this release reads version 1"),
    ("version = true", "version: got True, this release reads version 1"),
    ("cycle = 'cosine'", "cycle: got 'cosine', expected a table [cycle]"),
    ("[cycle]\nwaveform = 'cosin'\nperiod = 3", "cycle.waveform: got 'cosin'; did you mean 'cosine'"),
    ("[cycle]\nwaveform = 3\nperiod = 3", "cycle.waveform: got 3; known: constant, cosine, exponential, sawtooth, sine, square, triangular"),
    ("[cycle]\nwaveform = 'sine'", "cycle.period: give a cycle its period, such as '10ep', or else its count, such as count = 5"),
    ("[cycle]\nperiod = 3\ncount = 5", "cycle.period: give a cycle its period, such as '10ep', or else its count, such as count = 5"),
    ("[cycle]\nperiod = 0", "cycle.period: got 0, expected more than 0"),
    ("[cycle]\ncount = 2.5", "cycle.count: got 2.5, expected a whole number >= 1"),
    ("[cycle]\ncount = 0", "cycle.count: got 0, expected a whole number >= 1"),
    ("[cycle]\nperiod = 3\nmult = 0", "cycle.mult: got 0, expected a number above 0"),
    ("[cycle]\nperiod = 3\namplitude_decay = 0", "cycle.amplitude_decay: got 0, expected a number in (0, 1]"),
    ("[cycle]\nperiod = 3\namplitude_decay = 1.5", "cycle.amplitude_decay: got 1.5, expected a number in (0, 1]"),
    ("[cycle]\nperiod = 3\nup = 0.5", "cycle.up: waveform 'cosine' does not take it (it has: no parameters)"),
    ("[cycle]\nwaveform = 'square'\nperiod = 3\nup = 0.5", "cycle.up: waveform 'square' does not take it (it has: duty)"),
    ("[cycle]\nwaveform = 'square'\nperiod = 3\nduty = 1.5", "cycle.duty: got 1.5, expected a number in [0, 1]"),
    ("[cycle]\nwaveform = 'exponential'\nperiod = 3\nratio = 1", "cycle.ratio: got 1, expected a number in (1, 1e+12]"),
    ("[cycle]\nperod = 3", "cycle.perod: unknown key of a cycle; did you mean 'period'?"),
    ("[cycle]\n_parameters = 3", "cycle._parameters: unknown key of a cycle"),
    ("[bind]\ntarget = 'a.x'", "bind: expected a list of tables; write [[bind]] with two brackets"),
    ("bind = [3]", "bind.0: target is missing; write target = 'optimizer.lr'"),
    ("[[bind]]\nlow = 0.0", "bind.0: target is missing; write target = 'optimizer.lr'"),
    ("[[bind]]\ntarget = 'optimizer lr'", "bind.0: target: got 'optimizer lr', expected an address such as 'optimizer.lr', 'optimizer[0].lr', 'model:Dropout.p' or 'loss.label_smoothing'"),
    ("[[bind]]\ntarget = 3", "bind.0: target: got 3, expected an address such as"),
    ("[[bind]]\n" + RATE + "[[bind]]\n" + RATE, "bind.1: 'optimizer.lr' is bound twice; keep one"),
    ("[[bind]]\n" + LR + "low = 0.0", "optimizer.lr/high: missing; write high = 0.1"),
    ("[[bind]]\n" + LR + "high = 0.0", "optimizer.lr/low: missing; write low = 0.1"),
    ("[[bind]]\n" + LR + "low = 0.2\nhigh = 0.1", "optimizer.lr/high: got 0.1, which is below low = 0.2; swap them, or use mirror for the complement"),
    ("[[bind]]\n" + LR + "low = '0'\nhigh = 0.1", "optimizer.lr/low: got '0', expected a number"),
    ("[[bind]]\n" + LR + "low = 0.0\nhigh = inf", "optimizer.lr/high: got inf, expected a finite number"),
    ("[[bind]]\n" + RATE + "shft = 0.5", "optimizer.lr/shft: unknown key; did you mean 'shift'?"),
    ("[[bind]]\n" + RATE + "shift = 'late'", "optimizer.lr/shift: got 'late', expected a finite number"),
    ("[[bind]]\n" + RATE + "scale = 'log'", "optimizer.lr/scale: got 'log', expected 'linear' or 'geometric'"),
    ("[[bind]]\n" + RATE + "scale = 'geometric'", "optimizer.lr/low: got 0.0, expected more than 0 for scale='geometric'"),
    ("[[bind]]\n" + RATE + "relation = 'waves'", "optimizer.lr/relation: got 'waves'; did you mean 'wave'?"),
    ("[[bind]]\n" + RATE + "relative = 1", "optimizer.lr/relative: got 1, expected true or false"),
    ("[[bind]]\n" + RATE + "effective = 'yes'", "optimizer.lr/effective: got 'yes', expected true or false"),
    ("[[bind]]\n" + RATE + "warmup = 5", "optimizer.lr/warmup: got 5, expected true or false"),
    ("[[bind]]\n" + RATE + "relative = true\neffective = true", "optimizer.lr/relative, effective: got both; lr·weight_decay is absolute, so leave relative out"),
    ("[[bind]]\n" + RATE + "domain = 3", "optimizer.lr/domain: got 3, expected two numbers [low, high]"),
    ("[[bind]]\n" + RATE + "domain = { a = 1, b = 2 }", "optimizer.lr/domain: got {'a': 1, 'b': 2}, expected two numbers [low, high]"),
    ("[[bind]]\n" + RATE + "domain = [1, 0]", "optimizer.lr/domain: got [1, 0], expected low <= high"),
    ("[[bind]]\n" + RATE + "cycle = 3", "optimizer.lr/cycle: got 3, expected a table"),
    ("[[bind]]\n" + RATE + "cycle = { period = 'x' }", "optimizer.lr/cycle.period: got 'x', expected a duration such as"),
    ("[[bind]]\n" + RATE + "schedule = { kind = 'hold', value = 1 }", "optimizer.lr/low: unknown key; known: domain, effective, relation, relative, schedule, target, warmup"),
    ("[[bind]]\n" + LR + "relation = 'wave'\nschedule = { kind = 'hold', value = 1 }", "optimizer.lr/relation: got 'wave' beside a [bind.schedule]; leave relation out"),
    ("[[bind]]\n" + LR + "schedule = 3", "optimizer.lr/schedule: got 3, expected a table"),
    ("[[bind]]\n" + LR + "schedule = {}", "optimizer.lr/schedule.kind: missing; write kind = 'one_cycle' or the name of another schedule"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'hold' }", "optimizer.lr/schedule.value: missing; write value = ..."),
    ("[[bind]]\n" + LR + "schedule = { kind = 'hold', valu = 1 }", "optimizer.lr/schedule.valu: unknown key; did you mean 'value'?"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'linear', start = 0, end = 1, over = 0 }", "optimizer.lr/schedule.over: got 0, expected more than 0"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'one_cycle', high = 0 }", "optimizer.lr/schedule.high, div_factor, final_div_factor: got 0.0, 25.0, 10000.0, expected more than 0"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'one_cycle', high = 1, pct_start = 2 }", "optimizer.lr/schedule.pct_start: got 2.0, expected a share in [0, 1]"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'one_cycle', high = 1, three_phase = 1 }", "optimizer.lr/schedule.three_phase: got 1, expected true or false"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'one_cycle', high = 1, anneal_strategy = 'exp' }", "optimizer.lr/schedule.anneal_strategy: got 'exp', expected 'cos' or 'linear'"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'sum' }", "optimizer.lr/schedule.of: missing; write of = [{ kind = 'hold', value = 0.1 }, ...]"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'sum', of = [] }", "optimizer.lr/schedule.of: a sum of nothing; give it at least one schedule"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'sum', of = [{ kind = 'hold', value = 1 }, 3] }", "optimizer.lr/schedule.of.1: got 3, expected a table"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'sum', of = [{ kind = 'hold', value = 'x' }] }", "optimizer.lr/schedule.of.0.value: got 'x', expected a number"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'clip', low = 0, high = 1, of = [] }", "optimizer.lr/schedule.of: clip takes one schedule, got 0"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'clip', low = 1, high = 0, of = [{ kind = 'hold', value = 1 }] }", "optimizer.lr/schedule.high: got 0.0, which is below low = 1.0; swap them"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'warmup', of = [{ kind = 'hold', value = 1 }] }", "optimizer.lr/schedule.over: missing; write over = ..."),
    ("[[bind]]\n" + LR + "schedule = { kind = 'join', of = [{ kind = 'hold', value = 1 }], at = [] }", "optimizer.lr/schedule.at: 1 schedules need 1 places where the next one begins, got 0"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'join', of = [{ kind = 'hold', value = 1 }], at = 5 }", "optimizer.lr/schedule.at: got 5, expected a list of places where the next schedule begins, such as ['10ep']"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'wave', low = 0.0, high = 1.0, warmup = true }", "optimizer.lr/schedule.warmup: unknown key; known: cycle, high, low, scale, shift"),
    ("[[bind]]\n" + LR + "schedule = { kind = 'jion' }", "optimizer.lr/schedule.kind: no schedule is called 'jion'; import the module that registers it first"),
    ("total = 1\ntotal = 2", "TOML: Cannot overwrite a value (at "),
    ("total =", "TOML: Invalid value (at "),
]  # fmt: skip


def one_line(error: PlanError) -> str:
    text = str(error)
    assert "\n" not in text
    assert len(text) < 400
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(("text", "message"), FILES)
def test_a_wrong_plan_file_is_answered_in_one_line(text: str, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        ost.Plan.from_toml(text)
    assert one_line(caught.value).startswith(message)


def resolving(**given: Any) -> Any:
    return lambda: ost.Plan(**({"total": 100} | given)).resolve()


LR_WAVE = {"optimizer.lr": ost.wave(0.0, 0.1)}
CALLS: list[tuple[Any, str]] = [
    (resolving(total=None), "total: missing; write Plan(total='10ep', ...) or plan.replace({'total': '10ep'})"),
    (resolving(total="3ep"), "total: 3ep needs steps_per_epoch; pass steps_per_epoch=... where the plan is resolved or bound"),
    (resolving(total="3round"), "total: 3round needs steps_per_round; pass steps_per_round=... where the plan is resolved or bound"),
    (resolving(total="3step", unit="round"), "total: 3step needs steps_per_round; pass steps_per_round=... where the plan is resolved or bound"),
    (resolving(total="1e20"), "total: got about 1e+20 counts, expected at most 2^53 (about 9e15)"),
    (resolving(warmup=100), "warmup: 100 steps leave nothing of a total of 100; shorten it"),
    (resolving(warmup="2cycle"), "warmup: 2cycle counts in cycles, which only the period of a binding's own cycle can"),
    (resolving(bindings=LR_WAVE), "optimizer.lr: a wave needs a cycle; write Plan(cycle=Cycle('cosine', count=5), ...) or wave(..., cycle=...)"),
    (resolving(cycle=ost.Cycle(period="0.5step")), "cycle.period: 0.5 steps are less than one; a cycle needs at least one"),
    (resolving(cycle=ost.Cycle(period="2cycle")), "cycle.period: 2cycle counts in cycles, which only the period of a binding's own cycle can"),
    (resolving(cycle=ost.Cycle(count=101)), "cycle.count: 101 cycles do not fit into 100 steps; each needs at least one"),
    (resolving(cycle=ost.Cycle(count=5000, mult=1.1), total=10_000), "cycle.count: 5000 cycles of mult 1.1 in 10000 steps begin below one step each"),
    (resolving(cycle=ost.Cycle(period=10, mult=0.5)), "cycle.mult: 0.5 shrinks cycle 4 below one step, 81 steps before the end; choose a larger mult or period, or a total of 19 steps after the warm-up"),
    (resolving(cycle=ost.Cycle(period=10, mult="1e20")), "cycle.mult: 100000000000000000000 makes cycle 1 longer than 2^53 steps; choose a smaller mult"),
    (resolving(cycle=ost.Cycle(period=1, mult="1.0000001"), total=10**6), "cycle.mult: more than 10000 cycles of unequal length; choose mult = 1 or a longer period"),
    (resolving(cycle=ost.Cycle(period="1e25")), "cycle.period: about 1e+25 steps are more than 2^53; choose a shorter one"),
    (resolving(bindings={"loss.x": ost.wave(0, 1, cycle=ost.Cycle(period="2cycle"))}), "loss.x: period: 2cycle is a ratio of the shared cycle, which the plan does not have; write Plan(cycle=...)"),
    (resolving(cycle=ost.Cycle(period=9), bindings={"loss.x": ost.wave(0, 1, cycle=ost.Cycle(period="2cycle", mult=2))}), "loss.x: mult: a cycle of 2cycle stretches with the shared one; leave mult out"),
    (resolving(cycle=ost.Cycle(period=2), bindings={"loss.x": ost.wave(0, 1, cycle=ost.Cycle(period="1/3cycle"))}), "loss.x: period: 1/3cycle of a shared cycle of 2 steps is less than one step"),
    (resolving(bindings={"loss.x": schedules.join(1, 2, 3, at=[5, 5])}), "loss.x: at: the next schedule begins at 5, not after 5; write growing places"),
    (resolving(bindings={"loss.x": schedules.linear(0, 1, over="2cycle")}), "loss.x: over: 2cycle counts in cycles"),
    (resolving(bindings={"loss.x": schedules.linear(0, 1, over="2ep")}), "loss.x: over: 2ep needs steps_per_epoch"),
    (resolving(cycle="cosine"), "cycle: got 'cosine', expected Cycle('cosine', period='10ep')"),
    (resolving(bindings=[("optimizer.lr", 0.1)]), "bindings: got [('optimizer.lr', 0.1)], expected a mapping such as {'optimizer.lr': ost.wave(0.0, 0.1)}"),
    (resolving(bindings={"optimizer.lr": "0.1"}), "optimizer.lr: schedule: got '0.1', expected a number"),
    (resolving(bindings={"optimizer[0]": 0.1}), "target: 'optimizer[0]' selects parameter groups; write the key after them, as in 'optimizer[0].lr'"),
    (resolving(bindings={"model.*": 0.1}), "target: 'model.*' ends in '*'; name the value to set, as in 'model.*.p'"),
    (resolving(bindings={"": 0.1}), "target: got '', expected an address such as 'optimizer.lr'"),
    (lambda: ost.Plan(total=9).resolve(steps_per_epoch=0), "steps_per_epoch: got 0, expected a number above 0"),
    (lambda: ost.Plan(total=9).resolve(tokens_per_step=True), "tokens_per_step: got True, expected a number"),
    (lambda: ost.Plan(total=9).resolve().table(start=-1), "table: got start=-1, stride=1, expected start >= 0 and stride >= 1"),
    (lambda: ost.Plan(total=9).resolve().table(stride=0), "table: got start=0, stride=0, expected start >= 0 and stride >= 1"),
    (lambda: ost.Plan(total=9, bindings={"optimizer.lr": 0.1}).resolve().mean("optimizer.l"), "optimizer.l: the plan does not drive it; did you mean 'optimizer.lr'?"),
    (lambda: schedules.linear(0, 1, over="3ep")(4), "over: 3ep needs steps_per_epoch"),
    (lambda: schedules.one_cycle(1.0)(4), "over: 1dur is a share of the total, which is not known here; write '10ep' or '500step'"),
    (lambda: ost.wave(0, 1, cycle=ost.Cycle(count=3)).schedule(4), "count: 3 cycles need a total; write Plan(total=...)"),
    (lambda: schedules.hold(1.0)(-1), "count: got -1, expected at least 0"),
    (lambda: schedules.hold(1.0)(1.5), "count: got 1.5, expected a whole number or an array of them"),
    (lambda: schedules.hold(1.0)(np.array([0.0])), "count: got array([0.]), expected a whole number or an array of them"),
    (lambda: schedules.hold(10**400), "value: got about 1e400, expected a finite number"),
    (lambda: ost.Cycle(period=10**5000), "period: got about 1e5000, expected a number between 1e-30 and 1e30"),
    (lambda: ost.Plan(total="1" * 61), "total: got '" + "1" * 61 + "', expected a number between 1e-30 and 1e30"),
    (lambda: ost.Plan.from_json("[]"), "JSON: expected a JSON object such as"),
    (lambda: ost.Plan.from_json("{"), "JSON: Expecting property name enclosed in double quotes"),
    (lambda: ost.Plan.from_json('{"total": NaN}'), "JSON: NaN is no number that a plan can hold"),
    (lambda: ost.Plan.from_json("[" * 10**5), "JSON: nested too deeply"),
    (lambda: ost.Plan.from_toml("a = " + "[" * 10**5), "TOML: nested too deeply"),
    (lambda: ost.Plan(total=9).replace({3: 4}), "replace: got the address 3, expected text such as 'cycle.period'"),
    (lambda: ost.Plan(total=9).replace({"cycle": {"period": 3}}), "cycle: got {'period': 3}, expected Cycle('cosine', period='10ep')"),
    (lambda: ost.Plan(bindings=LR_WAVE).shifted("x"), "shift: got 'x', expected a finite number"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_a_wrong_plan_is_answered_in_one_line(call: Any, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        call()
    assert one_line(caught.value).startswith(message)


def test_a_schedule_nested_too_deeply_is_refused() -> None:
    deep: Any = {"kind": "hold", "value": 1.0}
    for _ in range(2000):
        deep = {"kind": "clip", "low": 0.0, "high": 1.0, "of": [deep]}
    with pytest.raises(PlanError, match=r"^optimizer.lr/.*nested too deeply"):
        ost.Plan.from_document({"bind": [{"target": "optimizer.lr", "schedule": deep}]})


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    cases = {"a.toml": b"total = ", "b.json": b"{", "c.toml": b"\xff\xfe", "d.json": b"[1]", "e.toml": b"totl = 3"}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PlanError) as caught:
            ost.Plan.load(tmp_path / name)
        assert one_line(caught.value).startswith(f"{tmp_path / name}: ")
    with pytest.raises(PlanError, match=r"missing.toml: No such file or directory; give the path of a plan file$"):
        ost.Plan.load(tmp_path / "missing.toml")
    with pytest.raises(PlanError, match=r"c.toml: not UTF-8 text at byte 0$"):
        ost.Plan.load(tmp_path / "c.toml")
    with pytest.raises(PlanError, match="Is a directory"):
        ost.Plan.load(tmp_path)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["10ep", "0.5dur", "2cycle", "cosine", "hold", "wave", 1e308, -1])
)  # fmt: skip
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=4,
)


def refuse_lines(error: PlanError) -> None:
    assert "\n" not in str(error)


@settings(max_examples=400, deadline=None)
@given(plans(), st.data())
def test_junk_in_any_place_of_a_document_is_either_a_plan_or_a_plan_error(plan: ost.Plan, data: st.DataObject) -> None:
    document = plan.to_document()
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(junk)
            break
        place = inner
    try:
        found = ost.Plan.from_document(document)
    except PlanError as error:
        refuse_lines(error)
        return
    assert ost.Plan.from_json(found.to_json()) == found
    with np.errstate(all="ignore"):
        try:
            found.resolve(steps_per_epoch=40, samples_per_step=2, tokens_per_step=3)
        except PlanError as error:
            refuse_lines(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimizer.lr", ("optimizer", None, ("lr",), None, ("lr",))),
        ("optimizer[0].lr", ("optimizer", "0", ("lr",), None, ("lr",))),
        ("optimizer[lr>0.01].lr", ("optimizer", "lr>0.01", ("lr",), None, ("lr",))),
        ("optimizer[*].weight_decay", ("optimizer", "*", ("weight_decay",), None, ("weight_decay",))),
        ("optimizer.betas.0", ("optimizer", None, ("betas", "0"), None, ("betas", "0"))),
        ("model:Dropout.p", ("model", None, (), "Dropout", ("p",))),
        ("model.encoder.*:Linear.scale", ("model", None, ("encoder", "*"), "Linear", ("scale",))),
        ("model.**:BatchNorm.momentum", ("model", None, ("**",), "BatchNorm", ("momentum",))),
        ("loss.inner.gamma", ("loss", None, ("inner", "gamma"), None, ("inner", "gamma"))),
        ("noise", ("noise", None, (), None, ())),
    ],
)  # fmt: skip
def test_addresses_are_read(text: str, expected: tuple[Any, ...]) -> None:
    address = Address.parse(text)
    assert (address.root, address.group, address.path, address.owner, address.attribute) == expected
    assert address.text == text
    assert address.key == (expected[4][-1] if expected[4] else "noise")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".lr",
        "optimizer.",
        "optimizer..lr",
        "3d.x",
        "model:Dropout",
        "model:.p",
        "a b.c",
        "optimizer[].lr",
        "optimizer[a\nb].lr",
        "model.enc*.p",
        None,
        3,
    ],
)
def test_what_is_no_address_is_refused(text: Any) -> None:
    with pytest.raises(PlanError, match=r"^target: got .*, expected an address such as 'optimizer.lr'"):
        Address.parse(text)


def test_the_siblings_of_a_group_are_found_by_key() -> None:
    assert Address.parse("optimizer[head].weight_decay").sibling("lr") == "optimizer[head].lr"
    assert Address.parse("optimizer.weight_decay").sibling("lr") == "optimizer.lr"
