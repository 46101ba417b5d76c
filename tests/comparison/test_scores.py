from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ostinato.comparison.scores import scores_of
from ostinato.errors import RunInterruptedError


def test_a_lost_process_is_no_divergence() -> None:
    result: Any = SimpleNamespace(failures={3: "its process was killed twice"})
    targets: Any = SimpleNamespace(numpy=list)
    material: Any = SimpleNamespace(data=SimpleNamespace(test=SimpleNamespace(targets=targets)))
    with pytest.raises(
        RunInterruptedError, match=r"member 3 of the block was lost: its process was killed twice; .* --resume"
    ):
        scores_of(material, result)
