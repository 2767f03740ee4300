"""Metrics reach files and services, in whatever order they turn up; a logger that fails ends no training."""

from __future__ import annotations

import csv
import json
import math
import os
import sys
import warnings
from pathlib import Path

import pytest

from puffer_numba.cli import main
from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.extras import MissingExtra
from puffer_numba.runs import folder as runs
from puffer_numba.runs.loggers import (
    CSVLogger,
    JSONLinesLogger,
    MultiLogger,
    TensorBoardLogger,
    WandbLogger,
    make_logger,
)
from puffer_numba.train.setup import load_config

CONFIG = load_config("cartpole", {"train.learning_rate": 0.5, "env.gravity": 1.6, "log.tag": "mine"})


@pytest.fixture
def end_wandb():
    """Ends W&B's process, and with it what it knows of modes and keys; also after the test."""
    import wandb

    yield wandb.teardown
    wandb.teardown()


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scalars(folder, name):
    """Steps and values, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_csv_has_a_column_for_each_metric(tmp_path):
    logger = CSVLogger(tmp_path / "sub" / "metrics.csv")
    logger.log({"a": 1.0}, 10)
    logger.log({"b": 2.5, "a": 3.0}, 20)
    logger.log({"b": 4.0}, 30)
    logger.close()
    assert read(tmp_path / "sub" / "metrics.csv") == [
        {"step": "10", "a": "1.0", "b": ""},
        {"step": "20", "a": "3.0", "b": "2.5"},
        {"step": "30", "a": "", "b": "4.0"},
    ]
    assert os.listdir(tmp_path / "sub") == ["metrics.csv"]


def test_csv_is_on_disk_after_each_row_and_appended_to(tmp_path):
    path = tmp_path / "metrics.csv"
    first = CSVLogger(path)
    first.log({"a": 1.0}, 1)
    assert len(read(path)) == 1
    first.close()
    second = CSVLogger(path)
    second.log({"a": 2.0, "c": 3.0}, 2)
    second.close()
    assert [row["a"] for row in read(path)] == ["1.0", "2.0"]
    assert [row["c"] for row in read(path)] == ["", "3.0"]


@pytest.mark.parametrize("kind", [CSVLogger, JSONLinesLogger])
def test_a_line_that_was_cut_short_is_replaced_by_the_next(kind, tmp_path):
    def log(path, steps):
        logger = kind(path)
        for step in steps:
            logger.log({"a": 1.5}, step)
        logger.close()

    log(tmp_path / "whole", [1, 2])
    log(tmp_path / "cut", [1, 2])
    os.truncate(tmp_path / "cut", (tmp_path / "cut").stat().st_size - 3)
    log(tmp_path / "cut", [2])
    assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()


def test_two_runs_cannot_write_one_file(tmp_path):
    config = load_config("cartpole", {"log.tensorboard": False})
    first = make_logger(config, tmp_path)
    first.log({"a": 1.0}, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        APIUsageError, match=r"^another process is writing .*metrics\.csv; to resume a run that is still running"
    ):
        make_logger(config, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    first.close()
    make_logger(config, tmp_path).close()


def test_json_lines_have_null_for_what_is_not_finite(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        logger = JSONLinesLogger(path)
        logger.log({"a": 0.5 * step, "losses/b": math.nan, "c": math.inf}, step)
        logger.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"step": step, "a": 0.5 * step, "losses/b": None, "c": None} for step in (1, 2)]


def test_tensorboard_reads_the_events(tmp_path):
    logger = MultiLogger([TensorBoardLogger(tmp_path), CSVLogger(tmp_path / "metrics.csv")])
    for step in (1, 2, 3):
        logger.log({"losses/entropy": 0.5 * step}, step)
    logger.close()
    assert scalars(tmp_path, "losses/entropy") == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert len(read(tmp_path / "metrics.csv")) == 3


def test_tensorboard_forgets_what_a_resumed_run_does_again(tmp_path):
    for first, values in ((0, [1.0, 2.0, 3.0]), (2, [30.0, 40.0])):
        logger = TensorBoardLogger(tmp_path, step=first)
        for step, value in enumerate(values, first + 1):
            logger.log({"a": value}, step)
        logger.close()
    assert scalars(tmp_path, "a") == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0)]


def wandb_records(file):
    """The records of a .wandb file: protocol buffers in LevelDB's log format, after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts, records = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no header fits into what is left of the block
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(parts))
            parts = b""
    return records


@pytest.mark.slow
def test_wandb_has_configuration_and_metrics(end_wandb, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = Config.from_dict(CONFIG.to_dict()).update({"log.wandb_project": "poles", "log.wandb_group": "g"})
    for resumed_at in (0, 2):
        logger = WandbLogger(config, tmp_path, "abc123")
        for step in (1, 2):
            logger.log({"losses/entropy": 0.5 * step, "SPS": 1e6}, resumed_at + step)
        logger.close()
    end_wandb()  # its process may still be writing
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-abc123.wandb"))
    assert len(files) == 2
    for resumed_at, file in zip((0, 2), files, strict=True):
        records = wandb_records(file)
        run = next(record.run for record in records if record.HasField("run"))
        assert (run.run_id, run.project, run.run_group, list(run.tags)) == ("abc123", "poles", "g", ["mine"])
        settings = {item.key: json.loads(item.value_json) for item in run.config.update}
        assert settings["train"]["learning_rate"] == 0.5
        assert settings["env"]["params"] == {"gravity": 1.6}
        history = [
            {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            for record in records
            if record.HasField("history")
        ]
        assert [(row["_step"], row["losses/entropy"]) for row in history] == [
            (resumed_at + 1, 0.5),
            (resumed_at + 2, 1.0),
        ]


def test_several_at_once(tmp_path):
    config = load_config("cartpole", {"log.jsonl": True})
    logger = make_logger(config, tmp_path)
    logger.log({"a": 2.0}, 5)
    logger.close()
    assert read(tmp_path / "metrics.csv") == [{"step": "5", "a": "2.0"}]
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 5, "a": 2.0}
    assert scalars(tmp_path, "a") == [(5, 2.0)]


def test_a_run_keeps_its_id_and_tells_its_settings(tmp_path):
    first = runs.record(tmp_path, CONFIG)
    later = load_config("cartpole", {"train.gamma": 0.5})
    assert runs.record(tmp_path, later) == first
    assert runs.read(tmp_path) == {"id": first, "config": later.to_dict()}
    (tmp_path / runs.RUN).write_text("{")
    assert runs.record(tmp_path, CONFIG) != first


def test_a_service_that_cannot_be_used_is_found_before_training(end_wandb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # where W&B would find a key
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "")
    config = load_config("cartpole", {"log.wandb": True})
    with pytest.raises(APIUsageError, match=r"log.wandb is on, but cannot be used: .*No API key configured") as error:
        make_logger(config, tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r'needs wandb: pip install "puffer_numba\[wandb\]"'):
        make_logger(load_config("cartpole", {"log.wandb": True}), tmp_path)


@pytest.mark.parametrize("setting", ["log.neptune", "log.neptune_project"])
def test_settings_of_neptune_say_that_its_service_has_ended(setting, capsys):
    """The service was shut down on March 5, 2026."""
    ended = "Neptune's service ended on March 5, 2026; log.wandb, log.jsonl and log.tensorboard take the same metrics."
    with pytest.raises(APIUsageError) as error:
        load_config("cartpole", {setting: True})
    assert str(error.value) == f"{setting}: {ended}"
    option = "--" + setting.replace("_", "-")
    assert main(["train", "cartpole", option]) == 2
    assert capsys.readouterr().err == f"puffer: {option}: {ended} See puffer train cartpole --help\n"


def test_a_configuration_saved_before_that_can_still_be_read():
    saved = CONFIG.to_dict()
    saved["log"] |= {"neptune": False, "neptune_project": None}
    assert Config.from_dict(saved) == CONFIG


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_costs_the_logger_and_no_more(tmp_path):
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    full, good = JSONLinesLogger(tmp_path / "full.jsonl"), JSONLinesLogger(tmp_path / "good.jsonl")
    logger = MultiLogger([full, good])
    with pytest.warns(UserWarning, match=r"^JSONLinesLogger failed at step 1, .*No space left.* continues\.$"):
        logger.log({"a": 1.0}, 1)
    logger.log({"a": 2.0}, 2)
    logger.close()
    assert [json.loads(line)["a"] for line in (tmp_path / "good.jsonl").read_text().splitlines()] == [1.0, 2.0]


def test_files_that_cannot_grow_cost_one_warning_each(limit_files, tmp_path):
    logger = make_logger(load_config("cartpole", {"log.jsonl": True}), tmp_path)
    logger.log({"a": 1.0}, 1)
    limit_files(1500)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(2, 200):
            logger.log({"a": 1.0}, step)
        logger.log({"a": 1.0, "b": 1.0}, 200)
    assert all("File too large. Training continues." in str(warning.message) for warning in caught)
    assert [str(warning.message).split()[0] for warning in caught] == [
        "TensorBoardLogger", "JSONLinesLogger", "CSVLogger",
    ]  # fmt: skip
    assert logger.loggers == []
    assert len(read(tmp_path / "metrics.csv")) > 100
    assert not list(tmp_path.glob("*.tmp"))
    assert not list(tmp_path.glob(".*"))


DOWN = """
import psutil, time, warnings
from pathlib import Path
from puffer_numba.extras import MissingExtra
from puffer_numba.train.setup import load_config
from puffer_numba.runs.loggers import make_logger

warnings.formatwarning = lambda message, *rest: f"{message}\\n"
logger = make_logger(load_config("cartpole", {"log.wandb": True, "log.tensorboard": False}), Path())
(service,) = psutil.Process().children()
service.kill()
service.wait()
for step in range(100):
    logger.log({"a": 1.0}, step)
    time.sleep(0.01)
print([type(left).__name__ for left in logger.loggers])
logger.close()
"""


@pytest.mark.slow
def test_a_service_that_dies_costs_one_line(run_python):
    done = run_python(DOWN, WANDB_MODE="offline", WANDB_SILENT="true")
    assert done.stdout.splitlines() == ["['CSVLogger']"]
    ours = [line for line in done.stderr.splitlines() if line.startswith("WandbLogger failed at step ")]
    assert len(ours) == 1
    assert "Connection" in ours[0]
