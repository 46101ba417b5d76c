"""What is read while an agent learns: rate, difficulty in force, how far an update goes, and the curvature of its policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

if TYPE_CHECKING:
    from ostinato.applications.reinforcement import Returns

__all__ = ["Watch", "policy_curvature"]

_ITERATIONS = 10


class Watch(BaseCallback):
    """Reads after every update, and scores the policy after some. It goes before the `PlanCallback`, whose clock is then still at the update.

    Args:
        evaluate: Scores the policy.
        at: Numbers of updates to evaluate after.
        every: Updates from one reading of the curvature to the next.
    """

    def __init__(self, evaluate: Callable[[int], Returns], at: frozenset[int], every: int) -> None:
        super().__init__()
        self._evaluate, self._at, self._every = evaluate, at, every
        self._updates = 0
        self.returns: dict[int, Returns] = {}
        self.read: dict[str, list[float]] = {name: [] for name in ("rate", "difficulty", "kl", "clipped", "curvature")}
        self._difficulty: list[float] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._difficulty.append(float(np.mean(self.training_env.get_attr("in_force"))))

    def _on_rollout_start(self) -> None:
        if self._difficulty:
            self._after_update()

    def _on_training_end(self) -> None:
        self._after_update()

    def _after_update(self) -> None:
        self._updates += 1
        logged: dict[str, Any] = self.logger.name_to_value
        model: Any = self.model
        self.read["rate"].append(float(model.policy.optimizer.param_groups[0]["lr"]))
        self.read["kl"].append(float(logged["train/approx_kl"]))
        self.read["clipped"].append(float(logged["train/clip_fraction"]))
        self.read["difficulty"].append(self._difficulty[-1])
        if self._updates % self._every == 0:
            self.read["curvature"].append(policy_curvature(model))
        if self._updates in self._at:
            self.returns[self._updates] = self._evaluate(self._updates)


def policy_curvature(model: Any) -> float:
    """Return the largest eigenvalue of the Fisher information of a policy over finitely many actions, on its last rollout's observations.

    It is the curvature of KL(policy now, policy) in the weights, by power iteration (10 products from a fixed start: a few percent low at
    most); no global random number is drawn.
    """
    policy = model.policy
    seen = torch.as_tensor(model.rollout_buffer.observations).reshape(-1, *model.observation_space.shape)
    weights = [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]
    logits = policy.get_distribution(seen).distribution.logits
    kl = (logits.detach().exp() * (logits.detach() - logits)).sum(-1).mean()
    slopes = torch.cat([part.flatten() for part in torch.autograd.grad(kl, weights, create_graph=True)])
    v = torch.randn(len(slopes), generator=torch.Generator().manual_seed(0))
    largest: Tensor = v.norm()
    for _ in range(_ITERATIONS):
        product = torch.autograd.grad(slopes @ (v / v.norm()), weights, retain_graph=True)
        v = torch.cat([part.flatten() for part in product]).detach()
        largest = v.norm()
    return float(largest)
