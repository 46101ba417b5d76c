from __future__ import annotations

from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import numpy as np
import pytest

from ostinato.checks import is_finite, is_number, is_whole, whole
from ostinato.core.registry import schedule
from ostinato.errors import ConfigError, DataError, OstinatoError, PlanError
from ostinato.search import Objective, Range


@pytest.mark.parametrize("value", [True, 3.0, "3", None, np.int64(3), Fraction(3), float("nan")])
def test_a_whole_number_is_pythons_own(value: Any) -> None:
    assert not is_whole(value)
    with pytest.raises(ConfigError, match=r"^n: got .*, expected a whole number >= 1$"):
        whole("n", value)


def test_numpys_is_taken_where_one_asks_for_it_and_comes_back_as_pythons() -> None:
    assert is_whole(np.int64(3), 3, 3, of=Integral)
    assert type(whole("n", np.int64(3), of=Integral)) is int
    assert not is_whole(np.bool_(True), of=Integral)
    assert not is_whole(True, of=Integral)
    assert is_number(np.float32(0.5), of=Real)
    assert is_finite(Fraction(1, 2), of=Real)
    assert not is_number(np.float32(0.5))
    assert not is_finite(True, of=Real)


def test_the_ends_belong_to_the_range_and_the_message_names_them() -> None:
    assert [is_whole(value, 1, 3) for value in range(5)] == [False, True, True, True, False]
    with pytest.raises(DataError, match=r"^n: got 5, expected a whole number from 1 to 4$"):
        whole("n", 5, 1, 4, error=DataError)
    with pytest.raises(ConfigError, match=r"^n: got 'x', expected a whole number$"):
        whole("n", "x", None)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda n: Range(0.1, 1.0, points=n), PlanError),
        (lambda n: Objective(moment="cycle-mean", evaluations=n), ConfigError),
        (lambda n: schedule("numbered", version=n)(lambda: None), PlanError),
    ],
    ids=["points", "evaluations", "version"],
)
def test_what_a_document_could_not_hold_is_refused_before_it_gets_there(make: Any, error: type[OstinatoError]) -> None:
    with pytest.raises(error, match=r"got np\.int64\(4\), expected a whole number"):
        make(np.int64(4))
