"""The benchmarks: ours and the peers side by side in one process, as ratios."""

from ostinato.bench.harness import Row, Timing, interleaved, machine
from ostinato.bench.suite import BENCHMARKS, run

__all__ = ["BENCHMARKS", "Row", "Timing", "interleaved", "machine", "run"]
