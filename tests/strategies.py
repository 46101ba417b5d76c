"""Hypothesis strategies: random plans, and everything that they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import ostinato as ost
from ostinato import schedules
from ostinato.core.waveforms import WAVEFORMS, FloatArray, IntArray

WAVEFORM_NAMES = sorted(WAVEFORMS)
UNSHAPED = ["constant", "cosine", "sawtooth", "sine"]


@ost.schedule("strategies.zigzag", version=3)
def zigzag(t: IntArray, *, low: float, high: float, every: int = 4) -> FloatArray:
    return np.where(t % every == 0, high, low).astype(np.float64)


def decimals(low: float, high: float, places: int = 3) -> st.SearchStrategy[float]:
    """Floats with a short decimal text."""
    scale = 10**places
    return st.integers(round(low * scale), round(high * scale)).map(lambda n: n / scale)


shares = decimals(0.0, 1.0)
shifts = decimals(0.0, 0.999)
values = st.one_of(decimals(0.0, 1.0), st.sampled_from([0.0, 1e-5, 1e-4, 0.1, 1.0]))
mults: st.SearchStrategy[Any] = st.sampled_from([1, 1, 1, 2, 3, 1.5, "5/4"])


def shapes(waveform: str) -> st.SearchStrategy[dict[str, Any]]:
    """The own parameters of a waveform, each given or left out."""
    every: dict[str, dict[str, st.SearchStrategy[float]]] = {
        "triangular": {"up": shares},
        "square": {"duty": shares},
        "exponential": {"ratio": decimals(1.5, 1000.0)},
    }
    return st.fixed_dictionaries({}, optional=every.get(waveform, {}))


@st.composite
def cycles(draw: st.DrawFn, *, counted: bool = True, ratios: bool = False) -> ost.Cycle:
    """Cycles of every waveform; with `ratios` also such as ``"2cycle"``."""
    waveform = draw(st.sampled_from(WAVEFORM_NAMES))
    given: dict[str, Any] = {"amplitude_decay": draw(st.sampled_from([1.0, 1.0, 0.5, 0.9])), **draw(shapes(waveform))}
    kind = draw(st.sampled_from(["period", *(["count"] if counted else []), *(["ratio"] if ratios else [])]))
    if kind == "ratio":
        return ost.Cycle(
            waveform, period=draw(st.sampled_from(["2cycle", "0.5cycle", "3/2cycle", "1/3cycle"])), **given
        )
    if kind == "count":
        return ost.Cycle(waveform, count=draw(st.integers(1, 4)), **given)
    period = draw(st.one_of(st.integers(4, 60), st.sampled_from(["7.5", "25/3", "0.5ep", "1.25ep", "0.25dur"])))
    return ost.Cycle(waveform, period=period, mult=draw(mults), **given)


@st.composite
def waves(draw: st.DrawFn, *, own: bool = True) -> ost.Binding:
    """A wave or a mirror without options of its binding."""
    low, high = sorted((draw(values), draw(values)))
    geometric = low > 0 and draw(st.booleans())
    return draw(st.sampled_from([ost.wave, ost.mirror]))(
        low,
        high,
        shift=draw(shifts),
        scale="geometric" if geometric else "linear",
        cycle=draw(st.none() | cycles(ratios=True)) if own else None,
    )


totals: st.SearchStrategy[Any] = st.sampled_from([100, "100step", "2.5ep", "6epochs", 177])
warmups: st.SearchStrategy[Any] = st.sampled_from([0, 1, 7, "0.25ep", "0.1dur"])
lengths: st.SearchStrategy[Any] = st.sampled_from([5, 20, 33, "0.5ep", "0.2dur"])
leaves: st.SearchStrategy[ost.Schedule] = st.one_of(
    st.builds(schedules.hold, values),
    st.builds(schedules.linear, values, values, over=lengths),
    st.builds(
        schedules.one_cycle,
        decimals(0.01, 1.0),
        over=lengths,
        pct_start=decimals(0.1, 0.45),
        div_factor=decimals(1.0, 50.0),
        anneal_strategy=st.sampled_from(["cos", "linear"]),
        three_phase=st.booleans(),
    ),
    st.builds(zigzag, low=values, high=values, every=st.integers(1, 9)),
    waves().map(lambda binding: binding.schedule),
)


def _combined(inner: st.SearchStrategy[ost.Schedule]) -> st.SearchStrategy[ost.Schedule]:
    pair = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        pair.map(lambda parts: schedules.product(*parts)),
        pair.map(lambda parts: schedules.clip(schedules.sum(*parts), 0.0, 1.0)),
        st.builds(schedules.clip, inner, st.just(0.1), st.just(0.7)),
        st.builds(schedules.warmup, inner, over=st.sampled_from([0, 1, 7]), start=decimals(0.0, 0.2)),
        st.tuples(inner, inner).map(lambda parts: schedules.join(*parts, at=[15])),
        st.tuples(inner, inner, inner).map(lambda parts: schedules.join(*parts, at=[10, "0.5ep"])),
    )


courses = st.recursive(leaves, _combined, max_leaves=4)


@st.composite
def plans(draw: st.DrawFn, *, most: int = 3) -> ost.Plan:
    """Plans of all kinds, 100 to 240 steps long when an epoch has 40 steps (`RATES`)."""
    rate = draw(waves(own=False))
    bindings: dict[str, Any] = {"optimizer.lr": rate}
    names = ["loss.alpha", "model.block.*:Wide.scale", "optimizer[head].gamma", "optimizer[0].beta_x", "generator.lr"]
    for name in draw(st.lists(st.sampled_from(names), max_size=most, unique=True)):
        course = draw(st.one_of(waves(), courses, courses))
        schedule = course.schedule if isinstance(course, ost.Binding) else course
        bindings[name] = ost.Binding(
            schedule,
            relative=draw(st.booleans()),
            warmup=draw(st.sampled_from([None, True, False])),
            domain=draw(st.sampled_from([None, (-10.0, 10.0)])),
        )
    return ost.Plan(
        total=draw(totals),
        warmup=draw(warmups),
        cycle=draw(cycles()),
        bindings=bindings,
    )


RATES = {"steps_per_epoch": 40}
