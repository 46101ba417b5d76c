"""The benchmarks' machinery. No test here looks at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ostinato.bench import BENCHMARKS, Row, concert, harness, interleaved, landscapes, run, suite
from ostinato.bench.concert import RATE, SIX
from ostinato.bench.overhead import eight_bindings, torch_schedulers
from ostinato.bench.page import render_page
from ostinato.cli.app import run as command
from ostinato.errors import ConfigError


def test_calls_are_made_in_turn_and_as_often_as_said() -> None:
    made: list[str] = []
    interleaved(lambda: made.append("a"), lambda: made.append("b"), calls=2, rounds=3, peer_calls=1)
    assert "".join(made) == "aab" * 4


def test_the_ratio_is_ours_over_the_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def spend(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(harness.time, "perf_counter", lambda: clock[0])
    timing = interleaved(lambda: spend(3.0), lambda: spend(2.0), calls=5, rounds=4)
    assert (timing.ratio, timing.spread, timing.ours, timing.peer) == (1.5, (1.5, 1.5), 3.0, 2.0)


@pytest.mark.parametrize(
    ("ratio", "reach", "higher", "holds"),
    [
        (0.4, 0.5, False, True),
        (0.6, 0.5, False, False),
        (20.0, 15.0, True, True),
        (9.0, 15.0, True, False),
        (1.0, None, False, None),
    ],
)
def test_a_row_knows_whether_it_holds(ratio: float, reach: float | None, higher: bool, holds: bool | None) -> None:
    assert Row("x", ratio, (ratio, ratio), reach, None, higher).holds is holds


def test_every_benchmark_names_a_function_that_exists() -> None:
    from importlib import import_module

    for module, function, what in BENCHMARKS.values():
        assert callable(getattr(import_module(f"ostinato.bench.{module}"), function))
        assert what


def test_unknown_benchmarks_are_refused_with_near_misses() -> None:
    with pytest.raises(ConfigError, match="did you mean 'overhead'"):
        suite.names_of("overhed")
    assert suite.names_of("all") == list(BENCHMARKS)


def test_the_bench_drives_what_it_says() -> None:
    scheduler = eight_bindings()
    assert len(scheduler.slots) == 8
    scheduler.step()
    assert scheduler.values["loss.label_smoothing"] >= 0.0


def test_the_concert_moves_six_targets_around_what_its_peer_holds() -> None:
    row = concert.measure(calls=1, rounds=2)
    assert row.detail["targets"].split(", ") == list(SIX)
    assert (row.name, row.reach) == ("concert", 1.03)
    ours, peer = concert._Run(SIX), concert._Run(RATE)
    for run_ in (ours, peer):
        run_.update()
    assert len(ours.session.scheduler.values) == 6
    assert peer.session.augment is not None
    assert peer.session.augment.strength == concert._STRENGTH
    means = {target: ours.session.scheduler.resolved.mean(target) for target in SIX}
    assert means["augment.strength"] == pytest.approx(peer.session.augment.strength, rel=1e-2)
    assert means["loss.label_smoothing"] == pytest.approx(peer.session.criterion.label_smoothing, rel=1e-2)
    assert means["optimizer[*].weight_decay"] == pytest.approx(
        peer.session.optimizer.param_groups[0]["weight_decay"], rel=1e-2
    )


def test_the_landscapes_bench_makes_the_runs_of_its_peer() -> None:
    row = landscapes.measure(starts=4, steps=40, rounds=1)
    assert (row.name, row.detail["runs"], row.detail["updates_each"]) == ("landscapes", 20, 40)
    found = landscapes.ours(4, 40)
    for arm in landscapes.arms_of(40):
        *_, last = landscapes.plain(arm, 2, 4, 40)
        assert found.positions[found.place(arm), 2] == pytest.approx(last[0].numpy(), rel=1e-9)


@pytest.mark.parametrize("name", sorted(torch_schedulers(1)))
@pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step:UserWarning", "ignore:The epoch parameter:UserWarning"
)
def test_every_peer_takes_steps(name: str) -> None:
    peer = torch_schedulers(3)[name]()
    peer.step()
    assert len(peer.get_last_lr()) == 3


def test_the_page_names_machine_and_rows() -> None:
    row = Row("overhead", 0.4, (0.3, 0.5), 1.0, 0.5, detail={"peer": "torch", "ours_us": 1.0})
    page = render_page(
        {"benchmarks": [row.to_document()], "machine": harness.machine()},
        {"bindings": [(1, 0.5)], "groups": [(1, 0.6)]},
    )
    assert "| overhead |" in page
    assert "<= 1" in page
    assert f"cores {harness.machine()['cores']}" in page


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_command_prints_one_document(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ostinato.bench.overhead._CALLS", 4)
    assert command(["bench", "overhead", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["benchmarks"][0]["name"] == "overhead"
    assert set(document["benchmarks"][0]) >= {"ratio", "spread", "reach", "aim", "holds", "detail"}
    assert document["machine"]["torch"]
    assert command(["bench", "nothing"]) == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_run_tells_what_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostinato.bench.overhead._CALLS", 40)
    told: list[str] = []
    rows = run(["overhead"], told=told.append)
    assert told == ["overhead"]
    assert rows[0].detail["ours_us"] > 0
