from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parents[3] / "examples"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_mixture_prints_its_table_and_draws_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded("gan").mixture(str(tmp_path / "made.png"), rounds=128)
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:10].strip(): line[10:].split() for line in lines if line.startswith(("in phase", "anti-phase"))}
    assert set(rows) == {"in phase", "anti-phase"}
    assert all(0 <= float(row[0]) <= 25 and 0 < float(row[3]) <= np.log(2) for row in rows.values())
    assert rows["in phase"] != rows["anti-phase"]
    assert (tmp_path / "made.png").stat().st_size > 20_000


def test_the_image_game_goes_through_its_phases(monkeypatch: pytest.MonkeyPatch) -> None:
    module = loaded("gan_images")
    monkeypatch.setattr(module, "ROUNDS", 16)
    monkeypatch.setattr(module, "BATCH", 8)
    g, sheets = module.train(0.5, torch.rand(32, 1, 28, 28))
    assert [sheet.shape for sheet in sheets] == [(8, 1, 28, 28)] * 4
    assert not torch.equal(sheets[0], sheets[-1])
    assert module.made(g, torch.randn(5, module.LATENT)).min() >= 0
