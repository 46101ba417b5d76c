"""Thousands of descents at once against a loop of plain ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch

from ostinato import controls
from ostinato.applications.landscapes import Descent, Rosenbrock, descend
from ostinato.bench.harness import Row, interleaved
from ostinato.core.bindings import wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan

__all__ = ["measure"]

_STEPS, _STARTS, _SLICE = 2000, 1000, 300
_REACH, _AIM = 0.02, 0.005


def arms_of(steps: int) -> Mapping[str, Plan]:
    """Return five arms of a mean rate of 0.03: restarts and what a claim about them is compared with."""
    plan = Plan(total=steps, cycle=Cycle("cosine", count=10), bindings={"optimizer.lr": wave(0.0, 0.06)})
    return {
        "constant": controls.constant(plan),
        "restarts": plan,
        "sorted": controls.sorted(plan),
        "cosine": controls.cosine(plan),
        "triangular": plan.replace({"cycle.waveform": "triangular"}),
    }


def ours(starts: int, steps: int) -> Descent:
    """Minimise Rosenbrock's function from all starts under all arms."""
    problem = Rosenbrock.draw(seed=0)
    return descend(problem, problem.starts(seed=0, count=starts), arms_of(steps), every=steps // 10)


def plain(arm: str, start: int, starts: int, steps: int) -> Iterator[torch.Tensor]:
    """Make one of those runs by a plain loop of Adam, autograd and rates at hand; yield the position after each update."""
    problem = Rosenbrock.draw(seed=0)
    x = problem.starts(seed=0, count=starts)[start : start + 1].requires_grad_()
    optimizer = torch.optim.Adam([x], foreach=False)
    for rate in arms_of(steps)[arm].table()["optimizer.lr"].tolist():
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        problem.value(x).sum().backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
        optimizer.step()
        yield x.detach()


def measure(*, starts: int = _STARTS, steps: int = _STEPS, rounds: int = 7) -> Row:
    """Measure 1,000 starts of Rosenbrock's function under five arms for 2,000 updates of Adam in float64.

    The peer, in turn, is a slice of the same work in a plain loop over ``torch.optim.Adam``: 300 updates of one run. The ratio is of seconds
    an update of one run; the detail says what the whole took, and what the loop would take.
    """
    slice_ = min(_SLICE, steps)

    def loop() -> None:
        run = plain("restarts", 0, starts, steps)
        for _ in range(slice_):
            next(run)

    timing = interleaved(lambda: ours(starts, steps), loop, calls=1, rounds=rounds)
    work = len(arms_of(steps)) * starts * steps
    scale = slice_ / work
    timing = replace(timing, ratio=timing.ratio * scale, spread=(timing.spread[0] * scale, timing.spread[1] * scale))
    detail = {
        "peer": f"a loop over torch.optim.Adam with autograd, one run at a time, {slice_} updates, scaled",
        "runs": len(arms_of(steps)) * starts,
        "updates_each": steps,
        "seconds": timing.ours,
        "peer_seconds": timing.peer / scale,
        "threads": torch.get_num_threads(),
    }
    return Row("landscapes", timing.ratio, timing.spread, _REACH, _AIM, detail=detail)
