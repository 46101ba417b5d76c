from __future__ import annotations

import copy
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ostinato.ensembles import SnapshotEnsemble, methods
from ostinato.training.models import cnn, linear, mlp

torch.set_num_threads(1)
IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def tick(step: int) -> SimpleNamespace:
    return SimpleNamespace(step=step, cycle=step, values={})


def fill(model: nn.Module, folder: Path, count: int = 3) -> SnapshotEnsemble:
    snapshots = SnapshotEnsemble(model, folder)
    for index in range(count):
        disturb(model, index)
        snapshots.capture(tick(index))
    disturb(model, 1000)
    return snapshots


def disturb(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point():
            values = torch.randn(tensor.shape, generator=generator) * 0.3
            tensor.data.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)


class Writing(nn.Module):
    """Writes to its buffers, in place and by assignment."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1), persistent=False)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.act(self.layer(x.flatten(1))) * self.scale + self.calls
        self.scale.add_(1)
        return out


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(64, 64), nn.Linear(64, 64)
        self.b = self.a
        self.c.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(self.b(self.a(x.flatten(1))).tanh())
        return out


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.norm = nn.GroupNorm(2, 16)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.layer(self.embed(x[:, 0])).mean(1))
        return out


class Mutable(nn.Module):
    """A plain attribute, a dict and an object decide what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)
        self.temperature = 1.0
        self.options: dict[str, Any] = {"offset": 0.0, "steps": [1.0, 2.0]}
        self.config = SimpleNamespace(slope=1.0)
        self.held = torch.zeros(4)
        self.register_buffer("live", torch.ones(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.flatten(1)) / self.temperature * self.live + self.options["offset"] + self.held
        return out * self.config.slope + sum(self.options["steps"])


RECORDED = {
    "linear": lambda: linear((1, 8, 8), 10),
    "mlp": lambda: mlp((1, 8, 8), 10, hidden=16),
    "cnn": lambda: cnn((1, 8, 8), 10, width=4),
    "double": lambda: nn.Sequential(cnn((1, 8, 8), 10, width=4)).double(),
    "writing": Writing,
    "shared": Shared,
    "mutable": Mutable,
    "normed without affine": lambda: nn.Sequential(nn.BatchNorm2d(1, affine=False), nn.Flatten(), nn.Linear(64, 2)),
    "normed by the batch": lambda: nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten()),
    "instance norm": lambda: nn.Sequential(nn.InstanceNorm2d(1, affine=True), nn.Flatten(), nn.Linear(64, 2)),
}


@pytest.mark.parametrize("name", RECORDED)
def test_stacked_is_the_loop_within_rounding(tmp_path: Path, name: str) -> None:
    model = RECORDED[name]()
    snapshots = fill(model, tmp_path)
    images = IMAGES.double() if name == "double" else IMAGES
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    before = {key: (id(value), value.clone()) for key, value in tensors.items()}
    model.train()
    for inputs in (images, images[:1], images[:2]):
        expected = snapshots.member_outputs(inputs, method="loop")
        for _ in range(2):
            found = snapshots.member_outputs(inputs, method="stacked")
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
        for average in ("probabilities", "logits", "outputs"):
            one = snapshots.predict(inputs, method="stacked", average=average)
            torch.testing.assert_close(
                one, snapshots.predict(inputs, method="loop", average=average), atol=1e-6, rtol=1e-6
            )
            assert not one.requires_grad
    assert [(choice.method, choice.reason) for choice in snapshots.methods] == [("stacked", "asked for")] * 3
    assert all(module.training for module in model.modules())
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert all(id(after[key]) == place and torch.equal(after[key], value) for key, (place, value) in before.items())


def test_a_transformer_is_right_whatever_is_chosen(tmp_path: Path) -> None:
    snapshots = fill(Attending(), tmp_path)
    found = snapshots.member_outputs(IMAGES, method="stacked")
    torch.testing.assert_close(found, snapshots.member_outputs(IMAGES, method="loop"), atol=2e-6, rtol=0)


def test_inputs_of_any_structure_are_recorded(tmp_path: Path) -> None:
    class Structured(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 2)

        def forward(self, pair: Any, *, power: int, mask: Tensor | None = None) -> dict[str, Tensor]:
            out = self.layer(pair["x"].flatten(1)) ** power + pair["more"][0]
            return {"logits": out if mask is None else out * mask}

    snapshots = fill(Structured(), tmp_path)
    more, mask = torch.rand(3, 2), torch.tensor([0.0, 1.0])
    seen = []
    for power in (1, 2):
        for kwargs in ({}, {"mask": mask}):
            pair = {"x": IMAGES, "more": (more,)}
            expected = snapshots.member_outputs(pair, power=power, method="loop", **kwargs)
            found = snapshots.member_outputs(pair, power=power, method="stacked", **kwargs)
            found = snapshots.member_outputs(pair, power=power, method="stacked", **kwargs)
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
            seen.append(found)
    assert len(snapshots.methods) == 4
    assert not torch.equal(seen[0], seen[3])


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x.flatten(1))
        return out if bool(out.sum() > 0) else -out


class Drawing(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x.flatten(1), 0.5, training=True)) * 0 + 1


class DrawingInPython(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1)) + 0 * random.random() + 0 * float(np.random.rand())  # noqa: NPY002 - the global one is meant


class Counting(nn.Linear):
    count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return super().forward(x.flatten(1))


class Arrayed(nn.Linear):
    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.array = np.zeros(2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1)) + torch.from_numpy(self.array).float()


class Greedy(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x.flatten(1))
        x.mul_(1)
        return out


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Branching, ""),
        (Drawing, ""),
        (DrawingInPython, "random numbers"),
        (Counting, "changes attributes"),
        (Arrayed, "Arrayed.array is a ndarray"),
        (Greedy, "writes to its inputs"),
    ],
)
def test_what_cannot_be_recorded_uses_the_loop_silently(tmp_path: Path, kind: Any, reason: str) -> None:
    snapshots = fill(kind(64, 2), tmp_path)
    expected = snapshots.member_outputs(IMAGES.clone(), method="loop")
    for _ in range(3):
        assert torch.equal(snapshots.member_outputs(IMAGES.clone(), method="stacked"), expected)
    (choice,) = snapshots.methods
    assert choice.method == "loop"
    assert reason in choice.reason


def test_a_recurrent_model_is_right_and_keeps_its_weights(tmp_path: Path) -> None:
    model = nn.LSTM(8, 5, batch_first=True)
    snapshots = fill(model, tmp_path)
    sequence = IMAGES[:, 0]
    expected = snapshots.member_outputs(sequence, output=_first, method="loop")
    for _ in range(2):
        found = snapshots.member_outputs(sequence, output=_first, method="stacked")
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert all(flat is own for flat, own in zip(model._flat_weights, model.parameters(), strict=True))


def _first(result: Any) -> Tensor:
    out: Tensor = result[0]
    return out


def test_members_that_are_not_numbers_do_not_spoil_the_others(tmp_path: Path) -> None:
    model = linear((1, 8, 8), 3)
    snapshots = fill(model, tmp_path)
    nn.init.constant_(model[1].weight, float("nan"))
    snapshots.capture(tick(9))
    snapshots.member_outputs(IMAGES, method="stacked")
    found = snapshots.member_outputs(IMAGES, method="stacked")
    torch.testing.assert_close(found, snapshots.member_outputs(IMAGES, method="loop"), equal_nan=True)
    assert [choice.method for choice in snapshots.methods] == ["stacked"]
    assert bool(found[3].isnan().all())


CHANGES = {
    "an attribute": lambda m: setattr(m, "temperature", 2.0),
    "a dict": lambda m: m.options.update(offset=3.0),
    "a list in a dict": lambda m: m.options["steps"].append(5.0),
    "an object": lambda m: setattr(m.config, "slope", 0.5),
    "a tensor attribute in place": lambda m: m.held.add_(1),
    "a tensor attribute": lambda m: setattr(m, "held", torch.ones(4)),
    "a buffer in place": lambda m: m.live.add_(1),
    "a buffer": lambda m: setattr(m, "live", torch.full((4,), 2.0)),
    "a part": lambda m: setattr(m, "layer", nn.Linear(64, 4).requires_grad_(False)),
    "a hook": lambda m: m.layer.register_forward_hook(lambda module, args, out: out + 1),
    "a forward": lambda m: setattr(m, "forward", lambda x: m.layer(x.flatten(1)) * 2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_model_is_noticed(tmp_path: Path, change: str) -> None:
    model = Mutable()
    snapshots = fill(model, tmp_path)
    for _ in range(2):
        before = snapshots.member_outputs(IMAGES, method="stacked")
    CHANGES[change](model)
    expected = snapshots.member_outputs(IMAGES, method="loop")
    assert torch.equal(expected, before) == (change == "a part")  # its weights are the members'
    for _ in range(3):
        found = snapshots.member_outputs(IMAGES, method="stacked")
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_new_members_are_seen(tmp_path: Path) -> None:
    model = cnn((1, 8, 8), 4, width=2)
    snapshots = fill(model, tmp_path)

    def agree(count: int) -> Tensor:
        for _ in range(2):
            found = snapshots.member_outputs(IMAGES, method="stacked")
        expected = snapshots.member_outputs(IMAGES, method="loop")
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
        assert len(found) == count
        return found

    agree(3)
    snapshots.capture(tick(9))
    stale = agree(4)
    snapshots.recalibrate([torch.rand(8, 1, 8, 8)])
    assert not torch.allclose(agree(4), stale)
    snapshots.rewind(2)
    agree(2)
    torch.testing.assert_close(
        snapshots.member_outputs(IMAGES, method="stacked", last=1),
        snapshots.member_outputs(IMAGES, method="loop")[1:],
        atol=1e-6,
        rtol=1e-6,
    )
    snapshots.release()
    assert snapshots.methods == ()
    agree(2)


@pytest.mark.parametrize("model", [nn.Identity(), nn.Flatten(), RECORDED["linear"]()])
def test_the_result_is_the_callers_own(tmp_path: Path, model: nn.Module) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 4))
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            return self.weight if type(model) is nn.Identity else self.model(x)

    snapshots = fill(Constant(), tmp_path)
    x = IMAGES.clone()
    snapshots.member_outputs(x, method="stacked")
    first = snapshots.member_outputs(x, method="stacked")
    kept = first.clone()
    first.fill_(7)
    assert torch.equal(x, IMAGES)
    assert torch.equal(snapshots.member_outputs(x, method="stacked"), kept)


def test_auto_measures_after_enough_calls_and_keeps_the_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = fill(mlp((1, 8, 8), 10, hidden=16), tmp_path)
    monkeypatch.setattr(methods, "SECONDS", 0.0)
    expected = snapshots.member_outputs(IMAGES, method="loop")
    for _ in range(methods.CALLS - 1):
        assert torch.equal(snapshots.member_outputs(IMAGES), expected)
        assert snapshots.methods == ()
    for _ in range(3):
        torch.testing.assert_close(snapshots.member_outputs(IMAGES), expected, atol=1e-6, rtol=0)
    (choice,) = snapshots.methods
    assert choice.reason == "measured"
    assert choice.form == "(3, 1, 8, 8)"
    assert choice.loop_s is not None
    assert choice.stacked_s is not None
    assert choice.method == ("stacked" if choice.stacked_s < choice.loop_s else "loop")
    snapshots.member_outputs(IMAGES[:2])
    assert len(snapshots.methods) == 1  # another form is measured on its own


def test_auto_waits_until_the_calls_have_taken_as_long_as_measuring_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = fill(linear((1, 8, 8), 2), tmp_path)
    monkeypatch.setattr(methods, "SECONDS", 3600.0)
    for _ in range(3 * methods.CALLS):
        snapshots.predict(IMAGES)
    assert snapshots.methods == ()


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    snapshots = fill(linear((1, 8, 8), 2), tmp_path)
    with pytest.raises(ValueError, match="method='fast' is unknown; use 'auto', 'loop', 'stacked' or 'compiled'"):
        snapshots.predict(IMAGES, method="fast")


def test_forms_are_bounded(tmp_path: Path) -> None:
    snapshots = fill(linear((1, 8, 8), 2), tmp_path)
    for _ in range(200):
        snapshots.predict(IMAGES, output=lambda result: result)
    assert len(snapshots._inference._entries) <= 64


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_is_the_loop_within_rounding(tmp_path: Path) -> None:
    snapshots = fill(cnn((1, 8, 8), 10, width=4), tmp_path)
    for inputs in (IMAGES[:1], IMAGES):
        expected = snapshots.member_outputs(inputs, method="loop")
        for _ in range(2):
            torch.testing.assert_close(
                snapshots.member_outputs(inputs, method="compiled"), expected, atol=1e-6, rtol=1e-6
            )
    assert [choice.method for choice in snapshots.methods] == ["compiled", "compiled"]


def test_what_cannot_be_compiled_is_stacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", refuse)
    snapshots = fill(linear((1, 8, 8), 2), tmp_path)
    expected = snapshots.member_outputs(IMAGES, method="loop")
    torch.testing.assert_close(snapshots.member_outputs(IMAGES, method="compiled"), expected, atol=1e-6, rtol=0)
    (choice,) = snapshots.methods
    assert (choice.method, choice.reason) == ("stacked", "not compiled: no compiler here")


def test_the_random_states_stay_as_they_were(tmp_path: Path) -> None:
    snapshots = fill(mlp((1, 8, 8), 3, hidden=8), tmp_path)
    states = copy.deepcopy((torch.get_rng_state(), random.getstate(), np.random.get_state()[1]))  # noqa: NPY002 - the global one is meant
    for _ in range(2):
        snapshots.predict(IMAGES, method="stacked")
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert np.array_equal(states[2], np.random.get_state()[1])  # noqa: NPY002 - the global one is meant
