"""A control trains as the plan that has the same values, alone and among other members."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ostinato as ost
from ostinato import controls
from ostinato.core.waveforms import FloatArray, IntArray

STEPS = 24
PLAN = ost.Plan(
    total=STEPS,
    warmup=4,
    cycle=ost.Cycle("cosine", count=4),
    bindings={
        "optimizer.lr": ost.wave(1e-3, 0.05),
        "optimizer.weight_decay": ost.mirror(0.0, 0.5),
        "model:Dropout.p": ost.mirror(0.0, 0.4),
    },
)


@ost.schedule("test_training.replayed", version=1)
def replayed(t: IntArray, *, values: str) -> FloatArray:
    return np.array([float(value) for value in values.split()])[np.minimum(t, STEPS - 1)]


def replay(control: ost.Plan) -> ost.Plan:
    """The plan that says the values of a control one by one."""
    table = control.table()
    courses = {name: replayed(values=" ".join(map(repr, table[name].tolist()))) for name in control.bound}
    return ost.Plan(total=STEPS, bindings=courses)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 2))


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(48, 4, generator=generator)
    return x, (x[:, 0] > 0).long()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


ARMS = {
    name: controls.make(name, PLAN, seed=2, **({"value": 0.02} if name == "tuned_constant" else {})).plan
    for name in controls.NAMES
}


def weights_of(result: ost.population.PopulationResult, member: int = 0) -> list[Tensor]:
    return list(result.member(member).values())


@pytest.mark.parametrize("name", ["sorted", "phase_shuffled", "linear"])
def test_a_control_trains_as_its_values_do(name: str) -> None:
    own, said = (
        ost.population.single(model, plan, (data(), data()), batch_size=8, seed=1)
        for plan in (ARMS[name], replay(ARMS[name]))
    )
    assert all(torch.equal(one, other) for one, other in zip(weights_of(own), weights_of(said), strict=True))


def test_controls_train_beside_their_plan() -> None:
    plans = [PLAN, *ARMS.values()]
    result = ost.population.train(model, plans, (data(), data()), batch_size=8, seeds=[1] * len(plans), compile=False)
    assert set(result.status) == {"done"}
    for member, plan in ((1, ARMS["sorted"]), (7, ARMS["in_phase"])):
        alone = ost.population.single(model, plan, (data(), data()), batch_size=8, seed=1)
        for one, other in zip(weights_of(result, member), weights_of(alone), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_bound_control_writes_its_values_and_resumes() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1.0)
    scheduler = ARMS["sorted"].bind(optimizer=optimizer, model=net)
    table, ends = ARMS["sorted"].table(), []
    for step in range(STEPS):
        assert optimizer.param_groups[0]["lr"] == table["optimizer.lr"][step]
        assert net[1].p == table["model:Dropout.p"][step]
        if step == 13:
            state = scheduler.state_dict()
            scheduler = ARMS["sorted"].bind(optimizer=optimizer, model=net)
            scheduler.load_state_dict(state)
        tick = scheduler.step() if step < STEPS - 1 else None
        if tick is not None and tick.cycle_end:
            ends.append(tick.step)
    assert ends == PLAN.resolve().snapshots[:-1]


def test_controls_load_no_torch_and_are_the_same_in_every_process() -> None:
    code = (
        "import sys, hashlib, ostinato as ost; from ostinato import controls\n"
        f"plan = ost.Plan.from_json({PLAN.to_json()!r})\n"
        "for name in ('shuffled', 'phase_shuffled'):\n"
        "    print(hashlib.sha256(controls.make(name, plan, seed=2).plan.table().tobytes()).hexdigest())\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"PYTHONHASHSEED": "7"},
    )
    here = [hashlib.sha256(ARMS[name].table().tobytes()).hexdigest() for name in ("shuffled", "phase_shuffled")]
    assert done.stdout.split() == [*here, "False"]
