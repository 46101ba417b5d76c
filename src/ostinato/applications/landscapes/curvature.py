"""How curved the loss of a model is where it stands, and how noisy its gradient is; the model itself is only looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ostinato.applications.landscapes.derivatives import Batches, Loss, MeanLoss
from ostinato.checks import whole
from ostinato.errors import ConfigError, DataError, NonFiniteError

__all__ = ["Curvature", "GradientNoise", "curvature_of", "gradient_noise_of"]

_DENSE = 24
"""With at most so many parameters the Hessian is computed whole."""


@dataclass(frozen=True)
class Curvature:
    """The Hessian's largest eigenvalues where a model stands.

    An eigenvalue alone says little across losses: a loss times c has eigenvalues times c, and is trained at a rate divided by c. Compare what no
    factor changes: `relative_to_loss`, `relative_to_gradient`, or `stability` at the rate that the run used.

    Attributes:
        eigenvalues: The largest of the Hessian of the mean loss, in descending order.
        loss: The mean loss.
        gradient_norm: Euclidean norm of its gradient.
    """

    eigenvalues: tuple[float, ...]
    loss: float
    gradient_norm: float

    @property
    def sharpness(self) -> float:
        """The largest eigenvalue."""
        return self.eigenvalues[0]

    @property
    def relative_to_loss(self) -> float:
        """The largest eigenvalue / abs(loss); NaN where the loss is 0."""
        return self.sharpness / abs(self.loss) if self.loss else math.nan

    @property
    def relative_to_gradient(self) -> float:
        """The largest eigenvalue / norm of the gradient; NaN where that is 0. It changes with the scale of the weights, not of the loss."""
        return self.sharpness / self.gradient_norm if self.gradient_norm else math.nan

    def stability(self, rate: float) -> float:
        """Return rate * largest eigenvalue / 2: gradient descent on the quadratic diverges above 1.

        >>> Curvature((4.0,), 1.0, 1.0).stability(0.1)
        0.2
        """
        return rate * self.sharpness / 2


@dataclass(frozen=True)
class GradientNoise:
    r"""How the gradient scatters from example to example.

    Attributes:
        trace: :math:`\mathrm{tr}\,\Sigma`, of the covariance of one example's gradient; without bias.
        squared_norm: :math:`|G|^2` of the true gradient; without bias, so that it may come out below 0 where it is small.
        batch_size: Examples of a batch.
        batches: How many batches were used.
    """

    trace: float
    squared_norm: float
    batch_size: int
    batches: int

    @property
    def scale(self) -> float:
        r"""The simple noise scale :math:`B = \mathrm{tr}\,\Sigma / |G|^2`, in examples; infinite where `squared_norm` is not above 0.

        No factor on the loss changes it. A batch much smaller than B gives a gradient that is mostly noise.
        """
        return self.trace / self.squared_norm if self.squared_norm > 0 else math.inf


def curvature_of(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[tuple[Any, Tensor]],
    *,
    count: int = 1,
    tolerance: float = 1e-3,
    training: bool = False,
    seed: int = 0,
) -> Curvature:
    r"""Return the largest eigenvalues of the Hessian of the mean loss, with the loss and its gradient's norm.

    .. math:: \lambda_1 \ge \lambda_2 \ge \dots \text{ of } H = \nabla^2 \sum_b \frac{n_b}{N} L_b

    By Lanczos iteration on products with the Hessian (two backward passes each), so that it is never built but for very small models. Parameters
    that need no gradient do not count. Nothing of the model changes: not its mode, buffers, gradients or weights, nor the global random states.

    Args:
        model: What is looked at, as it stands.
        loss: Of (outputs, targets): the mean over the examples of a batch.
        batches: Of (inputs, targets); they are kept, and gone through at every product.
        count: How many eigenvalues.
        tolerance: Relative accuracy of an eigenvalue.
        training: Look at the model in training mode: dropout draws the same masks at every product. By default in evaluation mode.
        seed: Of the first vector, and of what the model draws.

    Raises:
        ConfigError: `count` or `tolerance` cannot be, or no parameter needs a gradient.
        DataError: There is no batch, or the loss is not one number.
        NonFiniteError: Loss, gradient or Hessian is not finite, or Lanczos iteration does not converge.

    Source: Pearlmutter 1994, Fast Exact Multiplication by the Hessian; Lehoucq, Sorensen and Yang 1998, ARPACK (by SciPy's ``eigsh``).

    >>> model = nn.Linear(2, 1, bias=False)
    >>> inputs = torch.diag(torch.tensor([3.0, 1.0]))
    >>> found = curvature_of(model, nn.functional.mse_loss, [(inputs, torch.zeros(2, 1))], count=2)
    >>> [round(value, 4) for value in found.eigenvalues]
    [9.0, 1.0]
    """
    whole("count", count)
    if not 0 < tolerance < 1:
        raise ConfigError(f"tolerance: got {tolerance!r}, expected a number between 0 and 1")
    view = MeanLoss(model, loss, _kept(batches), seed)
    if count > view.size:
        raise ConfigError(f"count: got {count}, the model has {view.size} parameters that need a gradient")
    with _looked_at(model, training=training):
        value, gradient = view.gradient()
        eigenvalues = _largest(view, count, tolerance, seed)
    return Curvature(tuple(float(one) for one in eigenvalues), value, float(np.linalg.norm(gradient)))


def gradient_noise_of(
    model: nn.Module, loss: Loss, batches: Iterable[tuple[Any, Tensor]], *, training: bool = False, seed: int = 0
) -> GradientNoise:
    r"""Return the noise of a model's gradient, from batches of one size.

    .. math:: \mathrm{tr}\,\Sigma = \frac{\overline{|g_b|^2} - |\bar g|^2}{1/B - 1/(nB)}, \quad
              |G|^2 = \frac{nB\,|\bar g|^2 - B\,\overline{|g_b|^2}}{nB - B}

    for n batches of B examples with gradients g_b: the estimators without bias for two sizes of batch, B and all of them. Their quotient `scale` is
    not without bias; many batches make it small. The model is left as `curvature_of` leaves it.

    Args:
        model: What is looked at, as it stands.
        loss: Of (outputs, targets): the mean over the examples of a batch.
        batches: Of (inputs, targets), drawn independently, at least two, all with as many examples.
        training: Look at the model in training mode.
        seed: Of what the model draws.

    Raises:
        ConfigError: No parameter needs a gradient.
        DataError: There are fewer than two batches, or they differ in size, or the loss is not one number.
        NonFiniteError: A gradient is not finite.

    Source: McCandlish et al. 2018, An Empirical Model of Large-Batch Training, arXiv 1812.06162, appendix A.1.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> batches = [(torch.ones(1, 1), torch.tensor([[y]])) for y in (0.0, 2.0)]
    >>> round(gradient_noise_of(model, nn.functional.mse_loss, batches).trace, 4)
    8.0
    """
    kept = _kept(batches)
    sizes = sorted({len(targets) for _, targets in kept})
    if len(kept) < 2 or len(sizes) > 1:
        raise DataError(f"batches: got {len(kept)} of sizes {sizes}, expected at least two of one size")
    with _looked_at(model, training=training):
        gradients = [MeanLoss(model, loss, [batch], seed).gradient()[1] for batch in kept]
    small = float(np.mean([gradient @ gradient for gradient in gradients]))
    mean = np.mean(gradients, axis=0)
    large = float(mean @ mean)
    size, every = sizes[0], sizes[0] * len(kept)
    return GradientNoise(
        (small - large) / (1 / size - 1 / every), (every * large - size * small) / (every - size), size, len(kept)
    )


def _largest(view: MeanLoss, count: int, tolerance: float, seed: int) -> NDArray[np.float64]:
    """Return the largest eigenvalues of the Hessian, in descending order."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    if view.size <= max(_DENSE, count + 1):
        dense = np.stack([view.product(column) for column in np.eye(view.size)])
        return np.asarray(np.linalg.eigvalsh((dense + dense.T) / 2)[::-1][:count], np.float64)
    start = np.random.default_rng(seed).standard_normal(view.size)
    if not view.product(start).any():  # a loss that is linear: ARPACK refuses a vector that vanishes
        return np.zeros(count)
    operator = LinearOperator((view.size, view.size), matvec=view.product, dtype=np.float64)
    try:
        found = eigsh(operator, k=count, which="LA", tol=tolerance, v0=start, return_eigenvectors=False)
    except ArpackNoConvergence as error:
        raise NonFiniteError(
            f"curvature_of: Lanczos iteration did not converge; raise tolerance (it is {tolerance:g}) or lower count: {error}"
        ) from error
    return np.asarray(np.sort(found)[::-1], np.float64)


def _kept(batches: Iterable[tuple[Any, Tensor]]) -> Batches:
    kept = list(batches)
    if not kept or not all(len(targets) for _, targets in kept):
        raise DataError(f"batches: got {len(kept)}, expected at least one of (inputs, targets), none of them empty")
    return kept


@contextmanager
def _looked_at(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put the model into a mode, and it and the random states back at the end of the block."""
    modes = {module: module.training for module in model.modules()}
    devices = sorted({parameter.device.index for parameter in model.parameters() if parameter.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices), torch.enable_grad():
            model.train(training)
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
