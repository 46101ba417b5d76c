"""Tables in CSV files, made into numbers by what the training rows say."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ostinato.errors import DataError, suggest
from ostinato.training.arrays import Arrays, Floats, encode, split_indices

__all__ = ["MISSING", "Table", "read_csv", "read_table"]

MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})
"""What counts as a missing value, after stripping blanks and in any case."""

_MOST_CATEGORIES = 256


@dataclass(frozen=True)
class Table:
    """A CSV file as text.

    Attributes:
        path: The file.
        header: Names of the columns.
        rows: One tuple of stripped fields each.
        lines: The line of the file on which each row ends, counted from 1.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, name: str) -> list[str]:
        """Return the fields of one column."""
        index = self.header.index(name)
        return [row[index] for row in self.rows]

    def place(self, row: int, column: str) -> str:
        """Return ``"FILE: row N, column 'NAME'"``, N being the line of the file."""
        return f"{self.path}: row {self.lines[row]}, column {column!r}"


def read_csv(
    path: Path, label: str | None = None, drop: Sequence[str] = (), test: float = 0.2, split_seed: int = 0
) -> Arrays:
    """Read a CSV file with a header row as a classification task.

    Rows are split by class (`split_indices`). Then, by what the *training* rows say: numeric columns have their
    missing values replaced by the median and are standardised, and those with missing values get an indicator column;
    every other column is one-hot encoded, a missing value being a category of its own and one never seen in
    training being all zeros. A column is numeric if all that is not missing (`MISSING`) is a number. Classes are
    numbered 0 to C-1 in ascending order, numerically if all labels are numbers.

    Args:
        path: The file, UTF-8; separated by commas, semicolons or tabs, whichever the header has most of.
        label: The label column; None is the last one.
        drop: Columns that are not used.
        test: Share of the test rows, in (0, 1).
        split_seed: Seed of the split.

    Returns:
        Inputs float32 (N, F): numeric columns, indicators, categories, each in the order of the file.

    Raises:
        DataError: the file or a value is not understood: one line naming file, row and column.
    """
    table = read_table(path)
    name = table.header[-1] if label is None else label
    _check_columns(table, [name], "label")
    _check_columns(table, drop, "drop")
    if name in drop:
        raise DataError(f'{path}: drop has the label column {name!r}; name another by label = "..."')
    features = [column for column in table.header if column != name and column not in drop]
    if not features:
        raise DataError(f"{path}: no column is left beside the label {name!r}")
    targets = _labels(table, name)
    train, rest = split_indices(targets, test, split_seed, f"{path}: column {name!r}")
    inputs = _features(table, features, train)
    first, second, labels = encode(targets[train], targets[rest], f"{path}: column {name!r}")
    if targets.dtype.kind == "f":
        labels = tuple(f"{float(text):.12g}" for text in labels)
    return Arrays(inputs[train], first, inputs[rest], second, labels)


def read_table(path: Path) -> Table:
    """Read a CSV file as text and check that it is rectangular.

    Raises:
        DataError: it cannot be read, has no header or rows, or a row has too many or too few fields.
    """
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        header = tuple(field.strip() for field in next(reader, []))
        _check_header(path, header)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{path}: row {reader.line_num} has {len(fields)} fields, the header has {len(header)} columns "
                    f"(the last: {header[-1]!r})"
                )
            rows.append(tuple(field.strip() for field in fields))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}: row {reader.line_num}: is no CSV: {error}") from error
    if not rows:
        raise DataError(f"{path}: has a header and no rows")
    return Table(path, header, tuple(rows), tuple(lines))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    if not header:
        raise DataError(f"{path}: is empty, expected a header row and rows of values")
    for index, name in enumerate(header):
        if not name:
            raise DataError(f"{path}: row 1: column {index + 1} has no name")
        if name in header[:index]:
            raise DataError(f"{path}: row 1: two columns are called {name!r}")
    if len(header) < 2:
        raise DataError(f"{path}: row 1: has the single column {header[0]!r}, expected a label and at least one other")
    if all(_number(name) is not None for name in header):
        raise DataError(f"{path}: row 1: holds numbers only, expected the names of the columns")


def _check_columns(table: Table, names: Sequence[str], option: str) -> None:
    for name in names:
        if name not in table.header:
            raise DataError(f"{table.path}: {option}: no column {name!r}{suggest(name, table.header)}")


def _labels(table: Table, name: str) -> npt.NDArray[Any]:
    texts = table.column(name)
    for row, text in enumerate(texts):
        if text.casefold() in MISSING:
            raise DataError(f"{table.place(row, name)}: the label is missing; complete or delete the row")
    numbers = [_number(text) for text in texts]
    if all(number is not None and math.isfinite(number) for number in numbers):
        return np.array(numbers, np.float64)
    return np.array(texts, np.str_)


def _features(table: Table, names: Sequence[str], train: npt.NDArray[np.int64]) -> Floats:
    numeric: list[npt.NDArray[np.float64]] = []
    category: list[list[str]] = []
    for name in names:
        numbers = _numbers(table, name)
        if numbers is None:
            category.append(["" if text.casefold() in MISSING else text for text in table.column(name)])
        else:
            numeric.append(numbers)
    parts = []
    if numeric:
        parts.append(_numeric(np.stack(numeric, axis=1), train))
    if category:
        parts.append(_one_hot(np.array(category, dtype=object).T, train))
    inputs = np.concatenate(parts, axis=1)
    if not inputs.shape[1]:
        raise DataError(f"{table.path}: no column holds a value")
    return inputs.astype(np.float32)


def _numbers(table: Table, name: str) -> npt.NDArray[np.float64] | None:
    """Return a numeric column with NaN where values are missing, or None if it is of categories."""
    texts = table.column(name)
    values = [math.nan if text.casefold() in MISSING else _number(text) for text in texts]
    odd = [row for row, value in enumerate(values) if value is None]
    if odd:
        different = len(Counter(texts))
        if different > _MOST_CATEGORIES:
            raise DataError(
                f"{table.place(odd[0], name)}: {texts[odd[0]]!r} is no number, and as categories the column has "
                f'{different} different values (at most {_MOST_CATEGORIES}); correct it or write drop = ["{name}"]'
            )
        return None
    for row, value in enumerate(values):
        if value is not None and abs(value) > float(np.finfo(np.float32).max):
            raise DataError(f"{table.place(row, name)}: {texts[row]!r} is out of range, expected a finite number")
    return np.array(values, np.float64)


def _numeric(values: npt.NDArray[np.float64], train: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(values[train])
    filled = imputer.transform(values)
    scaled = StandardScaler().fit(filled[train]).transform(filled)
    indicator = MissingIndicator(features="missing-only", error_on_new=False).fit(values[train])
    return np.concatenate([scaled, indicator.transform(values).astype(np.float64)], axis=1)


def _one_hot(values: npt.NDArray[Any], train: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(values[train])
    encoded: npt.NDArray[np.float64] = encoder.transform(values)
    return encoded


def _number(text: str) -> float | None:
    """Return the number that a field is, or None; Python's digit separators (``1_000``) are no numbers here."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
