"""The federations of study ``federated-phase``: one set of rates, and where on it every client is; then a cooldown that all arms share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from ostinato import controls
from ostinato.applications.federated import Federation, Phases, partitions
from ostinato.core.bindings import Binding, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.schedules import hold, join, linear

__all__ = ["ARMS", "RATE", "cooled", "cycles_of", "federation_of", "parts_of", "plan_of"]

RATE = "optimizer.lr"

ARMS = {
    "normalised": "cosines shifted in phase, each client's pull divided by how far it went; peak tuned",
    "shifted": "the same without that normalisation: plain federated averaging",
    "synchronous": "all clients in step, at the peak of normalised",
    "frozen": "each client keeps the rate of its phase, normalised: unequal rates that do not rotate",
    "mean-constant": "one rate for all, the mean of the cosines",
    "constant": "one rate for all, tuned",
    "cosine": "one cosine for all over the rounds before the cooldown, peak tuned",
    "synchronous-tuned": "all clients in step, at a peak of its own",
}
"""From arm to description; the cooldown after it is the same for all."""

_PHASED = ("normalised", "shifted")
_NORMALISED = ("normalised", "frozen")


def federation_of(arm: str, rate: float, parameters: Mapping[str, Any], parts: Sequence[Any], seed: int) -> Federation:
    """Return an arm's federation under a seed, which also draws which client gets which phase.

    Args:
        arm: Of the specification.
        rate: Highest rate; the rate of ``constant``.
        parameters: Of the regime.
        parts: What the clients hold.
        seed: Of the cell.
    """
    phases = Phases(len(parts), seed=seed)
    plan: Plan | tuple[Plan, ...] = plan_of(arm, rate, **_sizes(parameters))
    if arm == "frozen":
        plan = tuple(_frozen(rate, phases.of(client), **_sizes(parameters)) for client in range(len(parts)))
    return Federation(plan, parts, phases if arm in _PHASED else None, seed, arm in _NORMALISED)


def _sizes(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in ("low", "period", "rounds", "cool", "cooldown", "updates")}


@cache
def plan_of(arm: str, rate: float, **sizes: Any) -> Plan:
    """Return the plan that an arm's clients have in common, cooldown included; of ``frozen`` that of its cosines."""
    cycles = cycles_of(rate, sizes["low"], sizes["period"], sizes["rounds"])
    if arm == "constant":
        return cooled(Binding(hold(rate)), **sizes)
    if arm == "mean-constant":
        return cooled(controls.constant(cycles, steps_per_round=sizes["updates"]).bound[RATE], **sizes)
    if arm == "cosine":
        return cooled(wave(sizes["low"] * rate, rate, cycle=_cosine(sizes["rounds"])), **sizes)
    return cooled(cycles.bound[RATE], **sizes)


def cycles_of(peak: float, low: float, period: int, rounds: int) -> Plan:
    """Return the cosines alone: cycles of `period` rounds from `peak` down to `low` times it."""
    return Plan(total=f"{rounds}round", bindings={RATE: wave(low * peak, peak, cycle=_cosine(period))})


def cooled(course: Binding, *, rounds: int, cool: float, cooldown: int, **_: Any) -> Plan:
    """Return a course of the rate, followed by a straight decay from `cool` to 0 over the last `cooldown` rounds, whatever the course was."""
    joined = join(course, linear(cool, 0.0, over=f"{cooldown}round"), at=[f"{rounds}round"])
    return Plan(total=f"{rounds + cooldown}round", bindings={RATE: replace(course, schedule=joined)})


@cache
def _frozen(rate: float, shift: float, **sizes: Any) -> Plan:
    """Return the plan of a client that keeps its mean rate of the first round."""
    own = cycles_of(rate, sizes["low"], sizes["period"], sizes["rounds"]).shifted(shift)
    first = own.table(0, sizes["updates"], steps_per_round=sizes["updates"])[RATE]
    return cooled(Binding(hold(float(first.mean()))), **sizes)


def _cosine(period: int) -> Cycle:
    return Cycle("cosine", period=f"{period}round")


def parts_of(parameters: Mapping[str, Any], labels: Any, seed: int) -> partitions.Parts:
    """Return what the clients hold: by label with the regime's concentration, or like shares where it has none."""
    clients = parameters["clients"]
    if parameters["alpha"] is None:
        return partitions.even(len(labels), clients, seed=seed)
    return partitions.dirichlet(labels, clients, parameters["alpha"], seed=seed, least=parameters["least"])
