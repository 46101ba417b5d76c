"""The ensemble of a training run's snapshots: capture at each cycle's end, average the predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ostinato.ensembles.capturing import Snapshots, TickLike, check_last
from ostinato.ensembles.held import Held, State
from ostinato.ensembles.methods import METHODS, Call, Inference, Method, MethodChoice
from ostinato.ensembles.passes import Forward, evaluated, recalibrated
from ostinato.ensembles.prediction import (
    Average,
    average_outputs,
    default_output,
)
from ostinato.ensembles.scores import Evaluation
from ostinato.ensembles.single import SingleModel, average_weights, distil_into
from ostinato.ensembles.store import Member
from ostinato.errors import StorageError

__all__ = ["Forward", "SnapshotEnsemble", "TickLike"]


class SnapshotEnsemble(Snapshots):
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
        super().__init__(model, directory, keep=keep, background=background)
        self._held = Held(self._model, self._store)
        self._inference = Inference(self._model)

    def __repr__(self) -> str:
        return f"SnapshotEnsemble({type(self._model).__name__}, {str(self.directory)!r}, members={len(self)})"

    def release(self) -> None:
        """Free the members held in memory, and forget how calls are best computed; a recalibration stays."""
        self._held.release()
        self._inference.clear()

    @property
    def methods(self) -> tuple[MethodChoice, ...]:
        """How calls are computed, for the forms of call for which that was decided, with timings and reasons."""
        return self._inference.choices

    def _forget_unlisted(self) -> None:
        self._held.keep(self.members)

    def _chosen(self, last: int | None) -> list[tuple[Member, State]]:
        """Return the selected members that can be loaded, with their tensors in place of the model's."""
        while True:
            chosen = self.select(last=last)
            if not chosen:
                raise StorageError(f"there is no usable snapshot in {str(self.directory)!r}; call capture(tick) first")
            states = [self._held.state(member) for member in chosen]
            loaded = [(member, state) for member, state in zip(chosen, states, strict=True) if state is not None]
            if len(loaded) == len(chosen):
                return loaded

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
        check_last(last)
        self._settle()
        stamp = (self._store.revision, self._held.recalibrations, self._held.device())
        pick = output or default_output
        return self._inference.outputs(stamp, Call(args, kwargs, pick, last, method), lambda: self._loaded(last))

    def _loaded(self, last: int | None) -> list[State]:
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
        calls = {member.step: self._held.caller(state) for member, state in self._chosen(last)}
        return evaluated(self._model, calls, batches, forward=forward, average=average, device=self._held.device())

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
        calls = [(state, self._held.caller(state)) for _, state in chosen]
        buffers = recalibrated(self._model, calls, batches, forward=forward, device=self._held.device())
        self._held.recalibrate({member.file.sha256: own for (member, _), own in zip(chosen, buffers, strict=True)})
        return max(sum(name.endswith("running_mean") for name in own) for own in buffers)

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
