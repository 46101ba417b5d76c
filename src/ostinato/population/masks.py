"""Random masks as a function of (seed, step, layer, call, element), the same for one model alone and for many at once.

Torch's generators give a stream, whose numbers depend on what was drawn before; a hash of a counter does not. It is a 32-bit integer
hash in int64 tensors (products stay inside 63 bits), after the `lowbias32` mixer of C. Wellons (2018, "Prospecting for hash functions").
It passes for dropout; it is no generator for cryptography.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.nn.random_layers import RandomLayer

__all__ = ["Frame", "counted", "equip_masks", "layer_keys", "uniforms"]

_MASKS = 3  # the stream of one seed; 1 and 2 are the order and the fetching of data
_WORD = 0xFFFFFFFF
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)  # congruent modulo 2^32 and below 2^31 in size
_STEP, _CALL = 0x9E3779B9, 0x85EBCA77
_REFUSED = (nn.AlphaDropout, nn.FeatureAlphaDropout)


class Frame:
    """What a model's layers look up during one forward pass: keys of the masks, the step, and what they leave behind.

    Attributes:
        keys: int64 (layers, 2), a member's.
        step: The update, a number or a 0-dim int64 tensor.
        updates: New values of running statistics, by name of the buffer.
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self.at(0)

    def at(self, step: int | Tensor, keys: Tensor | None = None) -> None:
        """Say which update the next forward pass belongs to, and whose it is."""
        self.step = step
        if keys is not None:
            self.keys = keys
        self.calls: dict[int, int] = {}
        self.updates: dict[str, Tensor] = {}

    def call(self, layer: int) -> int:
        """Return how often a layer has been used in this pass, and count."""
        count = self.calls.get(layer, 0)
        self.calls[layer] = count + 1
        return count


def _mixed(x: Tensor) -> Tensor:
    """Return a bijection of 32-bit numbers, held in int64."""
    x = x ^ (x >> 16)
    x = (x * _FIRST) & _WORD
    x = x ^ (x >> 15)
    x = (x * _SECOND) & _WORD
    return x ^ (x >> 16)


def uniforms(shape: Sequence[int], key: Tensor, step: int | Tensor, call: int = 0) -> Tensor:
    """Return numbers in [0, 1) on a grid of 2^-24, float32 of a shape: a pure function of key, step, call and place.

    Args:
        shape: Of the result; at most 2^32 elements.
        key: int64 (2,), see `layer_keys`.
        step: The update.
        call: Which use of the layer within the update.

    >>> key = layer_keys(0, 1)[0]
    >>> torch.equal(uniforms((2, 3), key, 5), uniforms((2, 3), key, 5)), torch.equal(uniforms((6,), key, 5), uniforms((6,), key, 6))
    (True, False)
    """
    element = torch.arange(prod(shape), device=key.device)
    moment = _mixed((key[1] + (step & 0x7FFFFFFF) * _STEP) & _WORD)
    word = _mixed(_mixed((element + key[0] + call * _CALL) & _WORD) ^ moment)
    return ((word >> 8).to(torch.float32) * 2.0**-24).reshape(tuple(shape))


def layer_keys(seed: int, layers: int) -> Tensor:
    """Return the keys of a member's layers, int64 (layers, 2), each below 2^32."""
    words = [np.random.SeedSequence((_MASKS, seed, layer)).generate_state(2) for layer in range(layers)]
    return torch.tensor(np.array(words, np.int64).reshape(layers, 2))


def masked(x: Tensor, p: Tensor | float, shape: Sequence[int], frame: Frame, layer: int) -> Tensor:
    """Return `x` with elements (or whole slices, where `shape` has ones) set to 0 with probability p, the rest divided by 1 - p."""
    keep = uniforms(shape, frame.keys[layer], frame.step, frame.call(layer)) >= p
    if isinstance(p, Tensor):
        scale = torch.where(p < 1, 1 / (1 - p), torch.zeros_like(p)).to(x.dtype)
    else:
        scale = torch.tensor(1 / (1 - p) if p < 1 else 0.0, dtype=x.dtype, device=x.device)
    return x * (keep.to(x.dtype) * scale)


def _shape_of(module: nn.Module, x: Tensor) -> list[int]:
    """Return the shape of a dropout layer's mask."""
    if isinstance(module, nn.Dropout):
        return list(x.shape)
    spatial = 1 if isinstance(module, nn.Dropout1d) else 2 if isinstance(module, nn.Dropout2d) else 3
    return [*x.shape[:-spatial], *[1] * spatial]


def _forward(module: Any, frame: Frame, layer: int, input: Tensor) -> Tensor:
    if not module.training:
        return input
    if isinstance(module, RandomLayer):
        return module.transformed(
            input, lambda shape: uniforms(shape, frame.keys[layer], frame.step, frame.call(layer))
        )
    return masked(input, module.p, _shape_of(module, input), frame, layer)


def _draws(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return not isinstance(module, _REFUSED)
    return isinstance(module, RandomLayer)


def equip_masks(model: nn.Module, frame: Frame) -> int:
    """Let the random layers of a model draw from `frame`; return how many there are."""
    layers = [module for module in model.modules() if _draws(module)]
    for layer, module in enumerate(layers):
        module.forward = partial(_forward, module, frame, layer)
    return len(layers)


def counted(model: nn.Module, seed: int) -> Frame:
    """Let one model alone draw the masks that the member with this seed draws in a population.

    In training mode `nn.Dropout`, `nn.Dropout1d`, `nn.Dropout2d`, `nn.Dropout3d` and every `ostinato.nn.RandomLayer` (stochastic depth, the
    augmentation layers, one's own) take their numbers from the result; call ``frame.at(step)`` before the forward pass of each update. Other
    random layers are left as they are.

    >>> model = nn.Dropout(0.5)
    >>> frame = counted(model, seed=3)
    >>> frame.at(7)
    >>> first = model(torch.ones(4))
    >>> frame.at(7)
    >>> torch.equal(model(torch.ones(4)), first)
    True
    """
    frame = Frame(layer_keys(seed, 0))
    frame.at(0, layer_keys(seed, equip_masks(model, frame)))
    return frame
