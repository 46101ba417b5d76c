"""Recipes: fragments under a plan, what the plan says stays, and what a model lacks is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.cli.settings import configuration
from ostinato.core.schedules import Wave
from ostinato.errors import ConfigError, PlanError
from ostinato.training import RunConfig, recipes, resume, train
from ostinato.training.models import MODELS
from ostinato.training.optimizers import build
from ostinato.training.session import Session, resolve_config
from running import config, fingerprint

NO_PLAN: dict[str, Any] = {"total": 12}
WITH = {
    "snapshot": "linear",
    "antiphase": "mlp",
    "stochastic-depth": "resnet",
    "weight-decay-phase": "linear",
    "batchnorm": "cnn",
    "augmentation": "linear",
    "concert": "mlp",
}


def parts(model: str, **options: Any) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module]:
    made = MODELS[model]((1, 8, 8), 10)
    return made, build("sgd", made, **options), nn.CrossEntropyLoss()


def wave(plan: ost.Plan, target: str) -> Wave:
    schedule = plan.bound[target].schedule
    assert isinstance(schedule, Wave)
    return schedule


@pytest.mark.parametrize("name", recipes.NAMES)
def test_each_is_a_plan_and_a_document(name: str) -> None:
    plan = recipes.plan(name, total="20ep")
    assert ost.Plan.from_toml(plan.to_toml()) == plan
    assert list(plan.bound) == ["optimizer.lr", *recipes.RECIPES[name].targets]
    assert (wave(plan, "optimizer.lr").low, wave(plan, "optimizer.lr").high) == (0.01, 1.0)
    assert plan.bound["optimizer.lr"].relative
    absolute = recipes.plan(name, rate=0.5)
    assert (wave(absolute, "optimizer.lr").low, wave(absolute, "optimizer.lr").high) == (0.005, 0.5)
    assert not absolute.bound["optimizer.lr"].relative
    assert plan.cycle is not None
    assert len(plan.resolve(steps_per_epoch=10).snapshots) == plan.cycle.count == 5
    json.dumps(recipes.RECIPES[name].bind)


def test_anti_phase_is_a_mirror_and_the_decay_is_a_quarter_late() -> None:
    for target in recipes.RECIPES["antiphase"].targets:
        assert wave(recipes.plan("antiphase"), target).mirrored
    decay = wave(recipes.plan("weight-decay-phase"), "optimizer.weight_decay")
    assert (decay.shift, decay.mirrored) == (0.25, False)
    resolved = recipes.plan("weight-decay-phase", total=1000).resolve()
    assert resolved.mean("optimizer.weight_decay") == pytest.approx(1.0, abs=0.01)  # of the optimizer's own
    assert wave(recipes.plan("batchnorm"), "model:BatchNorm.momentum").mirrored  # torch's: small is slow


def test_what_the_plan_says_wins() -> None:
    own = {
        "total": 30, "warmup": 5, "cycle": {"waveform": "sine", "period": 5},
        "bind": [{"target": "model:Dropout.p", "low": 0.1, "high": 0.2}, {"target": "optimizer[*].lr", "low": 0.0, "high": 1.0}],
    }  # fmt: skip
    plan = ost.Plan.from_document(recipes.merged(own, "antiphase", 0.3))
    given = ost.Plan.from_document(own)
    assert (plan.total, plan.warmup, plan.cycle) == (given.total, given.warmup, given.cycle)
    assert list(plan.bound) == ["model:Dropout.p", "optimizer[*].lr", "loss.label_smoothing"]
    assert all(plan.bound[target] == binding for target, binding in given.bound.items())
    assert recipes.merged(recipes.merged(own, "antiphase", 0.3), "antiphase", 0.9) == recipes.merged(
        own, "antiphase", 0.3
    )


def test_a_configuration_with_a_recipe_resolves_to_its_plan() -> None:
    resolved = resolve_config(RunConfig().replace({"train.recipe": "batchnorm", "optimizer.lr": 0.5}))
    assert ost.Plan.from_document(resolved.plan or {}) == recipes.plan("batchnorm", total="30ep", rate=0.5)
    assert resolve_config(resolved) == resolved


@pytest.mark.parametrize(("name", "model"), WITH.items())
def test_each_trains_and_resumes(name: str, model: str, tmp_path: Path) -> None:
    setting = config({"total": 10}, train__recipe=name, model=model, optimizer={"name": "sgd"}, train__batch_size=480)
    if "augment.strength" in recipes.RECIPES[name].targets:
        setting = setting.replace({"augment": ["shift", "noise"]})
    folder, document = train(setting, tmp_path / "run")
    assert len(document["snapshots"]) == 5
    before = fingerprint(folder.path)
    assert resume(folder.path, setting)[1]["plan_digest"] == document["plan_digest"]
    assert fingerprint(folder.path) == before
    again, _ = train(folder.load_config(), tmp_path / "again")
    assert fingerprint(again.path)["tensors"] == before["tensors"]


def test_what_the_recipe_binds_can_be_set() -> None:
    settings = ["model:Dropout.p/high=0.2", "optimizer.lr=0.5", "cycle.count=3"]
    chosen = configuration(None, recipe="antiphase", total="9ep", settings=settings)
    plan = ost.Plan.from_document(chosen.plan or {})
    assert wave(plan, "model:Dropout.p").high == 0.2
    assert wave(plan, "optimizer.lr").high == 0.5
    assert (plan.total, plan.cycle.count if plan.cycle else None) == ("9ep", 3)
    with pytest.raises(PlanError, match=r"no binding drives 'model:Dropout\.p'"):
        configuration(None, recipe="snapshot", settings=["model:Dropout.p/high=0.2"])


@pytest.mark.parametrize(
    ("name", "model", "options", "message"),
    [
        ("antiphase", "linear", {}, r"recipe: 'antiphase' needs a Dropout module, which the model has not \(models that have one: cnn, mlp, resnet\); recipes that fit this model and optimizer: snapshot, weight-decay-phase$"),
        ("stochastic-depth", "cnn", {}, r"needs a StochasticDepth module.*one: resnet\); .*: snapshot, antiphase, weight-decay-phase, batchnorm$"),
        ("batchnorm", "linear", {"weight_decay": 0.0}, r"needs a BatchNorm module.*: snapshot$"),
        ("augmentation", "linear", {}, r'needs augmentation \(write a table \[augment\] with ops = \["shift", "flip"\]\)'),
        ("weight-decay-phase", "mlp", {"weight_decay": 0.0}, r"needs weight_decay above 0 in optimizer \(\[optimizer\] weight_decay = 5e-4\)"),
    ],
)  # fmt: skip
def test_what_a_model_lacks_is_one_clear_line(name: str, model: str, options: dict[str, Any], message: str) -> None:
    setting = config(NO_PLAN, train__recipe=name, model=model, optimizer={"name": "sgd", **options})
    state = torch.get_rng_state()
    with pytest.raises(ConfigError, match=message) as caught:
        Session.build(resolve_config(setting))
    assert "\n" not in str(caught.value)
    torch.set_rng_state(state)
    made = parts(model, **options)
    state = torch.get_rng_state()
    with pytest.raises(ConfigError, match=message):
        recipes.demand_fit(name, recipes.plan(name).bound, *made)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_target_that_the_plan_leaves_out_is_not_asked_for() -> None:
    plan = recipes.plan("antiphase").replace({"model:Dropout.p": None})
    recipes.demand_fit("antiphase", plan.bound, *parts("linear"))


def test_fitting_is_what_binds() -> None:
    for model in MODELS:
        made = parts(model)
        for name, missing in recipes.fitting(*made).items():
            plan = recipes.plan(name, total=10)
            roots = dict(zip(("model", "optimizer", "loss"), made, strict=True))
            assert ("augment.strength" in missing) == ("augment.strength" in recipes.RECIPES[name].targets)
            if missing:
                with pytest.raises(LookupError):
                    plan.bind(**roots)
            else:
                plan.bind(**roots).restore()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("antifase", "did you mean 'antiphase'\\? known: snapshot \\(five"),
        ("list", "recipe: got 'list'; known: snapshot"),
        ("", "recipe"),
    ],
)
def test_an_unknown_name_lists_them(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve_config(configuration(None, recipe=name))
    if name:
        assert all(each in str(caught.value) for each in recipes.NAMES)


def test_the_command_lines_help_names_them_all() -> None:
    from ostinato.cli import options

    text = Path(options.__file__ or "").read_text(encoding="utf-8")
    assert ", ".join(sorted(recipes.NAMES)) in text
