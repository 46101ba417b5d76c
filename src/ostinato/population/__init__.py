"""Many members at once: one architecture, each member with its own plan, seed, order of the data and masks."""

from __future__ import annotations

from ostinato.population.masks import counted
from ostinato.population.prediction import predict
from ostinato.population.result import PopulationResult
from ostinato.population.training import single, train

__all__ = ["PopulationResult", "counted", "predict", "single", "train"]
