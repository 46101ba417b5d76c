"""Small named models, good on two cores, and the choice between them.

Each has batch normalisation and dropout (``linear`` has neither), so that a plan finds something to drive; ``resnet`` has stochastic depth
as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

from ostinato.checks import is_number, is_whole
from ostinato.errors import ConfigError, suggest
from ostinato.nn import StochasticDepth
from ostinato.training.config import ModelConfig
from ostinato.training.factories import call_factory, load_factory

__all__ = ["MODELS", "build", "cnn", "linear", "mlp", "resnet"]

_SMALLEST_IMAGE = 4  # two poolings by 2 need it


def linear(shape: Sequence[int], classes: int) -> nn.Module:
    """One linear layer from the flattened inputs to the logits, (N, *shape) -> (N, classes).

    >>> sum(p.numel() for p in linear((1, 8, 8), 10).parameters())
    650
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(shape), classes))


def mlp(shape: Sequence[int], classes: int, *, hidden: int = 128, depth: int = 2, dropout: float = 0.1) -> nn.Module:
    """Flatten, then ``depth`` times (linear, batch norm, ReLU, dropout), then the head: (N, *shape) -> (N, classes).

    Args:
        shape: Shape of one input.
        classes: Number of logits.
        hidden: Width of each hidden layer.
        depth: Number of hidden layers.
        dropout: Probability in [0, 1), after each hidden layer.

    Raises:
        ConfigError: an argument is out of range.

    >>> import torch
    >>> mlp((5,), 3)(torch.zeros(4, 5)).shape
    torch.Size([4, 3])
    """
    _check_sizes("mlp", hidden=hidden, depth=depth)
    _check_dropout("mlp", dropout)
    layers: list[nn.Module] = [nn.Flatten()]
    width = prod(shape)
    for _ in range(depth):
        layers += [nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, classes))


def cnn(shape: Sequence[int], classes: int, *, width: int = 16, dropout: float = 0.1) -> nn.Module:
    """Twice (3x3 convolution, batch norm, ReLU, 2x2 max pooling), dropout and the head: (N, C, H, W) -> (N, classes).

    Args:
        shape: (C, H, W), H and W at least 4.
        classes: Number of logits.
        width: Channels of the first convolution; the second has twice as many.
        dropout: Probability in [0, 1), before the head.

    Raises:
        ConfigError: the inputs are not images of at least 4x4, or an argument is out of range.

    >>> import torch
    >>> cnn((3, 32, 32), 10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    _check_image("cnn", shape)
    _check_sizes("cnn", width=width)
    _check_dropout("cnn", dropout)
    channels, height, breadth = shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(2 * width * (height // 4) * (breadth // 4), classes),
    )


class _Residual(nn.Module):
    """x + drop(branch(x)) with ReLU before each convolution (He et al. 2016, arXiv 1603.05027); a projection where shapes differ."""

    def __init__(self, channels: int, width: int, stride: int, p: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )
        self.drop = StochasticDepth(p)
        same = stride == 1 and channels == width
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels, width, 1, stride=stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.shortcut(inputs) + self.drop(self.branch(inputs))
        return outputs


def resnet(
    shape: Sequence[int],
    classes: int,
    *,
    width: int = 16,
    depth: int = 2,
    stochastic_depth: float = 0.1,
    dropout: float = 0.1,
) -> nn.Module:
    """A residual network with stochastic depth: (N, C, H, W) -> (N, classes).

    A 3x3 convolution, two stages of ``depth`` residual blocks (the second one halves the image and doubles the channels), batch norm, ReLU,
    mean over the image, dropout and the head. Block l of L drops its branch with probability l/L · ``stochastic_depth`` (Huang et al. 2016,
    arXiv 1603.09382). A binding of ``model:StochasticDepth.p`` gives all blocks one value; with ``relative = true`` the rise over the
    depth stays.

    Args:
        shape: (C, H, W), H and W at least 4.
        classes: Number of logits.
        width: Channels of the first stage; the second has twice as many.
        depth: Residual blocks of a stage.
        stochastic_depth: Probability in [0, 1) that the last block's branch is dropped.
        dropout: Probability in [0, 1), before the head.

    Raises:
        ConfigError: the inputs are not images of at least 4x4, or an argument is out of range.

    >>> import torch
    >>> net = resnet((1, 8, 8), 10, stochastic_depth=0.2)
    >>> net(torch.zeros(2, 1, 8, 8)).shape, [round(float(m.p), 2) for m in net.modules() if isinstance(m, StochasticDepth)]
    (torch.Size([2, 10]), [0.05, 0.1, 0.15, 0.2])
    """
    _check_image("resnet", shape)
    _check_sizes("resnet", width=width, depth=depth)
    _check_dropout("resnet", dropout)
    _check_dropout("resnet", stochastic_depth, "stochastic_depth")
    blocks: list[nn.Module] = []
    channels = width
    for place in range(2 * depth):
        wide, stride = (width, 1) if place < depth else (2 * width, 2 if place == depth else 1)
        blocks.append(_Residual(channels, wide, stride, stochastic_depth * (place + 1) / (2 * depth)))
        channels = wide
    stem = nn.Conv2d(shape[0], width, 3, padding=1, bias=False)
    head = [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    return nn.Sequential(stem, *blocks, *head, nn.Linear(channels, classes))


MODELS: dict[str, Callable[..., nn.Module]] = {"cnn": cnn, "linear": linear, "mlp": mlp, "resnet": resnet}
"""The named models: each is called with ``shape``, ``classes`` and the ``args`` of the configuration."""


def build(config: ModelConfig, shape: Sequence[int], classes: int) -> nn.Module:
    """Build the configured model: a named one, or what ``"module:factory"`` makes.

    Without a name, ``cnn`` for images (C, H, W) of at least 4x4 and ``mlp`` for everything else. A factory gets the
    ``args`` of the configuration, and ``shape`` and ``classes`` if it has parameters of these names. Weights are
    drawn from torch's global generator: seed it first.

    Args:
        config: The ``[model]`` table.
        shape: Shape of one input.
        classes: Number of classes.

    Raises:
        ConfigError: the name is unknown, its arguments do not fit, or the factory makes no ``torch.nn.Module``.

    >>> type(build(ModelConfig(), (1, 8, 8), 10)[0]).__name__
    'Conv2d'
    """
    offers = {"shape": tuple(shape), "classes": classes}
    if config.factory is not None:
        model = call_factory(load_factory(config.factory, "model"), config.args, offers, "model")
        if not isinstance(model, nn.Module):
            raise ConfigError(
                f"model: {config.factory!r} returned a {type(model).__name__}, expected a torch.nn.Module"
            )
        return model
    name = config.name or ("cnn" if _is_image(shape) else "mlp")
    if name not in MODELS:
        raise ConfigError(f'model: no model is named {name!r}{suggest(name, MODELS)}; one\'s own is "module:factory"')
    _check_args(name, config.args)
    return MODELS[name](**offers, **config.args)


def _is_image(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and min(shape[1:]) >= _SMALLEST_IMAGE


def _check_args(name: str, args: dict[str, Any]) -> None:
    known = [key for key in inspect.signature(MODELS[name]).parameters if key not in ("shape", "classes")]
    for key in args:
        if key not in known:
            listed = suggest(key, known) if known else "; it takes none"
            raise ConfigError(f"model: {name!r} has no argument {key!r}{listed}")


def _check_sizes(name: str, **sizes: object) -> None:
    for key, value in sizes.items():
        if not is_whole(value, 1):
            raise ConfigError(f"model: {name!r} got {key} = {value!r}, expected a whole number > 0")


def _check_image(name: str, shape: Sequence[int]) -> None:
    if not _is_image(shape):
        raise ConfigError(
            f"model: {name!r} takes inputs of shape (C, H, W) with H and W >= {_SMALLEST_IMAGE}, got {tuple(shape)}; "
            'write model = "mlp"'
        )


def _check_dropout(name: str, value: object, key: str = "dropout") -> None:
    if not is_number(value) or not 0 <= value < 1:
        raise ConfigError(f"model: {name!r} got {key} = {value!r}, expected a probability in [0, 1)")
