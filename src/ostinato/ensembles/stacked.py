"""All members in one pass: the model's forward mapped over stacked weights, recorded once as a flat list of operations.

``torch.func.vmap`` interprets the model's Python code at every call, which costs more than small models' arithmetic.
Recorded (``make_fx``), with everything computed once that depends on the weights alone, only the operations on
the inputs are left. A recording holds for one form of inputs and for the model's plain attributes as they were;
`Guard` notices when they are not any more.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, compress
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from ostinato.ensembles.prediction import slots_of

__all__ = ["Guard", "Recording", "UnstackableError", "record", "stacked_call"]

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.layout, Tensor)
_MOST = 20_000
_SAME_SHAPE = ("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::expand", "aten::alias", "aten::detach")

Pick = Callable[[Any], Tensor]
Rebuild = Callable[[Sequence[Tensor]], tuple[tuple[Any, ...], dict[str, Any]]]


class UnstackableError(Exception):
    """This model cannot be recorded over stacked weights; the reason is for the reader of a table, not an error."""


class Guard:
    """What a recording took for granted: the identity of every plain attribute, part and hook of the model.

    Raises:
        UnstackableError: an attribute is of a kind whose content cannot be watched (an array, a generator).
    """

    def __init__(self, model: nn.Module) -> None:
        self._mappings: list[dict[Any, Any]] = []
        self._sequences: list[list[Any]] = []
        self._seen: set[int] = set()
        for module in model.modules():
            self._watch_module(module)
        self._mask = [key != "training" for mapping in self._mappings for key in mapping]
        self._size, self._saved = self._count(), list(self._values())
        self._lists = [list(sequence) for sequence in self._sequences]

    def _values(self) -> Iterable[Any]:
        return chain.from_iterable(map(dict.values, self._mappings))

    def _count(self) -> int:
        return sum(map(len, self._mappings))

    def _watch_module(self, module: nn.Module) -> None:
        self._mappings.append(module.__dict__)
        for name in ("_modules", "_forward_hooks", "_forward_pre_hooks"):
            self._mappings.append(module.__dict__[name])
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            if hooks:
                raise UnstackableError(f"{type(module).__name__} has forward hooks, which a recording would not call")
        for name, value in module.__dict__.items():
            if name not in _MODULE_PARTS:
                self._watch(value, f"{type(module).__name__}.{name}")

    def _watch(self, value: Any, where: str) -> None:
        if isinstance(value, (*_PLAIN, nn.Module, type)) or callable(value) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if len(self._seen) > _MOST:
            raise UnstackableError(f"{where} holds more than {_MOST} objects to watch")
        if type(value) in (tuple, torch.Size, frozenset):
            inner: Iterable[Any] = value
        elif type(value) is dict:
            self._mappings.append(value)
            inner = value.values()
        elif type(value) is list:
            self._sequences.append(value)
            inner = value
        elif type(value).__module__ != "numpy" and hasattr(value, "__dict__") and not hasattr(type(value), "__slots__"):
            self._mappings.append(value.__dict__)
            inner = value.__dict__.values()
        elif type(value) is set and not value:
            return
        else:
            raise UnstackableError(f"{where} is a {type(value).__name__}, whose changes would not be noticed")
        for item in inner:
            self._watch(item, where)

    def holds(self) -> bool:
        """Whether everything is as it was; a few microseconds for a small model."""
        if self._count() != self._size or not all(compress(map(is_, self._values(), self._saved), self._mask)):
            return False
        return all(
            len(now) == len(then) and all(map(is_, now, then))
            for now, then in zip(self._sequences, self._lists, strict=True)
        )


_MODULE_PARTS = frozenset(nn.Module().__dict__)


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
    graph, constants, shared = _reduced(traced, flat, *places)
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


def _reduced(
    traced: GraphModule, flat: Sequence[Tensor], weights: int, inputs: int
) -> tuple[GraphModule, list[Any], bool]:
    """Compute what depends on the weights alone, drop what does nothing, and return the rest and its constants."""
    nodes = list(traced.graph.nodes)
    placeholders = [node for node in nodes if node.op == "placeholder"]
    private = set(placeholders[:inputs])  # weights and copies of buffers: what is written to them is lost by intention
    values: dict[Node, Any] = dict(zip(placeholders, flat, strict=True))
    fixed = set(placeholders[:weights])
    kept: list[Node] = []
    for node in nodes:
        if node.op == "call_function":
            if node.target is torch.ops.aten.copy_.default:
                if node.args[0] not in private or node.users:
                    raise UnstackableError("the forward writes to its inputs or to a tensor that is no buffer")
                continue
            _refuse_mutation(node)
            values[node] = _value(node, values)
            if all(source in fixed for source in node.all_input_nodes):
                fixed.add(node)
            else:
                kept.append(node)
        elif node.op == "get_attr":
            values[node] = getattr(traced, str(node.target))
    return _rebuilt(traced, kept, fixed, placeholders[weights:], values)


def _refuse_mutation(node: Node) -> None:
    schema = getattr(node.target, "_schema", None)
    if schema is not None and schema.is_mutable:
        raise UnstackableError(f"{node.target} changes a tensor in place")


def _value(node: Node, values: Mapping[Node, Any]) -> Any:
    args = torch.fx.node.map_arg(node.args, lambda source: values[source])
    kwargs = torch.fx.node.map_arg(node.kwargs, lambda source: values[source])
    return node.target(*args, **kwargs)  # type: ignore[operator]


def _rebuilt(
    traced: GraphModule, kept: list[Node], fixed: set[Node], free: list[Node], values: Mapping[Node, Any]
) -> tuple[GraphModule, list[Any], bool]:
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    result = output.args[0]
    if not isinstance(result, Node):
        raise UnstackableError("the output is no single tensor")
    needed = _needed(kept, result)
    sources = dict.fromkeys(source for node in kept if node in needed for source in node.all_input_nodes)
    frontier = [node for node in [*sources, result] if node in fixed]
    frontier = list(dict.fromkeys(frontier))
    graph = Graph()
    new = {node: graph.placeholder(f"c{place}") for place, node in enumerate(frontier)}
    new |= {node: graph.placeholder(f"x{place}") for place, node in enumerate(free)}
    for node in sources:
        if node.op == "get_attr":
            new[node] = graph.get_attr(str(node.target))
    for node in kept:
        if node in needed:
            new[node] = new[_source(node)] if _does_nothing(node, values) else graph.node_copy(node, new.__getitem__)
    graph.output(new[result])
    constants = [value.detach() if isinstance(value, Tensor) else value for value in map(values.__getitem__, frontier)]
    lasting = [values[node] for node in (*free, *frontier, *(s for s in sources if s.op == "get_attr"))]
    storages = {value.untyped_storage().data_ptr() for value in lasting if isinstance(value, Tensor)}
    shared = values[result].untyped_storage().data_ptr() in storages  # a caller may write into its result
    return GraphModule(traced, graph), constants, shared


def _needed(kept: list[Node], result: Node) -> set[Node]:
    needed = {result}
    for node in reversed(kept):
        if node in needed:
            needed.update(node.all_input_nodes)
    return needed


def _source(node: Node) -> Node:
    return node.all_input_nodes[0]


def _does_nothing(node: Node, values: Mapping[Node, Any]) -> bool:
    """Whether the node only gives its input another name."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or len(node.all_input_nodes) != 1 or node.args[0] is not node.all_input_nodes[0]:
        return False
    before, after = values[_source(node)], values[node]
    if not isinstance(before, Tensor) or not isinstance(after, Tensor) or before.shape != after.shape:
        return False
    if schema.name == "aten::permute":
        return list(node.args[1]) == list(range(before.ndim))  # type: ignore[arg-type]
    return schema.name in _SAME_SHAPE
