"""Adam on Rosenbrock's valley under five plans of one mean rate: excess at the end, over the last cycle and at its peak, as a table and a picture.

python examples/landscapes.py [PICTURE]
"""

from __future__ import annotations

import sys
import time

import numpy as np
from matplotlib.figure import Figure

import ostinato as ost
from ostinato import controls
from ostinato.applications import landscapes

STARTS, TARGET = 1000, 1e-3

plan = ost.Plan(total=2000, cycle=ost.Cycle("cosine", period=200), bindings={"optimizer.lr": ost.wave(0.0, 0.06)})
arms = {
    "constant": controls.constant(plan),
    "restarts": plan,
    "sorted": controls.sorted(plan),
    "cosine": controls.cosine(plan),
    "triangular": plan.replace({"cycle.waveform": "triangular"}),
}

problem = landscapes.Rosenbrock.draw(seed=0)
begun = time.perf_counter()
found = landscapes.descend(problem, problem.starts(seed=0, count=STARTS), arms)
print(
    f"{len(arms)} plans x {STARTS:,} starts x {plan.resolve().total:,} updates in {time.perf_counter() - begun:.1f} s"
)

times, hits = found.times(TARGET), found.hits(TARGET)
print(f"\nmedian excess        end   last cycle   its peak   end <= {TARGET:g} (95 %)      updates until then (median)")
for place, arm in enumerate(found.arms):
    end, mean, peak = (np.median(part[place]) for part in (found.excess, found.cycle_mean, found.peak))
    share = hits[arm]
    median = f"{times.median[place]:.0f}" if np.isfinite(times.median[place]) else "more than half never"
    print(
        f"{arm:12} {end:11.2e} {mean:12.2e} {peak:10.2e}   {share.value:6.1%} ({share.low:.1%} to {share.high:.1%})   {median}"
    )

figure = Figure(figsize=(9.0, 3.6), layout="constrained")
rates, excess = figure.subplots(1, 2)
for place, (arm, each) in enumerate(arms.items()):
    style = {
        "label": arm,
        "linewidth": 1.2,
        "linestyle": "--" if arm == "cosine" else "-",
    }  # it lies on the sorted twin
    rates.plot(each.table()["optimizer.lr"], **style)
    excess.semilogy(found.steps, np.median(found.excesses[:, place], axis=1), **style)
rates.set(xlabel="update", ylabel="learning rate", title="five plans of one mean rate")
excess.set(xlabel="update", ylabel="excess over the minimum", title=f"Rosenbrock, median of {STARTS:,} starts")
excess.legend(frameon=False)
for axes in (rates, excess):
    axes.spines[["top", "right"]].set_visible(False)
picture = sys.argv[1] if len(sys.argv) > 1 else "landscapes.png"
figure.savefig(picture, dpi=150)
print(f"\n{picture}")
