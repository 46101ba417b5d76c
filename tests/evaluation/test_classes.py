from __future__ import annotations

import json

import numpy as np
import pytest

from ostinato.errors import DataError
from ostinato.evaluation import average_precision, balanced_error, class_report, error

P = np.random.default_rng(0).dirichlet(np.ones(4), 300)
Y = np.random.default_rng(1).choice(4, 300, p=[0.7, 0.2, 0.1, 0.0])


def test_a_report_s_numbers_are_counts_of_its_predictions() -> None:
    found, predicted = class_report(P, Y), P.argmax(axis=1)
    assert found.support.tolist() == np.bincount(Y, minlength=4).tolist()
    for k in range(3):
        assert found.recall[k] == pytest.approx((predicted[k == Y] == k).mean())
        assert found.precision[k] == pytest.approx((Y[predicted == k] == k).mean())
        assert found.average_precision[k] == pytest.approx(average_precision(P, Y, positive=k))
    assert np.isnan([found.recall[3], found.average_precision[3]]).all()
    assert found.precision[3] == 0.0  # called so, and never right
    assert found.error == error(P, Y)
    assert found.balanced_error == balanced_error(P, Y) == pytest.approx(1 - found.recall[:3].mean())
    assert found.mean_average_precision == pytest.approx(average_precision(P, Y))


def test_of_two_classes_the_second_is_the_one_that_is_looked_for() -> None:
    two = np.stack([1 - P[:, 0], P[:, 0]], axis=1)
    assert class_report(two, Y % 2).mean_average_precision == pytest.approx(average_precision(two, Y % 2))
    none = class_report(two, np.zeros(300, int))
    assert np.isnan(none.mean_average_precision)
    assert none.to_document()["average_precision"] is None


def test_the_document_is_json_and_the_table_begins_with_the_most_frequent_class() -> None:
    names = ["rare", "rarer", "rarest", "none"]
    found = class_report(P, (Y + 1) % 3, names)
    document = json.loads(json.dumps(found.to_document(), allow_nan=False))
    assert [one["name"] for one in document["classes"]] == names
    assert document["classes"][3]["recall"] is None
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == ["class", "rarer", "rarest", "rare", "none", "error"]
    assert lines[4].split()[1:] == ["0", "-", "0.0%", "-"]
    with pytest.raises(DataError) as caught:
        class_report(P, Y, ["a", "b"])
    assert str(caught.value) == "names: got 2 for 4 classes, expected one for each"
