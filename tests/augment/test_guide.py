"""The loop that the guide shows, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import torch

torch.set_num_threads(1)


def test_the_guides_loop_runs_to_the_end_of_its_plan() -> None:
    text = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "Augment(" in block]
    names: dict[str, object] = {}
    exec(compile(code, "guide.md", "exec"), names)
    scheduler, targets = names["scheduler"], names["targets"]
    assert scheduler.count == scheduler.resolved.total == 16
    assert targets.shape == (32, 10)
