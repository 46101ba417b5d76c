"""How many members fit into memory at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ostinato.errors import ConfigError

__all__ = ["BLOCK", "available", "block_bytes", "chunks_of", "saved_bytes"]

BLOCK = 1024
"""Steps whose values are computed at once: a call of a curve costs about as much for one step as for hundreds."""
_MOST = 512  # members at once: more gain nothing on a processor


def available() -> int:
    """Return half of the memory that this process can have now, in bytes: of the machine, and of its control group (a container's limit).

    What the system would give back (caches) counts as free. Where the system does not say, it is 2 GiB.
    """
    found = [free for free in (_free_in_machine(), _free_in_group()) if free is not None]
    return min(found) // 2 if found else 2 << 30


def _free_in_machine(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    try:
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, IndexError, OSError):
        return None


def _free_in_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return what is left of a control group's limit (version 2, then 1); None where there is none."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most = (folder / limit).read_text().strip()
            if most.isdigit():
                return max(int(most) - int((folder / used).read_text()), 0)
        except (ValueError, OSError):
            continue
    return None


def block_bytes(columns: int, steps: int) -> int:
    """Return the bytes that a block of values needs for one member while it is computed: float64 by value, column and stack, float32 after."""
    return min(BLOCK, steps) * columns * (3 * 8 + 4)


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
