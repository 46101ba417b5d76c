from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import nn

import ostinato as ost
from ostinato.errors import DomainError, TargetError


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.zeros(3))


def plan(bindings: dict[str, Any], total: int = 8) -> ost.Plan:
    return ost.Plan(total=total, cycle=ost.Cycle("sawtooth", count=2), bindings=bindings)


def named(**rates: float) -> torch.optim.SGD:
    groups = [{"params": [parameter()], "name": name, "lr": rate} for name, rate in rates.items()]
    return torch.optim.SGD(groups, lr=1.0)


def slots(target: str, **roots: Any) -> tuple[str, ...]:
    return plan({target: ost.wave(0.1, 0.2)}).bind(**roots).slots[target]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("", (0, 1, 2)),
        ("[*]", (0, 1, 2)),
        ("[1]", (1,)),
        ("[head]", (2,)),
        ("[body*]", (0, 1)),
        ("[body.?]", (0, 1)),
        ("[lr>0.01]", (1, 2)),
        ("[lr>=0.02]", (1, 2)),
        ("[lr==0.02]", (1,)),
        ("[lr!=0.02]", (0, 2)),
        ("[lr<0.02]", (0,)),
        ("[lr<=0.02]", (0, 1)),
        ("[ lr <= 0.02 ]", (0, 1)),
        ("[name==head]", (2,)),
    ],
)
def test_groups_are_selected(selector: str, chosen: tuple[int, ...]) -> None:
    optimizer = named(**{"body.0": 0.01, "body.1": 0.02, "head": 0.03})
    assert slots(f"optimizer{selector}.lr", optimizer=optimizer) == tuple(f"optimizer[{index}].lr" for index in chosen)
    rates = [group["lr"] for group in optimizer.param_groups]
    assert [rates.index(rate) if rate in (0.01, 0.02, 0.03) else -1 for rate in rates] == [
        -1 if index in chosen else index for index in range(3)
    ]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("optimizer.lrr", r"no parameter group has it; keys: lr, momentum"),
        ("optimizer[3].lr", r"no parameter group is '3'; groups: a, b"),
        ("optimizer[tail].lr", r"no parameter group is 'tail'; groups: a, b"),
        ("optimizer[momentum>5].lr", r"no parameter group is 'momentum>5'"),
        ("optimizer[lr>much].lr", r"lr is a number, 'much' is none"),
        ("optimizer.nesterov", r"optimizer\[0\]\.nesterov: holds False, expected a number"),
        ("optimizer.foreach", r"holds None, expected a number"),
        ("optimizer.name", r"holds 'a', expected a number"),
        ("optimizer.params", r"holds a list, expected a number"),
        ("optimizer.betas.0", r"no parameter group has it"),
        ("optimizer", r"an optimizer has keys; write 'optimizer\.lr'"),
        ("optimizer:Dropout.p", r"an optimizer has keys"),
        ("optimiser.lr", r"bind was given no 'optimiser'; write bind\(optimiser=\.\.\.\); did you mean 'optimizer'"),
    ],
)
def test_what_matches_nothing_says_what_exists(target: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        slots(target, optimizer=named(a=0.1, b=0.2))


def test_what_was_given_as_none_is_not_suggested() -> None:
    with pytest.raises(
        TargetError, match=r"^optimizer\.lr: bind was given no 'optimizer'; write bind\(optimizer=\.\.\.\)$"
    ):
        slots("optimizer.lr", optimizer=None)


def test_a_parameter_is_never_driven() -> None:
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.item()
    with pytest.raises(TargetError, match=r"model\.weight: holds a trained parameter"):
        slots("model.weight", model=model)
    assert model.weight.item() == before


FAMILY = [torch.optim.Adam, torch.optim.AdamW, torch.optim.RAdam, torch.optim.NAdam]


@pytest.mark.parametrize("kind", FAMILY)
def test_momentum_is_the_first_beta_of_the_adam_family(kind: Any) -> None:
    optimizer = kind([parameter()], betas=(0.8, 0.99))
    scheduler = plan({"optimizer.momentum": ost.mirror(0.85, 0.95)}).bind(optimizer=optimizer)
    assert optimizer.param_groups[0]["betas"] == (0.85, 0.99)
    assert "momentum" not in optimizer.param_groups[0]
    scheduler.restore()
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.99)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.RMSprop])
def test_momentum_is_momentum_where_there_is_one(kind: Any) -> None:
    optimizer = kind([parameter()], lr=0.1, momentum=0.5)
    plan({"optimizer.momentum": ost.mirror(0.85, 0.95)}).bind(optimizer=optimizer)
    assert optimizer.param_groups[0]["momentum"] == 0.85


def test_both_elements_of_a_tuple_are_driven() -> None:
    optimizer = torch.optim.AdamW([parameter()])
    wanted = plan({"optimizer.betas.0": ost.mirror(0.8, 0.9), "optimizer.betas.1": ost.wave(0.9, 0.99)})
    scheduler = wanted.bind(optimizer=optimizer)
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["betas"])
        assert isinstance(seen[-1], tuple)
        scheduler.step()
    table = wanted.table()
    assert seen == list(zip(table["optimizer.betas.0"], table["optimizer.betas.1"], strict=True))


@pytest.mark.parametrize("size", [(), (1,)])
def test_tensors_are_filled_in_place(size: tuple[int, ...]) -> None:
    rate, betas = torch.full(size, 0.1), (torch.tensor(0.9), torch.tensor(0.99))
    optimizer = torch.optim.AdamW([parameter()], lr=rate, betas=betas, foreach=False, capturable=True)
    wanted = plan({"optimizer.lr": ost.wave(0.0, 0.1), "optimizer.betas.1": ost.wave(0.9, 0.99)})
    scheduler = wanted.bind(optimizer=optimizer)
    group = optimizer.param_groups[0]
    for step in range(8):
        assert group["lr"] is rate
        assert group["betas"][1] is betas[1]
        assert rate.item() == torch.tensor(wanted.resolve().values(step)["optimizer.lr"]).item()
        scheduler.step()
    scheduler.restore()
    assert rate.item() == torch.tensor(0.1).item()
    assert betas[1].item() == torch.tensor(0.99).item()
    assert betas[0].item() == torch.tensor(0.9).item()


def test_a_number_that_becomes_a_tensor_is_filled_from_then_on() -> None:
    optimizer = named(a=0.1)
    scheduler = plan({"optimizer.lr": ost.wave(0.0, 0.1)}).bind(optimizer=optimizer)
    rate = torch.tensor(optimizer.param_groups[0]["lr"])
    optimizer.param_groups[0]["lr"] = rate
    for step in range(1, 8):
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] is rate
        assert rate.item() == pytest.approx(scheduler.resolved.values(step)["optimizer.lr"], rel=1e-6)


def test_two_bindings_of_one_shared_tensor_are_refused() -> None:
    groups = [{"params": [parameter()]}, {"params": [parameter()]}]
    optimizer = torch.optim.SGD(groups, lr=torch.tensor(0.1))
    assert optimizer.param_groups[0]["lr"] is optimizer.param_groups[1]["lr"]
    with pytest.raises(TargetError, match="driven by both"):
        plan({"optimizer[0].lr": ost.wave(0.0, 0.1), "optimizer[1].lr": ost.wave(0.0, 0.2)}).bind(optimizer=optimizer)


def test_a_shared_tensor_has_one_original() -> None:
    optimizer = torch.optim.SGD([{"params": [parameter()]}, {"params": [parameter()]}], lr=torch.tensor(0.25))
    scheduler = plan({"optimizer.lr": ost.wave(0.5, 1.0, relative=True)}).bind(optimizer=optimizer)
    scheduler.step()
    optimizer.add_param_group({"params": [parameter()]})  # gets the very tensor that is being driven
    scheduler.step()
    assert [group["lr"].item() for group in optimizer.param_groups] == [0.25 * scheduler.values["optimizer.lr"]] * 3
    scheduler.restore()
    assert [group["lr"].item() for group in optimizer.param_groups] == [0.25] * 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("optimizer.lr", "optimizer[0].lr"),
        ("optimizer[a].lr", "optimizer[lr<1].lr"),
        ("optimizer.betas.0", "optimizer.momentum"),
        ("optimizer.lr", "same.lr"),
    ],
)
def test_overlap_is_refused(first: str, second: str) -> None:
    optimizer = torch.optim.AdamW([{"params": [parameter()], "name": "a"}], lr=0.1)
    with pytest.raises(TargetError, match="driven by both"):
        plan({first: ost.wave(0.1, 0.2), second: ost.wave(0.1, 0.2)}).bind(optimizer=optimizer, same=optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def test_disjoint_groups_do_not_overlap() -> None:
    optimizer = named(a=0.1, b=0.2)
    plan({"optimizer[a].lr": ost.wave(0.1, 0.3), "optimizer[b].lr": ost.wave(0.1, 0.4)}).bind(optimizer=optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.4]


def decaying(*decays: float) -> torch.optim.AdamW:
    return torch.optim.AdamW([{"params": [parameter()], "weight_decay": decay} for decay in decays], lr=0.1)


def decays(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["weight_decay"] for group in optimizer.param_groups]


def test_weight_decay_leaves_out_groups_without_it_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    optimizer = decaying(0.01, 0.0)
    with caplog.at_level(logging.WARNING, "ostinato"):
        plan({"optimizer.weight_decay": ost.wave(0.1, 0.2)}).bind(optimizer=optimizer)
    assert decays(optimizer) == [0.2, 0.0]
    assert "optimizer[1].weight_decay" in caplog.text
    assert "optimizer[*].weight_decay" in caplog.text


@pytest.mark.parametrize("target", ["optimizer[*].weight_decay", "optimizer[1].weight_decay"])
def test_brackets_force_weight_decay(target: str, caplog: pytest.LogCaptureFixture) -> None:
    optimizer = decaying(0.01, 0.0)
    scheduler = plan({target: ost.wave(0.1, 0.2)}).bind(optimizer=optimizer)
    assert decays(optimizer)[1] == 0.2
    assert caplog.text == ""
    scheduler.restore()
    assert decays(optimizer) == [0.01, 0.0]


def test_weight_decay_that_is_zero_everywhere_is_refused() -> None:
    with pytest.raises(TargetError, match=r"every group's weight_decay is 0; write 'optimizer\[\*\]\.weight_decay'"):
        plan({"optimizer.weight_decay": ost.wave(0.1, 0.2)}).bind(optimizer=torch.optim.SGD([parameter()], lr=0.1))


def test_a_decay_that_passes_through_zero_stays_driven() -> None:
    optimizer = decaying(0.01, 0.0)
    scheduler = plan({"optimizer.weight_decay": ost.wave(0.0, 0.2)}).bind(optimizer=optimizer)
    for _ in range(8):
        assert decays(optimizer) == [scheduler.values["optimizer.weight_decay"], 0.0]
        optimizer.load_state_dict(optimizer.state_dict())
        scheduler.step()


def test_relative_keeps_the_ratio_between_groups() -> None:
    optimizer = named(a=0.01, b=0.1)
    scheduler = plan({"optimizer.lr": ost.wave(0.5, 2.0, relative=True)}).bind(optimizer=optimizer)
    for _ in range(8):
        factor = scheduler.values["optimizer.lr"]
        assert [group["lr"] for group in optimizer.param_groups] == [0.01 * factor, 0.1 * factor]
        scheduler.step()


def test_relative_bounds_are_checked_with_the_originals() -> None:
    optimizer = torch.optim.SGD([parameter()], lr=0.1, momentum=0.9)
    with pytest.raises(DomainError, match=r"optimizer\.momentum: 1\.08 at step 0"):
        plan({"optimizer.momentum": ost.wave(0.5, 1.2, relative=True)}).bind(optimizer=optimizer)
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_effective_decay_shrinks_weights_as_asked() -> None:
    """With zero gradients AdamW multiplies by 1 - lr·weight_decay; that product is what the schedule says."""
    weight = nn.Parameter(torch.ones(4, dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.01)
    bindings = {
        "optimizer.lr": ost.wave(0.01, 0.2),
        "optimizer.weight_decay": ost.mirror(0.001, 0.05, effective=True),
    }
    scheduler = plan(bindings).bind(optimizer=optimizer)
    alone = plan({"optimizer.dampening": ost.mirror(0.001, 0.05)}).table()["optimizer.dampening"]
    expected = torch.ones((), dtype=torch.float64)
    for step in range(8):
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        expected = expected * (1 - alone[step])
        assert weight.detach().tolist() == pytest.approx([expected.item()] * 4, rel=1e-14)
        scheduler.step()


class Wrapper:
    """As DeepSpeed's and others': no subclass, but with groups, and the optimizer inside."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups


class Accelerated(torch.optim.Optimizer):
    """As Accelerate's: a subclass that holds the real one and never runs the base class's constructor."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups


@pytest.mark.parametrize("wrap", [Wrapper, Accelerated])
def test_wrapped_optimizers_are_driven(wrap: Any) -> None:
    optimizer = named(a=0.1)
    scheduler = plan({"optimizer.lr": ost.wave(0.0, 0.5)}).bind(optimizer=wrap(optimizer))
    scheduler.step(by=2)
    assert optimizer.param_groups[0]["lr"] == scheduler.values["optimizer.lr"] == 0.25
    optimizer.load_state_dict(named(a=5.0).state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_an_object_that_merely_has_an_optimizer_is_no_optimizer() -> None:
    class Agent:
        def __init__(self) -> None:
            self.optimizer = named(a=0.1)
            self.epsilon = 0.5

    agent = Agent()
    plan({"agent.epsilon": ost.wave(0.1, 0.2)}).bind(agent=agent)
    assert agent.epsilon == 0.2
    with pytest.raises(TargetError, match=r"agent\.optimizer: is an optimizer.*bind\(optimizer=\.\.\.\)"):
        plan({"agent.optimizer.param_groups.0.lr": ost.wave(0.1, 0.2)}).bind(agent=agent)


def test_two_players_on_one_clock() -> None:
    generator, discriminator = named(a=0.1), torch.optim.Adam([parameter()])
    wanted = plan({"generator.lr": ost.wave(0.0, 0.1), "discriminator.lr": ost.wave(0.0, 0.1, shift=0.5)})
    scheduler = wanted.bind(generator=generator, discriminator=discriminator)
    seen = []
    for _ in range(8):
        seen.append((generator.param_groups[0]["lr"], discriminator.param_groups[0]["lr"]))
        scheduler.step()
    assert [rate for rate, _ in seen[2:4]] == [rate for _, rate in seen[:2]]
    assert seen[0] == (0.1, 0.05)
