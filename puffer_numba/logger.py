"""Where metrics go: TensorBoard events and a CSV file, behind one protocol."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from puffer_numba.extras import require


class Logger(Protocol):
    """Receives the metrics of a run; anything with these two methods will do."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record ``metrics`` as they were after ``step`` steps."""

    def close(self) -> None:
        """Write what is still held back, and release files."""


class CSVLogger:
    """One row for each call, one column for each metric, in ``path``; resumed runs are appended.

    A metric that turns up late adds a column: the file is then rewritten, with the earlier rows left empty there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._columns = self._read()[0] if self.path.exists() else []
        self._file = self.path.open("a", newline="")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one row; ``step`` is its first column."""
        row = {"step": step, **metrics}
        if not row.keys() <= set(self._columns):
            self._widen([name for name in row if name not in self._columns])
        csv.DictWriter(self._file, self._columns).writerow(row)
        self._file.flush()

    def _read(self) -> tuple[list[str], list[list[str]]]:
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        return (rows[0], rows[1:]) if rows else ([], [])

    def _widen(self, names: list[str]) -> None:
        self._file.close()
        _, rows = self._read()
        self._columns += names
        self._file = self.path.open("w", newline="")
        writer = csv.writer(self._file)
        writer.writerow(self._columns)
        writer.writerows(row + [""] * (len(self._columns) - len(row)) for row in rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLogger:
    """TensorBoard event files in ``folder``.

    Raises:
        ImportError: tensorboard is not installed; the message names the extra that brings it.
    """

    def __init__(self, folder: str | Path) -> None:
        require("tensorboard", "train", "logging to TensorBoard")
        self._writer = require("torch.utils.tensorboard", "train", "logging to TensorBoard").SummaryWriter(folder)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each metric's curve."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class MultiLogger:
    """Passes everything on to several loggers."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = list(loggers)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """To each."""
        for logger in self.loggers:
            logger.log(metrics, step)

    def close(self) -> None:
        """Close each."""
        for logger in self.loggers:
            logger.close()
