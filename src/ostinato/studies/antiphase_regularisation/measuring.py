"""Training the arms of study ``antiphase-regularisation``: one population for each set of regularisers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ostinato.studies.antiphase_regularisation.plans import MOST_PIXELS, SETS, arm_of, plan_of
from ostinato.studies.frame.cells import Cell, Measurement, Request, Stage
from ostinato.studies.frame.images import load_images, small_mlp
from ostinato.studies.frame.perceptrons import Recipe, by_seeds, measured
from ostinato.studies.frame.spec import Regime
from ostinato.studies.frame.study import regime_of

__all__ = ["measure", "together"]

_OPTIONS = {"momentum": 0.9, "weight_decay": 5e-4}


def together(regime: Regime, stage: Stage, cells: tuple[Cell, ...]) -> Iterable[tuple[Cell, ...]]:
    """Cells of one set of regularisers share a model; of these, those of ten seeds are trained at once, on trial all."""
    for chosen in SETS:
        own = [cell for cell in cells if arm_of(cell.arm)[0] == chosen]
        if own:
            yield from [tuple(own)] if stage == "tuning" else by_seeds(stage, own)


def measure(request: Request) -> Iterator[Measurement]:
    """Train all cells of a request as one population and measure them."""
    regime, parameters = regime_of(request), request.parameters
    images = load_images(regime.data, regime.sha256, parameters["pool"], parameters.get("judged_on"))
    steps = parameters["epochs"] * (parameters["examples"] // parameters["batch"])
    steps -= steps % parameters["cycles"]
    plans = [
        plan_of(
            cell.arm,
            cell.settings["strength"],
            peak=parameters["peak"],
            steps=steps,
            cycles=parameters["cycles"],
            seed=cell.seed,
        )
        for cell in request.cells
    ]
    parts = SETS[arm_of(request.cells[0].arm)[0]]
    most = MOST_PIXELS if "augmentation" in parts else 0
    recipe = Recipe(small_mlp(images, most_pixels=most, dropout="dropout" in parts), "sgd", _OPTIONS)
    yield from measured(request, images, plans, recipe)
