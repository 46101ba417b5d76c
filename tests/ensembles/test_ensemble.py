from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ostinato.ensembles import SnapshotEnsemble
from ostinato.errors import DataError, StateError, StorageError
from ostinato.evaluation import calibration_curve, disagreement, summarise


def tick(step: int) -> SimpleNamespace:
    return SimpleNamespace(step=step, cycle=step // 10, values={})


def disturb(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator).to(tensor.dtype) - 0.25)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            module.running_var.abs_().add_(0.5)


def fill(model: nn.Module, folder: Path, count: int = 3) -> tuple[SnapshotEnsemble, list[nn.Module]]:
    """Capture ``count`` states; return the ensemble and full copies of the models."""
    snapshots, copies = SnapshotEnsemble(model, folder), []
    for index in range(count):
        disturb(model, index)
        snapshots.capture(tick(10 * index + 9))
        copies.append(copy.deepcopy(model).eval())
    disturb(model, 1000)
    return snapshots, copies


def frozen(model: nn.Module) -> dict[str, Any]:
    """Everything that must not change: identities, values, flags, random states."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "ids": {name: id(tensor) for name, tensor in tensors.items()},
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "flags": [module.training for module in model.modules()],
        "hooks": [len(module._forward_pre_hooks) for module in model.modules()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002 - the global one is meant
        "python": random.getstate(),
    }


def unchanged(before: dict[str, Any], model: nn.Module) -> None:
    after = frozen(model)
    for key in ("values",):
        old, new = before.pop(key), after.pop(key)
        assert list(old) == list(new)
        assert all(torch.equal(old[name], new[name]) for name in old)
    assert torch.equal(before.pop("torch"), after.pop("torch"))
    assert before == after


class Convolutional(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(5, classes)
        self.register_buffer("scale", torch.ones(1), persistent=False)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1  # a model that writes to its buffers, in evaluation too
        self.scale += 1
        out: Tensor = self.head(self.body(x).mean((2, 3)))
        return out


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.rnn = nn.LSTM(4, 5, batch_first=True, num_layers=2, dropout=0.5)
        self.head = nn.Linear(5, 7)

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        out, state = self.rnn(self.embedding(tokens), state)
        return self.head(out), state


class Shared(nn.Module):
    """One module under two names, and one parameter in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = self.a
        self.c = nn.Linear(3, 3)
        self.c.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c(self.b(self.a(x)).tanh())
        return out


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor, scale: Tensor, *, mask: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.layer(x) * scale
        return {"logits": logits if mask is None else logits * mask}


IMAGES = torch.rand(6, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def test_each_member_gives_what_a_model_with_its_weights_gives(tmp_path: Path) -> None:
    snapshots, copies = fill(Convolutional(), tmp_path)
    expected = torch.stack([model(IMAGES) for model in copies])
    assert torch.equal(snapshots.member_outputs(IMAGES), expected)
    assert torch.equal(snapshots.member_outputs(IMAGES, last=2), expected[1:])
    opened = SnapshotEnsemble(Convolutional(), tmp_path)
    assert torch.equal(opened.member_outputs(IMAGES), expected)


def test_the_three_averages(tmp_path: Path) -> None:
    snapshots, copies = fill(Convolutional(), tmp_path)
    logits = torch.stack([model(IMAGES) for model in copies])
    assert torch.equal(snapshots.predict(IMAGES), logits.softmax(-1).mean(0))
    assert torch.equal(snapshots.predict(IMAGES, last=1), logits[-1].softmax(-1))
    assert torch.equal(snapshots.predict(IMAGES, average="logits"), logits.mean(0).softmax(-1))
    assert torch.equal(snapshots.predict(IMAGES, average="outputs"), logits.mean(0))
    assert not snapshots.predict(IMAGES).requires_grad
    with pytest.raises(ValueError, match="average='mean' is unknown; use 'probabilities', 'logits' or 'outputs'"):
        snapshots.predict(IMAGES, average="mean")


def test_one_column_is_a_binary_model(tmp_path: Path) -> None:
    snapshots, copies = fill(Convolutional(classes=1), tmp_path)
    logits = torch.stack([model(IMAGES) for model in copies]).detach()
    assert torch.equal(snapshots.predict(IMAGES), logits.sigmoid().mean(0))
    labels = torch.tensor([0, 1, 1, 0, 1, 0])
    p = logits.sigmoid().mean(0).double().numpy()
    expected = summarise(np.concatenate([1 - p, p], 1), labels.numpy())
    for form in (labels, labels.float()[:, None], labels.bool(), labels.tolist()):
        found = snapshots.evaluate([(IMAGES, form)])
        assert found.ensemble == pytest.approx(expected, abs=1e-6)


def test_outputs_without_an_axis_for_classes_are_refused(tmp_path: Path) -> None:
    snapshots, _ = fill(nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), tmp_path)
    with pytest.raises(ValueError, match=r"shape \(4,\).*unsqueeze"):
        snapshots.predict(torch.rand(4, 3))
    assert snapshots.predict(torch.rand(4, 3), average="outputs").shape == (4,)
    assert snapshots.predict(torch.rand(4, 3), output=lambda result: result.unsqueeze(-1)).shape == (4, 1)


@pytest.mark.parametrize("training", [True, False])
def test_the_live_model_stays_as_it_was(tmp_path: Path, training: bool) -> None:
    model = Convolutional()
    snapshots, _ = fill(model, tmp_path)
    model.train(training)
    model.body[1].eval()
    before = frozen(model)
    first = snapshots.predict(IMAGES)
    assert torch.equal(first, snapshots.predict(IMAGES))
    snapshots.evaluate([(IMAGES, torch.zeros(6, dtype=torch.long))])
    snapshots.recalibrate([IMAGES])
    unchanged(before, model)


class Failing(Convolutional):
    calls_left = 1

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        random.random()
        np.random.rand()  # noqa: NPY002 - the global one is meant
        torch.rand(1)
        if self.calls_left == 0:
            raise RuntimeError("in the middle")
        self.calls_left -= 1
        return out


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s.predict(IMAGES),
        lambda s: s.evaluate([(IMAGES, torch.zeros(6, dtype=torch.long))]),
        lambda s: s.recalibrate([IMAGES]),
    ],
    ids=["predict", "evaluate", "recalibrate"],
)
def test_the_live_model_stays_as_it_was_after_an_exception(
    tmp_path: Path, use: Callable[[SnapshotEnsemble], object]
) -> None:
    model = Failing()
    snapshots, _ = fill(model, tmp_path)
    model.train()
    model.head.eval()
    before = frozen(model)
    with pytest.raises(RuntimeError, match="in the middle"):
        use(snapshots)
    model.calls_left = 1
    unchanged(before, model)


def test_members_do_not_remember_what_a_forward_wrote(tmp_path: Path) -> None:
    class Drifting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))
            self.layer = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            out: Tensor = self.layer(x) + self.count
            return out

    snapshots, _ = fill(Drifting(), tmp_path)
    x = torch.rand(3, 2)
    assert torch.equal(snapshots.member_outputs(x), snapshots.member_outputs(x))


def test_modules_and_parameters_used_twice(tmp_path: Path) -> None:
    model = Shared()
    snapshots, copies = fill(model, tmp_path)
    x = torch.rand(4, 3)
    before = frozen(model)
    weight = model.a.weight
    assert torch.equal(snapshots.member_outputs(x), torch.stack([other(x) for other in copies]))
    assert model.a.weight is model.b.weight is model.c.weight is weight
    unchanged(before, model)


def test_a_recurrent_model_with_a_tuple_of_outputs(tmp_path: Path) -> None:
    model = Recurrent()
    snapshots, copies = fill(model, tmp_path)
    tokens = torch.randint(0, 7, (3, 5))
    with pytest.raises(TypeError, match=r"returned a tuple without logits.*output=lambda result: result\[0\]"):
        snapshots.predict(tokens)
    with torch.no_grad():  # the kernel of training rounds otherwise
        expected = torch.stack([other(tokens)[0] for other in copies]).softmax(-1).mean(0)
    found = snapshots.predict(tokens, output=lambda result: result[0])
    assert found.shape == (3, 5, 7)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert all(flat is own for flat, own in zip(model.rnn._flat_weights, model.rnn.parameters(), strict=True))
    state = (torch.zeros(2, 3, 5), torch.zeros(2, 3, 5))
    assert torch.allclose(snapshots.predict(tokens, state, output=lambda result: result[0]), expected)
    scores = snapshots.evaluate([(tokens, tokens)], forward=lambda model, inputs: model(inputs)[0])
    assert scores.examples == 15
    assert scores.ensemble == pytest.approx(summarise(expected.reshape(-1, 7).numpy(), tokens.reshape(-1).numpy()))


def test_inputs_of_any_structure(tmp_path: Path) -> None:
    snapshots, copies = fill(TwoInputs(), tmp_path)
    x, scale, mask = torch.rand(4, 3), torch.rand(4, 1), torch.tensor([[0.0, 1.0]])
    labels = torch.tensor([0, 1, 1, 0])
    expected = torch.stack([model(x, scale)["logits"] for model in copies]).softmax(-1).mean(0)
    assert torch.equal(snapshots.predict(x, scale), expected)
    assert torch.equal(snapshots.predict(x=x, scale=scale), expected)
    assert not torch.equal(snapshots.predict(x, scale, mask=mask), expected)

    class Pair(NamedTuple):
        x: Tensor
        scale: Tensor

    documents = [
        snapshots.evaluate([(inputs, labels)]).to_document()
        for inputs in ((x, scale), [x, scale], {"x": x, "scale": scale}, Pair(x, scale))
    ]
    assert documents[0] == documents[1] == documents[2] == documents[3]
    other = snapshots.evaluate([((x, scale), labels)], forward=lambda model, inputs: model(*inputs, mask=mask))
    assert other.to_document() != documents[0]


def test_an_attribute_named_logits_is_found(tmp_path: Path) -> None:
    class Named(nn.Linear):
        def forward(self, x: Tensor) -> Any:
            return SimpleNamespace(logits=super().forward(x), loss=None)

    snapshots, copies = fill(Named(2, 3), tmp_path)
    x = torch.rand(2, 2)
    assert torch.equal(snapshots.member_outputs(x)[0], copies[0](x).logits)


def test_wrapped_models_share_their_snapshots_with_plain_ones(tmp_path: Path) -> None:
    from lightning_fabric import Fabric

    model = Convolutional()
    _, copies = fill(model, tmp_path)
    expected = torch.stack([other(IMAGES) for other in copies])
    fabric = Fabric(accelerator="cpu", devices=1)
    for wrapped in (nn.DataParallel(model), fabric.setup(model), torch.compile(model, backend="eager")):
        opened = SnapshotEnsemble(wrapped, tmp_path)
        assert torch.equal(opened.member_outputs(IMAGES), expected)
        state = opened.capture(tick(99))
        assert all(not name.startswith(("module.", "_orig_mod.")) for name in state.file.aliases)
        assert SnapshotEnsemble(model, tmp_path).member_outputs(IMAGES).shape[0] == 4
        opened.rewind(99)


def test_a_model_of_ones_own_with_a_part_called_module_is_not_unwrapped(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Linear(2, 2)
            self.head = nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.module(x))
            return out

    snapshots, _ = fill(Own(), tmp_path)
    assert snapshots.predict(torch.rand(4, 2)).shape == (4, 3)


def test_a_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    fill(nn.Linear(3, 2), tmp_path)
    with pytest.raises(StateError, match=r"'bias' has shape \(2,\), the model has \(5,\)"):
        SnapshotEnsemble(nn.Linear(3, 5), tmp_path).predict(torch.rand(1, 3))
    with pytest.raises(StateError, match=r"missing \['0.bias', '0.weight'\], not in the model \['bias', 'weight'\]"):
        SnapshotEnsemble(nn.Sequential(nn.Linear(3, 2)), tmp_path).predict(torch.rand(1, 3))


def test_selecting_the_last_members(tmp_path: Path) -> None:
    snapshots, _ = fill(nn.Linear(2, 2), tmp_path)
    assert [member.step for member in snapshots.select(last=2)] == [19, 29]
    assert snapshots.select() == snapshots.select(last=9) == snapshots.members
    for last in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="last must be"):
            snapshots.select(last=last)


def test_an_empty_ensemble_says_to_capture_first(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"call capture\(tick\) first"):
        SnapshotEnsemble(nn.Linear(2, 2), tmp_path).predict(torch.rand(1, 2))


def test_a_negative_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"tick\.step is -1"):
        SnapshotEnsemble(nn.Linear(2, 2), tmp_path).capture(tick(-1))


def test_predictions_follow_rewind_and_new_captures(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    snapshots, copies = fill(model, tmp_path)
    x = torch.rand(3, 2)
    snapshots.predict(x)
    snapshots.rewind(29)
    model.load_state_dict(copies[0].state_dict())
    disturb(model, 77)
    snapshots.capture(tick(29))
    assert torch.equal(snapshots.member_outputs(x)[2], model(x))
    snapshots.release()
    assert torch.equal(snapshots.member_outputs(x)[0], copies[0](x))


def batches(seed: int = 0, count: int = 4) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for size in (5, 6, 7, 3)[:count]:
        yield torch.rand(size, 2, 5, 5, generator=generator), torch.randint(0, 4, (size,), generator=generator)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_evaluation_is_the_metrics_of_the_joined_predictions(tmp_path: Path, average: Any) -> None:
    snapshots, copies = fill(Convolutional(), tmp_path)
    found = snapshots.evaluate(batches(), average=average)
    labels = torch.cat([y for _, y in batches()]).numpy()
    logits = torch.stack([torch.cat([model(x) for x, _ in batches()]) for model in copies]).detach()
    members = logits.softmax(-1)
    ensemble = (members.mean(0) if average == "probabilities" else logits.mean(0).softmax(-1)).numpy()
    scores = [summarise(member.numpy(), labels) for member in members]
    assert found.ensemble == pytest.approx(summarise(ensemble, labels), abs=1e-6)
    assert [dict(member) for member in found.members] == [pytest.approx(score, abs=1e-6) for score in scores]
    best = min(range(3), key=lambda index: (scores[index]["error"], scores[index]["nll"]))
    assert (found.best_step, found.best_member) == (10 * best + 9, found.members[best])
    assert found.last == found.members[-1]
    assert (found.steps, found.examples, found.average) == ((9, 19, 29), 21, average)
    assert np.array_equal(found.disagreement, disagreement(members.numpy()))
    assert np.array_equal(found.calibration.count, calibration_curve(ensemble, labels).count)
    assert np.array_equal(found.last_calibration.count, calibration_curve(members[-1].numpy(), labels).count)
    document = json.loads(json.dumps(found.to_document(), allow_nan=False))
    assert document["ensemble"] == found.ensemble
    assert set(document["last"]) == {"error", "nll", "ece"}


def test_equal_members_are_told_apart_by_the_earliest_step(tmp_path: Path) -> None:
    model = Convolutional()
    snapshots = SnapshotEnsemble(model, tmp_path)
    snapshots.capture(tick(9))
    snapshots.capture(tick(19))
    found = snapshots.evaluate(batches())
    assert found.best_step == 9
    assert found.disagreement.tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert found.ensemble == found.last


def test_evaluation_refuses_what_it_cannot_score(tmp_path: Path) -> None:
    snapshots, _ = fill(Convolutional(), tmp_path)
    with pytest.raises(DataError, match="no batch"):
        snapshots.evaluate([])
    with pytest.raises(TypeError, match=r"a batch must be \(inputs, labels\), got a list of 3"):
        snapshots.evaluate([[IMAGES, IMAGES, IMAGES]])
    with pytest.raises(TypeError, match="got a Tensor"):
        snapshots.evaluate([IMAGES])
    with pytest.raises(DataError, match=r"labels must have shape \(6,\).*got \(5,\)"):
        snapshots.evaluate([(IMAGES, torch.zeros(5))])
    with pytest.raises(DataError, match="whole numbers"):
        snapshots.evaluate([(IMAGES, torch.full((6,), 0.5))])
    with pytest.raises(DataError, match=r"\[0, 4\)"):
        snapshots.evaluate([(IMAGES, torch.full((6,), 4))])
    with pytest.raises(ValueError, match="cannot be scored"):
        snapshots.evaluate(batches(), average="outputs")


def test_evaluating_a_shuffled_loader_does_not_move_the_random_state(tmp_path: Path) -> None:
    snapshots, _ = fill(Convolutional(), tmp_path)
    data = torch.utils.data.TensorDataset(IMAGES, torch.zeros(6, dtype=torch.long))
    loader = torch.utils.data.DataLoader(data, batch_size=2, shuffle=True)
    before = torch.get_rng_state()
    snapshots.evaluate(loader)
    snapshots.recalibrate(loader)
    assert torch.equal(torch.get_rng_state(), before)


class Normed(nn.Module):
    def __init__(self, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.one = nn.BatchNorm2d(2, momentum=momentum)
        self.body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, momentum=momentum, affine=False), nn.ReLU())
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(self.one(x)).mean((2, 3)))
        return out


@pytest.mark.parametrize("momentum", [0.1, 0.0, 1.0, None])
def test_recalibration_is_torchs_cumulative_average(tmp_path: Path, momentum: float | None) -> None:
    snapshots, copies = fill(Normed(momentum), tmp_path)
    files = {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()}
    stale = snapshots.member_outputs(IMAGES)
    assert snapshots.recalibrate(batches()) == 2
    for model in copies:
        torch.optim.swa_utils.update_bn(batches(), model)
        model.eval()
    expected = torch.stack([model(IMAGES) for model in copies])
    assert torch.allclose(snapshots.member_outputs(IMAGES), expected, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(stale, expected, atol=1e-3)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == files
    assert torch.equal(SnapshotEnsemble(Normed(), tmp_path).member_outputs(IMAGES), stale)


def test_recalibration_keeps_dropout_off_and_is_repeatable(tmp_path: Path) -> None:
    class Dropping(Normed):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.dropout(x, 0.9, training=self.training))

    snapshots, copies = fill(Dropping(), tmp_path)
    snapshots.recalibrate(batches())
    first = snapshots.member_outputs(IMAGES)
    snapshots.release()
    snapshots.recalibrate(x for x, _ in batches())
    assert torch.equal(snapshots.member_outputs(IMAGES), first)
    plain = Normed()
    plain.load_state_dict(copies[0].state_dict())
    torch.optim.swa_utils.update_bn(batches(), plain)
    assert torch.allclose(first[0], plain.eval()(IMAGES), atol=1e-6, rtol=1e-5)


def test_recalibration_by_hand(tmp_path: Path) -> None:
    model = nn.BatchNorm1d(2, affine=False, eps=1e-20)
    snapshots = SnapshotEnsemble(model, tmp_path)
    snapshots.capture(tick(0))
    a = torch.tensor([[0.0, 1.0], [2.0, 5.0]])  # means 1, 3; unbiased variances 2, 8
    b = torch.tensor([[3.0, 1.0], [3.0, 1.0]])  # means 3, 1; variances 0, 0
    assert snapshots.recalibrate([a, b]) == 1  # mean 2, 2; variance 1, 4
    x = torch.tensor([[3.0, 4.0]])
    assert snapshots.member_outputs(x)[0].tolist() == [[1.0, 1.0]]


def test_recalibration_without_layers_or_batches(tmp_path: Path) -> None:
    plain, _ = fill(nn.Linear(2, 2), tmp_path / "plain")
    assert plain.recalibrate([torch.rand(3, 2)]) == 0
    untracked, _ = fill(nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False)), tmp_path / "untracked")
    assert untracked.recalibrate([torch.rand(3, 2)]) == 0
    for snapshots in (plain, fill(Normed(), tmp_path / "normed")[0]):
        with pytest.raises(DataError, match="no batch"):
            snapshots.recalibrate([])


def test_recalibration_with_a_forward_of_ones_own(tmp_path: Path) -> None:
    snapshots, _ = fill(Normed(), tmp_path / "a")
    other, _ = fill(Normed(), tmp_path / "b")
    snapshots.recalibrate(batches())
    other.recalibrate([{"image": x, "text": "?"} for x, _ in batches()], forward=lambda m, batch: m(batch["image"]))
    assert torch.equal(snapshots.member_outputs(IMAGES), other.member_outputs(IMAGES))
