from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from ostinato.errors import ConfigError
from ostinato.training.config import DataConfig, OptimizerConfig, RunConfig, load_config, parse_config

FULL = """
version = 1
total = "51ep"

[cycle]
waveform = "cosine"
count = 5

[[bind]]
target = "optimizer.lr"
low = 0.0001
high = 0.1

[data]
path = "table.csv"
label = "outcome"
drop = ["id", "name"]
test = 0.25

[model]
name = "mlp"
args = { hidden = 64 }

[optimizer]
name = "adamw"
lr = 0.01
betas = [0.9, 0.99]

[train]
batch_size = 32
clip_norm = 1
"""


def _write(folder: Path, text: str | bytes) -> Path:
    path = folder / "run.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_tables_are_validated_and_the_plan_is_handed_on(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, FULL))
    document = tomllib.loads(FULL)
    assert config.plan == {key: document[key] for key in ("version", "total", "cycle", "bind")}
    assert config.data == DataConfig(path="table.csv", label="outcome", drop=("id", "name"), test=0.25)
    assert config.model.args == {"hidden": 64}
    assert config.optimizer.options == {"lr": 0.01, "betas": [0.9, 0.99]}
    assert (config.train.batch_size, config.train.clip_norm, config.train.accumulate) == (32, 1.0, 1)


def test_an_empty_file_is_digits_with_the_defaults(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, ""))
    assert config == RunConfig()
    assert (config.plan, config.data.name, config.optimizer.name) == (None, "digits", "sgd")
    train = config.train
    assert (train.batch_size, train.checkpoint_every, train.log_every, train.average) == (64, 200, 1, "probabilities")


@pytest.mark.parametrize("text", [FULL, "", 'data = "mnist"\nmodel = "mine:make"\noptimizer = "adamw"'])
def test_the_resolved_document_says_the_same(tmp_path: Path, text: str) -> None:
    config = load_config(_write(tmp_path, text))
    written = tomli_w.dumps(config.to_document())
    assert parse_config(tomllib.loads(written)) == config


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("digits", "name", "digits"),
        ("Data.CSV", "path", "Data.CSV"),
        ("sets/a.npz", "path", "sets/a.npz"),
        ("my.module:make", "factory", "my.module:make"),
    ],
)
def test_one_word_says_what_data(text: str, field: str, value: str) -> None:
    assert getattr(DataConfig.from_text(text), field) == value
    assert getattr(parse_config({"data": text}).data, field) == value


def test_replace_changes_addresses_and_validates() -> None:
    config = parse_config({"total": "5ep", "optimizer": {"name": "sgd", "lr": 0.1}})
    changed = config.replace({"train.seed": 7, "optimizer.lr": 0.2, "data": "mnist"})
    assert (changed.train.seed, changed.optimizer.options["lr"], changed.data.name) == (7, 0.2, "mnist")
    assert changed.plan == {"total": "5ep"}
    assert config.train.seed == 0
    assert changed.replace({"train.seed": None, "plan": None}).train.seed == 0
    assert config.replace({"data": DataConfig(path="a.csv")}).data.path == "a.csv"
    with pytest.raises(ConfigError, match=r"^--seed: \[train\] seed: got -1, expected a whole number from 0"):
        config.replace({"train.seed": -1}, source="--seed")
    with pytest.raises(ConfigError, match=r"'trian\.seed' is no address; did you mean 'train'"):
        config.replace({"trian.seed": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[train]\nbatch_size = 'x'",
            "[train] batch_size: got 'x', expected a whole number > 0 (write batch_size = 64)",
        ),
        ("[train]\nbatch_size = 0", "[train] batch_size: got 0, expected a whole number > 0 (write batch_size = 64)"),
        ("[train]\nbatch_size = true", "[train] batch_size: got True, expected a whole number > 0"),
        ("[train]\nbatch_size = 6.0", "[train] batch_size: got 6.0, expected a whole number > 0"),
        ("[train]\nbatchsize = 6", "[train] batchsize: no such key; did you mean 'batch_size'?"),
        ("[train]\nclip_norm = inf", "[train] clip_norm: got inf, expected a number > 0 (write clip_norm = 1.0)"),
        ("[train]\nclip_norm = nan", "[train] clip_norm: got nan, expected a number > 0"),
        ("[train]\ndevices = 0", '[train] devices: got 0, expected a whole number > 0 or "auto" (write devices = 1)'),
        ("[train]\nprecision = '8'", "[train] precision: got '8', expected '32-true', '64-true'"),
        ("[train]\naverage = 'median'", "[train] average: got 'median', expected 'probabilities' or 'logits'"),
        ("[train]\nseed = -1\nworkers = -2", "(write seed = 0) (and also: [train] workers)"),
        ("train = 3", "[train]: got 3, expected a table (write [train] on a line of its own)"),
        ("[data]\nname = 'a'\npath = 'b.csv'", "[data]: got name and path, expected one of them; delete the others"),
        ("[data]\ndrop = 'id'", "[data] drop: got 'id', expected a list of column names (write drop = [\"id\"])"),
        ("[data]\nlabel = 'y'", "[data]: label is for a CSV file"),
        ("[data]\npath = 'a.npz'\ndrop = ['y']", "[data]: drop is for a CSV file"),
        ("[data]\nname = 'digits'\nargs = {a = 1}", "[data]: args are for a factory"),
        ("[data]\nfactory = 'a:b'\ntest = 0.1", "[data]: test: a factory splits its data itself"),
        ("[data]\ntest = 1.0", "[data] test: got 1.0, expected a number between 0 and 1 (write test = 0.2)"),
        ("[data]\nname = ''", "[data] name: got '', expected a text that is not empty"),
        ("[model]\nname = 'a'\nfactory = 'b:c'", "[model]: got name and factory"),
        ("[model]\nargs = {width = nan}", "[model]: args.width: got nan, expected a finite number"),
        ("[optimizer]\nbetas = [0.9, inf]", "[optimizer]: betas[1]: got inf, expected a finite number"),
        ("[trian]\nseed = 1", "[trian] is no table; did you mean 'train'?"),
        ("[train\nseed = 1", "is no TOML: Expected ']' at the end of a table declaration (at line 1, column 7)"),
        ("seed = 1\nseed = 2", "is no TOML: Cannot overwrite a value (at"),
        (b"a = '\xff'", "is not UTF-8 text (byte 5); save it as UTF-8"),
    ],
)
def test_what_is_not_understood_takes_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert message in said
    assert "\n" not in said


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    _write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"ran\.toml: no such file; did you mean 'run\.toml'\?"):
        load_config(tmp_path / "ran.toml")
    with pytest.raises(ConfigError, match="is a directory, expected a TOML file"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "run.toml" / "under")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config("a\0b")


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    assert load_config(_write(tmp_path, b"\xef\xbb\xbf[train]\r\nseed = 3\r\n")).train.seed == 3


def test_options_of_the_optimizer_stay_beside_its_name() -> None:
    assert RunConfig(optimizer=OptimizerConfig.model_validate({"name": "adamw", "lr": 0.1})).to_document()[
        "optimizer"
    ] == {
        "name": "adamw",
        "lr": 0.1,
    }


_leaf = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=8))
_tree = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)
_keys = st.sampled_from(
    [
        "data",
        "model",
        "optimizer",
        "train",
        "name",
        "path",
        "factory",
        "args",
        "drop",
        "test",
        "seed",
        "batch_size",
        "x",
    ]
)
_documents = st.dictionaries(_keys, _tree | st.dictionaries(_keys, _tree, max_size=4), max_size=4)


@settings(max_examples=150, deadline=None)
@given(_documents)
def test_any_document_gives_a_configuration_or_one_line(document: dict[str, object]) -> None:
    try:
        config = parse_config(document)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - either outcome is right
    else:
        tables = {key: value for key, value in config.to_document().items() if key not in (config.plan or {})}
        assert parse_config(tomllib.loads(tomli_w.dumps(tables))).data == config.data
