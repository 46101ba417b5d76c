"""A small training on digits whose error breathes with the rate, measured after every step. Run it: python tests/evaluation/test_training_by_phase.py"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import ostinato as ost
from ostinato import evaluation

PERIOD, CYCLES = 10, 30
SEEDS = range(4)


def digits() -> Any:
    inputs, labels = load_digits(return_X_y=True)
    x, y = torch.from_numpy(inputs / 16.0).float(), torch.from_numpy(labels).long()
    return (x[:1200], y[:1200]), (x[1200:], y[1200:])


def plan(cycles: int = CYCLES) -> ost.Plan:
    return ost.Plan(
        total=PERIOD * cycles,
        cycle=ost.Cycle("cosine", period=PERIOD),
        bindings={"optimizer.lr": ost.wave(0.001, 0.4)},
    )


def train(evaluate: Any, seeds: range = SEEDS, cycles: int = CYCLES) -> ost.population.PopulationResult:
    return ost.population.train(
        lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        [plan(cycles)] * len(seeds), digits(), optimizer="sgd", seeds=seeds, batch_size=32, evaluate=evaluate, compile=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_real_training_misleads_at_one_phase_and_the_offered_timings_do_not() -> None:
    resolved, seeds, late = plan().resolve(), range(2), range(-20, 0)
    dense = train(1, seeds)
    assert dense.status == ("done", "done")
    reports = [evaluation.by_phase(resolved, *dense.curve(k, "nll"), cycles=late) for k in range(2)]
    assert all(report.how == "dense" and report.measured == 200 for report in reports)

    def bias(evaluate: Any, offset: int = 0) -> float:
        return float(np.mean([report.bias_of(evaluate, offset) for report in reports]))

    naive = [bias(PERIOD, offset) for offset in range(PERIOD)]
    assert max(naive) > 0.02
    assert min(naive) < -0.02
    assert max(abs(bias(3, offset)) for offset in range(3)) < 0.005
    for timing in (evaluation.coprime(PERIOD), evaluation.low_discrepancy(60), evaluation.jittered(60)):
        assert abs(bias(timing(resolved))) < 0.01


def test_a_timing_is_what_population_train_takes() -> None:
    resolved = plan(5).resolve()
    found = train(evaluation.low_discrepancy(15), range(1), cycles=5)
    assert set(found.steps.tolist()) == {*evaluation.low_discrepancy(15)(resolved).tolist(), PERIOD * 5 - 1}
    report = evaluation.by_phase(resolved, *found.curve(0, "error"))
    assert report.how == "fitted"
    assert report.cycle_mean == pytest.approx(report.naive, abs=0.1)


def main() -> int:
    torch.set_num_threads(1)
    resolved, late = plan().resolve(), range(-20, 0)
    dense = train(1)
    for metric in ("error", "nll"):
        reports = [evaluation.by_phase(resolved, *dense.curve(k, metric), cycles=late) for k in range(len(dense))]
        level = {
            name: np.mean([getattr(report, name) for report in reports]) for name in ("cycle_mean", "trough", "peak")
        }
        print(metric, {name: round(float(value), 4) for name, value in level.items()})
        for interval in (10, 5, 3):
            biases = [np.mean([report.bias_of(interval, offset) for report in reports]) for offset in range(interval)]
            print(
                f"  every {interval}: bias {min(biases):+.4f} to {max(biases):+.4f} over offsets; offset 0 {biases[0]:+.4f}"
            )
        for name, timing in (("coprime(10)", evaluation.coprime(10)), ("low_discrepancy(60)", evaluation.low_discrepancy(60)),
                             ("jittered(60)", evaluation.jittered(60))):  # fmt: skip
            steps = timing(resolved)
            plain = [report.bias_of(steps) for report in reports]
            fits = []
            for k, report in enumerate(reports):
                sparse = evaluation.by_phase(resolved, steps, dense.curve(k, metric)[1][steps], cycles=late)
                fits.append((sparse.cycle_mean or np.nan) - (report.cycle_mean or np.nan))
            print(f"  {name}: {len(steps)} evaluations, bias {np.mean(plain):+.4f}, fitted {np.mean(fits):+.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
