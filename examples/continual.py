"""Five tasks of two digits each, one after another: replay where the rate is high, where it is low, and none; as a table and a picture.

python examples/continual.py [PICTURE]
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.figure import Figure
from torch import nn

import ostinato as ost
from ostinato.applications import continual
from ostinato.training import datasets
from ostinato.training.config import DataConfig

data = datasets.load(DataConfig(name="digits"))
parts = [
    (part.inputs[chosen], part.targets[chosen])
    for part, chosen in ((data.train, slice(0, 1400)), (data.test, slice(None)))
]
sizes = [int(np.bincount(parts[0][1]).min())] * 10
first = np.concatenate([np.flatnonzero(parts[0][1] == digit)[: sizes[digit]] for digit in range(10)])
stream = continual.split((parts[0][0][first], parts[0][1][first]), parts[1], tasks=5)


def make_model() -> nn.Module:
    """Return a perceptron with an output for every digit."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


square = ost.Cycle("square", count=15)
plan = ost.Plan(cycle=ost.Cycle("cosine", count=15), bindings={"optimizer.lr": ost.wave(0.0, 0.03)})
arms = {
    "where the rate is high": ost.wave(0.0, 1.0, cycle=square),
    "at random": ost.schedules.hold(0.5),
    "where the rate is low": ost.mirror(0.0, 1.0, cycle=square),
    "none": ost.schedules.hold(0.0),
}
found = {}
print(f"{'replay':24} average   new task   backward transfer   updates with replay   their summed rate")
for arm, probability in arms.items():
    result = continual.train_stream(
        make_model,
        stream,
        plan.replace({"replay.probability": probability}),
        buffer=continual.ClassBalanced(50),
        epochs=12,
        batch_size=16,
    )
    found[arm] = result
    matrix = result.matrix
    print(
        f"{arm:24} {continual.average_accuracy(matrix):7.1%}   {continual.new_task_accuracy(matrix):8.1%}   {100 * continual.backward_transfer(matrix):+17.1f}"
        f"   {(result.replayed > 0).sum():19}   {result.summed_rate:17.2f}"
    )

figure = Figure(figsize=(11.0, 5.6), layout="constrained")
places = figure.subplot_mosaic([list("abcd"), ["rate"] * 4], height_ratios=(3, 2))
names = [task.name for task in stream.tasks]
for place, (arm, result) in zip("abcd", found.items(), strict=True):
    axes = places[place]
    axes.imshow(result.matrix, vmin=0.0, vmax=1.0, cmap="viridis")
    for (i, j), value in np.ndenumerate(result.matrix):
        colour = "white" if value < 0.6 else "black"
        axes.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_title(f"replay: {arm}", fontsize=10)
    axes.set(xlabel="accuracy on task", ylabel="after learning task" if place == "a" else "")
    axes.set_xticks(range(5), names)
    axes.set_yticks(range(5), names if place == "a" else [""] * 5)

axes = places["rate"]
rate = result.plan.table()["optimizer.lr"]
axes.plot(rate, color="0.4", linewidth=1.0)
for place, (arm, result) in enumerate(list(found.items())[:3]):
    level = -0.3 * (place + 1) * rate.max()
    axes.vlines(np.flatnonzero(result.replayed), level, level + 0.2 * rate.max(), linewidth=0.5, color=f"C{place}")
    axes.text(result.ends[-1] * 1.005, level, arm, color=f"C{place}", fontsize=8)
for end in result.ends:
    axes.axvline(end, color="0.8", linewidth=0.8, zorder=0)
axes.set(xlabel="update (lines: a task ends)", ylabel="learning rate; below: replay", xlim=(0, result.ends[-1] * 1.15))
axes.set_yticks([0.0, rate.max()])
axes.spines[["top", "right"]].set_visible(False)
picture = sys.argv[1] if len(sys.argv) > 1 else "continual.png"
figure.savefig(picture, dpi=150)
print(f"\n{picture}")
