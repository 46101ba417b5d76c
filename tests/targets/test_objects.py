from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.errors import TargetError

WAVE = ost.wave(0.25, 0.75)


def bind(target: str, **roots: Any) -> ost.Scheduler:
    return ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings={target: WAVE}).bind(**roots)


def slots(target: str, **roots: Any) -> tuple[str, ...]:
    return bind(target, **roots).slots[target]


class MyDropout(nn.Dropout):
    pass


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout2d(0.1))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)) for _ in range(2))
        self.head = nn.Sequential(MyDropout(0.1), nn.BatchNorm1d(2), nn.AlphaDropout(0.1))
        self.norm = nn.SyncBatchNorm(2)


ALL_DROPOUTS = ("model.stem.2.p", "model.blocks.0.1.p", "model.blocks.1.1.p", "model.head.0.p", "model.head.2.p")


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("model:Dropout.p", ALL_DROPOUTS),
        ("model:DropoutNd.p", ALL_DROPOUTS),
        ("model:Dropout2d.p", ("model.stem.2.p",)),
        ("model:MyDropout.p", ("model.head.0.p",)),
        ("model.blocks:Dropout.p", ("model.blocks.0.1.p", "model.blocks.1.1.p")),
        ("model.blocks.1:Dropout.p", ("model.blocks.1.1.p",)),
        ("model.blocks.*.1.p", ("model.blocks.0.1.p", "model.blocks.1.1.p")),
        ("model.blocks.*:Dropout.p", ("model.blocks.0.1.p", "model.blocks.1.1.p")),
        ("model.**.p", ALL_DROPOUTS),
        ("model.blocks.**.p", ("model.blocks.0.1.p", "model.blocks.1.1.p")),
        ("model.*.0.p", ("model.head.0.p",)),
        ("model:BatchNorm.momentum", ("model.stem.1.momentum", "model.head.1.momentum", "model.norm.momentum")),
        ("model:NormBase.momentum", ("model.stem.1.momentum", "model.head.1.momentum", "model.norm.momentum")),
        ("model:BatchNorm2d.momentum", ("model.stem.1.momentum",)),
        ("model:Module.p", ALL_DROPOUTS),
        ("model.stem.2.p", ("model.stem.2.p",)),
    ],
)
def test_modules_are_found(target: str, found: tuple[str, ...]) -> None:
    assert sorted(slots(target, model=Net())) == sorted(found)


def test_every_match_gets_the_value_and_its_own_original_back() -> None:
    net = Net()
    net.stem[2].p, net.head[0].p = 0.3, 0
    scheduler = bind("model:Dropout.p", model=net)
    assert {module.p for module in net.modules() if isinstance(module, nn.modules.dropout._DropoutNd)} == {0.75}
    scheduler.restore()
    assert [net.stem[2].p, net.head[0].p, net.blocks[0][1].p] == [0.3, 0, 0.1]
    assert type(net.head[0].p) is int


def test_a_shared_module_is_one_place() -> None:
    shared = nn.Dropout(0.1)
    assert slots("model:Dropout.p", model=nn.Sequential(shared, nn.ReLU(), shared)) == ("model.0.p",)
    assert slots("models.*.p", models=[shared, nn.ReLU(), shared]) == ("models.0.p",)


def test_modules_that_refer_to_each_other_are_walked_once() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.1))
    model[0].back = model
    assert slots("model:Dropout.p", model=model) == ("model.1.p",)
    assert slots("model.**.p", model=model) == ("model.1.p",)


class Holder(nn.Module):
    """A module of one's own with a child that happens to be called as wrappers call theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Dropout(0.1))
        self.extra = nn.Sequential(nn.Dropout(0.2))


def test_a_child_called_module_is_no_wrapper_and_keeps_its_original() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.ModuleDict({"drop": nn.Dropout(0.1)})
            self.drop = nn.Dropout(0.4)

    model = Twice()
    scheduler = bind("model:Dropout.p", model=model)
    assert len(set(scheduler.slots["model:Dropout.p"])) == 2
    scheduler.restore()
    assert (model.module["drop"].p, model.drop.p) == (0.1, 0.4)


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


WRAPPERS = {
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "both": lambda model: compiled(nn.DataParallel(model)),
    "twice": lambda model: nn.DataParallel(nn.DataParallel(model)),
}


@pytest.mark.filterwarnings("ignore::ostinato.errors.RecompileWarning")  # as it should be for the one that is compiled
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize(
    "target",
    ["model:Dropout.p", "model.extra.0.p", "model.module.0.p", "model.*.0.p", "model.**.p", "model.extra:Dropout.p"],
)
def test_wrappers_are_looked_through(wrap: Any, target: str) -> None:
    bare, model = Holder(), Holder()
    scheduler = bind(target, model=wrap(model))
    assert sorted(scheduler.slots[target]) == sorted(slots(target, model=bare))
    for path in ("module", "extra"):
        assert getattr(model, path)[0].p == getattr(bare, path)[0].p
    scheduler.step(by=2)
    fresh = bind(target, model=Holder())
    fresh.load_state_dict(scheduler.state_dict())
    fresh.restore()
    assert fresh.state_dict()["originals"] == scheduler.state_dict()["originals"]


class Focal(nn.Module):
    gamma: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.p = 0.9
        self.register_buffer("gamma", torch.tensor(2.0), persistent=False)
        self.inner = nn.Linear(1, 1)
        self.other = nn.Identity()


@pytest.mark.filterwarnings("ignore::ostinato.errors.RecompileWarning")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_a_value_of_the_root_itself_is_set_on_the_real_module(wrap: Any) -> None:
    model = Focal()
    gamma = model.gamma
    wrapped = wrap(model)
    bind("model.p", model=wrapped)
    bind("model.gamma", model=wrapped)
    assert model.p == 0.75
    assert model.gamma is gamma
    assert gamma.item() == 0.75
    both = {"model.p": WAVE, "model:Focal.p": WAVE}
    with pytest.raises(TargetError, match="driven by both"):
        ost.Plan(total=8, cycle=ost.Cycle(count=2), bindings=both).bind(model=wrapped)


def test_compiled_modules_see_the_values() -> None:
    class Scale(nn.Module):
        gamma: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("gamma", torch.tensor(2.0), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.gamma

    model = compiled(Scale())
    scheduler = bind("model.gamma", model=model)
    for _ in range(4):
        assert model(torch.ones(1)).item() == scheduler.values["model.gamma"]
        scheduler.step()


@pytest.mark.skipif(importlib.util.find_spec("lightning_fabric") is None, reason="needs lightning-fabric")
def test_fabric_model_and_optimizer() -> None:
    from lightning_fabric import Fabric

    model = Holder()
    model.lin = nn.Linear(2, 2)
    model.gain = 0.9
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fabric = Fabric(accelerator="cpu", devices=1)
    wrapped, driven = fabric.setup(model, optimizer)
    bindings = {"optimizer.lr": WAVE, "model:Dropout.p": WAVE, "model.gain": WAVE}
    scheduler = ost.Plan(total=8, cycle=ost.Cycle("sawtooth", count=2), bindings=bindings).bind(
        optimizer=driven, model=wrapped
    )
    assert scheduler.slots["model:Dropout.p"] == ("model.module.0.p", "model.extra.0.p")
    for _ in range(3):
        values = scheduler.values
        assert optimizer.param_groups[0]["lr"] == driven.param_groups[0]["lr"] == values["optimizer.lr"]
        assert model.module[0].p == values["model:Dropout.p"]
        assert model.gain == values["model.gain"]
        assert "gain" not in vars(wrapped)
        scheduler.step()
    driven.load_state_dict(torch.optim.SGD(model.parameters(), lr=9.0).state_dict())
    assert optimizer.param_groups[0]["lr"] == scheduler.values["optimizer.lr"]


@dataclass
class Noise:
    sigma: float = 0.9
    kinds: list[float] = field(default_factory=lambda: [0.9, 0.8])
    table: dict[str, Any] = field(default_factory=lambda: {"warp": {"p": 0.9}, "flip": {"p": 0.8}})


class Slotted:
    __slots__ = ("inner", "rate")

    def __init__(self) -> None:
        self.rate = 0.9
        self.inner = Noise()


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("noise.sigma", 1),
        ("noise.kinds.1", 1),
        ("noise.table.warp.p", 1),
        ("noise.table.*.p", 2),
        ("noise.**.p", 2),
    ],
)
def test_paths_into_plain_objects(target: str, found: int) -> None:
    noise = Noise()
    assert len(slots(target, noise=noise)) == found
    assert repr(noise).count("0.75") == found


@pytest.mark.parametrize("target", ["root.rate", "root.inner.sigma", "root.*.sigma", "root.**.sigma"])
def test_objects_with_slots(target: str) -> None:
    root = Slotted()
    bind(target, root=root)
    assert (root.rate if target == "root.rate" else root.inner.sigma) == 0.75


def test_lists_of_models() -> None:
    models = [nn.Sequential(nn.Dropout(0.1)), nn.Sequential(nn.Dropout(0.2))]
    assert slots("models.*:Dropout.p", models=models) == ("models.0.0.p", "models.1.0.p")
    assert slots("models.1:Dropout.p", models=models) == ("models.1.0.p",)
    assert slots("models.1.0.p", models=(models[0], models[1])) == ("models.1.0.p",)


def test_a_property_without_a_setter_says_what_to_do() -> None:
    class Fixed:
        @property
        def sigma(self) -> float:
            return 0.9

    with pytest.raises(TargetError, match=r"noise\.sigma: cannot be set .*bind a getter and a setter"):
        bind("noise.sigma", noise=Fixed())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (True, "True"),
        ("0.5", "'0.5'"),
        (None, "None"),
        ([0.5], "a list"),
        (torch.zeros(2), r"a tensor of shape \(2,\) and torch.float32"),
        (torch.tensor(3), r"a tensor of shape \(\) and torch.int64"),
        (nn.Parameter(torch.zeros(())), "a trained parameter"),
    ],
)
def test_what_is_no_number_is_refused(value: Any, shown: str) -> None:
    noise = Noise()
    noise.sigma = value
    with pytest.raises(TargetError, match=f"noise.sigma: holds {shown}, expected a number"):
        bind("noise.sigma", noise=noise)
    assert noise.sigma is value


def test_nothing_matches_lists_near_misses_first() -> None:
    model = nn.Sequential(nn.TransformerEncoderLayer(4, 2), nn.BatchNorm1d(4))
    model[0].dropout = model[0].dropout1 = model[0].dropout2 = nn.Identity()
    with pytest.raises(TargetError) as caught:
        bind("model:Dropout.p", model=model)
    listed = str(caught.value).partition("there are ")[2].split(", ")
    assert listed[0] == "model:MultiheadAttention.dropout"
    assert "model:BatchNorm1d.momentum" in listed


def test_a_name_that_holds_the_word_is_nearer_than_one_that_looks_like_it() -> None:
    class Dropper(nn.Module):
        p = 0.5

        def __init__(self) -> None:
            super().__init__()
            self.p = 0.5

    with pytest.raises(TargetError, match=r"there are model:MultiheadAttention\.dropout, model:Dropper\.p"):
        bind("model:Dropout.p", model=nn.Sequential(Dropper(), nn.MultiheadAttention(4, 2)))


@pytest.mark.parametrize(
    ("target", "root", "message"),
    [
        ("config.gama", {"gamma": 2, "name": "x"}, r"config\.gama: matches nothing in dict; there are config\.gamma$"),
        ("config.warp.q", {"warp": {"p": 0.5}}, r"there are config\.warp\.p$"),
        ("config.rat", Slotted(), r"there are config\.rate$"),
        ("config.p", nn.Linear(2, 2), r"it has no number to drive"),
        ("config[0].p", nn.Dropout(0.1), r"brackets select an optimizer's parameter groups, but 'config' is a Dropout"),
        ("config", nn.Dropout(0.1), r"name the value to set, as in 'config\.p'"),
        ("config.p", (len, print), r"is a pair \(getter, setter\); its target is 'config' alone"),
        ("config.p", None, r"bind was given no 'config'"),
    ],
)
def test_errors_say_what_exists(target: str, root: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        bind(target, config=root)


def test_a_pair_must_give_a_number() -> None:
    with pytest.raises(TargetError, match="noise: holds 'much', expected a number"):
        bind("noise", noise=(lambda: "much", lambda value: None))


def test_a_replaced_module_is_picked_up_at_the_end_of_the_cycle() -> None:
    model = nn.Sequential(nn.Dropout(0.1))
    scheduler = bind("model:Dropout.p", model=model)
    scheduler.step()
    model[0] = nn.Dropout(0.9)
    scheduler.step(by=3)
    assert model[0].p == scheduler.values["model:Dropout.p"]
    scheduler.step()
    assert model[0].p == scheduler.values["model:Dropout.p"]


def test_half_and_to_keep_buffers_driven() -> None:
    model = Focal()
    scheduler = bind("model.gamma", model=model)
    for change in (model.half, model.double, lambda: model.to(torch.bfloat16), model.float):
        change()
        scheduler.step()
        written = torch.tensor(scheduler.values["model.gamma"], dtype=model.gamma.dtype)
        assert model.gamma.item() == written.item()
    assert not any(key.startswith("gamma") for key in model.state_dict())
