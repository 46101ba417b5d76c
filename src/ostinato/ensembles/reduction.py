"""Reducing a recorded graph to the operations on the inputs: what depends on the weights alone is computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from ostinato.ensembles.guard import UnstackableError

__all__ = ["reduced"]

_SAME_SHAPE = ("aten::view", "aten::_unsafe_view", "aten::reshape", "aten::expand", "aten::alias", "aten::detach")


def reduced(
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
    return node.target(*args, **kwargs)  # type: ignore[operator]  # a node that calls a function has one as its target


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
        return list(node.args[1]) == list(range(before.ndim))  # type: ignore[arg-type]  # the places are whole numbers by then
    return schema.name in _SAME_SHAPE
