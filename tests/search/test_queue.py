"""The queue: every trial once, whoever takes it; given to another where its worker dies; refused where it is somebody else's."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ostinato.errors import ConfigError, StateError, StorageError
from ostinato.search import Choice, Objective, Space
from ostinato.search.queue import SCHEMA, Queue, Told, result_of
from ostinato.search.samplers import draw, quiet
from ostinato.search.storage import open_storage
from searching import SPACE, queue, setup

DONE = Told("done", 0.5, 24)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_all_trials_wait_before_the_first_runs_and_are_a_function_of_the_seed(tmp_path: Path, sampler: str) -> None:
    first = queue(tmp_path, sampler=sampler)
    drawn = [trial.params for trial in first.trials(TrialState.WAITING)]
    assert drawn == [params for params, _ in draw(sampler, SPACE, 6, 0)]
    assert len({str(params) for params in drawn}) == 6
    assert drawn != [params for params, _ in draw(sampler, SPACE, 6, 1)]


def test_a_grid_has_every_point_once_and_no_more_than_it_has(tmp_path: Path) -> None:
    space = Space({"cycle.count": Choice([1, 2, 3]), "cycle.waveform": Choice(["cosine", "triangular"])})
    waiting = queue(tmp_path, sampler="grid", space=space, trials=100).trials(TrialState.WAITING)
    points = sorted((trial.params["cycle.count"], trial.params["cycle.waveform"]) for trial in waiting)
    assert points == [(count, name) for count in (1, 2, 3) for name in ("cosine", "triangular")]


def test_workers_that_join_at_once_write_the_trials_down_once_and_take_each_once(tmp_path: Path) -> None:
    taken: list[int] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            own = queue(tmp_path, trials=40)
            while trials := own.take(1, threading.current_thread().name):
                for trial in trials:
                    taken.append(trial.number)
                    own.tell(trial, DONE)
        except BaseException as error:
            failures.append(error)

    queue(tmp_path, trials=40)  # so that the tables are there
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(taken) == list(range(40))
    assert not queue(tmp_path, trials=40).open


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_trial_without_signs_of_life_is_taken_again_with_the_same_values(tmp_path: Path, sampler: str) -> None:
    dead, alive = queue(tmp_path, 1, sampler=sampler, trials=1), queue(tmp_path, 1, sampler=sampler, trials=1)
    lost = dead.take(1, "dead")[0]
    values = dead.values(lost)
    assert alive.take(1, "alive") == []
    assert alive.open
    time.sleep(4.5)
    again = alive.take(1, "alive")[0]
    assert (again.number, alive.values(again)) == (1, values)
    assert not dead.tell(lost, DONE)  # it was not dead after all: the other's result counts
    assert alive.tell(again, DONE)
    assert [trial.state for trial in alive.trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    assert not alive.open


def test_a_worker_that_dies_before_its_first_sign_of_life_holds_nothing_for_ever(tmp_path: Path) -> None:
    one = queue(tmp_path, 1, trials=1)
    one.storage.set_trial_state_values(one.trials()[0]._trial_id, state=TrialState.RUNNING)
    assert one.take(1, "a") == []
    time.sleep(6.5)
    assert [trial.number for trial in one.take(1, "a")] == [1]


def test_signs_of_life_keep_a_trial(tmp_path: Path) -> None:
    slow, other = queue(tmp_path, 1, trials=1), queue(tmp_path, 1, trials=1)
    taken = slow.take(1, "slow")
    with slow.alive(taken):
        time.sleep(4.5)
        assert other.take(1, "other") == []
    assert slow.tell(taken[0], DONE)


def test_what_is_released_waits_again_and_what_is_told_stays(tmp_path: Path) -> None:
    one = queue(tmp_path, trials=3)
    first, second = one.take(2, "a")
    one.tell(first, DONE)
    values = dict(second.params)
    one.release([first, second])
    states = [trial.state for trial in one.trials()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING, TrialState.WAITING]
    assert one.trials()[3].params == values
    assert len(queue(tmp_path, trials=3).trials()) == 4  # joining again adds nothing


def test_what_is_told_can_be_read(tmp_path: Path) -> None:
    one = queue(tmp_path, trials=2)
    first, second = one.take(2, "a")
    one.tell(first, Told("done", 0.25, 24, 1.5))
    one.tell(second, Told("diverged", None, 7, detail="at the peak"))
    assert [(trial.state, trial.value) for trial in one.trials()] == [
        (TrialState.COMPLETE, 0.25),
        (TrialState.PRUNED, None),
    ]
    assert result_of(one.trials()[1]) == {"status": "diverged", "steps": 7, "wall_s": 0.0, "detail": "at the peak"}


def test_an_adaptive_sampler_draws_by_place_so_that_one_worker_repeats_itself(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        one = queue(tmp_path / name, sampler="tpe", trials=14)
        values = []
        while taken := one.take(3, name):
            for trial in taken:
                values.append(one.values(trial))
                one.tell(trial, Told("done", abs(float(str(values[-1]["optimizer.lr/high"])) - 0.1), 1))
        drawn.append(values)
    assert drawn[0] == drawn[1]
    assert len({str(values) for values in drawn[0]}) == 14


def test_another_search_of_the_same_name_is_refused_with_the_difference(tmp_path: Path) -> None:
    queue(tmp_path)
    with pytest.raises(
        StateError,
        match=r"^study 'small': trials was 6, is 7; what is searched is fixed before the first trial: choose another --name$",
    ):
        queue(tmp_path, trials=7)
    with pytest.raises(StateError, match=r"^study 'small': objective was .*'trough'.*, is .*'jittered'"):
        queue(tmp_path, objective=Objective(moment="jittered"))


def test_a_study_of_another_version_or_of_something_else_is_refused(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "trials.sqlite3")
    with quiet():
        study = optuna.create_study(study_name="small", storage=storage)
    with pytest.raises(
        StorageError,
        match=r"^storage: sqlite:///.*trials\.sqlite3: study 'small': was not made by ostinato search; choose another --name$",
    ):
        Queue.begin(storage, "small", setup())
    study.set_user_attr("ostinato", {"schema": "ostinato.search/0", "version": "0.0.9", "setup": {}})
    with pytest.raises(
        StorageError,
        match=rf"study 'small': was made by ostinato 0\.0\.9 and follows 'ostinato\.search/0', this release reads '{SCHEMA}'; go on with the release that made it, or choose another --name$",
    ):
        Queue.begin(storage, "small", setup())
    with pytest.raises(StorageError, match=r"study 'other': there is none; known: small$"):
        Queue.join(storage, "other")


def test_tables_of_another_version_of_optuna_are_refused(tmp_path: Path) -> None:
    import sqlite3

    open_storage(tmp_path / "trials.sqlite3")
    with sqlite3.connect(tmp_path / "trials.sqlite3") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    connection.close()
    with pytest.raises(StorageError, match=r"^storage: sqlite:///.*: was made by another version of Optuna \(.*\)$"):
        open_storage(tmp_path / "trials.sqlite3")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "mysql://me:secret@host/db",
            "storage: got 'mysql://me:***@host/db', expected sqlite:///FILE or postgresql://USER@HOST/DATABASE",
        ),
        (
            "sqlite:///:memory:",
            "storage: got 'sqlite:///:memory:', which no other process sees, expected sqlite:///FILE or postgresql://USER@HOST/DATABASE",
        ),
        (
            "://",
            "storage: got an address that cannot be read, expected sqlite:///FILE or postgresql://USER@HOST/DATABASE",
        ),
    ],
)
def test_an_address_that_cannot_be(address: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage(address)
    assert str(caught.value) == message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"there is no folder '.*missing'; make it, or choose another file$"):
        open_storage(tmp_path / "missing" / "trials.sqlite3")


def test_a_connection_that_is_refused_is_tried_again_and_told_without_the_password() -> None:
    told: list[str] = []
    with pytest.raises(StorageError) as caught:
        open_storage("postgresql://me:la-sol@127.0.0.1:1/trials", patience_s=1.0, told=told.append)
    message = str(caught.value)
    assert message.startswith("storage: postgresql://me:***@127.0.0.1:1/trials: ")
    assert message.endswith("; start the server, or correct --storage")
    assert "Connection refused" in message
    assert re.search(r"\(\d+ tries in \d+ s\)", message)
    assert "la-sol" not in message + told[0]
    assert told[0].endswith("; trying again for 1 s")
    assert "\n" not in message
