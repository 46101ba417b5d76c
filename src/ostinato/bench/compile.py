"""What scheduled values cost a compiled training step: recompiles, and the time of a step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ostinato.augment import Augment
from ostinato.bench.harness import Row, interleaved
from ostinato.compilation import Compilations, count_recompiles
from ostinato.core.bindings import Binding, mirror, wave
from ostinato.core.cycles import Cycle
from ostinato.core.plan import Plan
from ostinato.nn import FocalLoss, compile_safe

__all__ = ["CONCERT", "SEVEN", "CompiledStep", "measure", "measure_one", "measure_time"]

_CYCLES, _PERIOD = 3, 12  # more values in a cycle than the 8 compilations after which Dynamo gives up

SEVEN: Mapping[str, tuple[str, Binding]] = {
    "lr": ("optimizer.lr", wave(1e-4, 1e-2)),
    "weight_decay": ("optimizer.weight_decay", wave(1e-5, 5e-2, shift=0.25)),
    "betas": ("optimizer.betas.0", mirror(0.85, 0.95)),
    "dropout": ("model:Dropout.p", mirror(0.05, 0.3)),
    "bn_momentum": ("model:BatchNorm.momentum", mirror(0.01, 0.3)),
    "label_smoothing": ("loss.label_smoothing", mirror(0.01, 0.1)),
    "gamma": ("focus.gamma", wave(0.5, 2.0)),
}
"""The seven hyperparameters: name to target and binding."""

_VALUES = {**SEVEN, "augment": ("augment.strength", mirror(0.0, 1.0))}
CONCERT = ("lr", "weight_decay", "dropout", "bn_momentum", "label_smoothing", "augment")
"""Six voices of a training run. The batch is augmented outside of what is compiled, at the strength of its own step."""


class _PlainFocal(nn.Module):
    """Focal loss as it is usually written, with a plain number."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = torch.log_softmax(logits, 1).gather(1, target.unsqueeze(1)).squeeze(1)
        return (-((1.0 - log_p.exp()) ** self.gamma) * log_p).mean()


@dataclass(frozen=True)
class CompiledStep:
    """A training step, compiled: forward, loss and backward in one call, the optimizer's step in another.

    Attributes:
        model: A perceptron with batch norm and dropout.
        loss: Cross entropy with label smoothing.
        focus: Focal loss, added to it.
        optimizer: AdamW.
        augment: What is done to the batch before the compiled part, or None.
        call: Runs the step of a number.
    """

    model: nn.Module
    loss: nn.Module
    focus: nn.Module
    optimizer: torch.optim.Optimizer
    augment: Augment | None
    call: Callable[[int], object]

    @classmethod
    def make(
        cls, names: Iterable[str], *, ours: bool, width: int = 32, batch: int = 16, backend: str = "inductor"
    ) -> CompiledStep:
        """Return a step whose hyperparameters `names` are ready to be driven, in our form or as plain numbers."""
        names = list(names)
        torch.manual_seed(0)
        classes: list[type[nn.Module]] = [
            type("Body", (nn.Sequential,), {"forward": _forward()})
        ]  # a code object of its own
        model = classes[0](
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, 10)
        )
        loss: nn.Module = nn.CrossEntropyLoss(label_smoothing=0.05)
        focus: nn.Module = FocalLoss(2.0) if ours else _PlainFocal()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        if ours:
            compile_safe(model, _plan(names, 1), loss=loss, optimizer=optimizer, focus=focus)
        augment = Augment(["feature_noise", "feature_dropout"]) if "augment" in names else None
        pair = torch.randn(batch, width), torch.randint(0, 10, (batch,))

        def made(place: int) -> tuple[Tensor, Tensor]:
            return pair if augment is None else augment(pair, place)

        call = _compiled(model, loss, focus, optimizer, made, backend=backend)
        return cls(model, loss, focus, optimizer, augment, call)

    @property
    def roots(self) -> dict[str, Any]:
        """The objects by the names that the targets begin with."""
        objects = {"model": self.model, "loss": self.loss, "focus": self.focus, "optimizer": self.optimizer}
        return objects if self.augment is None else {**objects, "augment": self.augment}


def _forward() -> Callable[..., Tensor]:
    def forward(self: nn.Sequential, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x

    return forward


def _compiled(
    model: nn.Module,
    loss: nn.Module,
    focus: nn.Module,
    optimizer: torch.optim.Optimizer,
    made: Callable[[int], tuple[Tensor, Tensor]],
    *,
    backend: str,
) -> Callable[[int], object]:
    def objective(x: Tensor, y: Tensor) -> Tensor:
        logits = model(x)
        return loss(logits, y) + focus(logits, y)  # type: ignore[no-any-return]  # losses are called as modules are, which return anything

    def update() -> None:
        optimizer.step()

    compiled, stepped = torch.compile(objective, backend=backend), torch.compile(update, backend=backend)

    def call(place: int) -> None:
        optimizer.zero_grad()
        compiled(*made(place)).backward()  # type: ignore[no-untyped-call]  # torch does not say what it returns
        stepped()

    return call


def _plan(names: Iterable[str], cycles: int) -> Plan:
    bindings = dict(_VALUES[name] for name in names)
    return Plan(total=cycles * _PERIOD, cycle=Cycle("cosine", period=_PERIOD), bindings=bindings)


def measure_one(names: Iterable[str], *, ours: bool, backend: str = "inductor") -> Compilations:
    """Count what is compiled over three cycles when the plan drives some of the seven hyperparameters, or the strength of augmentation.

    Args:
        names: Of `SEVEN`, or ``augment``.
        ours: In our form, or as plain numbers of torch's modules.
        backend: Of `torch.compile`.
    """
    names = list(names)
    torch._dynamo.reset()
    step = CompiledStep.make(names, ours=ours, backend=backend)
    scheduler = _plan(names, _CYCLES).bind(**step.roots)

    def call(place: int) -> None:
        step.call(place)
        scheduler.step()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return count_recompiles(call, _CYCLES * _PERIOD)


def measure_time(*, calls: int = 100, rounds: int = 21, width: int = 256, batch: int = 128) -> Row:
    """Measure a compiled step whose seven values are scheduled against the same step with fixed values (torch's own modules)."""
    torch._dynamo.reset()
    ours = CompiledStep.make(SEVEN, ours=True, width=width, batch=batch)
    fixed = CompiledStep.make((), ours=False, width=width, batch=batch)
    scheduler = _plan(SEVEN, 1_000_000).bind(**ours.roots)

    def scheduled() -> None:
        ours.call(0)
        scheduler.step()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(5):
            scheduled()
            fixed.call(0)
        timing = interleaved(scheduled, lambda: fixed.call(0), calls=calls, rounds=rounds)
    detail = {"peer": "the same step with fixed values", "ours_us": timing.ours * 1e6, "peer_us": timing.peer * 1e6}
    return Row("compile-time", timing.ratio, timing.spread, None, 1.05, detail=detail)


def measure() -> list[Row]:
    """Count recompiles of every hyperparameter alone, of the seven together and of the concert, ours beside plain numbers, and time a step.

    Ours are compiled with Inductor. Plain numbers are compiled with ``aot_eager``: Dynamo recompiles them alike, and it is much quicker.
    It takes some minutes, nearly all of it compiling.
    """
    counts = {
        name: (measure_one(names, ours=True), measure_one(names, ours=False, backend="aot_eager"))
        for name, names in {**{name: (name,) for name in _VALUES}, "together": tuple(SEVEN), "concert": CONCERT}.items()
    }
    most = max(ours.recompiles + ours.breaks for ours, _ in counts.values())
    detail: dict[str, Any] = {"what": "recompiles after the second step over 3 cycles, ours and (plain numbers)"}
    detail |= {name: f"{ours.recompiles} ({_told(plain)})" for name, (ours, plain) in counts.items()}
    return [Row("compile", float(most), (float(most), float(most)), 0.0, 0.0, detail=detail), measure_time()]


def _told(counts: Compilations) -> str:
    return f"{counts.recompiles}, then given up" if counts.gave_up else str(counts.recompiles)
