"""The main job: train a model under a plan, harvest snapshots, write the report."""

from __future__ import annotations

from ostinato.training.config import RunConfig, load_config, parse_config
from ostinato.training.folder import RunFolder
from ostinato.training.loop import Observer
from ostinato.training.run import evaluate_run, resume, train

__all__ = ["Observer", "RunConfig", "RunFolder", "evaluate_run", "load_config", "parse_config", "resume", "train"]
