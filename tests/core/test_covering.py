"""Which learning rate an effective weight decay divides by, where the two are spelled differently."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ostinato as ost
from ostinato.core.address import Address
from ostinato.errors import PlanError

RATE, DECAY = ost.wave(0.01, 0.1), ost.mirror(1e-4, 1e-3, effective=True)


def plan(decay: str, *rates: str) -> ost.Plan:
    bindings = {rate: ost.wave(0.01 * place, 0.1 * place) for place, rate in enumerate(rates, 1)}
    return ost.Plan(total=40, warmup=4, cycle=ost.Cycle(count=3), bindings={**bindings, decay: DECAY})


COVERED = [
    ("optimizer.weight_decay", "optimizer.lr"),
    ("optimizer.weight_decay", "optimizer[*].lr"),
    ("optimizer[*].weight_decay", "optimizer.lr"),
    ("optimizer[decay].weight_decay", "optimizer.lr"),
    ("optimizer[decay].weight_decay", "optimizer[*].lr"),
    ("optimizer[decay].weight_decay", "optimizer[dec*].lr"),
    ("optimizer[decay].weight_decay", "optimizer[?ecay].lr"),
    ("optimizer[head.0].weight_decay", "optimizer[head.*].lr"),
    ("optimizer[0].weight_decay", "optimizer.lr"),
    ("optimizer[lr>0.01].weight_decay", "optimizer[*].lr"),
    ("optimizer[lr>0.01].weight_decay", "optimizer[lr>0.01].lr"),
    ("optimizer[h*].weight_decay", "optimizer[h*].lr"),
]
OPEN = [
    ("optimizer.weight_decay", "optimizer[0].lr"),
    ("optimizer.weight_decay", "optimizer[decay].lr"),
    ("optimizer[*].weight_decay", "optimizer[0].lr"),
    ("optimizer[decay].weight_decay", "optimizer[no*].lr"),
    ("optimizer[decay].weight_decay", "optimizer[0].lr"),
    ("optimizer[0].weight_decay", "optimizer[decay].lr"),
    ("optimizer[0].weight_decay", "optimizer[?].lr"),  # a name of one letter, not an index
    ("optimizer[h*].weight_decay", "optimizer[*h*].lr"),
    ("optimizer[lr>0.02].weight_decay", "optimizer[lr>0.01].lr"),
    ("optimizer[name==head].weight_decay", "optimizer[name*].lr"),
    ("optimizer.weight_decay", "generator.lr"),
    ("optimizer.weight_decay", "optimizer.lr.0"),
]


@pytest.mark.parametrize(("decay", "rate"), COVERED)
def test_a_rate_that_covers_the_groups_is_the_divisor(decay: str, rate: str) -> None:
    resolved = plan(decay, rate).resolve()
    assert resolved.rate_of(decay) == rate
    table = resolved.table()
    product = plan(decay, rate).replace({f"{decay}/effective": False}).table()[decay]
    np.testing.assert_allclose(table[decay] * table[rate], product, rtol=1e-14)


@pytest.mark.parametrize(("decay", "rate"), OPEN)
def test_a_rate_of_which_the_text_does_not_tell_is_refused(decay: str, rate: str) -> None:
    alike = decay.removesuffix("weight_decay") + "lr"
    with pytest.raises(PlanError) as caught:
        plan(decay, rate).resolve()
    assert str(caught.value) == (
        f"{decay}/effective: needs a binding of {alike!r} on the same groups that is not relative and stays above 0"
    )


def test_the_rate_that_is_spelled_alike_comes_first() -> None:
    rates = ["optimizer[d*].lr", "optimizer[decay].lr", "optimizer.lr"]
    assert plan("optimizer[decay].weight_decay", *rates).resolve().rate_of("optimizer[decay].weight_decay") == rates[1]
    assert (
        plan("optimizer[decay].weight_decay", *rates[::2]).resolve().rate_of("optimizer[decay].weight_decay")
        == rates[0]
    )


@pytest.mark.parametrize("rate", [ost.wave(0.0, 0.1), ost.wave(0.5, 1.0, relative=True)])
def test_the_rate_that_covers_must_be_absolute_and_above_zero(rate: ost.Binding) -> None:
    course = plan("optimizer[decay].weight_decay").replace({"optimizer.lr": rate})
    with pytest.raises(PlanError, match=r"needs a binding of 'optimizer.lr' on the same groups that is not relative"):
        course.resolve()


def test_groups_really_shrink_by_the_product() -> None:
    """Every pair that the texts call covered is covered on live groups, and the product is what was asked for."""
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    groups = [{"params": [weights[0]], "name": "decay"}, {"params": [weights[1]], "name": "head.0"}]
    for decay, rate in COVERED:
        optimizer = torch.optim.AdamW([dict(group) for group in groups], lr=0.05, weight_decay=0.3)
        course = plan(decay, rate) if "h*" not in decay else plan(decay, "optimizer.lr")
        scheduler = course.bind(optimizer=optimizer)
        wanted = course.replace({f"{decay}/effective": False}).table()[decay]
        driven = [int(label.partition("[")[2].partition("]")[0]) for label in scheduler.slots[decay]]
        for step in range(40):
            for index in driven:
                group = optimizer.param_groups[index]
                assert group["lr"] * group["weight_decay"] == pytest.approx(wanted[step], rel=1e-12), (decay, rate)
            scheduler.step()


def test_an_address_covers_itself_and_other_kinds_cover_nothing() -> None:
    for text in ("optimizer.lr", "optimizer[0].lr", "optimizer[a-b/c].lr", "optimizer[lr>0.1].lr"):
        assert Address.parse(text).covers(Address.parse(text))
    assert not Address.parse("model:Dropout.p").covers(Address.parse("model.lr"))
    assert not Address.parse("model.lr").covers(Address.parse("model:Dropout.p"))
