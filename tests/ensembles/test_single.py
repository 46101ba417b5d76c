from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ostinato.ensembles import SnapshotEnsemble
from ostinato.errors import DataError, NonFiniteError, SingleModelWarning, StorageError
from ostinato.training.config import DataConfig
from ostinato.training.datasets import Split, load
from ostinato.training.models import mlp

torch.set_num_threads(1)
_DATA = load(DataConfig(name="digits"))
assert isinstance(_DATA.train, Split)
assert isinstance(_DATA.test, Split)
X, Y = _DATA.train.inputs, _DATA.train.targets
TEST = [(_DATA.test.inputs[:200], _DATA.test.targets[:200]), (_DATA.test.inputs[200:], _DATA.test.targets[200:])]


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(X[at : at + 64], Y[at : at + 64]) for at in range(0, 1408, 64)]


def net() -> nn.Module:
    return mlp((1, 8, 8), 10, hidden=32, depth=1)


def train(model: nn.Module, epochs: int, rate: float) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    model.train()
    for _ in range(epochs):
        for inputs, targets in batches():
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()
            optimizer.step()


def tick(step: int) -> SimpleNamespace:
    return SimpleNamespace(step=step, cycle=step, values={})


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> SnapshotEnsemble:
    """Four members of one run, near each other."""
    torch.manual_seed(0)
    model = net()
    snapshots = SnapshotEnsemble(model, tmp_path_factory.mktemp("near"))
    train(model, 4, 0.05)
    for step in range(4):
        train(model, 1, 0.05)
        snapshots.capture(tick(step))
    return snapshots


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> SnapshotEnsemble:
    """Three members of runs of their own: their average is none of them."""
    model = net()
    snapshots = SnapshotEnsemble(model, tmp_path_factory.mktemp("far"))
    for seed in range(3):
        torch.manual_seed(seed)
        model.load_state_dict(net().state_dict())
        train(model, 4, 0.05)
        snapshots.capture(tick(seed))
    return snapshots


@pytest.mark.filterwarnings("ignore::ostinato.errors.SingleModelWarning")
def test_averaged_weights_are_the_mean_and_their_statistics_are_measured(near: SnapshotEnsemble) -> None:
    live = copy.deepcopy(near._model.state_dict())
    made = near.averaged(batches(), on=TEST)
    states = near._loaded(None)
    for name, parameter in made.model.named_parameters():
        expected = torch.stack([state[name].double() for state in states]).mean(0).float()
        assert torch.equal(parameter, expected)
        assert not parameter.requires_grad
    plain = copy.deepcopy(made.model)
    torch.optim.swa_utils.update_bn([x for x, _ in batches()], _without_dropout(plain))
    torch.testing.assert_close(made.model[2].running_var, plain[2].running_var)
    assert not made.model.training
    assert made.steps == (0, 1, 2, 3)
    assert torch.equal(made(TEST[0][0]), made.model(TEST[0][0]))
    assert all(torch.equal(value, live[name]) for name, value in near._model.state_dict().items())


def _without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.filterwarnings("ignore::ostinato.errors.SingleModelWarning")
def test_the_scores_are_those_of_the_ensemble_and_its_last_member(near: SnapshotEnsemble) -> None:
    made = near.averaged(batches(), last=3, on=iter(TEST))
    found = near.evaluate(TEST, last=3)
    assert made.scores is not None
    assert (made.scores["ensemble"], made.scores["last"]) == (found.ensemble, found.last)
    assert made.scores["single"]["error"] <= found.last["error"] + 0.02
    assert made.hurts == (
        made.scores["single"]["error"] > found.last["error"] or made.scores["single"]["nll"] > found.last["nll"]
    )
    assert "averaged" in str(made)
    assert "ensemble" in str(made)


def test_an_average_that_ruins_the_model_is_said(far: SnapshotEnsemble) -> None:
    with pytest.warns(SingleModelWarning, match=r"averaged model is worse than the last member.*use the last member"):
        made = far.averaged(batches(), on=TEST)
    assert made.hurts
    assert made.scores is not None
    assert made.scores["single"]["nll"] > 2 * made.scores["last"]["nll"]


@pytest.mark.filterwarnings("ignore::ostinato.errors.SingleModelWarning")
def test_a_greedy_average_leaves_out_what_hurts(far: SnapshotEnsemble) -> None:
    made = far.averaged(batches(), on=TEST, how="greedy")
    again = SnapshotEnsemble(net(), far.directory)
    again.recalibrate(batches())  # as the averages are
    found = again.evaluate(TEST)
    assert len(made.steps) == 1  # no two of these go together
    best = min(range(3), key=lambda index: found.members[index]["nll"])
    assert made.steps == (far.members[best].step,)


@pytest.mark.filterwarnings("ignore::ostinato.errors.SingleModelWarning")
def test_a_greedy_average_takes_what_helps(near: SnapshotEnsemble) -> None:
    made = near.averaged(batches(), on=TEST, how="greedy")
    assert made.scores is not None
    assert made.hurts is False or len(made.steps) >= 1
    assert made.steps == tuple(sorted(made.steps))


def test_what_was_not_measured_is_said(near: SnapshotEnsemble) -> None:
    with pytest.warns(SingleModelWarning, match="averaged model was not measured against the ensemble"):
        made = near.averaged(batches())
    assert (made.scores, made.hurts) == (None, None)
    assert str(made) == "averaged from 4 members, not measured"


def test_averaging_refuses_what_it_cannot_do(near: SnapshotEnsemble, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"batch norm.*batches="):
        near.averaged(on=TEST)
    with pytest.raises(DataError, match="no batch to measure batch norm"):
        near.averaged([], on=TEST)
    with pytest.raises(DataError, match="no batch to measure on"):
        near.averaged(batches(), on=[])
    with pytest.raises(DataError, match=r"greedy average chooses.*on="):
        near.averaged(batches(), how="greedy")
    with pytest.raises(ValueError, match="how='best' is unknown"):
        near.averaged(batches(), on=TEST, how="best")
    with pytest.raises(StorageError, match="no usable snapshot"):
        SnapshotEnsemble(net(), tmp_path).averaged(batches(), on=TEST)


@pytest.mark.filterwarnings("ignore::ostinato.errors.SingleModelWarning")
def test_weights_that_are_not_finite_hurt(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    snapshots = SnapshotEnsemble(model, tmp_path)
    snapshots.capture(tick(0))
    nn.init.constant_(model[1].bias, 3e38)
    snapshots.capture(tick(1))
    made = snapshots.averaged(on=TEST)  # the mean is finite in double precision
    assert made.scores is not None


@pytest.mark.filterwarnings("ignore::ostinato.errors.SingleModelWarning")
def test_a_student_learns_the_ensembles_probabilities(far: SnapshotEnsemble) -> None:
    torch.manual_seed(5)
    live = copy.deepcopy(far._model.state_dict())
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.AdamW(student.parameters(), lr=5e-3)
    made = far.distil(batches(), student, epochs=15, optimizer=optimizer, on=TEST)
    assert made.model is student
    assert not student.training
    assert made.losses[-1] < made.losses[0] / 5
    assert made.scores is not None
    assert made.scores["single"]["error"] < 0.12
    teacher, found = far.predict(TEST[0][0]), made(TEST[0][0]).softmax(-1)
    assert float((teacher - found).abs().mean()) < 0.03
    assert all(torch.equal(value, live[name]) for name, value in far._model.state_dict().items())


def test_the_loss_of_distillation_by_hand(tmp_path: Path) -> None:
    teacher = nn.Linear(2, 3)
    snapshots = SnapshotEnsemble(teacher, tmp_path)
    logits = []
    x = torch.rand(5, 2)
    for step in range(2):
        nn.init.normal_(teacher.weight)
        logits.append(teacher(x).detach())
        snapshots.capture(tick(step))
    student = nn.Linear(2, 3)
    p = torch.stack([(value / 3).softmax(-1) for value in logits]).mean(0)
    q = (student(x) / 3).softmax(-1)
    expected = 9 * (p * (p / q).log()).sum(-1).mean()
    still = torch.optim.SGD(student.parameters(), lr=0.0)
    with pytest.warns(SingleModelWarning, match="distilled model was not measured"):
        made = snapshots.distil(iter([x]), student, epochs=2, optimizer=still, temperature=3.0)
    assert made.losses == pytest.approx([float(expected.detach())] * 2, rel=1e-5)


def test_a_binary_model_of_one_column_is_distilled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = nn.Linear(2, 1)
    snapshots = SnapshotEnsemble(teacher, tmp_path)
    snapshots.capture(tick(0))
    x = torch.randn(256, 2)
    student = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(student.parameters(), lr=0.05)
    with pytest.warns(SingleModelWarning):
        snapshots.distil([(x, None)], student, epochs=300, optimizer=optimizer, temperature=1.0)
    torch.testing.assert_close(student(x).sigmoid(), snapshots.predict(x), atol=0.02, rtol=0)


def test_a_poor_student_is_said(far: SnapshotEnsemble) -> None:
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    still = torch.optim.SGD(student.parameters(), lr=0.0)
    with pytest.warns(SingleModelWarning, match="distilled model is worse than the last member"):
        made = far.distil(batches()[:1], student, epochs=1, optimizer=still, on=TEST)
    assert made.hurts


def test_distilling_refuses_what_it_cannot_do(near: SnapshotEnsemble) -> None:
    student = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def empty() -> Iterator[Tensor]:
        yield from ()

    for nothing in ([], empty()):
        with pytest.raises(DataError, match="no batch to distil on"):
            near.distil(nothing, student, on=TEST)
    with pytest.raises(ValueError, match="epochs must be"):
        near.distil(batches(), student, epochs=0, on=TEST)
    for temperature in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="temperature must be"):
            near.distil(batches(), student, temperature=temperature, on=TEST)
    nn.init.constant_(student[1].weight, float("nan"))
    with pytest.raises(NonFiniteError, match="the loss is nan"):
        near.distil(batches(), student, on=TEST)
