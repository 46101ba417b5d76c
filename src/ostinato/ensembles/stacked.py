"""All members in one pass: the model's forward mapped over stacked weights, recorded once as a flat list of operations.

``torch.func.vmap`` interprets the model's Python code at every call, which costs more than small models' arithmetic.
Recorded (``make_fx``), with everything computed once that depends on the weights alone, only the operations on
the inputs are left. A recording holds for one form of inputs and for the model's plain attributes as they were;
`Guard` notices when they are not any more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from ostinato.ensembles.guard import Guard, UnstackableError
from ostinato.ensembles.prediction import slots_of
from ostinato.ensembles.reduction import reduced

__all__ = ["Guard", "Recording", "UnstackableError", "record", "stacked_call"]


Pick = Callable[[Any], Tensor]
Rebuild = Callable[[Sequence[Tensor]], tuple[tuple[Any, ...], dict[str, Any]]]


class Recording:
    """The operations that are left of a stacked forward, and what they start from."""

    def __init__(
        self,
        graph: GraphModule,
        constants: list[Any],
        guard: Guard,
        live: list[tuple[dict[str, Any], str]],
        shared: bool,
    ) -> None:
        self._graph = graph  # keeps alive what the code refers to
        self._run: Callable[..., Any] = graph.forward
        self._constants = constants
        self._guard = guard
        self._live = live
        self._shared = shared
        self._live_forms = [(b[name].shape, b[name].dtype, b[name].device) for b, name in live]

    def holds(self) -> bool:
        """Whether the model is as it was recorded."""
        if not self._guard.holds():
            return False
        return not self._live or self._live_forms == [
            (b[name].shape, b[name].dtype, b[name].device) for b, name in self._live
        ]

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the members' outputs, (M, ...), for inputs of the form that was recorded."""
        with torch.no_grad():
            result: Tensor = self._run(*self._constants, *[b[name] for b, name in self._live], *inputs)
            return result.clone() if self._shared else result

    @property
    def operations(self) -> int:
        """How many operations a call makes."""
        return sum(node.op == "call_function" for node in self._graph.graph.nodes)

    def compiled(self) -> Recording:
        """Return the same with the operations compiled by torch.compile (Inductor) at the first call."""
        other = Recording.__new__(Recording)
        other.__dict__.update(self.__dict__)
        other._run = torch.compile(self._graph.forward, fullgraph=True, dynamic=False)
        return other


def stacked_call(
    model: nn.Module, stacked: Mapping[str, Tensor], live: Mapping[str, Tensor], rebuild: Rebuild, pick: Pick
) -> Callable[..., Any]:
    """Return a function of (weights..., live buffers..., inputs...) that maps the forward over the first axis of the weights."""
    names, others = list(stacked), list(live)

    def one(weights: tuple[Tensor, ...], buffers: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> Tensor:
        args, kwargs = rebuild(inputs)
        tensors = {**dict(zip(names, weights, strict=True)), **dict(zip(others, buffers, strict=True))}
        return pick(torch.func.functional_call(model, tensors, args, kwargs, tie_weights=False))

    mapped = torch.func.vmap(one, in_dims=(0, None, None), randomness="error")

    def call(*flat: Tensor) -> Any:
        a, b = len(names), len(names) + len(others)
        return mapped(flat[:a], flat[a:b], flat[b:])

    return call


def record(
    model: nn.Module, stacked: Mapping[str, Tensor], rebuild: Rebuild, inputs: Sequence[Tensor], pick: Pick
) -> Recording:
    """Record the forward of all members at once; to be called inside `ostinato.ensembles.prediction.isolated`.

    Args:
        model: the unwrapped model, in evaluation mode.
        stacked: each saved place's tensors of all members, (M, ...).
        rebuild: makes (args, kwargs) of the tensors in ``inputs``.
        inputs: the tensors given to the forward.
        pick: picks the output in the result.

    Raises:
        UnstackableError: the forward draws random numbers, branches on values, changes its inputs or the model's
            attributes, or does something that vmap cannot map.
    """
    live = {name: (module._buffers, key) for name, module, key, saved in slots_of(model) if not saved}
    before, states = Guard(model), _random_states()
    current = [_place(b, name).clone() for b, name in live.values()]
    call = stacked_call(model, stacked, dict(zip(live, current, strict=True)), rebuild, pick)
    flat = [*stacked.values(), *current, *[tensor.detach() for tensor in inputs]]
    try:
        with _PlainNorm():
            traced = make_fx(torch.func.functionalize(call, remove="mutations"))(*map(torch.clone, flat))
    except Exception as error:
        raise UnstackableError(str(error).strip().partition("\n")[0] or type(error).__name__) from error
    if not before.holds():
        raise UnstackableError("the forward changes attributes of the model")
    if states != _random_states():
        raise UnstackableError("the forward draws random numbers")
    places = (len(stacked), len(stacked) + len(live))
    graph, constants, shared = reduced(traced, flat, *places)
    return Recording(graph, constants, before, [(b, name) for b, name in live.values()], shared)


class _PlainNorm(TorchFunctionMode):
    """Write batch norm by running statistics as x·a + b, as torch's kernel computes it; a and b depend on weights alone."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is torch.nn.functional.batch_norm:
            result = _norm(*args, **(kwargs or {}))
            if result is not None:
                return result
        return function(*args, **(kwargs or {}))


def _norm(  # noqa: PLR0917 - the signature of torch's function
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    *rest: float,
    eps: float = 1e-5,
    **_: float,
) -> Tensor | None:
    """Return the normalised tensor, or None where this is another case; ``rest`` is (momentum, eps) given by place."""
    eps = rest[1] if len(rest) > 1 else eps
    if (
        training
        or mean is None
        or var is None
        or x.dtype not in (torch.float32, torch.float64)
        or x.dtype != mean.dtype
    ):
        return None
    scale = torch.rsqrt(var + eps) if weight is None else torch.rsqrt(var + eps) * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = (-1, *[1] * (x.ndim - 2))
    return x * scale.view(shape) + shift.view(shape)


def _place(buffers: dict[str, Tensor | None], name: str) -> Tensor:
    tensor = buffers[name]
    if tensor is None:
        raise UnstackableError(f"the buffer {name!r} is gone")
    return tensor


def _random_states() -> tuple[Any, ...]:
    legacy = [np.asarray(part).tobytes() for part in np.random.get_state()]  # noqa: NPY002 - the global state is what is watched
    return random.getstate(), str(legacy), torch.get_rng_state().numpy().tobytes()
