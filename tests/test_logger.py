"""Metrics reach CSV and TensorBoard, whatever order they turn up in."""

from __future__ import annotations

import csv

from puffer_numba.logger import CSVLogger, MultiLogger, TensorBoardLogger


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


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


def test_tensorboard_reads_the_events(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = MultiLogger([TensorBoardLogger(tmp_path), CSVLogger(tmp_path / "metrics.csv")])
    for step in (1, 2, 3):
        logger.log({"losses/entropy": 0.5 * step}, step)
    logger.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("losses/entropy")] == [(1, 0.5), (2, 1.0), (3, 1.5)]
    assert len(read(tmp_path / "metrics.csv")) == 3
