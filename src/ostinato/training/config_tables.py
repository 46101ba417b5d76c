"""The tables beside a plan in a run's configuration, each validated on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ostinato.checks import is_whole
from ostinato.errors import ConfigError
from ostinato.training.config_text import check_plain, explain, one_of

__all__ = [
    "AugmentConfig", "DataConfig", "LossConfig", "ModelConfig", "OptimizerConfig", "Table", "TrainConfig", "WorkersConfig",
]  # fmt: skip

_DATA_FILES = (".npz", ".csv")

_Count = Annotated[int, Field(ge=1, description="a whole number > 0")]
_Text = Annotated[str, Field(min_length=1, description="a text that is not empty")]
_Args = Annotated[dict[str, Any], Field(description="a table", examples=[{"width": 8}])]


class Table(BaseModel):
    """A table of a configuration: frozen, and nothing in it that is not known."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


class DataConfig(Table):
    """What to train on: one of a ``name``, a ``path`` or a ``factory``; without any, ``digits``.

    Attributes:
        name: A named data set, one of `ostinato.training.datasets.NAMES`.
        path: An NPZ or CSV file, relative to the current directory.
        factory: ``"module:name"``; see `ostinato.training.datasets.load`.
        args: Arguments of the factory.
        label: The label column of a CSV file; without it, the last.
        drop: Columns of a CSV file that are not used.
        test: Share of the test examples in (0, 1), for data without a test set of its own; without it, 0.2.
        split_seed: Seed of that split, 0 to 2^32 - 1; without it, 0.
    """

    name: _Text | None = Field(default=None, examples=["digits"])
    path: _Text | None = Field(default=None, examples=["table.csv"])
    factory: _Text | None = Field(default=None, examples=["my_module:make_data"])
    args: _Args = Field(default_factory=dict)
    label: _Text | None = Field(default=None, examples=["outcome"])
    drop: Annotated[tuple[_Text, ...], Field(strict=False)] = Field(
        default=(), description="a list of column names", examples=[["id"]]
    )
    test: float | None = Field(default=None, gt=0, lt=1, description="a number between 0 and 1", examples=[0.2])
    split_seed: int | None = Field(
        default=None, ge=0, lt=2**32, description="a whole number from 0 to 4294967295", examples=[0]
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        if isinstance(value, str):
            return _data_from_text(value)
        if isinstance(value, dict) and not any(value.get(key) is not None for key in ("name", "path", "factory")):
            return {**value, "name": "digits"}
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        one_of(name=self.name, path=self.path, factory=self.factory)
        check_plain(self.args, "args")
        if self.args and self.factory is None:
            raise ValueError('args are for a factory; write factory = "module:name" or leave args out')
        table = self.path is not None and self.path.lower().endswith(".csv")
        for key, value in (("label", self.label), ("drop", self.drop)):
            if value and not table:
                raise ValueError(f'{key} is for a CSV file; leave it out, or write path = "table.csv"')
        for key in ("test", "split_seed"):
            if getattr(self, key) is not None and self.factory is not None:
                raise ValueError(f"{key}: a factory splits its data itself; leave {key} out, or pass it in args")
        return self

    @classmethod
    def from_text(cls, text: str) -> DataConfig:
        """Read one word of a command line: a file, ``module:factory``, or the name of a data set.

        >>> DataConfig.from_text("table.csv").path, DataConfig.from_text("mine:make").factory
        ('table.csv', 'mine:make')
        """
        given = {"data": text}
        try:
            return _DataOnly.model_validate(given).data
        except ValidationError as error:
            raise ConfigError(explain(error, _DataOnly, given, "--data")) from None


class _DataOnly(Table):
    data: DataConfig


class ModelConfig(Table):
    """What to train: the ``name`` of a model or a ``factory``; without either, chosen by the data's shape.

    Attributes:
        name: ``cnn``, ``resnet``, ``mlp`` or ``linear``.
        factory: ``"module:name"`` returning a ``torch.nn.Module``.
        args: Arguments of either.
    """

    name: _Text | None = Field(default=None, examples=["cnn"])
    factory: _Text | None = Field(default=None, examples=["my_module:make_model"])
    args: _Args = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        return ({"factory": value} if ":" in value else {"name": value}) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        one_of(name=self.name, factory=self.factory)
        check_plain(self.args, "args")
        return self


class OptimizerConfig(Table):
    """The optimizer: its ``name`` in ``torch.optim``, its options beside it, checked when it is built.

    >>> OptimizerConfig(name="adamw", lr=0.01).options
    {'lr': 0.01}
    """

    model_config = ConfigDict(extra="allow")

    name: _Text = Field(default="sgd", examples=["sgd"])

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        check_plain(self.options, "")
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The options beside the name."""
        return dict(self.model_extra or {})


class LossConfig(Table):
    """What is minimised.

    Attributes:
        name: ``cross-entropy``, or ``focal`` for `ostinato.nn.FocalLoss`, whose focus a plan drives as ``loss.gamma``.
        gamma: Focus of the focal loss, what holds where the plan does not drive it; without it, 2.
        weights: Of the classes, by their training examples: ``none``, ``balanced`` or ``class-balanced``; see `ostinato.training.losses.class_weights`.

    >>> LossConfig(name="focal").to_table()
    {'name': 'focal'}
    """

    name: Literal["cross-entropy", "focal"] = Field(default="cross-entropy", examples=["focal"])
    gamma: float | None = Field(default=None, ge=0, description="a number >= 0", examples=[2.0])
    weights: Literal["none", "balanced", "class-balanced"] = Field(default="none", examples=["balanced"])

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.gamma is not None and self.name != "focal":
            raise ValueError('gamma: cross entropy has none; write name = "focal", or leave gamma out')
        return self

    def to_table(self) -> dict[str, Any]:
        """Return what differs from the defaults; empty for plain cross entropy."""
        return self.model_dump(exclude_none=True, exclude_defaults=True)


class TrainConfig(Table):
    """How to train.

    Attributes:
        batch_size: Examples of a batch, over all processes.
        accumulate: Batches of one update.
        seed: Seed of the weights, the order of the data and everything random, 0 to 2^63 - 1.
        recipe: A named plan fragment that is put under the plan; see `ostinato.training.recipes`.
        workers: Processes that fetch data; 0 fetches in the training process.
        devices: Processes of one machine, each with its device.
        accelerator: ``cpu``, ``cuda``, ``gpu``, ``mps`` or ``auto``.
        precision: As in Fabric.
        strategy: As in Fabric.
        checkpoint_every: Updates from one checkpoint to the next.
        log_every: Updates from one line of metrics to the next.
        clip_norm: Largest norm of the gradient; without it, no clipping.
        keep: How many of the last snapshots stay; without it, all.
        average: What an ensemble averages.
    """

    batch_size: _Count = Field(default=64, examples=[64])
    accumulate: _Count = Field(default=1, examples=[1])
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="a whole number from 0 to 9223372036854775807", examples=[0]
    )
    recipe: _Text | None = Field(default=None, examples=["antiphase"])
    workers: int = Field(default=0, ge=0, description="a whole number >= 0", examples=[0])
    devices: _Count | Literal["auto"] = Field(default=1, description='a whole number > 0 or "auto"', examples=[1])
    accelerator: Literal["cpu", "auto", "cuda", "gpu", "mps"] = Field(default="cpu", examples=["cpu"])
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true"] = Field(
        default="32-true", examples=["32-true"]
    )
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true", "ddp_spawn", "ddp_fork", "ddp_notebook"] = (
        Field(default="auto", examples=["auto"])
    )
    checkpoint_every: _Count = Field(default=200, examples=[200])
    log_every: _Count = Field(default=1, examples=[1])
    clip_norm: float | None = Field(default=None, gt=0, description="a number > 0", examples=[1.0])
    keep: _Count | None = Field(default=None, description="a whole number > 0", examples=[5])
    average: Literal["probabilities", "logits"] = Field(default="probabilities", examples=["probabilities"])


class AugmentConfig(Table):
    """What is done to the training batches, and how strongly; without operations, nothing. See `ostinato.augment`.

    Attributes:
        ops: Operations by name, in their order.
        strength: In [0, 1]; what holds where the plan does not drive ``augment.strength``.
        maxima: By operation what strength 1 means, where it is not the default.
        mask_id: Id of the mask, for ``token_dropout``.
    """

    ops: Annotated[tuple[_Text, ...], Field(strict=False)] = Field(
        default=(), description="a list of operations", examples=[["shift", "flip"]]
    )
    strength: float = Field(default=1.0, ge=0, le=1, description="a number from 0 to 1", examples=[0.5])
    maxima: dict[str, float] = Field(
        default_factory=dict, description="a table of numbers by operation", examples=[{"shift": 0.2}]
    )
    mask_id: int | None = Field(default=None, ge=0, description="a whole number >= 0", examples=[103])

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"ops": [value]}
        return {"ops": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        from ostinato.augment.augmentation import demand_known

        demand_known(self.ops, self.maxima)
        if not self.ops and self.model_fields_set - {"ops", "maxima"}:
            raise ValueError('ops: there are none; write ops = ["shift", "flip"], or leave the table out')
        return self

    def to_table(self) -> dict[str, Any]:
        """Return the table as TOML can say it.

        >>> AugmentConfig(ops=("flip",)).to_table()
        {'ops': ['flip'], 'strength': 1.0}
        """
        table = self.model_dump(exclude_none=True)
        return {key: list(value) if key == "ops" else value for key, value in table.items() if value != {}}


class WorkersConfig(Table):
    """Workers that train apart and average their models; without a count, none. See `ostinato.applications.federated.workers`.

    Attributes:
        count: How many; each is a process with its device and an equal part of every batch.
        average_every: Updates from one averaging to the next.
        phase_shift: Whether each worker has a phase of its own, evenly spread over the cycle; otherwise all have the plan's.
        phases: How many different ones, for fewer than one a worker.
        normalise: Whether every worker pulls alike however far its rates took it.
    """

    count: _Count | None = Field(default=None, description="a whole number > 0", examples=[2])
    average_every: _Count = Field(default=8, examples=[8])
    phase_shift: bool = Field(default=False, description="true or false", examples=[True])
    phases: _Count | None = Field(default=None, description="a whole number > 0", examples=[2])
    normalise: bool = Field(default=False, description="true or false", examples=[True])

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, value: Any) -> Any:
        return {"count": value} if is_whole(value) else value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.phases is not None and not self.phase_shift:
            raise ValueError("phases are for shifted workers; write phase_shift = true, or leave phases out")
        if self.phases is not None and self.count is not None and self.phases > self.count:
            raise ValueError(
                f"phases: got {self.phases} for {self.count} workers, so that some would be nobody's; write phases = {self.count} or less"
            )
        return self

    @property
    def wanted(self) -> bool:
        """Whether the table says anything."""
        return self != WorkersConfig()


def _data_from_text(text: str) -> dict[str, str]:
    if (
        text.lower().endswith(_DATA_FILES)
        or (("/" in text or "\\" in text) and ":" not in text)
        or Path(text).is_file()
    ):
        return {"path": text}
    return {"factory": text} if ":" in text else {"name": text}
