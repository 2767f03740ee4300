"""Bars of prices and volume (open, high, low, close, volume): read from files, checked, prepared for a market."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_numba.extras import require

COLUMNS = ("open", "high", "low", "close", "volume")
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


def load_ohlcv(source: Any) -> NDArray[np.float64]:
    """Bars from a file or array, checked.

    Args:
        source: a path to a CSV file with a header line, or to a Parquet file (extra ``parquet``); both with columns
            open, high, low, close and volume, in any order and case, whatever others there are. Or an array (rows, 5)
            or (rows, symbols, 5) of these columns in this order, oldest row first. Or a sequence of several paths, one
            for each symbol, with as many rows each.

    Returns:
        float64 (rows, symbols, 5).

    Raises:
        ValueError: a file is missing, a column is missing or not of numbers, or a value is not possible; the message
            says which, with row and column. Row 0 is the first after the header.
        ImportError: a Parquet file, and pyarrow is missing; the message names the extra that brings it.
    """
    if isinstance(source, str | os.PathLike):
        return check_ohlcv(_read(Path(source)))
    if isinstance(source, list | tuple) and source and all(isinstance(path, str | os.PathLike) for path in source):
        tables = [_read(Path(path)) for path in source]
        rows = [len(table) for table in tables]
        if len(set(rows)) != 1:
            raise ValueError(f"Trading: parameter data is files of {rows} rows; expected as many rows in each.")
        return check_ohlcv(np.stack(tables, axis=1))
    return check_ohlcv(source)


def check_ohlcv(values: Any) -> NDArray[np.float64]:
    """An array of bars as float64 (rows, symbols, 5), if they are possible.

    Raises:
        ValueError: they are not; the message says which row, symbol and column, and what is allowed.
    """
    array = _as_array(values)
    prices, volume = array[:, :, :VOLUME], array[:, :, VOLUME]
    low, high = array[:, :, LOW, None], array[:, :, HIGH, None]
    _check(array, ~np.isfinite(array), "a finite number")
    _check(array, ~(prices > 0), "more than 0")
    _check(array, prices[:, :, [HIGH]] < low, "at least the low, {low:g}", HIGH)
    _check(array, prices > high, "at most the high, {high:g}")
    _check(array, prices < low, "at least the low, {low:g}")
    _check(array, (volume < 0)[:, :, None], "at least 0", VOLUME)
    _check(array, (volume > 1e30)[:, :, None], "at most 1e30", VOLUME)
    return array


def prepare_bars(ohlcv: NDArray[np.float64]) -> NDArray[np.float32]:
    """What indicators are computed from, (rows, symbols, 5): gap, log return, up, down, as in `_market`, and volume."""
    logs = np.log(ohlcv[:, :, :VOLUME])
    close = logs[:, :, CLOSE]
    before = np.concatenate([logs[:1, :, OPEN], close[:-1]])
    parts = (logs[:, :, OPEN] - before, close - before, logs[:, :, HIGH] - close, close - logs[:, :, LOW])
    return np.stack([*parts, ohlcv[:, :, VOLUME]], axis=2).astype(np.float32)


def _as_array(values: Any) -> NDArray[np.float64]:
    problem = "Trading: parameter data is {}; expected numbers of shape (rows, 5) or (rows, symbols, 5), or a file."
    try:
        array = np.asarray(values)
    except ValueError as error:  # ragged lists
        raise ValueError(problem.format("not an array")) from error
    if array.dtype.kind not in "iuf":
        raise ValueError(problem.format(f"an array of {array.dtype}"))
    if array.ndim not in (2, 3) or array.shape[-1] != len(COLUMNS) or 0 in array.shape:
        raise ValueError(problem.format(f"an array of shape {array.shape}"))
    return np.ascontiguousarray(array.reshape(len(array), -1, len(COLUMNS)), np.float64)


def _check(array: NDArray[np.float64], bad: NDArray[np.bool_], expected: str, first_column: int = 0) -> None:
    """Raise with the first of the values that are ``bad``, whose columns begin at ``first_column``."""
    if not bad.any():
        return
    row, symbol, column = (int(index) for index in np.argwhere(bad)[0])
    column += first_column
    bar = array[row, symbol]
    where = f"row {row}" + (f", symbol {symbol}" if array.shape[1] > 1 else "")
    raise ValueError(
        f"Trading: parameter data, {where}: {COLUMNS[column]} is {bar[column]:g}; "
        f"expected {expected.format(low=bar[LOW], high=bar[HIGH])}."
    )


def _read(path: Path) -> NDArray[np.float64]:
    """The five columns of a file: (rows, 5)."""
    kinds = {".csv": _read_csv, ".parquet": _read_parquet, ".pq": _read_parquet}
    read = kinds.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"Trading: parameter data is {str(path)!r}; expected a file called {', '.join(kinds)}.")
    if not path.is_file():
        raise ValueError(f"Trading: parameter data is {str(path)!r}; expected a file, and there is none.")
    return read(path)


def _read_csv(path: Path) -> NDArray[np.float64]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        indices = _find_columns(path, next(lines, []))
        rows = [_numbers(path, row, line, indices) for row, line in enumerate(filter(None, lines))]
    return np.array(rows, np.float64).reshape(-1, len(COLUMNS))


def _numbers(path: Path, row: int, line: list[str], indices: list[int]) -> list[float]:
    numbers = []
    for name, index in zip(COLUMNS, indices, strict=True):
        text = line[index] if index < len(line) else ""
        try:
            numbers.append(float(text))
        except ValueError as error:
            raise ValueError(
                f"Trading: parameter data is {str(path)!r}, row {row}: {name} is {text!r}; expected a number."
            ) from error
    return numbers


def _read_parquet(path: Path) -> NDArray[np.float64]:
    parquet = require("pyarrow.parquet", "parquet", "reading a Parquet file")
    table = parquet.read_table(path)
    columns = []
    for name, index in zip(COLUMNS, _find_columns(path, table.column_names), strict=True):
        column = table.column(index)
        try:
            columns.append(np.asarray(column.to_numpy(), np.float64))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Trading: parameter data is {str(path)!r}: column {name} is of {column.type}; expected numbers."
            ) from error
    return np.stack(columns, axis=1)


def _find_columns(path: Path, header: Iterable[str]) -> list[int]:
    names = [name.strip().lower() for name in header]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"Trading: parameter data is {str(path)!r}, with columns {names}; expected also {', '.join(missing)}."
        )
    return [names.index(name) for name in COLUMNS]
