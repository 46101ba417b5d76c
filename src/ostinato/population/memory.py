"""How many members fit into memory at once."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ostinato.errors import ConfigError

__all__ = ["available", "chunks_of", "saved_bytes"]

_MOST = 512  # members at once: more gain nothing on a processor


def available() -> int:
    """Return half of the machine's memory that is free now, in bytes (of all memory where the system does not say)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 2 << 30


def saved_bytes(model: nn.Module, inputs: Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, parameters left out."""
    kept: dict[int, int] = {}
    parameters = {parameter.data_ptr() for parameter in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in parameters:
            kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(inputs)
    return sum(kept.values())


def chunks_of(members: Sequence[int], each: int, limit: int) -> list[list[int]]:
    """Share members among chunks of equal size (the last may be smaller) of at most `limit` bytes.

    Raises:
        ConfigError: Not even one fits.

    >>> chunks_of(range(5), each=10, limit=35)
    [[0, 1, 2], [3, 4]]
    """
    most = min(limit // max(each, 1), _MOST)
    if most < 1:
        raise ConfigError(f"memory_limit: got {limit} bytes, one member needs about {each}; raise it")
    count = -(-len(members) // most)
    size = -(-len(members) // count)
    return [list(members[first : first + size]) for first in range(0, len(members), size)]
