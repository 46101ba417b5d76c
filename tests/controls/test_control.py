"""A control with what it was made from, and what is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

import ostinato as ost
from ostinato import controls
from ostinato.controls import Control, make
from ostinato.errors import DomainError, PlanError

LR = {"optimizer.lr": ost.wave(0.01, 0.1)}
BOTH: dict[str, Any] = {**LR, "optimizer.weight_decay": ost.mirror(0.0, 0.2)}
CYCLE = ost.Cycle("sine", count=4)


def plan_of(**given: Any) -> ost.Plan:
    return ost.Plan(**({"total": 80, "cycle": CYCLE, "bindings": BOTH} | given))


def test_the_names_are_the_functions() -> None:
    assert set(controls.NAMES) == set(controls.__all__) - {"NAMES", "Control", "make", "shifts"}
    assert len(controls.NAMES) == 11


@pytest.mark.parametrize("name", controls.NAMES)
def test_a_control_is_made_again_from_its_document(name: str) -> None:
    options = {"value": 0.03} if name == "tuned_constant" else {}
    control = make(name, plan_of(total="8ep"), seed=7, **options, steps_per_epoch=Fraction(21, 2))
    document = control.to_document()
    assert set(document) == {"transform", "source", "seed", "options"}
    assert document["options"] == {**options, "steps_per_epoch": 10.5}
    again = Control.from_document(json.loads(json.dumps(document)))
    assert again == control
    assert hash(again) == hash(control)
    assert again.plan.digest == control.plan.digest
    assert (again.transform, again.source, again.seed) == (name, plan_of(total="8ep"), 7)


def test_options_and_seed_reach_the_transform() -> None:
    plan = plan_of()
    assert make("shuffled", plan, seed=3, blocks=5).plan == controls.shuffled(plan, seed=3, blocks=5)
    assert make("phase_shuffled", plan, seed=3).plan == controls.phase_shuffled(plan, seed=3)
    assert make("in_phase", plan, match="product").plan == controls.in_phase(plan, match="product")
    assert make("tuned_constant", plan, value=0.3).plan == controls.constant(plan, value=0.3)
    assert make("cosine", plan, low=None, match="values").options == {"match": "values"}
    assert make("sorted", plan, seed=3).plan == controls.sorted(plan)
    least = Control.from_document({"transform": "sorted", "source": plan.to_document()})
    assert least == make("sorted", plan)


def test_a_control_has_no_source_of_its_own_to_lose() -> None:
    """A control can be controlled: the sorted twin of a shuffled plan is that of the plan."""
    plan = plan_of(warmup=5)
    twice = controls.sorted(controls.shuffled(plan, seed=1))
    one, other = twice.table(), controls.sorted(plan).table()
    for target in plan.bound:
        assert one[target] == pytest.approx(other[target], abs=1e-15)


FEW = "which stay; name another optimizer's with by=..."
CASES: list[tuple[Any, str]] = [
    (lambda: controls.sorted(plan_of().resolve()), "sorted: got ResolvedPlan, expected an ostinato.Plan; a resolved one has it as .plan"),
    (lambda: controls.constant(plan_of(bindings={})), "constant: the plan drives nothing; give it bindings such as {'optimizer.lr': ost.wave(0.0, 0.1)} first"),
    (lambda: controls.sorted(plan_of(bindings={"loss.x": 1.0})), "sorted: the plan drives no learning rate; name the binding that leads, as in by='loss.x'"),
    (lambda: controls.cosine(plan_of(bindings={"loss.x": 1.0})), "cosine: the plan drives no learning rate, so that nothing can decay; bind one, such as 'optimizer.lr'"),
    (lambda: controls.tuned_constant(plan_of(bindings={"loss.x": 1.0})), "tuned_constant: the plan drives no learning rate"),
    (lambda: controls.sorted(plan_of(), by="optimiser.lr"), "sorted: by: no binding drives 'optimiser.lr'; did you mean 'optimizer.lr'"),
    (lambda: controls.constant(plan_of(), by="x"), "constant: by: no binding drives 'x'; known: optimizer.lr, optimizer.weight_decay"),
    (lambda: controls.in_phase(plan_of(bindings=LR)), "in_phase: the plan drives 'optimizer.lr' alone; bind something beside it whose phase can be changed"),
    (lambda: controls.phase_shuffled(plan_of(bindings=LR)), "phase_shuffled: the plan drives 'optimizer.lr' alone"),
    (lambda: controls.phase_shuffled(plan_of(cycle=None)), "phase_shuffled: the plan has no shared cycle to take phases from; write Plan(cycle=Cycle('cosine', count=5), ...)"),
    (lambda: controls.in_phase(plan_of(cycle=None)), "in_phase: the plan has no shared cycle"),
    (lambda: controls.phase_shuffled(plan_of(bindings={"optimizer[0].lr": 0.1, "optimizer[1].lr": 0.2})), f"phase_shuffled: all bindings are rates of one optimizer, {FEW}"),
    (lambda: controls.phase_shuffled(plan_of(cycle=ost.Cycle(count=1))).resolve(), "optimizer.weight_decay: order 'rotated' needs two cycles at least"),
    (lambda: controls.phase_shuffled(plan_of(), seed=-1), "phase_shuffled: seed: got -1, expected a whole number from 0 to 2^63 - 1"),
    (lambda: controls.shuffled(plan_of(), blocks=0), "shuffled: block: got 0, expected more than 0"),
    (lambda: controls.in_phase(plan_of(), match="mean"), "in_phase: match: got 'mean', expected 'product' or 'values'"),
    (lambda: controls.constant(plan_of(), match="mean"), "constant: match: got 'mean', expected 'product' or 'values'"),
    (lambda: controls.constant(plan_of(total=None)), "constant: total: missing; write Plan(total='10ep', ...)"),
    (lambda: controls.in_phase(plan_of(total=None), match="product"), "in_phase: total: missing"),
    (lambda: controls.sorted(plan_of(total=None)).resolve(), "total: missing"),
    (lambda: controls.linear(plan_of(total="3ep")), "linear: total: 3ep needs steps_per_epoch; pass steps_per_epoch=..."),
    (lambda: controls.tuned_constant(plan_of(total="3ep")), "tuned_constant: total: 3ep needs steps_per_epoch"),
    (lambda: controls.sorted(plan_of(total="3ep"), samples_per_step=4), "sorted: total: 3ep needs steps_per_epoch"),
    (lambda: controls.sorted(plan_of(), step_per_epoch=4), "sorted: step_per_epoch: unknown option; did you mean 'steps_per_epoch' or"),
    (lambda: controls.constant(plan_of(), value=-1.0), "constant: optimizer.lr: -1 at step 0, expected a number in [0, inf)"),
    (lambda: controls.constant(plan_of(), value="x"), "constant: value: got 'x', expected a number"),
    (lambda: controls.constant(plan_of(bindings={"a.lr": 0.0, "b.lr": 0.1}), value=0.1), "constant: value: the mean of 'a.lr' is 0, to which the other rates have no ratio; name a rate above 0 by=..."),
    (lambda: controls.cosine(plan_of(), low=0.5), "cosine: low: got 0.5, which is above the mean 0.055 of 'optimizer.lr'; choose a lower one"),
    (lambda: controls.tuned_constant(plan_of(), 0), "tuned_constant: grid: got 0, expected a number of rates from 1 to 1000, or the rates"),
    (lambda: controls.tuned_constant(plan_of(), True), "tuned_constant: grid: got True"),
    (lambda: controls.tuned_constant(plan_of(), []), "tuned_constant: grid: got no rates, expected at least one"),
    (lambda: controls.tuned_constant(plan_of(), ratio=1.0), "tuned_constant: ratio: got 1.0, expected more than 1"),
    (lambda: controls.tuned_constant(plan_of(bindings={"optimizer.lr": 0.0})), "tuned_constant: grid: the mean rate is 0, which no grid can stand round; give the rates, as in grid=[0.01, 0.1]"),
    (lambda: controls.constant(plan_of(bindings={"optimizer[0].lr": 0.1, "optimizer[1].lr": 0.1, "optimizer.weight_decay": 0.1})), "constant: optimizer.weight_decay: its groups have rates of their own (optimizer[0].lr, optimizer[1].lr), so that it has no one product with them; bind it group by group too, or pass match='values'"),
    (lambda: make("sortd", plan_of()), "control: got 'sortd'; did you mean 'sorted'?"),
    (lambda: make("sorted", plan_of(), seed=1.5), "seed: got 1.5, expected a whole number from 0 to 2^63 - 1"),
    (lambda: make("sorted", plan_of(), block=3), "sorted: block: unknown option; known: by, samples_per_step, steps_per_epoch, steps_per_round, tokens_per_step"),
    (lambda: make("shuffled", plan_of(), block=3), "shuffled: block: unknown option; did you mean 'blocks'?"),
    (lambda: make("constant", plan_of(), value=[1]), "value: got [1], expected a number"),
    (lambda: make("tuned_constant", plan_of()), "tuned_constant: value: missing; choose one of the rates of tuned_constant(plan), then make('tuned_constant', plan, value=...)"),
    (lambda: Control.from_document([]), "control: got [], expected a table with transform, source, seed, options"),
    (lambda: Control.from_document({"transform": "sorted"}), "source: missing from a control; write its transform, source, seed, options"),
    (lambda: Control.from_document({"source": {}}), "transform: missing from a control"),
    (lambda: Control.from_document({"transform": "sorted", "source": 3}), "source: got 3, expected a table"),
    (lambda: Control.from_document({"transform": "sorted", "source": {}, "options": 3}), "options: got 3, expected a table"),
    (lambda: Control.from_document({"transform": "sorted", "source": {"totl": 3}}), "source: totl: unknown key of a plan; did you mean 'total'?"),
    (lambda: Control.from_document({"transform": "sorted", "source": {}, "sed": 3}), "sed: unknown key of a control; did you mean 'seed'?"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), CASES)
def test_what_cannot_be_is_answered_in_one_line(call: Any, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_factor_that_leaves_the_domain_is_refused_when_it_is_made() -> None:
    bindings = {"optimizer.lr": ost.wave(0.0, 1.0), "optimizer.weight_decay": ost.mirror(0.1, 1.0, domain=(0.0, 0.5))}
    with pytest.raises(DomainError, match=r"^in_phase: optimizer.weight_decay: "):
        controls.in_phase(plan_of(bindings=bindings), match="product")


def test_a_product_that_no_factor_matches_is_refused() -> None:
    square = ost.Cycle("square", period=20)
    bindings = {"optimizer.lr": ost.wave(0.0, 1.0), "optimizer.weight_decay": ost.mirror(0.0, 1.0)}
    plan = plan_of(cycle=square, bindings=bindings)
    with pytest.raises(
        PlanError,
        match=r"^in_phase: optimizer.weight_decay: the mean of its product with 'optimizer.lr' is 0 in the plan and 0.5 here, which no factor matches; pass match='values'$",
    ):
        controls.in_phase(plan, match="product")
    assert controls.in_phase(plan).table()["optimizer.weight_decay"].sum() == 40
