"""How good a model is at any time, in one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ostinato.errors import DataError

__all__ = ["area_under_error"]


def area_under_error(steps: ArrayLike, errors: ArrayLike) -> float:
    """Return the area under an error curve over its steps, divided by their span: the mean error of stopping at a random time.

    sum_i (s_(i+1) - s_i)(e_i + e_(i+1)) / 2 / (s_last - s_first), the trapezoid rule. Compare curves over the same span only.

    Args:
        steps: (E,), rising, E >= 2; any unit.
        errors: (E,), or anything else that is measured at these steps, such as an NLL.

    Raises:
        DataError: The steps do not rise, the two do not match, or a number is not finite.

    >>> area_under_error([0, 10, 30], [1.0, 0.5, 0.25])
    0.5
    """
    s, e = np.asarray(steps, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if s.ndim != 1 or s.shape != e.shape or len(s) < 2:
        raise DataError(f"errors: expected one for each of at least 2 steps, got shapes {s.shape} and {e.shape}")
    if not (np.isfinite(s).all() and np.isfinite(e).all()):
        raise DataError(f"errors: {int((~np.isfinite(e)).sum())} of {len(e)} are not finite; leave such steps out")
    gaps = np.diff(s)
    if (gaps <= 0).any():
        at = int(np.argmax(gaps <= 0))
        raise DataError(f"steps: expected them to rise, got {s[at]:g} and then {s[at + 1]:g}")
    return float((gaps * (e[1:] + e[:-1])).sum() / 2.0 / (s[-1] - s[0]))
