"""Where metrics go: files in the run's folder and tracking services, behind one protocol."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import math
import os
import socket
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.extras import require
from puffer_numba.runs import folder as runs


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
        self._file = _open_to_append(self.path)
        self._columns = self._read()[0]

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one row; ``step`` is its first column."""
        row = {"step": step, **metrics}
        new = [name for name in row if name not in self._columns]
        if new:
            self._widen([*self._columns, *new])
        self._file.write(_csv_text([[row.get(name, "") for name in self._columns]]))
        self._file.flush()

    def _read(self) -> tuple[list[str], list[list[str]]]:
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        return (rows[0], rows[1:]) if rows else ([], [])

    def _widen(self, columns: list[str]) -> None:
        _, rows = self._read()
        runs.write_whole(self.path, _csv_text([columns, *(row + [""] * (len(columns) - len(row)) for row in rows)]))
        self._columns = columns
        self._file.close()
        self._file = _open_to_append(self.path)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JSONLinesLogger:
    """One JSON object for each call, on a line of its own in ``path``; resumed runs are appended.

    JSON has no infinities and no NaN: they are null.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = _open_to_append(Path(path))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Append one line; ``step`` is its first key."""
        row = {"step": step} | {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLogger:
    """A TensorBoard event file in ``folder``. Of a run that continues after ``step``, older events beyond it are void.

    It is written here and now: torch's SummaryWriter has a thread for that, which a full disk ends in a traceback.
    Leans on TensorBoard's ``RecordWriter`` and protocol buffers, which are not documented.

    Raises:
        ImportError: tensorboard is not installed; the message names the extra that brings it.
    """

    def __init__(self, folder: str | Path, step: int = 0) -> None:
        require("tensorboard", "train", "logging to TensorBoard")
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        path = Path(folder, f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = RecordWriter(path.open("wb"))
        self._write(file_version="brain.Event:2")
        if step:
            self._write(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def _write(self, **content: Any) -> None:
        self._writer.write(self._event(wall_time=time.time(), **content).SerializeToString())
        self._writer.flush()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add one point to each metric's curve."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._write(step=step, summary=self._summary(value=values))

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()


class WandbLogger:
    """A run of Weights & Biases, with the configuration; what it keeps on disk is in ``folder``.

    A run of the same ``run_id`` continues. ``WANDB_MODE=offline`` needs no account and no network.

    Raises:
        ImportError: wandb is not installed; the message names the extra that brings it.
        APIUsageError: not logged in, no network, or a project that cannot be used.
    """

    def __init__(self, config: Config, folder: Path, run_id: str) -> None:
        wandb = require("wandb", "wandb", "logging to Weights & Biases")
        log = config.log
        with _starting("log.wandb", "Log in with wandb login, or set WANDB_MODE=offline"):
            self._run = wandb.init(
                project=log.wandb_project or os.environ.get("WANDB_PROJECT", "puffer_numba"),
                group=log.wandb_group,
                name=_run_name(folder),
                tags=[log.tag] if log.tag else None,
                config=config.to_dict(),
                dir=folder,
                id=run_id,
                resume="allow",
                allow_val_change=True,  # a resumed run may have other settings
                save_code=False,
                settings=wandb.Settings(console="off"),  # the dashboard is redrawn too often
            )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Send one row of the run's history."""
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        """Wait until all is sent, or in offline mode written."""
        self._run.finish()


class MultiLogger:
    """Passes everything on to several loggers. One that fails is dropped, with a warning: the run is worth more."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = list(loggers)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """To each."""
        for logger in list(self.loggers):
            try:
                logger.log(metrics, step)
            except Exception as error:  # services raise what they like
                self.loggers.remove(logger)
                with contextlib.suppress(Exception):
                    logger.close()
                warnings.warn(
                    f"{type(logger).__name__} failed at step {step}, and gets no more metrics: {_one_line(error)} "
                    "Training continues.",
                    stacklevel=2,
                )

    def close(self) -> None:
        """Close each."""
        for logger in self.loggers:
            try:
                logger.close()
            except Exception as error:
                warnings.warn(
                    f"{type(logger).__name__} could not write its last metrics: {_one_line(error)}", stacklevel=2
                )
        self.loggers.clear()


def make_logger(config: Config, folder: Path, step: int = 0) -> MultiLogger:
    """The loggers that ``config.log`` asks for, and metrics.csv; ``step`` is where a resumed run continues.

    Raises:
        ImportError: an optional package is not installed; the message names the extra that brings it.
        APIUsageError: ``folder`` cannot be written to, or another process does that; a service cannot be used.
    """
    try:
        return _make_logger(config, folder, step)
    except OSError as error:
        raise APIUsageError(
            f"cannot write to the run's folder {folder}: {error.strerror or error}; train.data_dir says where it goes."
        ) from error


def _make_logger(config: Config, folder: Path, step: int) -> MultiLogger:
    log = config.log
    loggers: list[Logger] = []
    with contextlib.ExitStack() as started:  # closes them again, where one of them cannot be started

        def add(logger: Logger) -> None:
            loggers.append(logger)
            started.callback(logger.close)

        add(CSVLogger(folder / runs.METRICS))
        run_id = runs.record(folder, config)
        if log.jsonl:
            add(JSONLinesLogger(folder / "metrics.jsonl"))
        if log.tensorboard:
            add(TensorBoardLogger(folder, step))
        if log.wandb:
            add(WandbLogger(config, folder, run_id))
        started.pop_all()
    return MultiLogger(loggers)


def _run_name(folder: Path) -> str:
    return "/".join(folder.resolve().parts[-2:])


def _open_to_append(path: Path) -> TextIO:
    """``path`` from its last whole line on: a line that a full disk or a killed process left unfinished is cut off.

    Raises:
        APIUsageError: another process has opened it in this way.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a", newline="", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed
    except BlockingIOError:
        file.close()
        raise APIUsageError(
            f"another process is writing {path}; to resume a run that is still running, set another train.data_dir."
        ) from None
    except OSError:  # a file system without locks
        pass
    size = path.stat().st_size
    with path.open("rb") as written:
        whole = written.read(size).rfind(b"\n") + 1
    if whole < size:
        file.truncate(whole)
    return file


def _csv_text(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def _starting(setting: str, fix: str) -> Iterator[None]:
    """One line about a service that cannot be started, whatever it raises."""
    try:
        yield
    except Exception as error:
        raise APIUsageError(f"{setting} is on, but cannot be used: {_one_line(error)} {fix}.") from error


def _one_line(error: Exception) -> str:
    """The kind of ``error`` and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}".rstrip(".") + "." if lines else f"{type(error).__name__}."
