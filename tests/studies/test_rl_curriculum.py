"""Study ``rl-curriculum``: arms of one mean rate, readings of which planted truths come out, and a curvature that is the Fisher information's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from ostinato.applications.reinforcement import environments
from ostinato.errors import ConfigError
from ostinato.studies import Study, find
from ostinato.studies.frame.cells import Cell, Request
from ostinato.studies.frame.judging import judge
from ostinato.studies.frame.study import perform
from ostinato.studies.frame.summary import in_unit, unit_of
from ostinato.studies.rl_curriculum import quadratics
from ostinato.studies.rl_curriculum.measuring import CARTPOLE, HIGHEST, Readings, metrics_of, readings_at
from ostinato.studies.rl_curriculum.plans import plan_of, steps_of
from ostinato.studies.rl_curriculum.remarks import remarks, table
from ostinato.studies.rl_curriculum.watching import policy_curvature

STUDY = find("rl-curriculum")
SPEC = STUDY.spec
REGIME = SPEC.regimes[0]
ACROBOT = find("rl-curriculum-acrobot")
LONGEST = HIGHEST[CARTPOLE]
FULL, SMOKE = SPEC.parameters(REGIME, "full"), SPEC.parameters(REGIME, "smoke")


def tables(arm: str) -> tuple[Any, Any]:
    found = plan_of(arm, 0.002, FULL).resolve().table()
    return found["optimizer.lr"], found["environment.difficulty"]


@pytest.mark.parametrize("arm", SPEC.arms)
def test_every_arm_has_the_mean_rate_and_the_difficulty(arm: str) -> None:
    rates, difficulty = tables(arm)
    assert len(rates) == FULL["rollouts"] * steps_of(FULL) == 49_152
    assert rates.mean() == pytest.approx(0.0011, rel=1e-9)
    assert np.array_equal(difficulty, tables("anti")[1])
    assert (difficulty.min(), difficulty.max()) == pytest.approx((0.0, 1.0), abs=1e-6)


def test_the_arms_are_what_they_are_called() -> None:
    correlation = {arm: np.corrcoef(*tables(arm))[0, 1] for arm in ("anti", "in-phase", "independent")}
    assert correlation == pytest.approx({"anti": -1.0, "in-phase": 1.0, "independent": 0.0}, abs=1e-9)
    last = slice(-len(tables("anti")[0]) // 4, None)
    assert np.corrcoef(*(part[last] for part in tables("independent")))[0, 1] == pytest.approx(0.0, abs=1e-3)
    assert len(set(tables("constant")[0])) == 1
    with pytest.raises(ConfigError, match="arm: got 'zigzag'"):
        plan_of("zigzag", 0.002, FULL)


def test_the_last_cycle_is_read_at_eight_phases_and_at_its_end() -> None:
    at = readings_at(FULL)
    length = FULL["rollouts"] // FULL["cycles"]
    assert len(at) == 8
    assert at[-1] == FULL["rollouts"]
    assert set(np.diff(at)) == {length // 8}
    assert at[3] == FULL["rollouts"] - length // 2


def readings(sharp: float = 0.0, far: float = 0.0, seed: int = 0) -> Readings:
    """Readings in which difficulty moves the logarithms of curvature and KL by so much; both also grow as training goes on."""
    rng, updates = np.random.default_rng(seed), np.arange(144)
    difficulty = (1.0 - np.cos(2.0 * np.pi * updates / 48)) / 2.0
    noise = rng.standard_normal((2, 144)) / 2.0
    return Readings(
        returns=np.add.outer(np.arange(8.0), [400.0, 300.0, 200.0, 100.0, 0.0]),
        difficulty=difficulty,
        rate=0.002 - 0.0018 * difficulty,
        curvature=np.exp(sharp * difficulty + updates / 20.0 + noise[0])[3::4],
        kl=np.exp(far * difficulty + updates / 20.0 + noise[1]),
    )


def test_metrics_are_what_they_are_called() -> None:
    found = metrics_of(readings())
    assert found["shortfall"] == LONGEST - 203.5
    assert (found["shortfall_mid"], found["shortfall_end"]) == (LONGEST - 203.0, LONGEST - 207.0)
    assert (found["shortfall_easiest"], found["shortfall_hardest"]) == (LONGEST - 403.5, LONGEST - 3.5)
    assert found["coupling"] == pytest.approx(-1.0)
    assert (unit_of("shortfall"), in_unit("shortfall", 25.04)) == ("of return", "+25.0")


def test_a_planted_sharpness_is_found_and_none_is_none() -> None:
    planted = [metrics_of(readings(3.0, -3.0, seed)) for seed in range(20)]
    assert min(found["sharp_when_hard"] for found in planted) > 0.7
    assert max(found["far_when_hard"] for found in planted) < -0.7
    null = [metrics_of(readings(0.0, 0.0, seed)) for seed in range(20)]
    assert abs(np.mean([found["sharp_when_hard"] for found in null])) < 0.15
    assert abs(np.mean([found["far_when_hard"] for found in null])) < 0.1


def test_the_curvature_is_the_largest_eigenvalue_of_the_fisher_information() -> None:
    model = PPO("MlpPolicy", environments("CartPole-v1", 2), n_steps=16, batch_size=32, policy_kwargs={"net_arch": [8]}, seed=0, device="cpu")  # fmt: skip
    seen = torch.from_numpy(np.random.default_rng(0).standard_normal((16, 2, 4)).astype(np.float32))
    stub = SimpleNamespace(
        policy=model.policy,
        observation_space=model.observation_space,
        rollout_buffer=SimpleNamespace(observations=seen.numpy()),
    )
    weights = [*model.policy.mlp_extractor.policy_net.parameters(), *model.policy.action_net.parameters()]
    rows = []
    for one in seen.reshape(-1, 1, 4):
        logits = model.policy.get_distribution(one).distribution.logits[0]
        for action in range(2):
            slopes = torch.autograd.grad(logits[action], weights, retain_graph=True)
            weight = (logits[action].detach().exp() / 32.0).sqrt()
            rows.append(weight * torch.cat([part.flatten() for part in slopes]))
    table = torch.stack(rows)
    exact = float(torch.linalg.eigvalsh(table @ table.T)[-1])
    state = torch.get_rng_state()
    assert 0.95 * exact < policy_curvature(stub) < 1.0001 * exact
    assert torch.equal(torch.get_rng_state(), state)


def test_on_quadratics_the_anti_rate_is_inverse_to_the_curvature() -> None:
    problem = quadratics.Breathing.draw(0, total=400, growth=10.0)
    curvature = np.array([float(problem.curvature(step)[0]) for step in range(400)])
    rates = {arm: quadratics._plan(arm, 0.1, 400).resolve().table()["optimizer.lr"] for arm in quadratics.ARMS}
    assert (curvature.min(), curvature.max()) == pytest.approx((1.0, 10.0))
    assert np.ptp(rates["anti"] * curvature) < 1e-9
    assert np.ptp(rates["in-phase"] / curvature) < 1e-9
    assert [values.mean() for values in rates.values()] == pytest.approx([0.1] * 3)


def test_where_hard_is_sharp_by_construction_and_nothing_is_random_the_claim_is_found() -> None:
    """The stable product of rate and curvature is the same throughout for anti alone."""
    found = {arm: quadratics.excess_of(arm, 9001, {"quadratic_steps": 400}, noise=0.0) for arm in quadratics.ARMS}
    assert found["anti"] < found["constant"] - 0.05 < found["in-phase"] - 0.1


def request(arm: str, seed: int = 9001, peak: float = 0.002, study: Study = STUDY) -> Request:
    regime = study.spec.regimes[0]
    sizes = study.spec.parameters(regime, "smoke")
    return Request(study.spec.name, regime.name, sizes, "confirming", (Cell(arm, seed, {"peak": peak}),))


def test_a_run_repeats_to_the_bit_and_follows_its_plan() -> None:
    (first,), (again,), (other,) = (perform(request(arm)) for arm in ("anti", "anti", "in-phase"))
    assert (first.metrics, first.curves) == (again.metrics, again.curves)
    assert first.metrics["coupling"] < -0.5 < 0.5 < other.metrics["coupling"]
    assert len(first.curves["by_phase"]) == 8
    assert first.curves["rate"][0] > other.curves["rate"][0]


def test_a_run_without_finite_weights_is_recorded_as_diverged() -> None:
    (found,) = perform(request("constant", peak=1e30))
    assert (found.status, found.metrics) == ("diverged", {})


def test_on_acrobot_the_shortfall_is_the_length_of_an_episode() -> None:
    (found,) = perform(request("anti", study=ACROBOT))
    assert 50.0 < found.metrics["shortfall"] <= 500.0
    assert found.metrics["shortfall"] == pytest.approx(-np.mean(found.curves["by_phase"]))
    assert "quadratic" not in found.metrics


def records(gain: float, seed: int = 0, spread: float = 20.0, study: Study = STUDY) -> list[dict[str, Any]]:
    """Records as the runner writes them, in which anti is ahead of every arm by so much of return."""
    spec, regime = study.spec, study.spec.regimes[0]
    rng = np.random.default_rng(seed)
    found = []
    for arm in spec.arms:
        for place, own in enumerate(spec.seeds_of(regime, "full")):
            if place >= spec.few.get(arm, spec.seeds):
                continue
            returns = 300.0 + gain * (arm == "anti") + spread * rng.standard_normal()
            metrics = metrics_of(readings(2.0, 2.0, own))
            metrics |= {name: LONGEST - returns for name in metrics if name.startswith("shortfall")}
            metrics |= {"quadratic": -3.0, "quadratic_noisy": -1.0} if arm in quadratics.ARMS else {}
            curves = {"by_phase": [returns] * 8, "by_difficulty": [returns] * 5}
            found.append(
                {
                    "arm": arm, "seed": own, "regime": regime.name, "spec": spec.digest, "status": "done", "metrics": metrics, "curves": curves,
                    "correct": "",
                }
            )  # fmt: skip
    return found


@pytest.mark.parametrize(("gain", "verdict"), [(60.0, "supported"), (0.0, "not supported"), (-60.0, "not supported")])
def test_a_planted_gain_is_found_and_none_is_none(gain: float, verdict: str) -> None:
    found = judge(SPEC, REGIME, records(gain)).verdict
    assert found is not None
    assert found.verdict == verdict
    assert found.primary.effect == pytest.approx(gain, abs=15.0)


def lost(arm: str, found: list[dict[str, Any]], points: float) -> list[dict[str, Any]]:
    """An arm's records, so much worse."""
    own = [record for record in found if record["arm"] == arm]
    for record in own:
        record["metrics"]["shortfall"] += points
    return own


def test_the_remarks_tell_the_premise_and_the_phases() -> None:
    told = "\n".join(remarks(records(60.0)))
    assert "Hard means sharp?" in told
    assert "the assumption holds here" in told
    assert "Anti is ahead of in-phase by +" in told
    assert "anti is ahead by +" in told
    assert "not what anti gains" not in told
    behind = "\n".join(
        remarks(
            [record for record in records(-60.0) if record["arm"] != "in-phase"] + lost("in-phase", records(0.0), 90.0)
        )
    )
    assert "what parts the two is what in-phase loses, not what anti gains" in behind
    lines = table(records(0.0))
    assert sum(line.startswith(f"| {arm} ") for line in lines for arm in SPEC.arms) == len(SPEC.arms)
    assert remarks([]) == table([]) == []


def test_a_repetition_is_judged_and_told_as_the_study_is() -> None:
    found = records(60.0, study=ACROBOT)
    verdict = judge(ACROBOT.spec, ACROBOT.spec.regimes[0], found).verdict
    assert verdict is not None
    assert verdict.verdict == "supported"
    told = "\n".join(ACROBOT.remarks(found))
    assert "Hard means sharp?" in told
    assert "quadratics" not in told
    assert table(found)[0].startswith("Mean return (at most 0)")
