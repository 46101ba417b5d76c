"""Random edits of a plan file end in a plan or in one line, never in a traceback."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import pytest

from lines import PLAN, ostinato
from ostinato.core.plan import Plan
from ostinato.errors import OstinatoError
from ostinato.training import load_config

RICH = (
    PLAN
    + """\
[optimizer]
name = "sgd"
lr = 0.1
[data]
name = "digits"
"""
)
OTHERS = (
    "unit = \"sample\"", "total = \"3ep\"", "mult = 2", "amplitude_decay = 0.5", "count = 3", "shift = 0.25", "relative = true",
    "effective = true", "scale = \"geometric\"", "domain = [0, 1]", "warmup = true", "version = 2", "[bind.cycle]\nperiod = \"0.5cycle\"",
    "[bind.schedule]\nkind = \"product\"\nof = [{kind = \"hold\", value = 1}]", "[bind.schedule]\nkind = \"join\"\nof = []", "up = 0.3", "duty = 2",
    "waveform = \"square\"", "cycle = 3", "bind = 5", "[[bind]]", "[cycle]", "total = []", "warmup = {}", "[[bind]]\ntarget = \"\"",
)  # fmt: skip
TOKENS = (
    "nan", "inf", "-inf", "0", "-1", "1e308", "1e-320", "9" * 30, "\"\"", "\"8\"", "\"1e400step\"", "\"-3step\"", "\"0.0000001ep\"", "true", "[]", "{}",
    "[1, 2]", "1979-05-27", "\"cosine\"", "\"é\"", "\"a\\nb\"", "0x10", "\"99999999999999999999ep\"", "\"1/0step\"", "\"∞ep\"", "{ a = { b = [1] } }", "'[bold]'",
)  # fmt: skip


def edited(draws: random.Random) -> str:
    lines = RICH.splitlines()
    for _ in range(draws.randint(1, 3)):
        kind, place = draws.randrange(6), draws.randrange(len(lines))
        if kind == 0:
            lines.insert(place, draws.choice(OTHERS))
        elif kind == 1 and " = " in lines[place]:
            lines[place] = f"{lines[place].partition(' = ')[0]} = {draws.choice(TOKENS)}"
        elif kind == 2 and len(lines) > 2:
            del lines[place]
        elif kind == 3:
            other = draws.randrange(len(lines))
            lines[place], lines[other] = lines[other], lines[place]
        elif kind == 4 and lines[place]:
            letter = draws.randrange(len(lines[place]))
            lines[place] = lines[place][:letter] + chr(draws.randrange(32, 300)) + lines[place][letter + 1 :]
        else:
            lines.append(draws.choice(OTHERS))
    return "\n".join(lines) + "\n"


def loaded(file: Path) -> bool:
    """Load a configuration, resolve and sample its plan; return whether that was possible."""
    try:
        setting = load_config(file)
        plan = Plan.from_document(setting.plan or {})
        assert Plan.from_document(plan.to_document()).digest == plan.digest
        resolved = plan.resolve(steps_per_epoch=9, samples_per_step=160)
        values: dict[str, Any] = resolved.values(0)
        assert set(values) == set(resolved.targets)
    except OstinatoError as error:
        if not str(error) or "\n" in str(error):
            raise AssertionError(f"not one line: {error!r}") from error
        return False
    return True


@pytest.mark.parametrize("seed", range(4))
def test_a_randomly_edited_file_loads_or_is_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    draws = random.Random(seed)
    file = tmp_path / "plan.toml"
    fine = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(500):
            text = edited(draws)
            file.write_text(text, encoding="utf-8")
            try:
                fine += loaded(file)
            except Exception as error:
                raise AssertionError(f"{type(error).__name__}: {error}\n{text}") from error
    assert 25 < fine < 475  # both ends are reached


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("seed", range(4))
def test_a_preview_of_a_randomly_edited_file_is_a_picture_or_one_line(tmp_path: Path, seed: int) -> None:
    draws = random.Random(100 + seed)
    file = tmp_path / "plan.toml"
    for _ in range(50):
        text = edited(draws)
        file.write_text(text, encoding="utf-8")
        try:
            ended = ostinato("preview", file, "--steps-per-epoch", "9", "--json")
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{text}") from error
        if ended.status:
            assert ended.line, text
        else:
            assert ended.document["total_steps"] >= 1, text


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    draws = random.Random(3)
    file = tmp_path / "plan.toml"
    for length in range(60):
        file.write_bytes(bytes(draws.randrange(256) for _ in range(length)))
        assert not loaded(file) or length == 0 or not file.read_bytes().strip()
