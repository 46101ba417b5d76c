"""The queue of trials that workers share: each is taken by one worker, and given to another where its worker dies.

All trials stand in the storage, waiting, before the first one runs. For samplers that look at no scores with their values, so that what is
tried does not depend on who tries it; for others as places that are filled when they are taken.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from ostinato._version import __version__
from ostinato.errors import StateError, StorageError
from ostinato.search.domains import Value
from ostinato.search.pruning import pruner_of
from ostinato.search.samplers import ADAPTIVE, draw, quiet, sampler_of
from ostinato.search.setup import Setup
from ostinato.search.storage import address, exclusive, one_after_another, patiently, url_of

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

__all__ = ["SCHEMA", "Queue", "Told"]

SCHEMA = "ostinato.search/1"
"""What a study of ours in a storage follows."""

_ABOUT, _SLOT, _WORKER, _RESULT = "ostinato", "ostinato:slot", "ostinato:worker", "ostinato:result"


@dataclass(frozen=True)
class Told:
    """What a worker tells of a trial.

    Attributes:
        status: ``"done"``; ``"pruned"``; ``"diverged"``; ``"infeasible"`` (there is no such plan).
        value: The score of a trial that is done.
        steps: Updates that were made for it.
        wall_s: Seconds, shared equally by what ran at once.
        detail: Why it is not done.
    """

    status: str
    value: float | None
    steps: int
    wall_s: float = 0.0
    detail: str = ""


class Queue:
    """The trials of one search in a storage.

    Attributes:
        study: Optuna's.
        setup: What is searched.
    """

    def __init__(self, storage: RDBStorage, name: str, setup: Setup) -> None:
        self.storage, self.setup, self.name = storage, setup, name
        self.url = url_of(storage.url)
        with quiet():
            self.study = optuna.load_study(study_name=name, storage=storage, pruner=pruner_of(setup.pruner))

    @classmethod
    def begin(cls, storage: RDBStorage, name: str, setup: Setup) -> Queue:
        """Begin a search, or join the one of that name; whoever comes first writes down all its trials.

        Raises:
            StateError: Another search has this name; the message shows the difference.
            StorageError: A study of this name was made by another version or by something else.
        """
        url = url_of(storage.url)
        with exclusive(storage, name), quiet():
            with suppress(DuplicatedStudyError):
                study = patiently(
                    lambda: optuna.create_study(study_name=name, storage=storage, direction="minimize"), url
                )
                study.set_user_attr(_ABOUT, {"schema": SCHEMA, "version": __version__, "setup": setup.to_document()})
            found = read_setup(storage, name)
            found.demand_same(setup, name)
            queue = cls(storage, name, found)
            queue._fill()
        return queue

    @classmethod
    def join(cls, storage: RDBStorage, name: str) -> Queue:
        """Return a search that was begun.

        Raises:
            StorageError: There is none, or another version made it.
        """
        queue = cls(storage, name, read_setup(storage, name))
        with exclusive(storage, name), quiet():
            queue._fill()
        return queue

    def _fill(self) -> None:
        """Write down the trials that are not there yet."""
        setup = self.setup
        have = {trial.user_attrs[_SLOT] for trial in self.trials() if _SLOT in trial.user_attrs}
        if setup.sampler in ADAPTIVE:
            waiting = [create_trial(state=TrialState.WAITING, user_attrs={_SLOT: slot}) for slot in range(setup.trials)]
        else:
            drawn = draw(setup.sampler, setup.space, setup.trials, setup.seed)
            waiting = [
                create_trial(
                    state=TrialState.WAITING, params=params, distributions=distributions, user_attrs={_SLOT: slot}
                )
                for slot, (params, distributions) in enumerate(drawn)
            ]
        self.study.add_trials([trial for trial in waiting if trial.user_attrs[_SLOT] not in have])

    # -- taking and telling ----------------------------------------------------------------------------------------

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, by default all."""
        return patiently(lambda: self.study.get_trials(deepcopy=False, states=states or None), self.url)

    def take(self, most: int, worker: str) -> list[Trial]:
        """Return up to `most` trials that wait, now this worker's; trials of workers that died wait again before.

        Empty where none waits now; `open` says whether others may come.
        """
        mine: list[FrozenTrial] = []
        with one_after_another(self.storage, self.name):
            self._recover()
            for waiting in self.trials(TrialState.WAITING):
                if len(mine) < most and patiently(partial(self._take, waiting, worker), self.url):
                    mine.append(waiting)
        return [Trial(self.study, trial._trial_id) for trial in mine]

    def _take(self, waiting: FrozenTrial, worker: str) -> bool:
        """Make a trial this worker's; False where another was quicker."""
        try:
            if not self.storage.set_trial_state_values(waiting._trial_id, state=TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        self.storage.record_heartbeat(waiting._trial_id)
        self.storage.set_trial_user_attr(waiting._trial_id, _WORKER, [waiting.number, worker])
        return True

    def values(self, trial: Trial) -> dict[str, Value]:
        """Return what a trial draws, as a plan writes it; an adaptive sampler draws by the trial's place, not by how many this worker has drawn."""
        setup, slot = self.setup, trial.user_attrs.get(_SLOT, trial.number)
        if setup.sampler in ADAPTIVE:
            self.study.sampler = sampler_of(setup.sampler, setup.space, (setup.seed * 1_000_003 + slot) % 2**32)
        return setup.space.suggest(trial)

    @property
    def open(self) -> bool:
        """Whether a trial waits or runs."""
        return bool(self.trials(TrialState.WAITING, TrialState.RUNNING))

    @property
    def progress(self) -> tuple[int, int]:
        """How many trials have ended, of how many."""
        trials = self.trials()
        planned = len(
            {trial.user_attrs[_SLOT] for trial in trials if _SLOT in trial.user_attrs}
        )  # a grid may have fewer
        return planned - sum(not trial.state.is_finished() for trial in trials), planned

    def _recover(self) -> None:
        """Give trials of workers without a sign of life back to the queue."""
        with quiet():
            patiently(lambda: optuna.storages.fail_stale_trials(self.study), self.url)
        grace = timedelta(seconds=6 * (self.storage.get_heartbeat_interval() or 1))
        for trial in self.trials(TrialState.RUNNING):  # a worker died between taking it and its first sign of life
            started = trial.datetime_start
            marked = (
                trial.user_attrs.get(_WORKER, [None])[0] == trial.number
            )  # a retry inherits the mark of the trial before
            if not marked and started is not None and datetime.now() - started > grace:
                self._return(trial)

    def _return(self, trial: FrozenTrial) -> None:
        with suppress(UpdateFinishedTrialError):
            if self.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL):
                again = self.storage.get_heartbeat_stale_trial_callback()
                if again is not None:
                    again(self.study, trial)

    def release(self, trials: Sequence[Trial]) -> None:
        """Put trials back that were taken and not told, as where the worker is asked to stop."""
        for trial in trials:
            with one_after_another(self.storage, self.name), suppress(UpdateFinishedTrialError):
                frozen = self.storage.get_trial(trial._trial_id)
                if not frozen.state.is_finished():
                    self.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
                    kept = {key: value for key, value in frozen.user_attrs.items() if key == _SLOT}
                    self.study.add_trial(
                        create_trial(
                            state=TrialState.WAITING,
                            params=frozen.params,
                            distributions=frozen.distributions,
                            user_attrs=kept,
                        )
                    )

    @contextmanager
    def alive(self, trials: Sequence[Trial]) -> Iterator[None]:
        """Give signs of life for trials while the block runs."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(self.storage.get_heartbeat_interval() or 1):
                for trial in trials:
                    with suppress(Exception):  # one that is missed is made good by the next
                        self.storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, name="ostinato-search-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def tell(self, trial: Trial, told: Told) -> bool:
        """Write down what came out of a trial; False where it was given to another worker meanwhile, whose result counts."""
        about = {"status": told.status, "steps": told.steps, "wall_s": round(told.wall_s, 3), "detail": told.detail}
        done = told.status == "done"
        try:
            with quiet(), one_after_another(self.storage, self.name):
                patiently(lambda: trial.set_user_attr(_RESULT, about), self.url)
                state = TrialState.COMPLETE if done else TrialState.PRUNED
                values = None if told.value is None or not done else [told.value]
                patiently(lambda: self.storage.set_trial_state_values(trial._trial_id, state, values), self.url)
        except UpdateFinishedTrialError:
            return False
        return True

    # -- what came out ---------------------------------------------------------------------------------------------

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What the first worker that found the queue empty made of it; None before."""
        found = self.study.user_attrs.get(f"{_ABOUT}:outcome")
        return None if found is None else dict(found)

    def write_outcome(self, document: Mapping[str, Any]) -> None:
        """Write down what came out of the search."""
        self.study.set_user_attr(f"{_ABOUT}:outcome", dict(document))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one worker at a time do what is in the block."""
        with exclusive(self.storage, f"{self.name}/outcome"):
            yield


def result_of(trial: FrozenTrial) -> Mapping[str, Any]:
    """Return what a worker told of a trial: status, steps, seconds, detail; empty where none did."""
    found: Mapping[str, Any] = trial.user_attrs.get(_RESULT, {})
    return found


def read_setup(storage: RDBStorage, name: str) -> Setup:
    """Return what a study in a storage searches.

    Raises:
        StorageError: There is none of that name, or another version or something else made it.
    """
    place = f"storage: {address(url_of(storage.url))}: study {name!r}"
    try:
        attributes = storage.get_study_user_attrs(storage.get_study_id_from_name(name))
    except KeyError:
        known = [study.study_name for study in storage.get_all_studies()]
        raise StorageError(f"{place}: there is none; known: {', '.join(sorted(known)) or 'none'}") from None
    about = attributes.get(_ABOUT)
    if not isinstance(about, dict):
        raise StorageError(f"{place}: was not made by ostinato search; choose another --name")
    if about.get("schema") != SCHEMA:
        raise StorageError(
            f"{place}: was made by ostinato {about.get('version')} and follows {about.get('schema')!r}, this release reads {SCHEMA!r};"
            " go on with the release that made it, or choose another --name"
        )
    try:
        return Setup.from_document(about["setup"], place)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, StateError | StorageError):
            raise
        raise StorageError(f"{place}: is damaged ({error}); choose another --name") from None
