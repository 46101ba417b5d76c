"""How many members fit into memory, and that chunks of so many stay below the limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostinato.errors import ConfigError
from ostinato.population import memory


@given(members=st.integers(1, 3000), each=st.integers(1, 1000), limit=st.integers(1, 100_000))
def test_chunks_share_the_members_in_order_and_stay_below_the_limit(members: int, each: int, limit: int) -> None:
    if limit < each:
        with pytest.raises(ConfigError, match=f"memory_limit: got {limit} bytes, one member needs about {each}"):
            memory.chunks_of(range(members), each, limit)
        return
    chunks = memory.chunks_of(range(members), each, limit)
    assert [member for chunk in chunks for member in chunk] == list(range(members))
    assert all(len(chunk) == len(chunks[0]) for chunk in chunks[:-1])
    assert max(map(len, chunks)) * each <= limit
    assert max(map(len, chunks)) <= 512
    assert len(chunks) == max(-(-members // (limit // each)), -(-members // 512))


def test_what_the_system_would_give_back_counts_as_free(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 900 kB\nMemFree: 10 kB\nMemAvailable:     500 kB\n")
    assert memory._free_in_machine(meminfo) == 500 * 1024
    assert (memory._free_in_machine(tmp_path / "absent") or 0) >= 0
    assert memory.available() > 1 << 20


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory._free_in_group(tmp_path) is None
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("2000\n")
    assert memory._free_in_group(tmp_path) == 7000
    (tmp_path / "memory.max").write_text("4000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory._free_in_group(tmp_path) == 3000
    (tmp_path / "memory.current").write_text("5000\n")
    assert memory._free_in_group(tmp_path) == 0
    monkeypatch.setattr(memory, "_free_in_machine", lambda: 10_000)
    monkeypatch.setattr(memory, "_free_in_group", lambda: 3000)
    assert memory.available() == 1500
    monkeypatch.setattr(memory, "_free_in_group", lambda: None)
    assert memory.available() == 5000


def test_a_group_without_a_limit_has_none(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory._free_in_group(tmp_path) is None


MEASURED = """
import resource, sys, torch
from torch import nn
import ostinato as ost
torch.set_num_threads(1)
width, members, limit = map(int, sys.argv[1:])
data = (torch.randn(512, 32), torch.randint(0, 10, (512,)))
def make(): return nn.Sequential(nn.Linear(32, width), nn.ReLU(), nn.Linear(width, 10))
def run(count, limit):
    plan = ost.Plan(total=2000, cycle=ost.Cycle(count=2), bindings={"optimizer.lr": ost.wave(1e-4, 1e-3), "optimizer.weight_decay": 0.1})
    return ost.population.train(make, [plan] * count, (data, data), steps=20, compile=False, memory_limit=limit, evaluate="last").chunks
run(2, 1 << 30)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
chunks = run(members, limit)
print(len(chunks), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
def test_chunks_need_about_what_they_may() -> None:
    limit, width, members = 96 << 20, 256, 400
    code = [sys.executable, "-c", MEASURED, str(width), str(members), str(limit)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    chunks, grown = map(int, done.stdout.split())
    held = 2 * members * (32 * width + width + width * 10 + 10) * 4  # each chunk's weights, and the result's
    assert chunks > 1
    assert grown < 1.5 * limit + held
