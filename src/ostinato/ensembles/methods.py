"""Which way the members' outputs are computed: by a rule that measures, for each form of call.

- ``loop``: one member after another, the reference.
- ``stacked``: all members in one recorded pass (`ostinato.ensembles.stacked`).
- ``compiled``: the recorded pass through torch.compile; seconds of compiling for each form.

``auto`` uses the loop until calls of one form have happened `CALLS` times and have taken `SECONDS` together, which is
about what recording and comparing cost; then it times both, interleaved, and keeps the faster. So it never spends more
than about twice what the better way alone would. It never compiles: that pays after thousands of calls, which only the
caller can know of. Whatever the way, a result was within 8 units in the last place (of the larger of 1 and the largest
output) of the loop's when it was chosen, else the loop stays.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ostinato.ensembles.prediction import call_with, isolated
from ostinato.ensembles.stacked import Pick, Rebuild, Recording, UnstackableError, record

__all__ = ["CALLS", "METHODS", "SECONDS", "Call", "Form", "Inference", "Method", "MethodChoice", "form_of"]

Method = Literal["auto", "loop", "stacked", "compiled"]
METHODS = ("auto", "loop", "stacked", "compiled")
CALLS = 8
SECONDS = 0.1
_ROUNDS = 5
_FORMS = 64
_LEAVES = (type(None), bool, int, float, str)

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class MethodChoice:
    """How calls of one form are computed, and why.

    Attributes:
        form: shapes of the inputs.
        method: ``"loop"``, ``"stacked"`` or ``"compiled"``.
        loop_s: seconds a call of the loop, None where it was not timed.
        stacked_s: seconds a call of the recorded pass, None where it was not timed.
        reason: why this method.
    """

    form: str
    method: str
    loop_s: float | None
    stacked_s: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked for.

    Attributes:
        args: of the forward.
        kwargs: of the forward.
        pick: picks the output in the result.
        last: which members, as part of the form.
        method: see the module.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    pick: Pick
    last: int | None
    method: Method


@dataclass(frozen=True, slots=True)
class Form:
    """A call's form: its key, its tensors, and how args and kwargs are made of tensors again."""

    key: Any
    inputs: Sequence[Tensor]
    rebuild: Rebuild


def _positional(inputs: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(inputs), {}


def _tensor_key(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def form_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Form | None:
    """Return the form of a call, or None where something in it is neither a plain tensor nor a plain value."""
    if not kwargs and all(type(value) is Tensor for value in args):
        return Form(tuple(map(_tensor_key, args)), args, _positional)
    leaves, structure = pytree.tree_flatten((args, dict(kwargs)))
    if not all(type(leaf) is Tensor or type(leaf) in _LEAVES for leaf in leaves):
        return None
    places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    plain = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]

    def rebuild(inputs: Sequence[Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        whole = list(plain)
        for place, tensor in zip(places, inputs, strict=True):
            whole[place] = tensor
        found: tuple[tuple[Any, ...], dict[str, Any]] = pytree.tree_unflatten(whole, structure)
        return found

    key = (
        str(structure),
        *(_tensor_key(leaf) if isinstance(leaf, Tensor) else (type(leaf), repr(leaf)) for leaf in leaves),
    )
    return Form(key, [leaves[place] for place in places], rebuild)


@dataclass
class _Entry:
    calls: int = 0
    fastest: float = float("inf")
    choice: MethodChoice | None = None
    run: Recording | None = None
    pick: Pick | None = field(default=None, repr=False)  # keeps its id from being used again


class Inference:
    """Computes members' outputs, and remembers for each form of call how."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._entries: dict[Any, _Entry] = {}
        self._stacked: dict[Any, dict[str, Tensor]] = {}
        self._stamp: Any = None

    @property
    def choices(self) -> tuple[MethodChoice, ...]:
        """What was decided for the forms seen so far."""
        return tuple(entry.choice for entry in self._entries.values() if entry.choice is not None)

    def clear(self) -> None:
        """Forget everything recorded and measured."""
        self._entries.clear()
        self._stacked.clear()

    def outputs(self, stamp: Any, call: Call, states: Callable[[], Sequence[State]]) -> Tensor:
        """Return the members' outputs, (M, ...).

        Args:
            stamp: changes when the members do; what was recorded before is forgotten then.
            call: what is asked for.
            states: returns the members' tensors.
        """
        if stamp != self._stamp:
            self.clear()
            self._stamp = stamp
        form = form_of(call.args, call.kwargs) if call.method != "loop" else None
        if form is None:
            return self._loop(call, states())
        entry = self._entry(form, call)
        if entry.run is not None:
            if entry.run.holds():
                return entry.run(form.inputs)
            entry.run, entry.choice, entry.calls = None, None, 0  # the model's attributes changed: record again
        return self._undecided(entry, form, call, states())

    def _entry(self, form: Form, call: Call) -> _Entry:
        precision = _precision(form.inputs)
        key = (form.key, call.last, id(call.pick), call.method, torch.get_num_threads(), precision)
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= _FORMS:
                del self._entries[next(iter(self._entries))]
            entry = self._entries[key] = _Entry(pick=call.pick)
        return entry

    def _undecided(self, entry: _Entry, form: Form, call: Call, states: Sequence[State]) -> Tensor:
        """Run the loop; where it is due, look for a better way and use it from now on."""
        begun = time.perf_counter()
        outputs = self._loop(call, states)
        entry.fastest = min(entry.fastest, time.perf_counter() - begun)
        entry.calls += 1
        due = call.method != "auto" or (entry.calls >= CALLS and entry.calls * entry.fastest >= SECONDS)
        if entry.choice is not None or not due:
            return outputs
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in form.inputs)
        try:
            run, reason = self._recorded(form, call, states, outputs)
            method = "compiled" if call.method == "compiled" and not reason else "stacked"
            entry.choice = MethodChoice(shapes, method, None, None, reason or "asked for")
            if call.method == "auto":
                entry.choice = _timed(shapes, run, form, lambda: self._loop(call, states))
            entry.run = run if entry.choice.method != "loop" else None
        except Exception as error:
            entry.choice = MethodChoice(shapes, "loop", entry.fastest, None, _sentence(error))
        return outputs if entry.run is None else entry.run(form.inputs)

    def _loop(self, call: Call, states: Sequence[State]) -> Tensor:
        with isolated(self._model):
            results = [call_with(self._model, state, call.args, call.kwargs) for state in states]
            return torch.stack([call.pick(result) for result in results])

    def _recorded(self, form: Form, call: Call, states: Sequence[State], expected: Tensor) -> tuple[Recording, str]:
        """Record, compile where asked for, check that the result is the loop's; say why it is not compiled."""
        if call.last not in self._stacked:
            self._stacked[call.last] = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        with isolated(self._model):
            recording = record(self._model, self._stacked[call.last], form.rebuild, form.inputs, call.pick)
            _demand_equal(recording(form.inputs), expected)
            if call.method != "compiled":
                return recording, ""
            try:
                compiled = recording.compiled()
                _demand_equal(compiled(form.inputs), expected)
            except Exception as error:
                return recording, f"not compiled: {_sentence(error)}"
        return compiled, ""


def _timed(shapes: str, run: Recording, form: Form, loop: Callable[[], Tensor]) -> MethodChoice:
    """Time both ways in turn; the median decides."""

    def stacked() -> Tensor | None:
        return run(form.inputs) if run.holds() else None

    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_ROUNDS):
        for way, way_of in enumerate((loop, stacked)):
            begun = time.perf_counter()
            way_of()
            seconds[way].append(time.perf_counter() - begun)
    slow, fast = (statistics.median(times) for times in seconds)
    return MethodChoice(shapes, "stacked" if fast < slow else "loop", slow, fast, "measured")


def _precision(inputs: Sequence[Tensor]) -> tuple[Any, ...]:
    """Return what beside the inputs decides the arithmetic: default dtype and autocast."""
    kind = inputs[0].device.type if inputs else "cpu"
    autocast = torch.is_autocast_enabled(kind)
    return torch.get_default_dtype(), autocast and torch.get_autocast_dtype(kind)


def _demand_equal(found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise UnstackableError(f"its output is {found.dtype} {tuple(found.shape)}, the loop's is {expected.dtype}")
    if not expected.is_floating_point():
        if not torch.equal(found, expected):
            raise UnstackableError("its output is not the loop's")
        return
    largest = float(expected.nan_to_num(0.0, 0.0, 0.0).abs().max()) if expected.numel() else 0.0
    bound = 8 * torch.finfo(expected.dtype).eps * max(1.0, largest)
    if not torch.allclose(found, expected, rtol=0.0, atol=bound, equal_nan=True):
        raise UnstackableError(f"its output differs from the loop's by more than {bound:.2g}")


def _sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
