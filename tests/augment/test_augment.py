"""The object: an ordinary target, one batch for one count, with `ost.data` in any number of processes."""

from __future__ import annotations

import copy
import hashlib
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, RandomSampler, TensorDataset

import ostinato as ost
from ostinato.augment import NAMES, Augment, generator
from ostinato.errors import ConfigError, DataError, DomainError, TargetError
from ostinato.testing import TargetTestCase

torch.set_num_threads(1)

ALL_IMAGES = ["shift", "flip", "cutout", "colour", "cutmix", "mixup", "noise"]


class TestStrength(TargetTestCase):
    target = "augment.strength"

    def make(self) -> Augment:
        return Augment(["noise"], strength=0.9)

    def read(self, owner: Any) -> float:
        return owner.strength

    def meddle(self, owner: Any, value: float) -> bool:
        owner.strength = value
        return True


def plan(low: float = 0.1, high: float = 1.0, **more: Any) -> ost.Plan:
    return ost.Plan(
        total=12, cycle=ost.Cycle("cosine", count=3), bindings={"augment.strength": ost.mirror(low, high, **more)}
    )


def images(count: int = 36) -> TensorDataset:
    draws = torch.Generator().manual_seed(0)
    return TensorDataset(torch.rand((count, 1, 8, 8), generator=draws), torch.arange(count) % 3)


def loader(augment: Augment, scheduler: Any, workers: int, **options: Any) -> ost.data.ScheduledLoader:
    data = images()
    order = BatchSampler(RandomSampler(data), 6, drop_last=False)
    more = {"persistent_workers": True, "multiprocessing_context": "fork"} if workers else {}
    return ost.data.ScheduledLoader(
        data, scheduler, order, batch_transform=augment, num_workers=workers, **more, **options
    )


def digests(batches: Any) -> list[str]:
    return [hashlib.sha256(b"".join(part.numpy().tobytes() for part in batch.data)).hexdigest() for batch in batches]


def test_a_batch_is_a_function_of_seed_count_part_and_place() -> None:
    augment, batch = Augment(ALL_IMAGES, seed=1, classes=3), (torch.rand(6, 1, 8, 8), torch.arange(6) % 3)
    first = augment(batch, 4)
    again = Augment(ALL_IMAGES, seed=1, classes=3)(batch, 4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (
        augment(batch, 5),
        augment(batch, 4, part=1),
        augment(batch, 4, first=6),
        Augment(ALL_IMAGES, seed=2, classes=3)(batch, 4),
    ):
        assert not torch.equal(first[0], other[0])


def test_the_operations_are_applied_in_their_order_by_one_generator() -> None:
    augment, inputs, draws = (
        Augment(["noise", "feature_dropout"], strength=0.5, seed=3),
        torch.rand(5, 4),
        generator(3, 9),
    )
    expected = ost.augment.feature_dropout(ost.augment.noise(inputs, 0.5, draws), 0.5, draws)
    assert torch.equal(augment(inputs, 9), expected)
    assert not torch.equal(Augment(["feature_dropout", "noise"], strength=0.5, seed=3)(inputs, 9), expected)


def test_strength_0_gives_back_the_very_batch() -> None:
    augment = Augment(ALL_IMAGES, strength=0.0, classes=3)
    batch = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
    assert augment(batch, 0) is batch
    assert augment(batch[0], 0) is batch[0]


def test_maxima_say_what_strength_1_means() -> None:
    inputs = torch.rand(5, 4)
    assert torch.equal(
        Augment(["noise"], maxima={"noise": 2.0})(inputs, 0), ost.augment.noise(inputs, 1.0, generator(0, 0), 2.0)
    )
    assert dict(Augment(["noise", "flip"], maxima={"flip": 0.1}).maxima) == {"noise": 0.1, "flip": 0.1}
    described = Augment(["flip"], strength=0.25, seed=4).describe()
    assert described == {"ops": ["flip"], "strength": 0.25, "maxima": {"flip": 0.5}, "seed": 4}


@pytest.mark.parametrize("value", [1.5, -1e-9, float("nan"), "strong", None])
def test_a_strength_set_by_hand_that_is_none_is_one_clear_line(value: Any) -> None:
    augment = Augment(["noise"])
    augment.strength = value
    with pytest.raises(DomainError, match=r"^augment\.strength: got .*, expected a strength in \[0, 1\]$"):
        augment(torch.rand(2, 2), 0)
    if value is not None:
        with pytest.raises(DomainError):
            Augment(["noise"], strength=value)


@pytest.mark.parametrize(("low", "high", "bad"), [(0.0, 1.5, r"1\.\d+"), (-0.5, 1.0, r"-0\.\d+")])
def test_a_strength_in_the_plan_that_is_none_is_one_clear_line_before_anything_is_bound(
    low: float, high: float, bad: str
) -> None:
    with pytest.raises(
        DomainError,
        match=rf"^augment\.strength: {bad} at step \d+, expected a strength in \[0, 1\]; change low and high",
    ):
        plan(low, high).resolve()
    with pytest.raises(DomainError):
        plan(0.5, 3.0, relative=True).bind(augment=Augment(["noise"], strength=0.9))
    assert ost.Plan(total=4, cycle=ost.Cycle(count=1), bindings={"wind.strength": ost.wave(0.0, 9.0)}).resolve()


def test_only_the_strength_can_be_driven() -> None:
    bound = ost.Plan(total=4, cycle=ost.Cycle(count=1), bindings={"augment.power": ost.wave(0.0, 1.0)})
    with pytest.raises(TargetError, match=r"there are augment\.strength$"):
        bound.bind(augment=Augment(["noise"]))


# -- with batches that carry their count ---------------------------------------------------------------------------


def test_any_number_of_workers_makes_the_batches_that_a_call_by_hand_makes() -> None:
    augment = Augment(ALL_IMAGES, classes=3, seed=5)
    scheduler = plan().bind(augment=augment, steps_per_epoch=6)
    table = scheduler.resolved.table()
    alone = loader(augment, scheduler, 0)
    made = [batch for _ in range(2) for batch in alone]
    plainly = loader(None, scheduler, 0)
    for batch, plain in zip(made, [batch for _ in range(2) for batch in plainly], strict=True):
        strength = float(table["augment.strength"][batch.count])
        assert batch.values["augment.strength"] == strength
        by_hand = augment(tuple(plain.data), batch.count, strength=strength)
        assert all(torch.equal(a, b) for a, b in zip(batch.data, by_hand, strict=True))
    expected = digests(made)
    assert len(set(expected)) == 12
    for workers in (1, 2):
        several = loader(augment, scheduler, workers)
        assert digests(batch for _ in range(2) for batch in several) == expected
        several.seek(4)
        assert digests(several) == expected[4:6]


def test_batches_of_one_update_are_augmented_differently() -> None:
    augment = Augment(["noise"])
    order = BatchSampler(range(4), 2, drop_last=False)
    data = TensorDataset(torch.zeros(4, 3), torch.zeros(4))
    made = list(ost.data.ScheduledLoader(data, plan().resolve(), order, batch_transform=augment, accumulate=2))
    assert [batch.count for batch in made] == [0, 0]
    assert not torch.equal(made[0].data[0], made[1].data[0])
    strength = made[0].values["augment.strength"]
    assert torch.equal(made[1].data[0], augment(torch.zeros(2, 3), 0, part=1, strength=strength))


def test_a_plan_that_leaves_the_strength_alone_leaves_the_objects_own() -> None:
    augment = Augment(["noise"], strength=0.25)
    other = ost.Plan(total=2, cycle=ost.Cycle(count=1), bindings={"optimizer.lr": ost.wave(0.0, 0.1)}).resolve()
    data = TensorDataset(torch.zeros(4, 3), torch.zeros(4))
    (batch, *_) = ost.data.ScheduledLoader(
        data, other, BatchSampler(range(4), 2, drop_last=False), batch_transform=augment
    )
    assert torch.equal(batch.data[0], augment(torch.zeros(2, 3), 0))


def test_a_plan_whose_values_are_no_strengths_of_batches_is_refused() -> None:
    augment = Augment(["noise"])
    with pytest.raises(ConfigError, match=r"^augment\.strength: is relative, but data loading knows no original"):
        loader(augment, plan(0.5, 1.0, relative=True).resolve(), 0)
    elsewhere = ost.Plan(total=2, cycle=ost.Cycle(count=1), bindings={"mess.strength": ost.wave(0.0, 0.1)}).resolve()
    with pytest.raises(
        ConfigError, match=r"the plan drives 'mess\.strength', .*; write Augment\(\.\.\., target='mess\.strength'\)"
    ):
        loader(augment, elsewhere, 0)
    assert next(iter(loader(Augment(["noise"], target="mess.strength"), elsewhere, 0))).count == 0


def test_an_operation_that_does_not_fit_says_so_from_a_worker_too() -> None:
    augment = Augment(["token_dropout"], mask_id=1)
    for workers in (0, 1):
        with pytest.raises(
            DataError, match=r"^update 0 .*'token_dropout' takes token ids .*, got inputs of shape \(6, 1, 8, 8\)"
        ) as told:
            next(iter(loader(augment, plan().resolve(), workers)))
        assert "\n" not in str(told.value)


# -- making one -----------------------------------------------------------------------------------------------------


def test_unknown_operations_are_refused_with_near_misses() -> None:
    with pytest.raises(ConfigError, match="ops: no operation 'shfit'; did you mean 'shift'"):
        Augment(["flip", "shfit"])
    with pytest.raises(ConfigError, match="ops: got none, expected some of shift, flip"):
        Augment([])
    with pytest.raises(ConfigError, match="ops: 'flip' is there twice"):
        Augment(["flip", "flip"])
    with pytest.raises(ConfigError, match="maxima: 'noise' is not among the operations"):
        Augment(["flip"], maxima={"noise": 0.1})
    with pytest.raises(ConfigError, match=r"flip: got a maximum of 2\.0, expected a share in"):
        Augment(["flip"], maxima={"flip": 2.0})
    for ops, option in ((["mixup"], "classes"), (["cutmix"], "classes"), (["token_dropout"], "mask_id")):
        with pytest.raises(ConfigError, match=rf"{ops[0]!r} needs {option}; write Augment\(\[\.\.\.\], {option}=10\)"):
            Augment(ops)
    assert Augment("flip").ops == ("flip",)


def test_it_is_copied_and_pickled_whole() -> None:
    augment = Augment(["noise", "mixup"], strength=0.5, seed=2, classes=3)
    batch = torch.rand(4, 2), torch.arange(4) % 3
    for twin in (copy.deepcopy(augment), pickle.loads(pickle.dumps(augment))):  # noqa: S301 - written a moment ago
        assert repr(twin) == repr(augment) == "Augment(['noise', 'mixup'], strength=0.5, seed=2)"
        assert all(torch.equal(a, b) for a, b in zip(twin(batch, 1), augment(batch, 1), strict=True))


def test_each_operation_of_the_table_can_be_made() -> None:
    made = Augment(NAMES, classes=3, mask_id=0)
    assert made.ops == NAMES


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_kornia_one_line_says_what_to_install_and_the_rest_works() -> None:
    said = run(
        "import sys; sys.modules['kornia'] = None\n"
        "import torch, ostinato as ost\n"
        "from ostinato.errors import ConfigError\n"
        "print(ost.augment.Augment(['flip', 'noise', 'mixup'], classes=3)(torch.rand(2, 1, 4, 4), 0, strength=0.0).shape)\n"
        "for make in (lambda: ost.augment.Augment(['shift']), lambda: ost.augment.colour(torch.rand(1, 1, 2, 2), 1.0, ost.augment.generator(0, 0))):\n"
        "    try:\n"
        "        make()\n"
        "    except ConfigError as error:\n"
        "        print(error)\n"
    ).splitlines()
    assert said[0] == "torch.Size([2, 1, 4, 4])"
    assert len(said) == 3
    for line in said[1:]:
        assert line.startswith("augment: shift, cutout, colour and cutmix are kornia's")
        assert line.endswith("pip install 'ostinato[augment]'")


def test_kornia_is_loaded_at_the_first_use_only() -> None:
    said = run(
        "import sys, ostinato as ost\n"
        "ost.augment.Augment(['flip', 'noise'])\n"
        "print('kornia' in sys.modules)\n"
        "ost.augment.Augment(['shift'])\n"
        "print('kornia' in sys.modules)\n"
    )
    assert said.split() == ["False", "True"]


def test_labels_for_metrics_stay_as_they_were() -> None:
    targets = torch.arange(6) % 3
    inputs: Tensor = torch.rand(6, 1, 8, 8)
    Augment(ALL_IMAGES, classes=3)((inputs, targets), 0)
    assert torch.equal(targets, torch.arange(6) % 3)
