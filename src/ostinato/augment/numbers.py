"""Operations on any numbers, on the features of a table and on the tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ostinato.augment.draws import normal, uniform
from ostinato.augment.traits import reach
from ostinato.errors import DataError

__all__ = ["feature_dropout", "feature_noise", "noise", "token_dropout"]


def noise(inputs: Tensor, strength: float, generator: torch.Generator, maximum: float = 0.1) -> Tensor:
    r"""Return inputs with normal noise of one deviation: :math:`x + s\,m\,\varepsilon`.

    Args:
        inputs: Floating numbers (N, ...).
        strength: s in [0, 1].
        generator: Where :math:`\varepsilon` is drawn.
        maximum: m, the largest standard deviation, in units of the inputs.

    Raises:
        DataError: The inputs are no floating numbers.
        DomainError: The strength is none.
        ConfigError: The maximum is no deviation.

    >>> from ostinato.augment import generator
    >>> round(float(noise(torch.zeros(10_000), 0.5, generator(0, 0), maximum=2.0).std()), 1)
    1.0
    """
    share = reach("noise", inputs, strength, maximum)
    return inputs if share == 0.0 else inputs + share * normal(generator, inputs)


def feature_noise(
    inputs: Tensor,
    strength: float,
    generator: torch.Generator,
    maximum: float = 0.1,
    *,
    spread: Tensor | Sequence[float] | None = None,
) -> Tensor:
    r"""Return features with normal noise in proportion to each one's own deviation: :math:`x + s\,m\,\sigma\,\varepsilon`.

    Args:
        inputs: Features (N, F, ...).
        strength: s in [0, 1].
        generator: Where :math:`\varepsilon` is drawn.
        maximum: m, the largest deviation of the noise over the feature's.
        spread: :math:`\sigma`, of the shape of one example; without it, the standard deviation over this batch.

    Raises:
        DataError: The inputs are no features, or `spread` does not fit them.
        DomainError: The strength is none.
        ConfigError: The maximum is no deviation.

    >>> from ostinato.augment import generator
    >>> changed = feature_noise(torch.zeros(10_000, 2), 1.0, generator(0, 0), maximum=0.5, spread=[0.0, 4.0])
    >>> [round(float(value), 1) for value in changed.std(0)]
    [0.0, 2.0]
    """
    share = reach("feature_noise", inputs, strength, maximum)
    if share == 0.0:
        return inputs
    # numpy adds in one order, whatever the number of threads
    given = np.std(inputs.double().cpu().numpy(), axis=0) if spread is None else spread
    deviation = torch.as_tensor(given).to(inputs)
    if deviation.shape != inputs.shape[1:]:
        raise DataError(
            f"feature_noise: got spread of shape {tuple(deviation.shape)}, expected {tuple(inputs.shape[1:])}"
        )
    return inputs + share * deviation * normal(generator, inputs)


def feature_dropout(inputs: Tensor, strength: float, generator: torch.Generator, maximum: float = 0.2) -> Tensor:
    r"""Return features of which some are zero: those with :math:`u < s\,m`. What stays is not scaled up.

    Args:
        inputs: Features (N, F, ...).
        strength: s in [0, 1].
        generator: Where u is drawn, one for each number.
        maximum: m, the largest probability.

    Raises:
        DataError: The inputs are no features.
        DomainError: The strength is none.
        ConfigError: The maximum is no share.

    >>> from ostinato.augment import generator
    >>> feature_dropout(torch.ones(1, 3), 1.0, generator(0, 0), maximum=1.0).tolist()
    [[0.0, 0.0, 0.0]]
    """
    share = reach("feature_dropout", inputs, strength, maximum)
    if share == 0.0:
        return inputs
    return inputs.masked_fill(uniform(tuple(inputs.shape), generator, inputs) < share, 0.0)


def token_dropout(
    inputs: Tensor, strength: float, generator: torch.Generator, maximum: float = 0.15, *, mask_id: int
) -> Tensor:
    r"""Return token ids of which some are the mask's: those with :math:`u < s\,m`.

    Args:
        inputs: Whole numbers (N, ...).
        strength: s in [0, 1].
        generator: Where u is drawn, one for each token.
        maximum: m, the largest probability.
        mask_id: The id that stands for a token left out.

    Raises:
        DataError: The inputs are no whole numbers.
        DomainError: The strength is none.
        ConfigError: The maximum is no share.

    >>> from ostinato.augment import generator
    >>> token_dropout(torch.tensor([[5, 6, 7]]), 1.0, generator(0, 0), maximum=1.0, mask_id=103).tolist()
    [[103, 103, 103]]
    """
    share = reach("token_dropout", inputs, strength, maximum)
    if share == 0.0:
        return inputs
    return inputs.masked_fill(uniform(tuple(inputs.shape), generator, inputs) < share, mask_id)
