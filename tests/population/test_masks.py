"""Masks from a counter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ostinato.population.masks import counted, layer_keys, uniforms


def test_uniforms_are_uniform_and_do_not_repeat() -> None:
    key = layer_keys(0, 2)
    u = uniforms((100_000,), key[0], 0)
    assert float(u.min()) >= 0
    assert float(u.max()) < 1
    assert abs(float(u.mean()) - 0.5) < 0.005
    counts = torch.histc(u, 50, 0, 1)
    assert (
        float(((counts - 2000) ** 2 / 2000).sum()) < 100
    )  # chi-squared with 49 degrees: 100 is beyond the 0.9999 quantile
    others = [uniforms((100_000,), key[1], 0), uniforms((100_000,), key[0], 1), uniforms((100_000,), key[0], 0, 1)]
    others.append(uniforms((100_000,), layer_keys(1, 1)[0], 0))
    others.append(torch.cat([u[1:], u[:1]]))
    for other in others:
        assert abs(float(torch.corrcoef(torch.stack([u, other]))[0, 1])) < 0.015


def test_values_are_pinned() -> None:
    assert layer_keys(7, 1).tolist() == [[2580024465, 2227149223]]
    found = uniforms((3,), layer_keys(7, 1)[0], 5) * 2**24
    assert found.to(torch.int64).tolist() == [14916392, 16196840, 12930321]


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout, (50, 40)),
        (nn.Dropout1d, (50, 40, 3)),
        (nn.Dropout2d, (50, 40, 2, 2)),
        (nn.Dropout3d, (50, 40, 2, 1, 2)),
    ],
)
def test_layers_drop_as_torch_does(layer: type[nn.Module], shape: tuple[int, ...], p: float) -> None:
    model = layer(p)
    frame = counted(model, seed=1)
    frame.at(3)
    x = torch.ones(shape, requires_grad=True)
    y = model(x)
    kept = (y != 0).float()
    assert abs(float(kept.mean()) - (1 - p)) < 0.05
    torch.testing.assert_close(y, kept / (1 - p) if p < 1 else kept)
    if layer is not nn.Dropout:
        assert torch.equal(kept.flatten(2).amin(2), kept.flatten(2).amax(2))
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())
    model.eval()
    assert model(x) is x


def test_a_layer_that_is_used_twice_draws_twice() -> None:
    drop = nn.Dropout(0.5)
    frame = counted(nn.Sequential(drop, drop), seed=1)
    frame.at(0)
    first, second = drop(torch.ones(64)), drop(torch.ones(64))
    assert not torch.equal(first, second)
    frame.at(0)
    assert torch.equal(drop(torch.ones(64)), first)
