"""PPO on CartPole, its rate in anti-phase to the difficulty: rate, difficulty and the return on a fixed grid over the steps, as a table and a picture.

python examples/reinforcement.py [PICTURE]
"""

from __future__ import annotations

import sys
from typing import Any

from matplotlib.figure import Figure
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

import ostinato as ost
from ostinato.applications.reinforcement import Grid, PlanCallback, environments

ENVIRONMENTS, STEPS, ROLLOUTS, EVERY = 8, 32, 192, 12

plan = ost.Plan(
    total=ENVIRONMENTS * STEPS * ROLLOUTS,
    cycle=ost.Cycle("sine", count=4),
    bindings={
        "optimizer.lr": ost.mirror(4e-4, 4e-3),  # low where it is hard
        "environment.difficulty": ost.wave(0.0, 1.0),
    },
)


class Score(BaseCallback):
    """Scores the policy at five fixed difficulties, every so many rollouts."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid, self.rollouts, self.found = grid, 0, []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self.rollouts % EVERY == 0:
            self._score()
        self.rollouts += 1

    def _on_training_end(self) -> None:
        self._score()

    def _score(self) -> None:
        returns = self.grid.returns(self.model)
        difficulty = sum(self.training_env.get_attr("in_force")) / ENVIRONMENTS
        self.found.append((self.num_timesteps, difficulty, returns.by_difficulty))
        levels = " ".join(f"{value:5.0f}" for value in returns.by_difficulty)
        print(
            f"step {self.num_timesteps:6}  difficulty {difficulty:.2f}  return at 0 to 1: {levels}  mean {returns.mean:5.0f}"
        )


def draw(found: list[Any], grid: Grid, file: str) -> None:
    """Draw rate, difficulty and return."""
    table, figure = plan.table(), Figure(figsize=(8.0, 6.0), layout="constrained")
    rate, difficulty, score = figure.subplots(3, 1, sharex=True)
    rate.plot(table["step"], table["optimizer.lr"], color="#b3261e")
    rate.set_ylabel("rate")
    difficulty.plot(table["step"], table["environment.difficulty"], color="0.6", label="plan")
    difficulty.plot([step for step, *_ in found], [own for _, own, _ in found], ".-", color="#2f5d8a", label="in force")
    difficulty.set_ylabel("difficulty")
    difficulty.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    for place, level in enumerate(grid.difficulties):
        values = [levels[place] for *_, levels in found]
        score.plot(
            [step for step, *_ in found], values, linewidth=1.0, color=str(0.75 - 0.6 * level), label=f"{level:g}"
        )
    score.plot(
        [step for step, *_ in found],
        [levels.mean() for *_, levels in found],
        color="#b3261e",
        linewidth=2.0,
        label="mean",
    )
    score.set_ylabel("return")
    score.set_xlabel("environment steps")
    score.legend(frameon=False, title="difficulty", fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(file, dpi=120)


def main(file: str) -> None:
    """Train, print, draw."""
    grid = Grid("CartPole-v1", episodes=4)
    model = PPO(
        "MlpPolicy", environments("CartPole-v1", ENVIRONMENTS), n_steps=STEPS, batch_size=ENVIRONMENTS * STEPS, gae_lambda=0.8, gamma=0.98,
        seed=1, device="cpu",
    )  # fmt: skip
    score = Score(grid)
    model.learn(plan.resolve().total, callback=[PlanCallback(plan), score], log_interval=10_000)
    draw(score.found, grid, file)
    print(f"picture: {file}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "reinforcement.png")
