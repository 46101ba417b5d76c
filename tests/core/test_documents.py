"""Plans as files: round trips, digests, editing by address."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

import ostinato as ost
from ostinato import schedules
from ostinato.errors import PlanError
from strategies import RATES, decimals, plans, zigzag


def contract() -> ost.Plan:
    """The plan of the design's section 4."""
    return ost.Plan(
        total="51ep",
        warmup="1ep",
        cycle=ost.Cycle("cosine", period="10ep"),
        bindings={
            "optimizer.lr": ost.wave(1e-4, 0.1),
            "optimizer.weight_decay": ost.wave(1e-5, 5e-4, shift=0.25),
            "model:Dropout.p": ost.mirror(0.05, 0.3),
            "model:BatchNorm.momentum": ost.mirror(0.01, 0.3),
            "loss.label_smoothing": ost.mirror(0.0, 0.1),
        },
    )


CONTRACT_TOML = """
version = 1
total = "51ep"
warmup = "1ep"

[cycle]
waveform = "cosine"
period = "10ep"
mult = 1.0
amplitude_decay = 1.0

[[bind]]
target = "optimizer.lr"
relation = "wave"
low = 1e-4
high = 0.1
shift = 0.0
scale = "linear"

[[bind]]
target = "loss.label_smoothing"
relation = "mirror"
low = 0.0
high = 0.1

[[bind]]
target = "model:BatchNorm.momentum"
relation = "mirror"
low = 0.01
high = 0.3

[[bind]]
target = "optimizer.weight_decay"
low = 1e-5
high = 5e-4
shift = 0.25

[[bind]]
target = "model:Dropout.p"
relation = "mirror"
low = 0.05
high = 0.3
"""


def test_the_designs_plan_file_is_the_designs_plan() -> None:
    plan = ost.Plan.from_toml(CONTRACT_TOML)
    assert plan == contract()
    assert plan.digest == contract().digest
    assert plan.resolve(steps_per_epoch=391).digest == contract().resolve(steps_per_epoch=391).digest


# -- round trips ------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(plans())
def test_toml_and_json_give_back_the_plan(plan: ost.Plan) -> None:
    for loaded in (
        ost.Plan.from_toml(plan.to_toml()),
        ost.Plan.from_json(plan.to_json()),
        ost.Plan.from_document(plan.to_document()),
    ):
        assert loaded == plan
        assert hash(loaded) == hash(plan)
        assert loaded.digest == plan.digest
        assert list(loaded.bindings) == list(plan.bindings)
    resolved = ost.Plan.from_toml(plan.to_toml()).resolve(**RATES)
    assert resolved.digest == plan.resolve(**RATES).digest
    assert resolved.table().tobytes() == plan.resolve(**RATES).table().tobytes()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans())
def test_files_give_back_the_plan(tmp_path: Path, plan: ost.Plan) -> None:
    for name in ("plan.toml", "plan.json"):
        plan.save(tmp_path / name)
        assert ost.Plan.load(tmp_path / name) == plan
        assert ost.Plan.load(str(tmp_path / name)).digest == plan.digest
    assert json.loads((tmp_path / "plan.json").read_text())["version"] == 1


@settings(max_examples=50, deadline=None)
@given(plans())
def test_plans_and_resolved_plans_travel_to_other_processes(plan: ost.Plan) -> None:
    resolved = plan.resolve(**RATES)
    again = pickle.loads(pickle.dumps(resolved))  # noqa: S301  # what a data worker receives from its own parent
    assert again.plan == plan
    assert again.table().tobytes() == resolved.table().tobytes()
    assert again.digest == resolved.digest


def test_tables_of_a_runs_configuration_are_passed_over() -> None:
    assert ost.Plan.from_toml(CONTRACT_TOML + "\n[data]\nname = 'digits'\n[train]\nseed = 3\n") == contract()


def test_a_plan_without_a_total_can_be_saved_and_completed() -> None:
    plan = ost.Plan(cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    loaded = ost.Plan.from_toml(plan.to_toml())
    assert loaded == plan
    assert loaded.replace({"total": 50}).resolve().snapshots == [9, 19, 29, 39, 49]


# -- digests ----------------------------------------------------------------------------------------------------

EQUAL: list[tuple[str, ost.Plan, ost.Plan]] = [
    ("unit words", ost.Plan(total="10epochs", warmup="1 epoch"), ost.Plan(total="10ep", warmup="1ep")),
    ("bare steps", ost.Plan(total=100, warmup=5), ost.Plan(total="100steps", warmup="5step")),
    ("numbers", ost.Plan(total="1e2"), ost.Plan(total=100.0)),
    ("fractions", ost.Plan(total="5/2ep"), ost.Plan(total="2.5ep")),
    ("default cycle", ost.Plan(cycle=ost.Cycle(period=5)), ost.Plan(cycle=ost.Cycle("cosine", period="5.0", mult=1.0, amplitude_decay=1))),
    ("default shape", ost.Plan(cycle=ost.Cycle("square", count=5)), ost.Plan(cycle=ost.Cycle("square", count=5, duty=0.5))),
    ("mult", ost.Plan(cycle=ost.Cycle(period=5, mult="3/2")), ost.Plan(cycle=ost.Cycle(period=5, mult=1.5))),
    ("integers", ost.Plan(bindings={"a.x": ost.wave(0, 1)}), ost.Plan(bindings={"a.x": ost.wave(0.0, 1.0, shift=0, scale="linear")})),
    ("minus zero", ost.Plan(bindings={"a.x": ost.wave(-0.0, 1)}), ost.Plan(bindings={"a.x": ost.wave(0.0, 1.0, shift=-0.0)})),
    ("turns", ost.Plan(bindings={"a.x": ost.wave(0, 1, shift=1.25)}), ost.Plan(bindings={"a.x": ost.wave(0, 1, shift=-0.75)})),
    ("no turn", ost.Plan(bindings={"a.x": ost.wave(0, 1, shift=1)}), ost.Plan(bindings={"a.x": ost.wave(0, 1)})),
    ("constant", ost.Plan(bindings={"a.x": 1}), ost.Plan(bindings={"a.x": schedules.hold(1.0)})),
    ("binding", ost.Plan(bindings={"a.x": ost.Binding(schedules.hold(1))}), ost.Plan(bindings={"a.x": 1.0})),
    (
        "order",
        ost.Plan(bindings={"a.x": 1.0, "b.y": ost.wave(0, 1)}),
        ost.Plan(bindings={"b.y": ost.wave(0, 1), "a.x": 1.0}),
    ),
    (
        "factors",
        ost.Plan(bindings={"a.x": schedules.hold(2) * schedules.linear(0, 1, over=3)}),
        ost.Plan(bindings={"a.x": schedules.linear(0, 1, over="3step") * 2.0}),
    ),
    ("unit", ost.Plan(total=3, unit="epochs"), ost.Plan(total="3ep", unit="ep")),
    ("domain", ost.Plan(bindings={"a.x": ost.wave(0, 1, domain=[0, 1])}), ost.Plan(bindings={"a.x": ost.wave(0, 1, domain=(0.0, 1.0))})),
    ("places", ost.Plan(bindings={"a.x": schedules.join(1, 2, at=[5])}), ost.Plan(bindings={"a.x": schedules.join(1.0, 2.0, at=("5steps",))})),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), [pytest.param(*pair, id=name) for name, *pair in EQUAL])
def test_equal_plans_have_equal_digests_however_they_are_written(left: ost.Plan, right: ost.Plan) -> None:
    assert left == right
    assert left.digest == right.digest
    assert hash(left) == hash(right)


def variations() -> Iterator[tuple[str, ost.Plan]]:
    base = contract()
    yield "base", base
    for address, value in [
        ("total", "52ep"), ("warmup", 0), ("cycle", None), ("cycle.waveform", "sawtooth"), ("cycle.period", "11ep"), ("cycle.count", 5),
        ("cycle.mult", 2), ("cycle.amplitude_decay", 0.5), ("optimizer.lr/low", 2e-4), ("optimizer.lr/high", 0.2), ("optimizer.lr/shift", 0.5),
        ("optimizer.lr/scale", "geometric"), ("optimizer.lr/relation", "mirror"), ("optimizer.lr/relative", True),
        ("optimizer.weight_decay/effective", True), ("optimizer.lr/warmup", False), ("optimizer.lr/domain", [0, 1]),
        ("optimizer.lr/cycle", {"period": "2cycle"}), ("optimizer.lr", schedules.hold(0.1)), ("optimizer.lr", None), ("model.x", schedules.hold(1.0)),
    ]:  # fmt: skip
        yield f"{address}={value}", base.replace({address: value})
    shaped = base.replace({"cycle.waveform": "triangular"})
    yield "triangular", shaped
    yield "up", shaped.replace({"cycle.up": 0.25})
    for version in (
        schedules.linear(1, 2, over=3),
        schedules.linear(1, 2, over=4),
        schedules.one_cycle(0.1),
        schedules.one_cycle(0.1, three_phase=True),
    ):
        yield f"{version}", base.replace({"optimizer.lr": version})
    for course in (zigzag(low=0, high=1), zigzag(low=0.0, high=1), zigzag(low=0, high=1, every=4)):
        yield f"{course}", base.replace({"optimizer.lr": course})


def test_different_plans_have_different_digests() -> None:
    plans = dict(variations())
    digests = {name: plan.digest for name, plan in plans.items()}
    assert len(set(digests.values())) == len(plans) == len(set(plans.values()))
    assert all(len(digest) == 64 for digest in digests.values())


@settings(max_examples=100, deadline=None)
@given(plans(), plans())
def test_digests_are_equal_just_where_plans_are(left: ost.Plan, right: ost.Plan) -> None:
    assert (left.digest == right.digest) == (left == right)


def test_the_digest_of_a_plan_is_pinned() -> None:
    """It is written into every run folder: a change of the canonical text must be meant."""
    document = contract().to_document()
    assert document["bind"][1] == {
        "target": "optimizer.weight_decay", "relation": "wave", "low": 1e-05, "high": 0.0005, "shift": 0.25, "scale": "linear",
        "relative": False, "effective": False,
    }  # fmt: skip
    assert document["cycle"] == {"waveform": "cosine", "period": "10ep", "mult": 1, "amplitude_decay": 1.0}
    assert contract().digest == "ddb23208cbc0e246f7b637efc3aa3346b55c2b602282fd78cac1c8f8789c52b1"


def test_the_resolved_digest_forgets_units_and_remembers_steps() -> None:
    epochs, steps = contract(), contract().replace({"total": 510, "warmup": 10, "cycle.period": 100})
    assert epochs.digest != steps.digest
    assert epochs.resolve(steps_per_epoch=10).digest == steps.resolve().digest
    assert epochs.resolve(steps_per_epoch=11).digest != steps.resolve().digest
    assert steps.replace({"cycle.count": 5}).resolve().digest == steps.resolve().digest
    assert steps.replace({"optimizer.lr/warmup": True}).resolve().digest == steps.resolve().digest
    assert steps.replace({"optimizer.lr/warmup": False}).resolve().digest != steps.resolve().digest
    assert steps.replace({"optimizer.lr/high": 0.2}).resolve().digest != steps.resolve().digest
    nested = {"loss.x": schedules.join(1.0, schedules.linear(1.0, 0.0, over="0.1dur"), at=["2ep"])}
    same = {"loss.x": schedules.join(1.0, schedules.linear(1.0, 0.0, over=10), at=[20])}
    assert (
        ost.Plan(total=100, bindings=nested).resolve(steps_per_epoch=10).digest
        == ost.Plan(total="100", bindings=same).resolve().digest
    )


# -- editing by address -----------------------------------------------------------------------------------------


def addresses(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every leaf of a plan's document with its address."""

    def walk(value: Any, path: str, join: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{path}{join}{key}", ".")
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                yield from walk(inner, f"{path}.{place}", ".")
        else:
            yield path, value

    for key, value in document.items():
        if key != "bind":
            yield from walk(value, key, ".")
    for table in document["bind"]:
        yield from walk({key: value for key, value in table.items() if key != "target"}, table["target"], "/")


@settings(max_examples=50, deadline=None)
@given(plans())
def test_every_field_has_an_address_and_replacing_it_by_itself_changes_nothing(plan: ost.Plan) -> None:
    fields = [(address, value) for address, value in addresses(plan.to_document()) if address != "version"]
    assert len(fields) >= 10
    for address, value in fields:
        assert plan.replace({address: value}) == plan, address
    assert plan.replace(dict(fields)) == plan
    assert plan.replace({}) == plan


@settings(max_examples=100, deadline=None)
@given(plans(), decimals(2.0, 3.0))
def test_replacing_a_number_changes_that_field_and_no_other(plan: ost.Plan, value: float) -> None:
    before = dict(addresses(plan.to_document()))
    for address in before:
        if address.endswith(("/high", ".high")):
            after = dict(addresses(plan.replace({address: value}).to_document()))
            changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
            if ".of." not in address:  # factors may change places
                assert changed == {address}
                assert after[address] == value


def test_replace_takes_whole_cycles_and_bindings_and_takes_them_away() -> None:
    plan = contract()
    assert plan.replace({"cycle": ost.Cycle("sine", count=3)}).cycle == ost.Cycle("sine", count=3)
    assert plan.replace({"cycle": None}).cycle is None
    assert "optimizer.lr" not in plan.replace({"optimizer.lr": None}).bindings
    assert plan.replace({"optimizer.lr": 0.1}).bindings["optimizer.lr"] == ost.Binding(schedules.hold(0.1))
    assert plan.replace({"discriminator.lr": ost.wave(0.0, 0.5)}).bindings["discriminator.lr"] == ost.wave(0.0, 0.5)
    own = ost.Cycle("sine", period="2cycle")
    assert plan.replace({"optimizer.lr/cycle": own}).bindings["optimizer.lr"] == ost.wave(1e-4, 0.1, cycle=own)
    assert plan.replace({"optimizer.lr/cycle": own}).replace({"optimizer.lr/cycle": None}) == plan
    assert plan.replace({"optimizer.lr/cycle": own, "optimizer.lr/high": 1}).bindings["optimizer.lr"] == ost.wave(
        1e-4, 1.0, cycle=own
    )
    assert plan.replace({"total": None}).total is None
    assert plan == contract()


def test_replacing_a_period_by_a_count_takes_the_period_away() -> None:
    counted = contract().replace({"cycle.count": 5})
    assert counted.cycle == ost.Cycle(count=5)
    assert counted.replace({"cycle.period": "10ep"}) == contract()


def test_a_new_waveform_drops_the_shape_of_the_old_one_and_keeps_the_one_given_with_it() -> None:
    square = contract().replace({"cycle.waveform": "square", "cycle.duty": 0.25})
    assert square.cycle == ost.Cycle("square", period="10ep", duty=0.25)
    assert contract().replace({"cycle.duty": 0.25, "cycle.waveform": "square"}) == square
    assert square.replace({"cycle.waveform": "sine"}).cycle == ost.Cycle("sine", period="10ep")


def test_a_target_may_hold_a_slash() -> None:
    plan = ost.Plan(bindings={"optimizer[body/attention].lr": ost.wave(0.0, 0.1), "optimizer[body].lr": 0.1})
    changed = plan.replace({"optimizer[body/attention].lr/high": 0.2})
    assert changed.bindings["optimizer[body/attention].lr"] == ost.wave(0.0, 0.2)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("totl", "totl: there is no field 'totl' to replace; known: cycle, total, unit, warmup"),
        ("cycle.perod", "cycle.perod: there is no field 'perod' to replace; known: amplitude_decay, count, duty, mult, period, ratio, up, waveform"),
        ("optimizer.lr/hihg", "there is no field 'hihg' to replace; known: cycle, domain, effective, high"),
        ("optimizer.l/high", "optimizer.l/high: no binding drives 'optimizer.l'; did you mean 'optimizer.lr'"),
        ("optimizer.lr/cycle.period", "optimizer.lr/cycle.period: there is no 'cycle' here; known: "),
        ("version", "version: there is no field 'version' to replace"),
        ("bind", "bind: there is no field 'bind' to replace"),
        ("optimizer.lr/target", "there is no field 'target' to replace"),
        ("loss.mix/schedule.at.4", "'4' is no place in a list of 1"),
        ("loss.mix/schedule.of.9.value", "there is no 'schedule.of.9' here"),
        ("loss.mix/schedule.of.first", "'first' is no place in a list of 2"),
        ("optimizer.momentum", "optimizer.momentum: there is no 'optimizer' here; known: cycle, total, unit, warmup"),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_answered_with_those_that_are(address: str, message: str) -> None:
    plan = contract().replace({"loss.mix": schedules.join(1.0, 2.0, at=[5])})
    with pytest.raises(PlanError) as caught:
        plan.replace({address: 1})
    assert str(caught.value).startswith(address)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_replacing_reaches_into_nested_schedules() -> None:
    plan = ost.Plan(bindings={"loss.x": schedules.join(schedules.linear(0.0, 1.0, over=5), 2.0, at=[5])})
    changed = plan.replace(
        {"loss.x/schedule.of.0.over": "2ep", "loss.x/schedule.at.0": "2ep", "loss.x/schedule.of.1.value": 3}
    )
    assert changed.bindings["loss.x"] == ost.Binding(
        schedules.join(schedules.linear(0.0, 1.0, over="2ep"), 3.0, at=["2ep"])
    )


# -- shifting a plan --------------------------------------------------------------------------------------------


def test_shifting_a_plan_rotates_every_wave_however_deep_and_nothing_else() -> None:
    inner = ost.wave(0.0, 1.0, shift=0.25)
    bindings: dict[str, Any] = {
        "a.x": inner,
        "b.x": ost.mirror(0.0, 1.0),
        "c.x": 0.5,
        "d.x": schedules.clip(schedules.warmup(schedules.join(inner, 0.3, at=[5]), over=2), 0.1, 0.9),
        "e.x": inner.schedule * schedules.linear(0.0, 1.0, over=9) + ost.wave(0.0, 0.2, shift=0.5),
        "f.x": zigzag(low=0.0, high=1.0),
    }
    shifts = {
        address: value
        for address, value in addresses(ost.Plan(bindings=bindings).shifted(0.5).to_document())
        if "shift" in address
    }
    assert sorted(shifts.values()) == [0.0, 0.5, 0.75, 0.75, 0.75]
    assert shifts["a.x/shift"] == 0.75
    assert shifts["b.x/shift"] == 0.5
    shifted = ost.Plan(bindings=bindings).shifted("1/2").bindings
    assert (shifted["c.x"], shifted["f.x"]) == (ost.Binding(schedules.hold(0.5)), ost.Binding(bindings["f.x"]))


@pytest.mark.parametrize(("members", "member"), [(n, k) for n in (1, 2, 3, 7, 9, 10, 23) for k in range(n)])
def test_shifts_of_a_population_are_turns_of_one_cycle(members: int, member: int) -> None:
    plan = ost.Plan(bindings={"optimizer.lr": ost.wave(0.0, 1.0)})
    turned = plan.shifted(member / members).bindings["optimizer.lr"].schedule.shift
    assert turned == member / members
    assert 0.0 <= turned < 1.0


def test_a_shift_that_rounds_to_a_whole_turn_is_none() -> None:
    assert ost.wave(0.0, 1.0, shift="-1e-20") == ost.wave(0.0, 1.0)
