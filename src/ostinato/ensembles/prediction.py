"""Running a model with other weights, without touching the model; averaging what comes out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.errors import StateError, StorageError

__all__ = [
    "Average",
    "average_outputs",
    "call_with",
    "default_output",
    "isolated",
    "member_state",
    "model_tensors",
    "run_batch",
    "slots_of",
    "split_batch",
    "to_device",
    "to_probabilities",
    "unwrap",
]

Average = Literal["probabilities", "logits", "outputs"]

_INNER = {
    "OptimizedModule": "_orig_mod",
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "_FabricModule": "module",
    "DeepSpeedEngine": "module",
}


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside ``torch.compile``, DDP, DataParallel, Fabric and DeepSpeed wrappers, however nested.

    Wrappers are recognised by class name; a model of one's own with a part called ``module`` is left alone.

    >>> inner = nn.Linear(2, 2)
    >>> unwrap(nn.DataParallel(inner)) is inner, unwrap(inner) is inner
    (True, True)
    """
    for base in type(model).__mro__:
        inner = getattr(model, _INNER[base.__name__], None) if base.__name__ in _INNER else None
        if isinstance(inner, nn.Module):
            return unwrap(inner)
    return model


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's state_dict: parameters and persistent buffers.

    Raises:
        StorageError: the state_dict has extra state, which a snapshot cannot give back without changing the model.
    """
    state = model.state_dict()
    known = {
        f"{prefix}.{name}" if prefix else name
        for prefix, module in model.named_modules(remove_duplicate=False)
        for name in chain(module._parameters, module._buffers)
    }
    for name, value in state.items():
        if name not in known or not isinstance(value, Tensor):
            raise StorageError(
                f"the model's state_dict has {name!r} ({type(value).__name__}), which is no parameter or buffer and "
                "cannot be in a snapshot; keep it in a buffer, or drop it from get_extra_state"
            )
    return dict(state)


def slots_of(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, bool]]:
    """Yield (name, module, name in the module, saved) of each place that holds a tensor.

    A module that is used twice has two names in the state_dict and one here: ``functional_call`` would restore such a
    place to the wrong tensor.
    """
    for prefix, module in model.named_modules():
        dot = prefix + "." if prefix else ""
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield dot + name, module, name, True
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield dot + name, module, name, name not in module._non_persistent_buffers_set


def _slots(model: nn.Module) -> dict[str, tuple[Tensor, bool]]:
    """Return {name: (tensor, saved)}, one name for each place that holds a tensor."""
    return {name: (getattr(module, key), saved) for name, module, key, saved in slots_of(model)}


def member_state(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Match saved tensors with the model's places, on the devices that the model has now.

    Args:
        model: the unwrapped model.
        tensors: a snapshot.
        source: the snapshot's file name, for messages.

    Raises:
        StateError: names or shapes are not those of the model.
    """
    slots = _slots(model)
    wanted = {name for name, (_, saved) in slots.items() if saved}
    missing, extra = sorted(wanted - set(tensors)), sorted(set(tensors) - set(model.state_dict()))
    fault = f"{source!r} does not fit this {type(model).__name__}"
    if missing or extra:
        raise StateError(
            f"{fault}: missing {missing[:5]}, not in the model {extra[:5]}; "
            "build the model as it was when it was captured"
        )
    for name in sorted(wanted):
        if tensors[name].shape != slots[name][0].shape:
            raise StateError(
                f"{fault}: {name!r} has shape {tuple(tensors[name].shape)}, "
                f"the model has {tuple(slots[name][0].shape)}; build the model as it was when it was captured"
            )
    return {name: tensors[name].to(slots[name][0].device) for name in wanted}


def call_with(model: nn.Module, state: Mapping[str, Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run the model's forward with ``state``; buffers are copies, so that a forward that writes to them loses it."""
    tensors: dict[str, Tensor] = {}
    for name, (live, saved) in _slots(model).items():
        value = state[name] if saved else live
        tensors[name] = value if isinstance(live, nn.Parameter) else value.clone()
    return torch.func.functional_call(model, tensors, args, dict(kwargs), tie_weights=False)


def _flat_weights(module: nn.RNNBase) -> dict[str, list[Any]]:
    """Return copies of the lists in which a recurrent layer holds its weights again; ``functional_call`` misses them."""
    return {
        name: list(module.__dict__[name]) for name in ("_flat_weights", "_flat_weight_refs") if name in module.__dict__
    }


@contextmanager
def isolated(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients; training flags and the random states of Python, numpy and torch come back after."""
    flags = {module: module.training for module in model.modules()}
    devices = {tensor.device for tensor, _ in _slots(model).values() if tensor.device.type == "cuda"}
    flat = {module: _flat_weights(module) for module in flags if isinstance(module, nn.RNNBase)}
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is what is protected
    try:
        with torch.random.fork_rng(devices=sorted(devices, key=str)), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, flag in flags.items():
            module.training = flag
        for recurrent, lists in flat.items():
            recurrent.__dict__.update(lists)
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002 - as above


def default_output(result: Any) -> Tensor:
    """Return the logits in what a model returned: a tensor itself, its ``.logits``, or its ``["logits"]``.

    Raises:
        TypeError: there is none of them; the message says to give ``output``.
    """
    found = result
    if not isinstance(found, Tensor):
        found = getattr(result, "logits", None)
    if not isinstance(found, Tensor) and isinstance(result, Mapping):
        found = result.get("logits")
    if isinstance(found, Tensor):
        return found
    raise TypeError(
        f"the model returned a {type(result).__name__} without logits; say where they are, for example "
        "output=lambda result: result[0]"
    )


def _normalised(logits: Tensor) -> Tensor:
    values = logits.float()
    return values.sigmoid() if logits.shape[-1] == 1 else values.softmax(dim=-1)


def to_probabilities(logits: Tensor) -> Tensor:
    """Softmax over the last axis in float32; one column is the logit of class 1 of two, and gets a sigmoid.

    Raises:
        ValueError: the logits have fewer than two axes, so that classes and examples cannot be told apart.

    >>> to_probabilities(torch.zeros(1, 2)), to_probabilities(torch.zeros(1, 1))
    (tensor([[0.5000, 0.5000]]), tensor([[0.5000]]))
    """
    if logits.ndim < 2:
        raise ValueError(
            f"the model's output has shape {tuple(logits.shape)}, without an axis for classes beside the batch; "
            "use output=lambda result: result.unsqueeze(-1) for a binary model, or average='outputs' for regression"
        )
    return _normalised(logits)


def average_outputs(outputs: Tensor, average: Average) -> Tensor:
    """Average members' outputs of shape (M, ...) over the first axis.

    ``"probabilities"``: mean of softmax; ``"logits"``: softmax of mean; ``"outputs"``: plain mean.
    """
    if average == "probabilities":
        if outputs.ndim < 3:
            to_probabilities(outputs[0])  # raises
        return _normalised(outputs).mean(dim=0)
    if average == "logits":
        return to_probabilities(outputs.float().mean(dim=0))
    if average == "outputs":
        return outputs.mean(dim=0)
    raise ValueError(f"average={average!r} is unknown; use 'probabilities', 'logits' or 'outputs'")


def to_device(value: Any, device: torch.device) -> Any:
    """Move the tensors in nested dicts, lists, tuples and named tuples; leave everything else."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: to_device(item, device) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(to_device(item, device) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(to_device(item, device) for item in value)
    return value


def split_batch(batch: Any) -> tuple[Any, Any]:
    """Return (inputs, labels) of a batch of exactly these two.

    Raises:
        TypeError: the batch is something else.
    """
    if isinstance(batch, list | tuple) and len(batch) == 2:
        return batch[0], batch[1]
    size = f" of {len(batch)}" if isinstance(batch, list | tuple) else ""
    raise TypeError(
        f"a batch must be (inputs, labels), got a {type(batch).__name__}{size}; several inputs go as ((a, b), labels)"
    )


def run_batch(
    call: Callable[..., Any], inputs: Any, forward: Callable[[Callable[..., Any], Any], Any] | None = None
) -> Any:
    """Call the model on one batch: a tuple or list becomes ``*args``, a dict ``**kwargs``, the rest one argument."""
    if forward is not None:
        return forward(call, inputs)
    if isinstance(inputs, Mapping):
        return call(**inputs)
    if isinstance(inputs, list | tuple):
        return call(*inputs)
    return call(inputs)
