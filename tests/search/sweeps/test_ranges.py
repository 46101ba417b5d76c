"""What a range test measures, suggests, and refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ostinato as ost
from ostinato.errors import ConfigError, DataError, DomainError, OstinatoError, PlanError, TargetError
from ostinato.search import RangeTest, Suggestion, range_test
from ostinato.search.sweeps.sweep import Sweep

torch.set_num_threads(1)
RULES = ["peak", "valley", "steepest", "minimum/10", "slide"]


class Quadratic(nn.Module):
    """Half of the sum of curvature times the square of the weights, and a noise that is linear in them."""

    def __init__(self, curvatures: list[float], start: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("curvatures", torch.tensor(curvatures, dtype=torch.float64))
        self.weights = nn.Parameter(torch.full((len(curvatures),), start, dtype=torch.float64))

    def forward(self, noise: Tensor) -> Tensor:
        result: Tensor = (0.5 * self.curvatures * self.weights**2 + noise * self.weights).sum()
        return result


def itself(outputs: Tensor, targets: Any) -> Tensor:
    return outputs


def swept(model: nn.Module, noise: float = 0.0, seed: int = 0, lr: float = 0.1, **options: Any) -> RangeTest:
    generator = torch.Generator().manual_seed(seed)
    size = model.weights.numel() if isinstance(model, Quadratic) else 1
    batches = [(noise * torch.randn(size, generator=generator, dtype=torch.float64), 0) for _ in range(130)]
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return range_test(batches, model=model, optimizer=optimizer, loss=itself, **options)


def classifier(**options: Any) -> dict[str, Any]:
    """Return a small classification: model, optimizer, loss, data, validation."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    inputs = torch.randn(240, 5)
    labels = (inputs @ torch.randn(5, 3)).argmax(1)
    batches = [(inputs[i : i + 20], labels[i : i + 20]) for i in range(0, 240, 20)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    common = {"model": model, "optimizer": optimizer, "loss": nn.CrossEntropyLoss()}
    return {**common, "data": batches[:9], "validation": batches[9:], **options}


# -- what is measured ------------------------------------------------------------------------------------------


def test_a_loss_is_the_first_one_after_an_update_at_its_value() -> None:
    found = swept(Quadratic([2.0]), low=0.01, high=0.4, steps=5, smoothing=0.0)
    weight, losses = 1.0, []
    for rate in np.geomspace(0.01, 0.4, 5):
        weight -= rate * 2.0 * weight
        losses.append(weight**2)
    assert found.values == pytest.approx(np.geomspace(0.01, 0.4, 5), rel=1e-12)
    assert (found.values[0], found.values[-1]) == (0.01, 0.4)
    assert found.losses == pytest.approx(np.array(losses), rel=1e-12)
    assert found.smoothed.tolist() == found.losses.tolist()
    assert found.originals == {"optimizer[0].lr": 0.1}
    assert (found.judge, found.stopped, found.target) == ("train", "", "optimizer.lr")


def test_accumulation_takes_the_mean_of_its_batches() -> None:
    model = Quadratic([1.0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = [(torch.tensor([slope], dtype=torch.float64), 0) for slope in (1.0, -2.0, 4.0)]
    options: dict[str, Any] = {"low": 0.01, "high": 0.1, "steps": 2, "smoothing": 0.0}
    found = range_test(data, model=model, optimizer=optimizer, loss=itself, accumulation=3, **options)
    weight = 1.0 - 0.01 * (1.0 + 1.0)
    assert found.losses[0] == pytest.approx(0.5 * weight**2 + weight, rel=1e-12)


@pytest.mark.parametrize("judge", ["train", "validation"])
def test_apart_every_value_has_the_same_start_batches_and_random_numbers(judge: str) -> None:
    """A value that does nothing gives one loss, to the last bit."""
    parts = classifier()
    parts["model"].register_buffer("idle", torch.tensor(1.0))
    found = range_test(**parts, target="model.idle", low=0.0, high=1.0, restart=3, steps=4, judge=judge)
    assert len(set(found.losses.tolist())) == 1
    assert found.suggestion == Suggestion(
        "minimum", None, "the value makes no difference within 3 updates (less than 0.1 % of the loss)"
    )


def test_apart_each_loss_is_that_of_a_run_of_its_own() -> None:
    found = swept(Quadratic([2.0]), target="optimizer.lr", low=0.1, high=0.4, steps=4, restart=3, sweep="linear")
    expected = [np.mean([(1 - 2 * rate) ** (2 * update) for update in (1, 2)]) for rate in (0.1, 0.2, 0.3, 0.4)]
    assert found.losses == pytest.approx(expected, rel=1e-12)
    assert found.sweep.restart == 3


def test_validation_is_scored_with_the_swept_value_at_its_original() -> None:
    parts = classifier()
    options: dict[str, Any] = {"target": "loss.label_smoothing", "low": 0.0, "high": 0.9, "steps": 3, "restart": 1}
    seen: list[float] = []

    def score() -> float:
        seen.append(parts["loss"].label_smoothing)
        return 1.0 + len(seen)

    found = range_test(**{**parts, "validation": score}, **options)
    assert seen == [0.0, 0.0, 0.0]
    assert found.losses.tolist() == [2.0, 3.0, 4.0]
    trained: list[float] = []

    def step(batch: Any) -> float:
        trained.append(parts["loss"].label_smoothing)
        return 1.0

    range_test(**{**parts, "validation": score}, step=step, **options)
    assert trained == [0.0, 0.45, 0.9]


def test_validation_is_the_mean_over_examples_in_evaluation_mode() -> None:
    parts = classifier()
    uneven = [(x[:size], y[:size]) for (x, y), size in zip(parts["validation"], (20, 3, 1), strict=True)]
    found = range_test(
        **{**parts, "validation": uneven}, target="model:Dropout.p", low=0.0, high=0.8, steps=2, restart=1
    )
    joined = (torch.cat([x for x, _ in uneven]), torch.cat([y for _, y in uneven]))
    again = range_test(
        **{**parts, "validation": [joined]}, target="model:Dropout.p", low=0.0, high=0.8, steps=2, restart=1
    )
    assert found.judge == "validation"
    assert found.losses == pytest.approx(again.losses, rel=1e-6)
    assert found.losses[0] != found.losses[1]


def test_relative_sweeps_keep_the_ratio_of_groups() -> None:
    layers = [nn.Linear(1, 1), nn.Linear(1, 1)]
    optimizer = torch.optim.SGD(
        [{"params": layers[0].parameters(), "lr": 0.2}, {"params": layers[1].parameters()}], lr=0.1
    )
    seen: list[tuple[float, float]] = []

    def step(batch: Any) -> float:
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[1]["lr"]))
        return 1.0

    range_test([0], optimizer=optimizer, step=step, relative=True, low=0.1, high=10.0, steps=3)
    assert np.array(seen[:3]) == pytest.approx(np.array([[0.02, 0.01], [0.2, 0.1], [2.0, 1.0]]))


def test_any_root_and_a_pair_of_functions_can_be_swept() -> None:
    held = {"noise": 0.3}
    pair = (lambda: held["noise"], lambda value: held.update(noise=value))
    seen: list[float] = []

    def step(batch: Any) -> float:
        seen.append(held["noise"])
        return 2.0 - held["noise"]

    found = range_test([0], step=step, noise=pair, target="noise", low=0.0, high=1.0, steps=3, restart=1)
    assert seen == [0.0, 0.5, 1.0]
    assert held == {"noise": 0.3}
    assert found.losses.tolist() == [2.0, 1.5, 1.0]


def test_an_update_that_mixed_precision_skips_is_made_again() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    data = [(torch.ones(4, 2), torch.full((4, 1), 5.0))]
    options: dict[str, Any] = {"low": 1e-3, "high": 1e-2, "steps": 5, "smoothing": 0.0}
    parts = {"model": model, "optimizer": optimizer, "loss": nn.functional.mse_loss}
    found = range_test(data, **parts, scaler=scaler, **options)
    assert found.losses == pytest.approx(range_test(data, **parts, **options).losses, rel=1e-5)
    assert scaler.get_scale() == 2.0**127
    infinite = [(torch.ones(4, 2), torch.full((4, 1), 1e38))]
    stopped = range_test(infinite, **parts, scaler=scaler, **options)
    assert stopped.stopped == "the loss is inf before the first update"
    assert stopped.suggestion.value is None


def test_a_seed_makes_it_independent_of_the_random_states() -> None:
    parts = classifier()
    del parts["validation"]
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append((range_test(**parts, seed=5, steps=9).digest, range_test(**parts, steps=9).digest))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


def test_progress_is_told_and_a_scheduler_that_was_not_named_notices_nothing() -> None:
    parts = classifier()
    del parts["validation"]
    told: list[tuple[int, float, float]] = []
    plan = ost.Plan(
        total=9, cycle=ost.Cycle(count=1), bindings={"optimizer.lr": ost.wave(0.0, 0.3), "model:Dropout.p": 0.4}
    )
    scheduler = plan.bind(optimizer=parts["optimizer"], model=parts["model"])
    scheduler.step()
    before = parts["optimizer"].param_groups[0]["lr"]
    found = range_test(**parts, steps=8, progress=lambda *each: told.append(each))
    assert [place for place, _, _ in told] == list(range(8))
    assert [value for _, value, _ in told] == found.values.tolist()
    assert parts["optimizer"].param_groups[0]["lr"] is before
    scheduler.step(by=8)  # ends the cycle, where everything is looked at; a foreign write would be an error here


# -- what is suggested -----------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(st.floats(2.0, 500.0), st.sampled_from([1.0, 10.0, 100.0]), st.integers(0, 10_000))
def test_on_a_quadratic_every_suggestion_is_stable_and_the_peak_is_near(
    top: float, condition: float, seed: int
) -> None:
    """Gradient descent is stable below 2/L, L the largest curvature."""
    curvatures = np.geomspace(top / condition, top, 8).tolist()
    found = swept(Quadratic(curvatures), noise=0.02 * top, seed=seed)
    limit = 2.0 / top

    for each in found.suggestions.values():
        assert each.value is not None, each
        assert limit / 300 < each.value < limit / 3, each
    assert found.suggestion.name == "peak"
    assert limit / 15 < found.suggestion.value < limit / 2


def test_without_noise_what_grows_late_does_not_lead_above_the_limit() -> None:
    found = swept(Quadratic([1.0, 100.0]))
    assert all(each.value is not None and each.value < 2 / 100 for each in found.suggestions.values())


def test_a_flat_loss_suggests_nothing() -> None:
    found = swept(Quadratic([0.0]))
    assert [each.value for each in found.suggestions.values()] == [None] * 5
    assert found.suggestion.reason == "the loss never fell by more than its noise"


def test_noise_suggests_nothing() -> None:
    wrong = 0
    for seed in range(60):
        losses = iter(np.random.default_rng(seed).normal(2.3, 0.3, 101))
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        found = range_test([0], optimizer=optimizer, step=lambda batch, left=losses: next(left), stop_factor=math.inf)
        wrong += found.suggestion.value is not None
    assert wrong == 0


def curve(*losses: float, **options: Any) -> RangeTest:
    """Return the test of a step that gives these losses."""
    left = iter([losses[0], *losses])
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    common: dict[str, Any] = {"low": 1e-4, "high": 1.0, "steps": len(losses), "smoothing": 0.0}
    return range_test([0], optimizer=optimizer, step=lambda batch: next(left), **{**common, **options})


FALLING = (2.0, 2.0, 2.0, 1.99, 1.9, 1.7, 1.4, 1.0, 0.65, 0.5, 0.4)


def test_a_loss_that_is_still_falling_suggests_only_where_it_falls_fastest() -> None:
    found = curve(*FALLING)
    reason = "the loss has not risen again at the highest value tried (1); raise high"
    assert {name: each.reason for name, each in found.suggestions.items() if each.value is None} == dict.fromkeys(
        ["peak", "valley", "minimum/10", "slide"], reason
    )
    assert found.suggestion == Suggestion("steepest", found.values[7], "the loss falls fastest here")


def test_the_rules_on_a_known_curve() -> None:
    found = curve(*FALLING, 0.45, 0.9, 2.5)
    x = np.log(found.values)
    values = {name: each.value for name, each in found.suggestions.items()}
    assert values["steepest"] == found.values[7]
    assert values["peak"] == pytest.approx(math.sqrt(found.values[7] * found.values[10]))
    assert values["minimum/10"] == pytest.approx(found.values[10] / 10)
    assert values["valley"] == pytest.approx(math.exp(x[3] + (x[10] - x[3]) * 2 / 3))
    assert values["slide"] == pytest.approx(math.exp(x[11] - 0.15 * math.log(1e4)))
    assert "two thirds into the descent" in found.suggestions["valley"].reason


def test_what_diverges_at_once_asks_for_a_lower_low() -> None:
    found = curve(2.0, 2.5, math.inf, *[math.inf] * 20)
    assert found.losses.tolist() == [2.0, 2.5]
    assert found.suggestion.value is None
    assert found.suggestion.reason.startswith("only 2 losses: the loss is inf at ")
    assert found.suggestion.reason.endswith("; lower low (0.0001)")
    assert curve(2.0, 1.0, 3.0).suggestion.reason == "only 3 losses; use at least 8 steps"
    assert repr(found).startswith("<RangeTest of optimizer.lr, 2 of 23 values: no suggestion: only 2 losses")


def test_a_descent_at_the_low_end_asks_for_a_lower_low() -> None:
    found = curve(2.0, 1.0, 0.9, 0.85, 0.84, 0.83, 0.82, 0.81, 1.5, 3.0)
    assert found.suggestions["steepest"].reason == "the loss falls fastest at the low end (0.0001); lower low"
    assert found.suggestions["peak"].value is None


def test_a_tenth_means_nothing_in_a_linear_sweep() -> None:
    found = curve(*FALLING, 0.45, 0.9, 2.5, sweep="linear")
    assert "a tenth means nothing in a linear sweep" in found.suggestions["minimum/10"].reason
    assert found.suggestions["peak"].value == pytest.approx((found.values[7] + found.values[10]) / 2)


def test_one_run_suggests_nothing_for_what_is_no_rate() -> None:
    parts = classifier()
    found = range_test(**parts, target="model:Dropout.p", restart=0, steps=10)
    assert all(each.value is None for each in found.suggestions.values())
    assert "the loss falls by the training itself" in found.suggestion.reason


def apart(*losses: float, **options: Any) -> RangeTest:
    left = iter(losses)
    layer = nn.Dropout(0.1)
    common: dict[str, Any] = {"target": "model:Dropout.p", "low": 0.0, "high": 0.9, "steps": len(losses), "restart": 1}
    return range_test([0], model=layer, step=lambda batch: next(left), judge="train", **{**common, **options})


def test_the_rules_where_each_value_has_its_own_run() -> None:
    found = apart(1.0, 0.8, 0.7, 0.72, 0.9, 2.0)
    assert found.suggestion == Suggestion("minimum", found.values[2], "the loss after 1 updates is lowest here")
    assert found.suggestions["tolerated"].value == found.values[3]
    assert list(found.suggestions) == ["minimum", "tolerated"]
    at_low = apart(0.7, 0.705, 0.71, 0.9)
    assert (
        at_low.suggestions["minimum"].reason
        == "no value is better than the low end (0) by more than 1% within 1 updates"
    )
    assert (at_low.suggestion.value, at_low.suggestions["tolerated"].value) == (None, at_low.values[2])
    assert at_low.to_document()["suggestion"] is None
    at_high = apart(1.0, 0.9, 0.8, 0.7)
    assert [each.value for each in at_high.suggestions.values()] == [None, None]
    assert at_high.suggestion.reason == "the loss is lowest at the highest value tried (0.9); raise high"
    assert at_high.suggestions["tolerated"].reason == "even 0.9 does no harm within 1 updates; raise high"
    whole = apart(1.0, 0.9, 0.8, 0.7, high=1.0)
    assert whole.suggestion.reason == "the loss after 1 updates is lowest here, an end of what model:Dropout.p accepts"
    assert whole.suggestion.value == 1.0
    assert apart(1.0, math.nan, 1.0).suggestion.reason == "only 1 losses: the loss is nan at 0.45; lower low"


def test_a_loss_below_zero_neither_stops_at_once_nor_never() -> None:
    found = curve(-1.0, -2.0, -3.0, -4.0, -5.0, -4.5, -4.0, 0.0, 9.0, 20.0, 40.0)
    assert found.stopped == f"the loss has risen far above its lowest at {found.values[-1]:.3g}"
    assert found.losses[-1] == 20.0
    assert curve(*[-1.0, -2.0, 50.0] * 4, stop_factor=math.inf).stopped == ""
    near = curve(1.0, 1e-3, 1e-6, 1e-9, 1e-8, 1e-6, 1e-4, 1e-2, 0.1, 0.5)
    assert near.stopped == ""  # a loss that came near 0 is not above four times its lowest because of rounding


# -- what comes out --------------------------------------------------------------------------------------------


def test_the_document_is_json_and_says_it_all() -> None:
    found = swept(Quadratic([1.0, 10.0]), noise=0.1)
    document = json.loads(json.dumps(found.to_document(), allow_nan=False))
    assert set(document["suggestions"]) == set(RULES)
    assert document["suggestion"] == "peak"
    assert document["values"] == found.values.tolist()
    assert len(document["losses"]) == len(document["smoothed"]) == len(found.values)
    assert document["sweep"]["target"] == "optimizer.lr"
    assert found.plan.resolve().table()["optimizer.lr"][: len(found.values)].tolist() == found.values.tolist()
    assert ost.Plan.from_toml(found.plan.to_toml()) == found.plan
    with pytest.raises(ValueError, match="read-only"):
        found.losses[0] = 0.0


def test_pictures(tmp_path: Path) -> None:
    found = swept(Quadratic([1.0, 10.0]), noise=0.1)
    axes = found.plot()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[:2] == ["loss", "smoothed"]
    assert [label.split()[0] for label in labels[2:]] == RULES
    assert axes.get_xscale() == "log"
    assert found.plot(ax=axes) is axes
    for name in ("a.svg", "b.svg"):
        found.save_picture(tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    with pytest.raises(ConfigError, match=r"picture: got '.*c\.gif', expected a name that ends in \.png or \.svg"):
        found.save_picture(tmp_path / "c.gif")
    empty = curve(math.nan, 1.0)
    assert len(empty.values) == 0
    empty.save_picture(tmp_path / "empty.png")


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"low": 1.0, "high": 1.0}, ConfigError, "low, high: got 1 and 1, expected low < high"),
        ({"low": math.nan}, PlanError, "low: got nan, expected a finite number"),
        ({"low": 0.0, "sweep": "exponential"}, ConfigError, "low: got 0, expected more than 0 for an exponential sweep"),
        ({"low": -1.0, "high": 1.0}, DomainError, "optimizer.lr: -1 at step 0, expected a number in [0, inf)"),
        ({"sweep": "cubic"}, ConfigError, "sweep: got 'cubic', expected 'exponential' or 'linear'"),
        ({"steps": 1}, ConfigError, "steps: got 1, expected a whole number >= 2"),
        ({"steps": 2.5}, ConfigError, "steps: got 2.5"),
        ({"restart": -1}, ConfigError, "restart: got -1, expected a whole number >= 0"),
        ({"smoothing": 1.0}, ConfigError, "smoothing: got 1.0, expected a number in [0, 1)"),
        ({"stop_factor": 1.0}, ConfigError, "stop_factor: got 1.0, expected more than 1"),
        ({"accumulation": 0}, ConfigError, "accumulation: got 0, expected a whole number >= 1"),
        ({"seed": -1}, ConfigError, "seed: got -1, expected a whole number >= 0"),
        ({"judge": "test"}, ConfigError, "judge: got 'test', expected 'train' or 'validation'"),
        ({"judge": "validation"}, ConfigError, "judge: 'validation' needs validation=batches"),
        ({"target": "optimizer.lr!", "low": 0.0, "high": 1.0}, TargetError, "optimizer.lr!: no parameter group has it"),
        ({"target": "model lr"}, PlanError, "target: got 'model lr', expected an address"),
        ({"target": "other.lr"}, TargetError, "other.lr: bind was given no 'other'"),
        ({"target": "model:Dropout.q", "low": 0.0, "high": 1.0, "judge": "train"}, TargetError, "model:Dropout.q: matches nothing"),
        ({"target": "model:Dropout.p", "high": 1.5, "judge": "train"}, DomainError, "expected a probability in [0, 1]"),
        ({"target": "model:Dropout.p"}, ConfigError, "a regulariser raises the training loss by what it is"),
        ({"target": "model.x", "low": 0.0}, ConfigError, "high: missing; 'x' has no usual range, so give both low and high"),
        ({"relative": True}, ConfigError, "low, high: missing; a relative sweep has no usual range"),
        ({"data": []}, DataError, "data: has no batch"),
        ({"data": 3}, ConfigError, "data: got a int, expected a loader or a list of batches"),
        ({"data": [torch.zeros(2)]}, ConfigError, "data: a batch is a Tensor, expected (inputs, targets)"),
        ({"model": None}, ConfigError, "model: missing; pass model=..., or step=your_update"),
        ({"optimizer": 3}, ConfigError, "model, optimizer, loss: got Sequential, int, CrossEntropyLoss"),
        ({"step": float, "accumulation": 2}, ConfigError, "accumulation: step makes the whole update; do it there"),
        ({"loss": lambda outputs, targets: outputs}, ConfigError, "loss: returned a tensor of shape (20, 3), expected one number"),
        ({"validation": [], "judge": "validation"}, DataError, "validation: has no batch"),
    ],
)  # fmt: skip
def test_refusals_are_one_line_and_leave_no_trace(
    options: dict[str, Any], error: type[OstinatoError], words: str
) -> None:
    parts = classifier()
    del parts["validation"]
    model, optimizer = parts["model"], parts["optimizer"]
    before = [parameter.detach().clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    with pytest.raises(error) as caught:
        range_test(**{**parts, **options})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert (optimizer.param_groups[0]["lr"], model[2].p) == (0.1, 0.2)


@pytest.mark.parametrize(
    ("target", "low", "high", "steps", "scale", "restart"),
    [
        ("optimizer.lr", 1e-7, 10.0, 100, "exponential", 0),
        ("optimizer[0].lr", 1e-7, 10.0, 100, "exponential", 0),
        ("optimizer.weight_decay", 1e-6, 10.0, 20, "exponential", 20),
        ("model:Dropout.p", 0.0, 0.9, 20, "linear", 20),
        ("optimizer.betas.0", 0.5, 0.99, 20, "linear", 20),
        ("loss.label_smoothing", 0.0, 0.9, 20, "linear", 20),
    ],
)
def test_what_is_left_out_follows_from_the_kind_of_target(
    target: str, low: float, high: float, steps: int, scale: str, restart: int
) -> None:
    assert Sweep.of(target) == Sweep(target, low, high, steps, scale, restart)
    values = Sweep.of(target).plan().resolve().table()[target]
    assert (values[0], values[-1], len(values)) == (low, high, steps)


@given(
    st.floats(1e-9, 1.0),
    st.floats(1.001, 1e6),
    st.integers(2, 300),
    st.sampled_from(["exponential", "linear"]),
)
@settings(max_examples=60, deadline=None)
def test_a_sweep_climbs_from_low_to_high_in_equal_steps(low: float, ratio: float, steps: int, scale: str) -> None:
    sweep = Sweep.of("loss.x", low=low, high=low * ratio, steps=steps, scale=scale)
    values = sweep.plan().resolve().table()["loss.x"]
    space = np.geomspace if scale == "exponential" else np.linspace
    assert values == pytest.approx(space(sweep.low, sweep.high, steps), rel=1e-9)
    assert (values[0], values[-1]) == (sweep.low, sweep.high)
    assert (np.diff(values) >= 0).all()
