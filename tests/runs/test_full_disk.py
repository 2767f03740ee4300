"""Disks that are full and folders that cannot be written: one line says so, and the last good checkpoint stays."""

from __future__ import annotations

import csv
import os

import pytest

from puffer_numba import pufferl
from puffer_numba.cli import main
from puffer_numba.env import APIUsageError
from puffer_numba.runs import checkpoint
from puffer_numba.runs.checkpoint import SaveError

STEPS = 16 * 16
QUICK = {
    "env.num_envs": 16,
    "train.horizon": 16,
    "train.num_minibatches": 2,
    "train.total_timesteps": 6 * STEPS,
    "train.checkpoint_interval": 2 * STEPS,
    "log.interval": 0.0,
    "policy.hidden_size": 64,
}
LIMIT = 15_000  # bytes: enough for metrics, too few for a checkpoint


class Callback:
    """A dashboard that calls ``function`` once, after the third rollout: one checkpoint is written by then."""

    def __init__(self, function):
        self.function, self.updates = function, 0

    def update(self, snapshot):
        self.updates += 1
        if self.updates == 3:
            self.function()

    def close(self):
        pass


def train(tmp_path, function):
    return pufferl.train("cartpole", {**QUICK, "train.data_dir": str(tmp_path)}, dashboard=Callback(function))


def only_run(tmp_path):
    (run,) = (tmp_path / "cartpole").iterdir()
    return run


def check_only_the_first_checkpoint_is_there(tmp_path):
    run = only_run(tmp_path)
    assert [path.name for path in run.glob("*checkpoint*")] == [f"checkpoint_{2 * STEPS:012d}"]
    assert checkpoint.load(next(run.glob("checkpoint_*"))).data["global_step"] == 2 * STEPS
    return run / f"checkpoint_{2 * STEPS:012d}"


def test_training_goes_on_without_checkpoints_and_says_at_the_end_which_is_the_last(limit_files, tmp_path):
    with (
        pytest.warns(
            UserWarning, match=r"^cannot save .*File too large; the last good .*Training continues\.$"
        ) as caught,
        pytest.raises(SaveError) as error,
    ):
        train(tmp_path, lambda: limit_files(LIMIT))
    assert len(caught) == 2
    last = check_only_the_first_checkpoint_is_there(tmp_path)
    run, due = last.parent, f"checkpoint_{6 * STEPS:012d}"
    assert str(error.value) == f"cannot save {run / due}: File too large; the last good checkpoint is {last}."
    with (run / "metrics.csv").open(newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [k * STEPS for k in range(1, 7)]


def test_ctrl_c_says_that_nothing_could_be_saved(limit_files, tmp_path):
    def interrupt():
        limit_files(LIMIT)
        raise KeyboardInterrupt

    with pytest.raises(SaveError, match="the last good checkpoint is"):
        train(tmp_path, interrupt)
    check_only_the_first_checkpoint_is_there(tmp_path)


def test_what_went_wrong_first_is_passed_on(limit_files, tmp_path):
    def fail():
        limit_files(LIMIT)
        raise ZeroDivisionError

    with pytest.warns(UserWarning, match="the last good checkpoint is"), pytest.raises(ZeroDivisionError):
        train(tmp_path, fail)
    check_only_the_first_checkpoint_is_there(tmp_path)


def test_a_checkpoint_that_cannot_be_replaced_is_as_it_was(limit_files, tmp_path):
    trainer = pufferl.make_trainer("cartpole", {**QUICK, "train.data_dir": str(tmp_path)})
    path = trainer.save_checkpoint()
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    limit_files(LIMIT)
    with pytest.raises(SaveError, match=f"the last good checkpoint is {path}"):
        trainer.save_checkpoint()
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert not list(path.parent.glob(".*"))


def test_a_resumed_run_names_the_checkpoint_that_it_came_from(limit_files, tmp_path):
    path = train(tmp_path, lambda: None).last_checkpoint
    overrides = {**QUICK, "train.data_dir": str(tmp_path), "train.total_timesteps": 7 * STEPS}
    trainer = pufferl.make_trainer("cartpole", overrides, resume_from=path)
    limit_files(LIMIT)
    with pytest.raises(SaveError, match=f"the last good checkpoint is {path}"):
        pufferl.run(trainer)


def test_puffer_train_ends_in_one_line_and_exit_code_2(limit_files, tmp_path, capsys):
    train(tmp_path / "compiled", lambda: None)
    capsys.readouterr()
    limit_files(LIMIT)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items() if "interval" not in name]
    assert main(["train", "cartpole", *options, f"--train.data-dir={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"puffer: cannot save {tmp_path}")
    assert line.endswith("File too large; none was saved before.")


def test_a_disk_that_is_full_from_the_start_is_found_before_training(limit_files, tmp_path, capsys):
    limit_files(100)
    assert main(["train", "cartpole", f"--train.data-dir={tmp_path}"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    run = only_run(tmp_path)
    expected = f"puffer: cannot write to the run's folder {run}: File too large; train.data_dir says where it goes.\n"
    assert output.err == expected


def is_a_file(path):
    path.write_text("")
    return path


def is_in_a_file(path):
    return is_a_file(path) / "runs"


def is_read_only(path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    path.mkdir(mode=0o500)
    return path


def is_where_no_folder_can_be(path):
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs a file system in which nobody makes folders")
    return "/proc/nowhere/runs"


@pytest.mark.parametrize("bad", [is_a_file, is_in_a_file, is_read_only, is_where_no_folder_can_be])
def test_a_data_dir_that_cannot_be_used_is_found_before_training(bad, tmp_path, capsys):
    data_dir = bad(tmp_path / "bad")
    assert main(["train", "cartpole", f"--train.data-dir={data_dir}"]) == 2
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith(f"puffer: cannot make the run's folder in {data_dir}/cartpole: ")
    assert line.endswith("; train.data_dir says where it goes.")
    assert output.out == ""


def test_nothing_is_written_or_trained_where_nothing_is_saved(tmp_path):
    overrides = {**QUICK, "train.data_dir": str(is_a_file(tmp_path / "bad")), "train.checkpoint_interval": 0}
    assert pufferl.train("cartpole", overrides, save=False).finished
    with pytest.raises(APIUsageError, match="cannot make the run's folder"):
        pufferl.train("cartpole", overrides)
