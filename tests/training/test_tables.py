from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ostinato.errors import DataError
from ostinato.training.arrays import split_indices
from ostinato.training.tables import read_csv, read_table

ROWS = 40


def _write(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def _table(folder: Path) -> Path:
    lines = ["id,age,colour,income,outcome"]
    for row in range(ROWS):
        age = "" if row % 8 == 3 else str(20 + row)
        colour = ["red", "green", "", "blue"][row % 4]
        lines.append(f"{row},{age},{colour},{row * 1.5},{['no', 'yes'][row % 2]}")
    return _write(folder, "\n".join(lines) + "\n")


def test_columns_become_numbers_by_the_training_rows(tmp_path: Path) -> None:
    arrays = read_csv(_table(tmp_path), drop=["id"], split_seed=3)
    assert arrays.labels == ("no", "yes")
    assert (len(arrays.train_inputs), len(arrays.test_inputs)) == (32, 8)
    targets = np.arange(ROWS) % 2
    train, test = split_indices(np.array(["no", "yes"])[targets], 0.2, 3, "")
    assert arrays.train_targets.tolist() == targets[train].tolist()
    assert arrays.test_targets.tolist() == targets[test].tolist()

    age = np.where(np.arange(ROWS) % 8 == 3, np.nan, 20.0 + np.arange(ROWS))
    median = np.nanmedian(age[train])
    filled = np.where(np.isnan(age), median, age)
    expected = (filled - filled[train].mean()) / filled[train].std()
    np.testing.assert_allclose(arrays.train_inputs[:, 0], expected[train], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays.test_inputs[:, 0], expected[test], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(arrays.train_inputs[:, 1].mean(), 0, atol=1e-6)
    assert arrays.train_inputs[:, 2].tolist() == np.isnan(age)[train].astype(float).tolist()
    colours = np.array(["", "blue", "green", "red"])[:, None]  # missing is a category of its own
    given = np.array(["red", "green", "", "blue"])[np.arange(ROWS) % 4]
    assert arrays.test_inputs[:, 3:].tolist() == (colours == given[test]).T.astype(float).tolist()


def test_a_category_never_seen_in_training_is_all_zeros(tmp_path: Path) -> None:
    _, test = split_indices(np.array(["no", "yes"])[np.arange(ROWS) % 2], 0.2, 0, "")
    lines = ["colour,size,y"] + [
        f"{'odd' if r == test[0] else 'ab'[r % 2]},{r},{['no', 'yes'][r % 2]}" for r in range(ROWS)
    ]
    arrays = read_csv(_write(tmp_path, "\n".join(lines)))
    assert arrays.train_inputs.shape[1] == 3
    assert arrays.test_inputs[0, 1:].tolist() == [0.0, 0.0]
    assert arrays.test_inputs[1:, 1:].sum(1).tolist() == [1.0] * 7


def test_label_separator_mark_and_line_ends(tmp_path: Path) -> None:
    rows = "\r\n".join(f'{row % 3 + 8};"a, {row % 2}";{row}' for row in range(30))
    arrays = read_csv(_write(tmp_path, "\ufefflabel;text;number\r\n" + rows + "\r\n\r\n"), label="label", test=0.5)
    assert arrays.labels == ("8", "9", "10")  # in the order of numbers
    assert arrays.train_inputs.shape == (15, 3)


def test_an_empty_column_and_a_constant_one_give_finite_inputs(tmp_path: Path) -> None:
    rows = "\n".join(f",{row},5,{row % 2}" for row in range(20))
    arrays = read_csv(_write(tmp_path, "empty,n,same,y\n" + rows))
    assert np.isfinite(arrays.train_inputs).all()
    assert np.isfinite(arrays.test_inputs).all()


def test_rows_are_counted_as_lines_of_the_file(tmp_path: Path) -> None:
    table = read_table(_write(tmp_path, 'a,y\n1,x\n\n"two\nlines",y\n'))
    assert (table.rows, table.lines) == ((("1", "x"), ("two\nlines", "y")), (2, 5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, expected a header row"),
        ("a,y\n", "has a header and no rows"),
        ("a,y\n1,x\n2,x,3\n", r"row 3 has 3 fields, the header has 2 columns"),
        ("a,y\n1\n", r"row 2 has 1 fields, the header has 2 columns"),
        ("a,a,y\n1,2,x\n", "row 1: two columns are called 'a'"),
        ("a,,y\n1,2,x\n", "row 1: column 2 has no name"),
        ("a\n1\n", "row 1: has the single column 'a'"),
        ("1,2\n3,4\n", "row 1: holds numbers only"),
        ('a,y\n"1,x\n', "is no CSV: unexpected end of data"),
        ('a,y\n"1"2,x\n', "row 2: is no CSV"),
        ("a,y\n1,x\n2,\n", "row 3, column 'y': the label is missing"),
        ("a,y\n1,x\n2,x\n", r"column 'y': all 2 labels are 'x'; at least two classes are needed"),
        ("a,y\n1,x\n2,x\n3,z\n", "column 'y': class 'z' has a single example"),
        ("a,y\n1,x\n2,x\n3,z\n4,z\n", "no stratified split with test = 0.2"),
        ("a,y\ninf,x\n2,x\n", "row 2, column 'a': 'inf' is out of range, expected a finite number|single|all 2"),
        (b"a,y\n\xff,x\n", "is not UTF-8 text .byte 4.; save it as UTF-8"),
    ],
)
def test_bad_files_take_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = _write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_csv(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e400", "1e39"])
def test_numbers_that_are_not_finite_are_named(tmp_path: Path, value: str) -> None:
    rows = [f"{row},{row % 2}" for row in range(20)]
    rows[4] = f"{value},0"
    with pytest.raises(DataError, match=rf"row 6, column 'a': '{value}' is out of range"):
        read_csv(_write(tmp_path, "a,y\n" + "\n".join(rows)))


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    rows = [f"{'NaN' if row % 5 == 0 else row},{row % 2}" for row in range(40)]
    arrays = read_csv(_write(tmp_path, "a,y\n" + "\n".join(rows)))
    assert arrays.train_inputs.shape[1] == 2
    assert set(arrays.train_inputs[:, 1].tolist()) == {0.0, 1.0}


def test_a_number_gone_wrong_does_not_make_hundreds_of_categories(tmp_path: Path) -> None:
    rows = [f"{row},{row % 2}" for row in range(300)]
    rows[9] = "9.5x,1"
    with pytest.raises(DataError, match=r"row 11, column 'a': '9.5x' is no number.*300 different.*drop = \[\"a\"\]"):
        read_csv(_write(tmp_path, "a,y\n" + "\n".join(rows)))


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    path = _table(tmp_path)
    with pytest.raises(DataError, match="label: no column 'outcom'; did you mean 'outcome'"):
        read_csv(path, label="outcom")
    with pytest.raises(DataError, match="drop: no column 'ids'; did you mean 'id'"):
        read_csv(path, drop=["ids"])
    with pytest.raises(DataError, match="drop has the label column 'outcome'"):
        read_csv(path, drop=["outcome"])
    with pytest.raises(DataError, match="no column is left beside the label"):
        read_csv(path, drop=["id", "age", "colour", "income"])
    with pytest.raises(DataError, match="no such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path)


def test_stroke_prediction() -> None:
    path = Path(os.environ.get("OSTINATO_DATA", "")) / "imbalanced" / "stroke_train_2v.csv"
    if not (os.environ.get("OSTINATO_DATA") and path.is_file()):
        pytest.skip("needs imbalanced/stroke_train_2v.csv in OSTINATO_DATA")
    arrays = read_csv(path, drop=["id"])
    assert (len(arrays.train_targets), len(arrays.test_targets)) == (34720, 8680)
    assert arrays.train_targets.sum() + arrays.test_targets.sum() == 783
    # 5 numeric and one indicator (bmi); 3 + 2 + 5 + 2 categories, and 4 of smoking with the missing ones
    assert arrays.train_inputs.shape[1] == 5 + 1 + 3 + 2 + 5 + 2 + 4
    assert np.isfinite(arrays.train_inputs).all()
