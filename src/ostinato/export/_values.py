"""A plan's values as Python functions of the step."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from fractions import Fraction
from typing import Any

from ostinato.core.address import Address
from ostinato.core.algebra import Clip, Join, Product, Sum, Warmup
from ostinato.core.bindings import Binding
from ostinato.core.cycles import Harmonic, Rhythm
from ostinato.core.registry import Registered
from ostinato.core.resolved import ResolvedPlan
from ostinato.core.schedules import Context, Hold, Linear, OneCycle, Schedule, Wave
from ostinato.errors import PlanError
from ostinato.export._helpers import HELPERS, helper_source
from ostinato.export._text import call_lines, docstring, escaped, identifier, joined, table

__all__ = ["Values"]

_LONGEST = 56


class Values:
    """The functions of an exported script: one for every target, and the parts and cycles that they call.

    Attributes:
        names: Target to the name of its function of the step.

    Raises:
        PlanError: A schedule of one's own, whose code cannot be copied.
    """

    def __init__(self, resolved: ResolvedPlan, reserved: Collection[str]) -> None:
        self._resolved = resolved
        self._context: Context = resolved.context
        self._taken = {*reserved, *HELPERS}
        self._helpers: set[str] = set()
        self._cycles: dict[Any, str] = {}
        self._cycle_sources: list[str] = []
        self._sources: list[str] = []
        if self._context.rhythm is not None:
            self._taken.add("cycle")
        self.names = {target: self._name(target) for target in resolved.targets}
        for target in resolved.targets:
            self._target = target
            self._add_target(target, resolved.plan.bound[target])

    @property
    def blocks(self) -> list[str]:
        """The functions as text, each before those that call it: helpers, cycles, targets."""
        return [*helper_source(self._helpers), *self._cycle_sources, *self._sources]

    # -- targets -----------------------------------------------------------------------------------------------

    def _name(self, text: str) -> str:
        name = identifier(text, self._taken)
        self._taken.add(name)
        return name

    def _add_target(self, target: str, binding: Binding) -> None:
        shown = target if len(target) <= _LONGEST else f"{target[: _LONGEST // 2]}...{target[-_LONGEST // 2 :]}"
        name, what = self.names[target], f"Return {escaped(shown)} at update `step`"
        if binding.effective:
            rate = self.names[self._resolved.rate_of(target)]
            product = self._name(f"{name}_times_lr")
            self._add(product, "step", f"{what}, times the learning rate.", self._on_clock(target, binding))
            self._add(
                name, "step", f"{what}: lr times it follows the plan.", [f"    return {product}(step) / {rate}(step)"]
            )
            return
        note = " as a factor on what was there" if binding.relative else ""
        self._add(name, "step", f"{what}{note}: {_described(binding.schedule)}.", self._on_clock(target, binding))

    def _on_clock(self, target: str, binding: Binding) -> list[str]:
        """Return the lines from `step` to the value: warm-up, then the course by `count`, held after the total."""
        body = self._body(binding.schedule, self._context)
        rate = Address.parse(target).is_rate if binding.warmup is None else binding.warmup
        warmup = self._resolved.warmup
        if rate and warmup:
            first = _number(binding.schedule.resolve(self._context)(0))
            return [
                "    count = min(step, TOTAL - 1) - WARMUP",
                "    if count < 0:",
                f"        return {first} * ((step + 1) / (WARMUP + 1))",
                *body,
            ]
        if not any(re.search(r"\bcount\b", line) for line in body):
            return body
        count = "max(min(step, TOTAL - 1) - WARMUP, 0)" if warmup else "min(step, TOTAL - 1)"
        return [f"    count = {count}", *body]

    def _add(self, name: str, argument: str, what: str, body: list[str]) -> None:
        lines = [f"def {name}({argument}):", *docstring(what), *body]
        self._sources.append("\n".join(lines) + "\n")

    # -- schedules ---------------------------------------------------------------------------------------------

    def _body(self, schedule: Schedule, context: Context) -> list[str]:
        """Return the lines that compute a schedule from `count` and return it."""
        if type(schedule) not in _WRITERS:
            what = f"{schedule.name!r}" if isinstance(schedule, Registered) else f"a {type(schedule).__name__}"
            raise PlanError(
                f"{self._target}: the schedule {what} is code of its own, which an export cannot copy; bind the plan with Ostinato, or build the schedule from ostinato.schedules"
            )
        return _WRITERS[type(schedule)](self, schedule, context)

    def _part(self, schedule: Schedule, context: Context) -> str:
        """Return an expression in `count` for a part of a schedule, which gets a function of its own."""
        if isinstance(schedule, Hold):
            return _number(schedule.value)
        body = self._body(schedule, context)
        name = self._name(f"{self.names[self._target]}_{schedule.kind}")
        self._add(name, "count", f"Return {_described(schedule)}, by the count after the warm-up.", body)
        return f"{name}(count)"

    def _use(self, helper: str) -> str:
        self._helpers.add(helper)
        return helper

    def _hold(self, schedule: Hold, context: Context) -> list[str]:
        return [f"    return {_number(schedule.value)}"]

    def _wave(self, schedule: Wave, context: Context) -> list[str]:
        timeline, cycle, origin = schedule.timeline(context)
        decays, flat = cycle.amplitude_decay != 1.0, cycle.waveform == "constant"
        lines = []
        if decays or not flat:
            index, offset, length = "index" if decays else "_", *(("_", "_") if flat else ("offset", "length"))
            lines.append(f"    {index}, {offset}, {length} = {self._cycle(timeline)}({_since('count', origin)})")
        if flat:
            level = "1.0"
        else:
            phase = "offset / length"
            if schedule.shift:
                lines.append(f"    phase = {self._use('rotated')}({phase}, {_number(schedule.shift)})")
                phase = "phase"
            parameters = "".join(f", {_number(value)}" for value in cycle.parameters.values())
            lines.append(f"    level = {self._use(cycle.waveform)}({phase}{parameters})")
            level = "level"
        if decays:
            power = f"{_number(cycle.amplitude_decay)}**index"
            lines.append(f"    level = {power}" if flat else f"    level = {power} * level")
            level = "level"
        between = self._use("between_geometric" if schedule.scale == "geometric" else "between")
        level = f"1.0 - {level}" if schedule.mirrored else level
        return [*lines, *call_lines("return", between, [_number(schedule.low), _number(schedule.high), level])]

    def _linear(self, schedule: Linear, context: Context) -> list[str]:
        over = context.counts(schedule.over, "over")
        start, end = _number(schedule.start), _number(schedule.end)
        low, high = sorted((schedule.start, schedule.end))
        own = _since("count", context.origin)
        own = f"({own})" if context.origin else own
        return [
            f"    done = min({own} / {over.numerator if over.denominator == 1 else _number(float(over))}, 1.0)",
            f"    value = {start} * (1.0 - done) + {end} * done",
            f"    return {self._use('clipped')}(value, {_number(low)}, {_number(high)})",
        ]

    def _one_cycle(self, schedule: OneCycle, context: Context) -> list[str]:
        total = max(context.whole(schedule.over, "over"), 1)
        anneal = self._use("anneal" if schedule.anneal_strategy == "cos" else "anneal_linear")
        lines, begin = [f"    count = min({_since('count', context.origin)}, {total - 1})"], 0.0
        phases = schedule.phases(total)
        for place, (end, first, last) in enumerate(phases):
            arguments = ["count", *(_number(float(value)) for value in (begin, end, first, last))]
            final = place == len(phases) - 1
            if not final:
                lines.append(f"    if count <= {_number(float(end))}:")
            lines += call_lines("return", anneal, arguments, "    " if final else "        ")
            begin = end
        return lines

    def _warmup(self, schedule: Warmup, context: Context) -> list[str]:
        over, origin = context.whole(schedule.over, "over"), context.origin
        inner = context.starting(over)
        if not over:
            return self._body(schedule.of, inner)
        first, start = schedule.of.resolve(inner)(origin + over), schedule.start
        done = f"(({_since('count', origin - 1)}) / {over + 1})"
        climb = f"{_number(first - start)} * {done}"
        climb = f"{_number(start)} + {climb}" if start else climb
        return [
            f"    if count < {origin + over}:",
            f"        return {climb}",
            *joined("return", [self._part(schedule.of, inner)], "+"),
        ]

    def _join(self, schedule: Join, context: Context) -> list[str]:
        starts = [0, *(context.whole(place, "at") for place in schedule.at)]
        parts = [self._part(part, context.starting(start)) for part, start in zip(schedule.of, starts, strict=True)]
        lines = []
        for end, part in zip(starts[1:], parts[:-1], strict=True):
            lines += [f"    if count < {end + context.origin}:", *joined("return", [part], "+", "        ")]
        return [*lines, *joined("return", parts[-1:], "+")]

    def _product(self, schedule: Product, context: Context) -> list[str]:
        return joined("return", [self._part(part, context) for part in schedule.of], "*")

    def _sum(self, schedule: Sum, context: Context) -> list[str]:
        return joined("return", [self._part(part, context) for part in schedule.of], "+")

    def _clip(self, schedule: Clip, context: Context) -> list[str]:
        bounds = [_number(schedule.low), _number(schedule.high)]
        return call_lines("return", self._use("clipped"), [self._part(schedule.of, context), *bounds])

    # -- cycles ------------------------------------------------------------------------------------------------

    def _cycle(self, timeline: Any) -> str:
        """Return the name of the function that gives index, offset and length of a cycle; equal ones share it."""
        if isinstance(timeline, Harmonic):
            key: Any = (self._key(timeline.base), timeline.ratio)
        else:
            key = self._key(timeline)
        if key not in self._cycles:
            shared = timeline == self._context.rhythm
            source = self._harmonic if isinstance(timeline, Harmonic) else self._rhythm
            lines = source(timeline, name := "cycle" if shared else self._name("own_cycle"))
            self._cycles[key] = name
            self._cycle_sources.append("\n".join(lines) + "\n")
        return self._cycles[key]

    @staticmethod
    def _key(rhythm: Rhythm) -> tuple[Fraction, Fraction, int]:
        return rhythm.period, rhythm.mult, rhythm.span if rhythm.mult != 1 else 0

    @staticmethod
    def _rhythm(rhythm: Rhythm, name: str) -> list[str]:
        what = "Return index of the cycle, offset in it and its length, in whole steps"
        head = [f"def {name}(count):"]
        if rhythm.mult != 1:
            ends = f"{name.upper()}_ENDS"
            return [
                *table(ends, (rhythm.end(k) for k in range(max(len(rhythm), 1)))),
                "\n",
                *head,
                *docstring(f"{what}."),
                f"    index = sum(count >= end for end in {ends})",
                f"    start = {ends}[index - 1] if index else 0",
                f"    return index, count - start, {ends}[index] - start",
            ]
        p, q = rhythm.period.numerator, rhythm.period.denominator
        if q == 1:
            lines = [f"    index, offset = divmod(count, {p})", f"    return index, offset, {p}"]
            return [*head, *docstring(f"{what}."), *lines]
        return [
            *head,
            *docstring(f"{what}. Cycle k ends at (k + 1) * {p} / {q}, rounded half up."),
            f"    index = ((2 * count + 1) * {q} - 1) // {2 * p}",
            f"    start = ({2 * p} * index + {q}) // {2 * q}",
            f"    end = ({2 * p} * (index + 1) + {q}) // {2 * q}",
            "    return index, count - start, end - start",
        ]

    def _harmonic(self, timeline: Harmonic, name: str) -> list[str]:
        base = self._cycle(timeline.base)
        p, q = timeline.ratio.numerator, timeline.ratio.denominator
        ratio = str(p) if q == 1 else f"{p}/{q}"
        return [
            f"def {name}(count):",
            *docstring(f"Return index, offset and length of cycles that last {ratio} shared ones, in parts of a step."),
            f"    index, offset, length = {base}(count)",
            f"    own, rest = divmod((index * length + offset) * {q}, length * {p})",
            f"    return own, rest, length * {p}",
        ]


_WRITERS: dict[type[Schedule], Callable[[Values, Any, Context], list[str]]] = {
    Hold: Values._hold,
    Wave: Values._wave,
    Linear: Values._linear,
    OneCycle: Values._one_cycle,
    Warmup: Values._warmup,
    Join: Values._join,
    Product: Values._product,
    Sum: Values._sum,
    Clip: Values._clip,
}


def _number(value: float) -> str:
    return repr(float(value))


def _since(name: str, origin: int) -> str:
    """Return the count since `origin`."""
    return name if not origin else f"{name} - {origin}" if origin > 0 else f"{name} + {-origin}"


def _described(schedule: Schedule) -> str:
    """Return a few words about a schedule."""
    if isinstance(schedule, Wave):
        scale = " (geometric)" if schedule.scale == "geometric" else ""
        return f"a {'mirror' if schedule.mirrored else 'wave'} between {schedule.low:g} and {schedule.high:g}{scale}"
    if isinstance(schedule, Hold):
        return f"always {schedule.value:g}"
    if isinstance(schedule, Linear):
        return f"a line from {schedule.start:g} to {schedule.end:g}"
    return {
        "one_cycle": "one cycle", "warmup": "a schedule after its own warm-up", "join": "one schedule after another",
        "product": "a product", "sum": "a sum", "clip": "a schedule between bounds",
    }.get(schedule.kind, schedule.kind)  # fmt: skip
