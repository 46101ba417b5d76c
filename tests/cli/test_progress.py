"""What ``ostinato train`` prints about unequal classes."""

from __future__ import annotations

import numpy as np

from ostinato.cli.progress import _classes
from ostinato.evaluation import class_report


def test_a_line_names_the_class_that_is_found_least() -> None:
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]])
    told = class_report(p, [0, 0, 1, 1], ["well", "ill"]).to_document()
    assert _classes("ensemble", told) == (
        "ensemble: balanced error 25.00%, AUPRC 100.00%; lowest recall: ill, 50.00% of 2"
    )
    assert _classes("last", class_report(p, [0, 0, 0, 0], ["well", "ill"]).to_document()) == (
        "last snapshot: balanced error 25.00%, AUPRC unknown; lowest recall: well, 75.00% of 4"
    )
