"""The range test of a configured run: what `ostinato range-test` calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, Subset

from ostinato.core.address import Address
from ostinato.errors import ConfigError
from ostinato.search.sweeps.ranges import range_test
from ostinato.search.sweeps.result import RangeTest
from ostinato.training import RunConfig
from ostinato.training.datasets import Split
from ostinato.training.session import Session, resolve_config

__all__ = ["range_test_of"]

_MOST_HELD_OUT = 2048
_SHARE_HELD_OUT = 5


def range_test_of(
    config: RunConfig,
    target: str = "optimizer.lr",
    *,
    low: float | None = None,
    high: float | None = None,
    steps: int | None = None,
    sweep: str | None = None,
    restart: int | None = None,
    progress: Callable[[int, float, float], object] | None = None,
) -> tuple[RangeTest, dict[str, Any]]:
    """Test a target with the data, model, optimizer and loss of a configuration; its plan is set aside.

    A learning rate is judged by the training loss. For any other target a fifth of the training examples (at most 2,048) is held out and
    judges; the test data is not looked at.

    Args:
        config: What `ostinato train` would train. It runs in one process.
        target: The address; the roots are ``optimizer``, ``model`` and ``loss``.
        low: As for `range_test`.
        high: As for `range_test`.
        steps: As for `range_test`.
        sweep: As for `range_test`.
        restart: As for `range_test`.
        progress: As for `range_test`.

    Returns:
        The result, and what it was found on, as a JSON document.

    Raises:
        OstinatoError: The configuration, the target or a number cannot be.
    """
    alone: dict[str, Any] = {
        "plan": None,
        "train.recipe": None,
        "train.devices": 1,
        "train.strategy": "auto",
        "workers": {},
    }
    session = Session.build(resolve_config(config.replace(alone)))
    session.scheduler.restore()
    rate = Address.parse(target).is_rate
    if not rate:
        session = _with_held_out(session)
    result = range_test(
        _Groups(session),
        model=session.model,
        optimizer=session.optimizer,
        loss=session.criterion,
        target=target,
        low=low,
        high=high,
        steps=steps,
        sweep=sweep,
        restart=restart,
        validation=None if rate else list(session.test_batches()),
        step=lambda group: _update(session, group),
        keep=[session.precision],
        progress=progress,
    )
    about = {
        "data": session.data.describe(),
        "model": session.config.model.model_dump(exclude_none=True),
        "optimizer": session.config.optimizer.model_dump(exclude_none=True),
        "seed": session.config.train.seed,
    }
    return result, about


class _Groups:
    """The groups of batches that make an update, from the first epoch on; each ``for`` starts again."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __iter__(self) -> Iterator[list[Any]]:
        batches = self._session.batches
        flat = (batch for _, _, batch in batches.endless())
        while True:
            yield list(islice(flat, self._session.config.train.accumulate))


def _update(session: Session, group: list[Any]) -> float:
    """Make one update and return its loss."""
    session.module.train()
    session.optimizer.zero_grad()
    total = 0.0
    for batch in group:
        inputs, targets = session.to_device(batch)
        loss: Tensor = session.criterion(session.module(inputs), targets) / len(group)
        session.fabric.backward(loss)
        total += float(loss.detach())
    clip = session.config.train.clip_norm
    if clip is not None:
        session.fabric.clip_gradients(session.module, session.stepper, max_norm=clip, error_if_nonfinite=False)
    session.stepper.step()
    return total


def _with_held_out(session: Session) -> Session:
    """Return the session with a part of its training examples in the place of the test data."""
    length, train = len(session.data.train), session.config.train  # type: ignore[arg-type]  # map-style, so it has a length
    held = min(_MOST_HELD_OUT, length // _SHARE_HELD_OUT)
    if held < 1:
        raise ConfigError(
            f"data: {length} training examples leave none to judge by; at least {_SHARE_HELD_OUT} are needed"
        )
    order = np.random.default_rng((train.seed, length)).permutation(length)
    kept = _part(session.data.train, order[held:])
    data = replace(session.data, train=kept, test=_part(session.data.train, order[:held]))
    return session.on(data)


def _part(dataset: Dataset[Any], chosen: np.ndarray[Any, Any]) -> Dataset[Any]:
    return Split(*dataset.batch(chosen)) if isinstance(dataset, Split) else Subset(dataset, chosen.tolist())
