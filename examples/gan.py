"""Two players on one clock: a grid of 25 modes learnt in phase and in anti-phase, as a table and a picture.

python examples/gan.py [PICTURE]               the mixture
python examples/gan.py --images [PICTURE]      Fashion-MNIST instead: sample sheets by phase, FID and KID on a small classifier's features
"""

from __future__ import annotations

import sys
import time

import numpy as np
from matplotlib.figure import Figure

import ostinato as ost
from ostinato.applications import adversarial

ROUNDS, CYCLES, RATE, SEEDS = 8000, 8, 4e-4, (0, 1)
PHASES = [k / 8 for k in range(1, 9)]


def arms_of(rounds: int) -> dict[str, ost.Plan]:
    """Return two plans of one mean rate: in phase, and half a cycle apart."""
    shifts = {"in phase": 0.0, "anti-phase": 0.5}
    return {
        arm: adversarial.waves(0.1 * RATE, 2 * RATE, total=rounds, count=CYCLES, shift=shift)
        for arm, shift in shifts.items()
    }


def mixture(picture: str, rounds: int = ROUNDS) -> None:
    """Play, print the table, and draw samples at eight phases of the last cycle, the modes covered, and both rates."""
    grid, arms, length = adversarial.mixture("grid"), arms_of(rounds), rounds // CYCLES
    keep = [rounds - length + round(phase * length) - 1 for phase in PHASES]
    begun = time.perf_counter()
    found = adversarial.play(grid, arms, seeds=SEEDS, every=length // 8, keep=keep)
    print(f"{len(arms)} plans x {len(SEEDS)} seeds x {rounds:,} rounds in {time.perf_counter() - begun:.0f} s")
    print(
        f"\nlast cycle   modes of {grid.modes}   high quality   reverse KL   Jensen-Shannon   at its end   at its worst   runaway"
    )
    covered = found.coverage
    for place, arm in enumerate(found.arms):
        modes, good, kl, jsd = (
            np.nanmean(found.last_cycle(part.astype(float))[place])
            for part in (covered.modes, covered.high_quality, covered.reverse_kl, covered.jsd)
        )
        end, worst = covered.jsd[-1, place].mean(), found.last_cycle(covered.jsd, np.max)[place].mean()
        runaway = found.overall(found.below)[place].mean()
        print(f"{arm:10} {modes:13.1f} {good:14.1%} {kl:12.2f} {jsd:16.3f} {end:12.3f} {worst:14.3f} {runaway:9.1%}")
    draw(found, arms, picture)


def draw(found: adversarial.Games, arms: dict[str, ost.Plan], picture: str) -> None:
    """Draw the last cycle's samples, arm by arm, and below them modes and rates over time."""
    figure = Figure(figsize=(13.0, 7.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[3.4, 2.6])
    sheets = above.subplots(len(found.arms), len(PHASES), sharex=True, sharey=True)
    for row, arm in enumerate(found.arms):
        for column, phase in enumerate(PHASES):
            axes = sheets[row, column]
            axes.plot(*np.array(found.mixture.centres).T, "o", color="#d9d2c5", markersize=5)
            axes.plot(*found.kept[column, row, 0].T, ",", color="#2f5d8a", alpha=0.6)
            axes.set(xlim=(-5.5, 5.5), ylim=(-5.5, 5.5), xticks=[], yticks=[], aspect="equal")
            if row == 0:
                axes.set_title(f"phase {phase:.3f}", fontsize=9)
        sheets[row, 0].set_ylabel(arm)
    panels = below.subplots(1, 1 + len(found.arms), width_ratios=[2, *[1] * len(found.arms)])
    for place, arm in enumerate(found.arms):
        panels[0].plot(found.rounds + 1, found.coverage.modes[:, place].mean(axis=1), label=arm, linewidth=1.2)
        table = arms[arm].table(found.rounds[-1] + 1 - 2 * (found.rounds[-1] + 1) // CYCLES)
        for player, style in (("generator", "-k"), ("discriminator", "--r")):
            panels[1 + place].plot(table["step"], table[f"{player}.lr"], style, label=player, linewidth=1.2)
        panels[1 + place].set(title=f"rates, {arm}", xlabel="round", ylim=(0, 2.6 * RATE))
    panels[0].set(xlabel="round", ylabel="modes covered", title=f"mean of {len(found.seeds)} seeds", ylim=(0, None))
    panels[0].legend(frameon=False)
    panels[1].legend(frameon=False, loc="upper center", ncols=2, fontsize=8)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=130)
    print(f"\n{picture}")


if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if word != "--images"]
    if "--images" in sys.argv:
        from gan_images import images

        images(*(wanted or ["gan-images.png"]))
    else:
        mixture(*(wanted or ["gan.png"]))
