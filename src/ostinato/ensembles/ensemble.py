"""The ensemble of a training run's snapshots: capture at each cycle's end, average the predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from ostinato.ensembles.background import BackgroundWriter, finish_with
from ostinato.ensembles.methods import METHODS, Call, Inference, Method, MethodChoice
from ostinato.ensembles.prediction import (
    Average,
    average_outputs,
    call_with,
    default_output,
    isolated,
    member_state,
    model_tensors,
    run_batch,
    split_batch,
    to_device,
    to_probabilities,
    unwrap,
)
from ostinato.ensembles.recalibration import Statistics, norm_layers, observing
from ostinato.ensembles.scores import Evaluation, columns, plain_labels, score
from ostinato.ensembles.single import SingleModel, average_weights, distil_into
from ostinato.ensembles.store import Member, SnapshotStore, finite_values
from ostinato.errors import DataError, StorageError

__all__ = ["Forward", "SnapshotEnsemble", "TickLike"]

Forward = Callable[[Callable[..., Any], Any], Any]
"""``forward(model, inputs)`` returns the model's result; ``model`` is called like the model."""

_State = dict[str, Tensor]


class TickLike(Protocol):
    """What `SnapshotEnsemble.capture` needs to know of a step."""

    @property
    def step(self) -> int:
        """The update just done, from 0."""

    @property
    def cycle(self) -> int:
        """The cycle that it belongs to."""

    @property
    def values(self) -> Mapping[str, float]:
        """The values that the update used."""


class SnapshotEnsemble:
    """Snapshots of one model in a folder, and the ensemble that they make.

    The live model's weights, buffers and training flags and the random states are as before after every method, also
    after an exception. Members that were used stay in memory (one copy of the weights each) until `release`.

    Args:
        model: the model; wrappers of torch.compile, DDP, DataParallel and Fabric are looked through.
        directory: the folder of the snapshots. One that holds some is opened and verified; else it is made at the first
            capture. One process may write; with several ranks, rank 0.
        keep: the most snapshots to keep, the newest; None keeps all.
        background: capture copies the weights to host memory that is used again and again (pinned for a model on CUDA)
            and returns; a thread writes. At most two copies are on their way, a further capture waits. Reading (members,
            predictions, `rewind`) waits until all is written. A failure is raised once, as StorageError that names
            the step, by the next `capture`, `flush` or `close`; call `flush` before anything that relies on the
            snapshots, such as a checkpoint. The end of the ``with`` block, of the object and of the interpreter
            finish what is queued; a killed process loses at most the two, and the manifest never names them.

    Raises:
        StorageError: the manifest is damaged, or no listed snapshot is usable. A single damaged file is left out with
            a `ostinato.errors.DamagedSnapshotWarning`.

    >>> import tempfile
    >>> from types import SimpleNamespace
    >>> model = nn.Linear(2, 3)
    >>> snapshots = SnapshotEnsemble(model, tempfile.mkdtemp())
    >>> member = snapshots.capture(SimpleNamespace(step=9, cycle=0, values={"optimizer.lr": 1e-4}))
    >>> len(snapshots), member.step, member.file.name
    (1, 9, 'snapshot-000000009.safetensors')
    >>> snapshots.predict(torch.zeros(4, 2)).shape
    torch.Size([4, 3])

    Source: Huang et al. 2017, "Snapshot Ensembles: Train 1, get M for free", arXiv 1704.00109.
    """

    def __init__(
        self,
        model: nn.Module,
        directory: str | os.PathLike[str],
        *,
        keep: int | None = None,
        background: bool = False,
    ) -> None:
        self._model = unwrap(model)
        self._store = SnapshotStore(directory, keep=keep)
        self._states: dict[str, _State] = {}
        self._recalibrated: dict[str, _State] = {}
        self._recalibrations = 0
        self._inference = Inference(self._model)
        self._witness: tuple[dict[str, nn.Parameter | None], str] | None = None  # a parameter, for the device
        self._writer = BackgroundWriter(self._store) if background else None
        if self._writer is not None:
            finish_with(self, self._writer)

    @property
    def directory(self) -> Path:
        """The folder of the snapshots."""
        return self._store.directory

    @property
    def members(self) -> tuple[Member, ...]:
        """The usable snapshots, ascending by step; what is being written is waited for."""
        self._settle()
        return self._store.members

    def _settle(self) -> None:
        """Wait for the background writer; its errors stay for `flush`."""
        if self._writer is not None:
            self._writer.drain()

    def flush(self) -> None:
        """Wait until every capture is on disk and in the manifest; nothing to do without ``background``.

        Raises:
            StorageError: a snapshot was not saved since the last `capture`, `flush` or `close`; its step is named.
        """
        if self._writer is not None:
            self._writer.drain()
            self._forget_unlisted()
            self._writer.raise_errors()

    def close(self) -> None:
        """`flush`, and end the writing thread. The object can still be used; closing twice does nothing.

        Raises:
            StorageError: as `flush`.
        """
        if self._writer is not None:
            self._writer.stop()
            self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self.close()
        except StorageError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __repr__(self) -> str:
        return f"SnapshotEnsemble({type(self._model).__name__}, {str(self.directory)!r}, members={len(self)})"

    def capture(self, tick: TickLike) -> Member:
        """Save the model as it is now, as the snapshot of ``tick.step``.

        The weights are complete on disk before the manifest names them. The same step again with the same bytes changes
        nothing. With ``keep``, the oldest snapshots are dropped, after the manifest has forgotten them.

        Args:
            tick: what ``scheduler.step()`` returned; capture where ``tick.cycle_end`` is true.

        Returns:
            The member. With ``background``, its ``file`` waits until it is written.

        Raises:
            StorageError: (with ``background``: also what befell an earlier capture; this one is queued nevertheless, and
                capturing it again changes nothing.) The step was captured with other weights (`rewind` first), the state_dict has something else
                than parameters and buffers, a tensor cannot be stored, or the disk refused. The snapshots that were
                there still are.
        """
        step, cycle = int(tick.step), int(tick.cycle)
        if step < 0:
            raise ValueError(f"tick.step is {step}; a snapshot belongs to an update that was done, counted from 0")
        tensors = model_tensors(self._model)
        if self._writer is None:
            member = self._store.add(step, cycle, tick.values, tensors)
            self._forget_unlisted()
            return member
        pending = self._writer.submit(step, cycle, finite_values(tick.values), tensors)
        self._writer.raise_errors()
        return pending

    def rewind(self, step: int) -> int:
        """Forget the snapshots of this step and later, before training is resumed at ``step``.

        Returns:
            How many were forgotten. Their files are removed after the manifest.
        """
        self._settle()
        count = self._store.rewind(step)
        self._forget_unlisted()
        return count

    def release(self) -> None:
        """Free the members held in memory, and forget how calls are best computed; a recalibration stays."""
        self._states.clear()
        self._inference.clear()

    @property
    def methods(self) -> tuple[MethodChoice, ...]:
        """How calls are computed, for the forms of call for which that was decided, with timings and reasons."""
        return self._inference.choices

    def _forget_unlisted(self) -> None:
        listed = {member.file.sha256 for member in self.members}
        for held in (self._states, self._recalibrated):
            for digest in set(held) - listed:
                del held[digest]

    def select(self, *, last: int | None = None) -> tuple[Member, ...]:
        """Return the last ``last`` snapshots (all where there are fewer, or for None), as Huang et al. average them."""
        _check_last(last)
        return self.members if last is None else self.members[-last:]

    def _chosen(self, last: int | None) -> list[tuple[Member, _State]]:
        """Return the selected members that can be loaded, with their tensors in place of the model's."""
        while True:
            chosen = self.select(last=last)
            if not chosen:
                raise StorageError(f"there is no usable snapshot in {str(self.directory)!r}; call capture(tick) first")
            states = [self._state(member) for member in chosen]
            loaded = [(member, state) for member, state in zip(chosen, states, strict=True) if state is not None]
            if len(loaded) == len(chosen):
                return loaded

    def _state(self, member: Member) -> _State | None:
        digest = member.file.sha256
        if digest not in self._states:
            tensors = self._store.load(member)
            if tensors is None:
                return None
            self._states[digest] = member_state(self._model, tensors, member.file.name)
        return {**self._states[digest], **self._recalibrated.get(digest, {})}

    def _caller(self, state: _State) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return call_with(self._model, state, args, kwargs)

        return call

    def member_outputs(
        self,
        *args: Any,
        last: int | None = None,
        output: Callable[[Any], Tensor] | None = None,
        method: Method = "auto",
        **kwargs: Any,
    ) -> Tensor:
        """Return each member's output (logits) for one batch, stacked to shape (M, ...), oldest first.

        Args:
            args: given to the model's forward.
            last: use the last so many members; None uses all.
            output: picks the tensor from what the model returns; default: the tensor itself, ``.logits`` or
                ``["logits"]``.
            method: ``"loop"``: one member after another. ``"stacked"``: all in one pass, recorded at the first call of
                a form (shapes, dtypes, devices, threads). ``"compiled"``: that pass through torch.compile, which takes
                seconds for each form. ``"auto"``: the loop, until calls of one form (8 at least) have taken 0.1 s;
                then both ways are timed and the faster is used for this form (`methods` shows it). A model that
                cannot be recorded uses the loop. Results differ from the loop's by rounding only, 1e-6 of
                the larger of 1 and the largest output in float32; for equal bits use ``"loop"``. A recording sees
                changes of the model's attributes, parts and hooks, not of global variables: `release` after those.
            kwargs: given to the model's forward.

        Raises:
            StorageError: no snapshot is usable.
            StateError: a snapshot does not fit the model.
            TypeError: the model returned no tensor and ``output`` is not given.
        """
        if method not in METHODS:
            raise ValueError(f"method={method!r} is unknown; use 'auto', 'loop', 'stacked' or 'compiled'")
        _check_last(last)
        self._settle()
        stamp = (self._store.revision, self._recalibrations, self._device())
        pick = output or default_output
        return self._inference.outputs(stamp, Call(args, kwargs, pick, last, method), lambda: self._loaded(last))

    def _loaded(self, last: int | None) -> list[_State]:
        return [state for _, state in self._chosen(last)]

    def predict(
        self,
        *args: Any,
        last: int | None = None,
        average: Average = "probabilities",
        output: Callable[[Any], Tensor] | None = None,
        method: Method = "auto",
        **kwargs: Any,
    ) -> Tensor:
        """Return the ensemble's prediction for one batch.

        ``"probabilities"``: mean over members of softmax(logits), as in Huang et al.; ``"logits"``: softmax of the mean
        logits; ``"outputs"``: the plain mean, for regression. Softmax is over the last axis in float32; outputs
        of one column are the logit of class 1 and get a sigmoid, and stay one column.

        Args:
            args: given to the model's forward.
            last: use the last so many members; None uses all.
            average: see above.
            output: as in `member_outputs`.
            method: as in `member_outputs`.
            kwargs: given to the model's forward. ``last``, ``average``, ``output`` and ``method`` are reserved.

        Returns:
            Tensor of the shape of one member's output, without gradient.

        Raises:
            StorageError: no snapshot is usable.
            StateError: a snapshot does not fit the model.
            ValueError: ``average`` is unknown, or the output has no axis for classes.
        """
        if average not in ("probabilities", "logits", "outputs"):
            raise ValueError(f"average={average!r} is unknown; use 'probabilities', 'logits' or 'outputs'")
        return average_outputs(self.member_outputs(*args, last=last, output=output, method=method, **kwargs), average)

    def evaluate(
        self,
        batches: Iterable[Any],
        *,
        last: int | None = None,
        average: Average = "probabilities",
        forward: Forward | None = None,
    ) -> Evaluation:
        """Score the members and their average on labelled batches.

        ``best_member`` of the result is chosen (by error, then nll) on the data that it is scored on, and hence
        optimistic.

        Args:
            batches: (inputs, labels), read once. Inputs: a tensor, a tuple or list (``*args``), a dict (``**kwargs``).
                Labels: integers of the shape of the outputs without their last axis; a binary model of one column may
                have floats 0 and 1.
            last: use the last so many members; None uses all.
            average: ``"probabilities"`` or ``"logits"``.
            forward: ``forward(model, inputs)`` for inputs or results of another form.

        Raises:
            DataError: there is no batch, or labels do not fit.
            StorageError: no snapshot is usable.
        """
        if average not in ("probabilities", "logits"):
            raise ValueError(
                f"average={average!r} cannot be scored as a classification; use 'probabilities' or 'logits'"
            )
        chosen = self._chosen(last)
        members, ensembles, labels = [], [], []
        with isolated(self._model):
            for batch in batches:
                inputs, target = split_batch(batch)
                inputs = to_device(inputs, self._device())
                outputs = torch.stack([default_output(run_batch(self._caller(s), inputs, forward)) for _, s in chosen])
                probabilities = torch.stack([to_probabilities(member) for member in outputs])
                labels.append(plain_labels(target, tuple(probabilities.shape[1:-1])))
                members.append(columns(probabilities))
                ensembles.append(columns(average_outputs(outputs, average)[None]))
            if not labels:
                raise DataError("there is no batch to evaluate on; an iterator that was used up gives none")
            steps = tuple(member.step for member, _ in chosen)
            joined, ensemble = np.concatenate(members, axis=1), np.concatenate(ensembles, axis=1)[0]
            return score(steps, joined, ensemble, np.concatenate(labels), average)

    def recalibrate(self, batches: Iterable[Any], forward: Forward | None = None) -> int:
        """Give every member batch-norm statistics that are the exact averages over ``batches``.

        Each member runs over the batches with its batch-norm layers in training mode and everything else (dropout) in
        evaluation mode; mean and unbiased variance of each batch are averaged with equal weights. The result is held in
        memory and used by this object's predictions; the files stay as they were. Snapshots captured later have their
        own statistics until the next call.

        Args:
            batches: read once. A tuple or list is (inputs, ...), of which the inputs are used; else it is the inputs.
            forward: ``forward(model, inputs)`` for inputs of another form.

        Returns:
            How many batch-norm layers were recalibrated; 0 for a model without any.

        Raises:
            DataError: there is no batch.
            StorageError: no snapshot is usable.

        Source: Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576.
        """
        chosen = self._chosen(None)
        layers = norm_layers(self._model)
        statistics = [Statistics() for _ in chosen]
        empty = True
        with isolated(self._model):
            for batch in batches:
                empty = False
                inputs = batch[0] if isinstance(batch, list | tuple) else batch
                inputs = to_device(inputs, self._device())
                for (_, state), collected in zip(chosen, statistics, strict=True):
                    with observing(layers, collected):
                        run_batch(self._caller(state), inputs, forward)
        if empty:
            raise DataError("there is no batch to recalibrate on; an iterator that was used up gives none")
        self._recalibrations += 1
        for (member, state), collected in zip(chosen, statistics, strict=True):
            self._recalibrated[member.file.sha256] = collected.buffers(state)
        return max(len(collected) for collected in statistics)

    def averaged(
        self,
        batches: Iterable[Any] | None = None,
        *,
        last: int | None = None,
        on: Iterable[Any] | None = None,
        how: Literal["uniform", "greedy"] = "uniform",
    ) -> SingleModel:
        """Return one model with averaged weights, at the cost of one, measured against the ensemble.

        ``"uniform"``: the mean over the members (in float64), as in stochastic weight averaging. ``"greedy"``: members
        from the best to the worst by nll on ``on``, each taken in only where the nll does not grow. Averages of
        members that lie in different basins, as after restarts at a high rate, can be ruinous: read the scores.

        Args:
            batches: training data, (inputs, ...) or inputs, for the statistics of batch norm, which are measured
                anew (needed where the model has such layers).
            last: use the last so many members; None uses all.
            on: labelled batches that were not trained on, to score the average, the last member and the ensemble. All are
                kept in memory.
            how: see above.

        Returns:
            The model, its scores, and whether it is worse than the last member.

        Raises:
            DataError: there is no batch, or batch norm needs ``batches``, or greedy needs ``on``.
            StorageError: no snapshot is usable.

        Warns:
            SingleModelWarning: the average is worse than the last member, or was not measured.

        Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv
            1803.05407; Wortsman et al. 2022, "Model soups", arXiv 2203.05482.
        """
        return average_weights(self, self._model, self._loaded(last), batches, on=on, last=last, how=how)

    def distil(
        self,
        batches: Iterable[Any],
        student: nn.Module,
        *,
        epochs: int = 10,
        optimizer: torch.optim.Optimizer | None = None,
        temperature: float = 2.0,
        last: int | None = None,
        on: Iterable[Any] | None = None,
    ) -> SingleModel:
        """Train ``student`` on the ensemble's probabilities, and measure it against the ensemble.

        The loss is T² · KL(p_T || q_T), with p_T the mean over members of softmax(logits / T) and q_T the student's.

        Args:
            batches: inputs or (inputs, ...); labels are not used. Read once an epoch.
            student: a model of the same classes, trained in place.
            epochs: passes over ``batches``.
            optimizer: of the student's parameters; by default AdamW with a rate of 1e-3.
            temperature: T, above 0.
            last: use the last so many members; None uses all.
            on: labelled batches that were not trained on, to score student, last member and ensemble.

        Returns:
            The student in evaluation mode, its scores, and whether it is worse than the last member.

        Raises:
            DataError: there is no batch.
            NonFiniteError: the loss is not finite.
            StorageError: no snapshot is usable.

        Warns:
            SingleModelWarning: the student is worse than the last member, or was not measured.

        Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.
        """
        return distil_into(
            self, student, batches, on=on, last=last, epochs=epochs, optimizer=optimizer, temperature=temperature
        )

    def _device(self) -> torch.device:
        if self._witness is None or self._witness[0].get(self._witness[1]) is None:
            self._witness = next(
                (
                    (module._parameters, name)
                    for module in self._model.modules()
                    for name, parameter in module._parameters.items()
                    if parameter is not None
                ),
                None,
            )
        parameter = None if self._witness is None else self._witness[0].get(self._witness[1])
        return torch.device("cpu") if parameter is None else parameter.device


def _check_last(last: int | None) -> None:
    if last is not None and (isinstance(last, bool) or not isinstance(last, int) or last < 1):
        raise ValueError(f"last must be a whole number of at least 1, or None for all; got {last!r}")
