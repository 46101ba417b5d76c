"""One clock of environment steps for an algorithm's numbers and its environments' difficulty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch.optim import Optimizer

from ostinato.applications.reinforcement.checkpoint import restore_state, state_of
from ostinato.applications.reinforcement.dials import AlgorithmDials, EnvironmentDials, Held
from ostinato.core.address import Address
from ostinato.core.clock import Tick
from ostinato.core.plan import Plan
from ostinato.core.resolved import ResolvedPlan
from ostinato.errors import ConfigError, TargetError, suggest
from ostinato.scheduler import Scheduler
from ostinato.training.checkpoint import Checkpoint, CheckpointStore

__all__ = ["PlanCallback"]

_ROOTS = ("optimizer", "ppo", "environment")
_RATE = "lr"


class PlanCallback(BaseCallback):
    """Drives an on-policy algorithm of Stable-Baselines3 (PPO, A2C) by a plan that counts environment steps.

    Targets are ``optimizer.lr`` and every other key of the parameter groups (``optimizer[0].lr``, ``optimizer.weight_decay``), ``ppo.clip_range``,
    ``ppo.clip_range_vf``, ``ppo.ent_coef``, ``ppo.vf_coef``, ``ppo.max_grad_norm`` (the root ``ppo`` whatever the algorithm), and
    ``environment.difficulty`` of environments with a `Difficulty`.

    The count is the model's ``num_timesteps``, over all environments: a `learn` that resets it restarts the plan, one with
    ``reset_num_timesteps=False`` goes on. The value of count t is in force for the environment step that begins with it, so that an episode
    gets the difficulty of the count at which it is reset. A whole `train`, all of its epochs, uses the values of the rollout's last step; only then
    the clock goes on, so that `on_cycle_end` sees the weights after the cycle's last update. A rollout that runs past the plan's total keeps the last
    values; a whole rollout beyond it is warned about.

    Args:
        plan: In steps of the environment.
        on_cycle_end: Called as ``on_cycle_end(tick, model)`` after the update that ends a cycle.
        checkpoints: A folder: everything that exact resume needs is saved there between rollouts (see `resume`).
        every: Rollouts from one checkpoint to the next.

    Raises:
        ConfigError: `every` is below 1, or the algorithm is not on-policy.
        TargetError: A target begins with another root, or is not there; when training starts.

    >>> import ostinato as ost
    >>> from stable_baselines3 import PPO
    >>> from ostinato.applications.reinforcement import environments
    >>> plan = ost.Plan(total=128, cycle=ost.Cycle("sine", count=2), bindings={
    ...     "optimizer.lr": ost.mirror(1e-4, 1e-3), "environment.difficulty": ost.wave(0.0, 1.0)})
    >>> model = PPO("MlpPolicy", environments("CartPole-v1", 2), n_steps=16, batch_size=32, n_epochs=1, seed=0, device="cpu")
    >>> callback = PlanCallback(plan)
    >>> _ = model.learn(128, callback=callback)
    >>> callback.count, round(model.policy.optimizer.param_groups[0]["lr"], 6)
    (128, 0.000998)
    """

    def __init__(
        self,
        plan: Plan | ResolvedPlan,
        *,
        on_cycle_end: Callable[[Tick, BaseAlgorithm], object] | None = None,
        checkpoints: str | Path | None = None,
        every: int = 10,
    ) -> None:
        super().__init__()
        if every < 1:
            raise ConfigError(f"every: got {every}, expected a whole number of rollouts > 0")
        self.resolved = plan.resolve() if isinstance(plan, Plan) else plan
        self.scheduler: Scheduler | None = None
        self._on_cycle_end = on_cycle_end
        self._store = None if checkpoints is None else CheckpointStore(Path(checkpoints))
        self._every = every
        self._rollouts = self._left = 0
        self._hook: Any = None
        self._saved: dict[str, Any] | None = None

    @property
    def count(self) -> int:
        """Environment steps whose part of the plan is over."""
        return 0 if self.scheduler is None else self.scheduler.count

    def resume(self, model: OnPolicyAlgorithm) -> int:
        """Put the newest checkpoint into a model that was built as the saved one, and return the environment steps that were done; 0 where there is none.

        Policy, optimizer, counts, observations, environments (with their generators) and the global generators come back, so that
        ``model.learn(total - done, callback=callback, reset_num_timesteps=False)`` ends with the bits of never having stopped.

        Raises:
            ConfigError: The callback has no folder of checkpoints.
            StateError: The checkpoint was saved under another plan, or with another number of environments.
            StorageError: Every checkpoint is damaged.
        """
        if self._store is None:
            raise ConfigError("resume: the callback has no checkpoints; write PlanCallback(plan, checkpoints=FOLDER)")
        found = self._store.latest()
        if found is None:
            return 0
        self._saved = found.state["plan"]
        scheduler = self._bound(model)  # a checkpoint of another plan is refused before anything is changed
        scheduler.load_state_dict(self._saved)
        restore_state(model, found.state)
        return found.count

    # -- what Stable-Baselines3 calls --------------------------------------------------------------------------

    def _on_training_start(self) -> None:
        model = self.model
        if not isinstance(model, OnPolicyAlgorithm):
            raise ConfigError(f"PlanCallback: got {type(model).__name__}, expected an on-policy algorithm (PPO, A2C)")
        scheduler = self._bound(model)
        state = self._saved or scheduler.state_dict()
        scheduler.load_state_dict({**state, "count": min(model.num_timesteps, self.resolved.total)})
        self._rates()
        self._rollouts = 0

    def _on_rollout_start(self) -> None:
        model = self._model()
        self._advance()
        self._rollouts += 1
        self._left = model.n_steps
        if self._store is not None and self._rollouts % self._every == 0:
            state = {**state_of(model), "plan": self._state()}
            self._store.save(Checkpoint(model.num_timesteps, state, 0.0))

    def _on_step(self) -> bool:
        self._left -= 1
        if self._left > 0:
            self._advance()
        return True

    def _on_rollout_end(self) -> None:
        self._rates()

    def _on_training_end(self) -> None:
        self._advance()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    # -- the clock ---------------------------------------------------------------------------------------------

    def _model(self) -> OnPolicyAlgorithm:
        assert isinstance(self.model, OnPolicyAlgorithm)
        return self.model

    def _bound(self, model: OnPolicyAlgorithm) -> Scheduler:
        """Return a scheduler of the plan over this model, at its beginning."""
        if self.scheduler is not None:
            self.scheduler.restore()
        targets = [Address.parse(target) for target in self.resolved.targets]
        roots: dict[str, Any] = {"optimizer": model.policy.optimizer, "ppo": AlgorithmDials(model)}
        for address in targets:
            if address.root not in _ROOTS:
                raise TargetError(f"{address.text}: begins with {address.root!r}{suggest(address.root, _ROOTS)}")
            if address.root == "ppo":
                roots["ppo"].demand(address.text, address.key)
        if any(address.root == "environment" for address in targets):
            roots["environment"] = EnvironmentDials(_environments(model))
        self.scheduler = Scheduler(self.resolved, roots)
        if any(address.root == "optimizer" and address.key == _RATE for address in targets):
            model.lr_schedule = Held(0.0)
            if self._hook is None:
                self._hook = model.policy.optimizer.register_step_pre_hook(self._before_update)
        return self.scheduler

    def _advance(self) -> None:
        """Let the clock catch up with the environments; a rollout that began within the plan may end past it."""
        assert self.scheduler is not None
        model = self._model()
        done, total = model.num_timesteps, self.resolved.total
        if done - total < model.n_steps * model.n_envs:
            done = min(done, total)
        by = done - self.scheduler.count
        if by > 0:
            tick = self.scheduler.step(by=by)
            if self._on_cycle_end is not None and tick.crossed:
                self._on_cycle_end(tick, model)

    def _rates(self) -> None:
        """Note the groups' rates, which Stable-Baselines3 writes over with one for all of them."""
        model = self._model()
        if isinstance(model.lr_schedule, Held):
            self._group_rates = [group[_RATE] for group in model.policy.optimizer.param_groups]
            model.lr_schedule.value = self._group_rates[0]

    def _before_update(self, optimizer: Optimizer, *_: Any) -> None:
        for group, rate in zip(optimizer.param_groups, self._group_rates, strict=True):
            group[_RATE] = rate

    def _state(self) -> dict[str, Any]:
        assert self.scheduler is not None
        return self.scheduler.state_dict()


def _environments(model: OnPolicyAlgorithm) -> Any:
    found = model.get_env()
    if found is None:
        raise ConfigError("PlanCallback: the model has no environment; write model.set_env(...)")
    return found
