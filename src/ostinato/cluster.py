"""A Ray cluster: the one that is connected already, the one at ``RAY_ADDRESS``, or one of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ostinato.errors import ConfigError

__all__ = ["ADDRESS", "connected", "ray_module"]

ADDRESS = "RAY_ADDRESS"


def ray_module(option: str) -> Any:
    """Return Ray.

    Args:
        option: What was asked for, for the message.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError(f"{option}: Ray is not installed; type: pip install 'ostinato[ray]'") from None
    return ray


@contextmanager
def connected(workers: int | None = None) -> Iterator[Any]:
    """Give Ray, connected; a cluster that was started or joined for it is left at the end of the block.

    Args:
        workers: Processes of a cluster of this machine; by default one for each core.
    """
    ray, address = ray_module("ray"), os.environ.get(ADDRESS)
    if ray.is_initialized():
        yield ray
        return
    own = {} if address else {"num_cpus": workers or os.cpu_count(), "include_dashboard": False}
    ray.init(address=address, configure_logging=False, log_to_driver=False, **own)
    try:
        yield ray
    finally:
        ray.shutdown()
