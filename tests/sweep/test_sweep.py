"""`puffer_numba.sweep`: search spaces, trials, the search in processes of its own, and what it leaves."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import multiprocessing
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from PIL import Image
from rich.console import Console

import puffer_numba.sweep.search
import puffer_numba.train.learner
from puffer_numba.cli import main
from puffer_numba.cli.arguments import given_names
from puffer_numba.config import SweepConfig
from puffer_numba.env import APIUsageError
from puffer_numba.sweep import (
    Choice,
    IntUniform,
    LogUniform,
    PowerOfTwo,
    ReverseLogUniform,
    Uniform,
    default_space,
    make_search,
    sweep,
)
from puffer_numba.sweep.messages import SLOTS, Budget, Report, Started
from puffer_numba.sweep.progress import Running, make_progress
from puffer_numba.sweep.report import SweepResult, train_command
from puffer_numba.sweep.space import parse_range
from puffer_numba.sweep.study import Trial, open_study, own_heartbeats
from puffer_numba.sweep.trial import TrialError, run_trial
from puffer_numba.train.learner import NonFiniteError
from puffer_numba.train.setup import load_config

LEARNING_RATE = {"train.learning_rate": LogUniform(1e-9, 0.1)}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# -- spaces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("uniform:0.1:0.4", Uniform(0.1, 0.4)),
        ("log:1e-4:1e-2", LogUniform(1e-4, 1e-2)),
        ("reverse-log:0.9:0.999", ReverseLogUniform(0.9, 0.999)),
        ("int:1:8", IntUniform(1, 8)),
        ("power2:16:256", PowerOfTwo(16, 256)),
        ("choice:relu:tanh", Choice("relu", "tanh")),
        ("choice:True:None:3:0.5", Choice(True, None, 3, 0.5)),
    ],
)
def test_a_range_is_read_as_it_is_written(text, values):
    assert parse_range("train.x", text) == values
    assert parse_range("train.x", str(values)) == values


@pytest.mark.parametrize(
    "values",
    [
        Uniform(0.1234, 0.4),
        LogUniform(1e-4, 1e-2),
        ReverseLogUniform(0.9, 0.9995),
        IntUniform(1, 8),
        PowerOfTwo(16, 256),
        Choice("relu", "tanh"),
    ],
    ids=str,
)
def test_draws_stay_in_the_range_and_come_back_as_they_were(values):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    label = values.label("train.x")
    drawn = [values.decode(study.ask({label: values.distribution()}).params[label]) for _ in range(100)]
    assert len(set(drawn)) > 1
    for value in drawn:
        assert values.decode(values.encode(value)) == value
        assert value in values.ends() or not isinstance(values, Choice)
        assert isinstance(values, Choice) or values.low <= value <= values.high
    if not isinstance(values, Choice):
        assert [values.decode(values.encode(end)) for end in (-1e9, 1e9)] == [values.low, values.high]


def test_half_of_the_reverse_log_draws_are_nearer_to_one_than_the_geometric_mean():
    values = ReverseLogUniform(0.9, 0.999)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    drawn = [values.decode(study.ask({"x": values.distribution()}).params["x"]) for _ in range(300)]
    assert np.mean(np.array(drawn) > 0.99) == pytest.approx(0.5, abs=0.1)


def test_the_default_space_fits_every_setting_and_the_environments_own_ranges_come_first(monkeypatch):
    config = load_config("bandit")
    assert default_space(config)["env.num_envs"] == PowerOfTwo(16, 256)
    bandit = puffer_numba.registry.spec("bandit").env_class
    monkeypatch.setattr(bandit, "sweep_space", {"train.gamma": Uniform(0.1, 0.2), "env.reward_noise": Uniform(0, 1)})
    space = default_space(config)
    assert space["train.gamma"] == Uniform(0.1, 0.2)
    assert space["train.learning_rate"] == LogUniform(1e-4, 3e-2)
    assert make_search(config, SweepConfig()).space == space  # which checks them
    fixed = make_search(config, SweepConfig(study="other"), fixed=["train.gamma"]).space
    assert space.keys() - fixed.keys() == {"train.gamma"}
    options = SweepConfig(study="named", space=("default", "train.horizon=int:3:5", "train.ent_coef"))
    named = make_search(config, options, fixed=["train.gamma", "train.ent_coef", "train.horizon"]).space
    assert named == {**fixed, "train.horizon": IntUniform(3, 5)}


def test_names_that_are_given_are_found_however_they_are_written():
    args = ["--train.gamma", "0.9", "--env.num-envs=32", "--train.no-norm-adv", "--train.ent_coef", "-1", "--help"]
    assert given_names(args) == {"train.gamma", "env.num_envs", "train.norm_adv", "train.ent_coef"}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (["train.gama=log:0.9:0.99"], "unknown setting 'train.gama'; did you mean train.gamma"),
        (["train.gama"], "unknown setting 'train.gama'; did you mean train.gamma"),
        (["env.gravitas=uniform:1:2"], "unknown setting 'env.gravitas'; did you mean env.gravity"),
        (["train.gamma=log:0.9"], "the range of train.gamma is 'log:0.9'; expected uniform:LOW:HIGH, log:LOW:HIGH"),
        (["train.gamma=normal:0:1"], "the range of train.gamma is 'normal:0:1'; expected uniform:LOW:HIGH"),
        (["train.gamma=log:0:1"], "the range of train.gamma is log:0:1: expected numbers above 0."),
        (["train.gamma=uniform:1:0"], "is uniform:1:0: the first number must be below the second."),
        (["train.gamma=uniform:low:high"], "is uniform:low:high: expected two finite numbers."),
        (["train.gamma=reverse-log:0.9:1"], "is reverse-log:0.9:1: expected numbers below 1."),
        (["train.update_epochs=int:1:2.5"], "is int:1:2.5: expected integers."),
        (["train.horizon=power2:10:32"], "is power2:10:32: expected powers of two, such as 16 and 256."),
        (["train.optimizer=choice:adam"], "is choice:adam: expected at least two values."),
        (["train.gamma=uniform:0.9:1.5"], "train.gamma is 1.5; allowed: 0 to 1."),
        (["train.horizon=uniform:16:64"], "train.horizon is 16.0; allowed: an integer."),
        (["train.optimizer=choice:adam:sgd"], "train.optimizer is 'sgd'; allowed: adam or muon."),
        (["train.optimizer"], "train.optimizer has no range of its own; expected train.optimizer=RANGE"),
        (["train.total_timesteps=int:1:9"], "train.total_timesteps follows from the budget; set sweep.seconds"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_space_is_told_in_one_line(space, message, capsys):
    assert main(["sweep", "cartpole", "--sweep.space", *space]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--sweep.trials", "0"], "sweep.trials is 0; allowed: at least 1."),
        (["--sweep.seconds", "0"], "sweep.seconds is 0.0; allowed: above 0."),
        (["--sweep.study", "../up"], "sweep.study is '../up'; allowed: letters, digits"),
        (["--sweep.pruner", "shears"], "--sweep.pruner"),
        (["--sweep.storage", "nonsense"], "sweep.storage cannot be used: Could not parse SQLAlchemy URL"),
        (["--sweep.storage", "sqlite:////no/where.db"], "sweep.storage cannot be used: (sqlite3.OperationalError)"),
        (["--train.total-timesteps", "200000"], "train.total_timesteps follows from the budget; set sweep.seconds"),
        (["--train.self-play"], "a sweep needs a return that tells good from bad"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option_is_told_in_one_line(args, message, capsys):
    assert main(["sweep", "cartpole", *args]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert message in output.err
    assert output.err.count("\n") == 1


def test_a_range_from_python_has_to_be_one():
    with pytest.raises(APIUsageError, match=r"the range of train.gamma is \(0.9, 1\); expected one such as LogUniform"):
        sweep("bandit", space={"train.gamma": (0.9, 1)})
    with pytest.raises(APIUsageError, match="the search space is empty"):
        sweep("bandit", space={})


# -- one trial ----------------------------------------------------------------------------------------------


def trial(overrides, budget, stop=lambda: False):
    """The outcome of a trial of the bandit, without a target unless told so, and its messages."""
    messages = []
    config = load_config("bandit", {"train.target_return": None, "train.horizon": 16, **overrides})
    return run_trial(config, budget, messages.append, stop), messages


@pytest.fixture
def clock(monkeypatch):
    """Lets a trial's clock go on by a tenth of a second each time that the trial looks at it, once for each rollout."""
    moments = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: next(moments) / 10)
    monkeypatch.setattr("puffer_numba.sweep.trial.time", clock)


@pytest.mark.usefixtures("clock")
def test_a_trial_ends_with_its_seconds_and_reports_on_the_way():
    outcome, (started, *reports) = trial({}, Budget(2.95))
    assert started == Started()
    assert outcome.seconds == pytest.approx(2.9)
    assert reports == [Report(k + 1, report.progress) for k, report in enumerate(reports)]
    assert len(reports) == int(2.9 / 2.95 * SLOTS)
    assert outcome.score == outcome.progress == outcome.mean_return
    assert outcome.total_timesteps == pytest.approx(2.95 * outcome.steps / outcome.seconds, rel=0.01)


def test_a_trial_ends_with_its_steps():
    outcome, messages = trial({"env.num_envs": 64}, Budget(60, steps=4096))
    assert outcome.steps == outcome.total_timesteps == 4096
    assert messages[1:] == [Report(k + 1, messages[k + 1].progress) for k in range(SLOTS)]
    assert trial({"env.num_envs": 64}, Budget(60, steps=4096))[0].mean_return == outcome.mean_return


def test_a_trial_that_reaches_its_target_scores_what_is_left_of_the_budget():
    outcome, _ = trial({"train.target_return": 0.3}, Budget(60, steps=100_000))
    assert outcome.steps < 50_000
    assert outcome.progress == 0.3 < outcome.mean_return
    assert outcome.score == pytest.approx(0.3 + 1 - outcome.steps / 100_000)
    early, _ = trial({"train.target_return": 2.0}, Budget(60, steps=2048))
    assert early.score == early.mean_return < 2


@pytest.mark.usefixtures("clock")
def test_the_learning_rate_falls_with_the_seconds(monkeypatch):
    rates = []
    set_learning_rate = puffer_numba.train.learner.set_learning_rate

    def spy(optimizer, rate):
        rates.append(rate / 1e-3)
        set_learning_rate(optimizer, rate)

    monkeypatch.setattr(puffer_numba.train.learner, "set_learning_rate", spy)
    trial({"train.learning_rate": 1e-3, "env.num_envs": 1, "train.update_epochs": 1}, Budget(3.05))
    rates = rates[2:]  # without those that compile
    assert len(rates) == 30
    assert rates == pytest.approx(1 - np.arange(30) / 10 / 3.05, abs=0.02)


def test_a_trial_is_given_up_when_it_is_told_so():
    rollouts = iter(range(100))
    outcome, _ = trial({"env.num_envs": 64}, Budget(60, steps=10**6), stop=lambda: next(rollouts) == 2)
    assert outcome.steps == 3 * 64 * 16


def test_trials_without_a_score_say_why():
    with pytest.raises(NonFiniteError, match="NaN or infinity, first in the policy's action parameters"):
        trial({"train.learning_rate": 1e38, "train.max_grad_norm": 0.0}, Budget(60, steps=100_000))
    config = load_config("cartpole", {"env.num_envs": 1, "train.horizon": 2})
    with pytest.raises(TrialError, match="no episode ended within 9 s of training"):
        run_trial(config, Budget(9, steps=2), lambda message: None, lambda: False)


# -- the search ---------------------------------------------------------------------------------------------

BUDGET = ["--sweep.seconds", "30", "--sweep.steps", "8192", "--train.horizon", "16", "--sweep.sampler-seed", "1"]
FROM_NOTHING = ["--sweep.space", "train.learning_rate=log:1e-9:0.1", "--train.learning-rate", "1e-9"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder in which two workers have searched for a learning rate, from one that learns nothing; the output."""
    folder, output = tmp_path_factory.mktemp("swept"), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(output):
        args = [*BUDGET, *FROM_NOTHING, "--sweep.workers", "2", "--sweep.trials", "8", "--sweep.pruner", "none"]
        assert main(["sweep", "bandit", *args]) == 0
    return folder, output.getvalue()


def stored(folder):
    """All trials in the database of ``folder``."""
    return optuna.load_study(study_name="bandit/sweep", storage=f"sqlite:///{folder}/runs/bandit/sweep.db").trials


@pytest.mark.slow
def test_the_best_settings_are_those_that_learn(swept):
    folder, _ = swept
    rates = {t.number: t.user_attrs["settings"]["train.learning_rate"] for t in stored(folder)}
    assert rates[0] == 1e-9  # where all trials start from
    assert sum(rate < 1e-5 for rate in rates.values()) >= 2
    best = json.loads((folder / "runs/bandit/sweep/best.json").read_text())
    assert best["train.learning_rate"] > 1e-5
    assert load_config("bandit", best).train.total_timesteps == best["train.total_timesteps"] <= 100_000


@pytest.mark.slow
def test_two_workers_train_at_once(swept):
    folder, _ = swept
    trials = stored(folder)
    assert len(trials) == 8
    assert all(trial.state == optuna.trial.TrialState.COMPLETE for trial in trials)
    assert any(a.datetime_start < b.datetime_start < a.datetime_complete for a in trials for b in trials)


@pytest.mark.slow
def test_the_table_has_the_best_first_and_a_command_that_trains_like_it(swept, capsys):
    folder, output = swept
    head, *lines = output[output.index("trial  score") :].splitlines()
    assert head.split() == ["trial", "score", "seconds", "steps", "learning_rate"]
    scores = [float(line.split()[1]) for line in lines[:8]]
    assert scores == sorted(scores, reverse=True)
    assert "8 complete" in output
    best = json.loads((folder / "runs/bandit/sweep/best.json").read_text())
    command = next(line for line in lines if line.startswith("puffer train bandit "))
    assert f"--train.learning-rate {best['train.learning_rate']}" in command
    assert main([*command.split()[1:], "--log.no-tensorboard"]) == 0
    assert "saved runs" in capsys.readouterr().out


@pytest.mark.slow
def test_results_are_written_as_csv_pages_and_images(swept):
    folder = swept[0] / "runs/bandit/sweep"
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert float(rows[0]["score"]) == max(float(row["score"]) for row in rows)
    assert float(rows[0]["train.learning_rate"]) > 1e-5
    for name in ("history", "importance"):
        assert "plotly" in (folder / f"{name}.html").read_text()
        with Image.open(folder / f"{name}.png") as image:
            assert image.size == (960, 540)
            assert len(image.convert("RGB").getcolors(10**6)) > 10


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_other_scores_do_not_mix(swept, capsys, monkeypatch):
    folder, _ = swept
    monkeypatch.chdir(folder)
    assert main(["sweep", "bandit", *BUDGET, *FROM_NOTHING, "--sweep.trials", "8"]) == 0
    assert len(stored(folder)) == 8
    capsys.readouterr()
    for changed, message in (
        (["--sweep.seconds", "2"], "was begun with sweep.seconds 30.0, which is 2.0 now"),
        (["--env.num-actions", "9"], "was begun with env.params {}, which is {'num_actions': 9} now"),
    ):
        assert main(["sweep", "bandit", *BUDGET, *FROM_NOTHING, *changed]) == 2
        assert message in capsys.readouterr().err


def test_the_choices_of_a_study_stay(capsys):
    args = ["sweep", "bandit", *BUDGET, "--sweep.space"]
    study, _ = open_study(load_config("bandit", {"train.horizon": 16}), {}, SweepConfig(seconds=30.0, steps=8192))
    with own_heartbeats():
        study.ask({"train.optimizer": optuna.distributions.CategoricalDistribution(["adam", "sgd"])})
    assert main([*args, "train.optimizer=choice:adam:muon"]) == 2
    assert "the study 'sweep' was begun with another search space" in capsys.readouterr().err


class Watcher:
    """Progress that is kept; ``on_running`` is called once a trial is being trained."""

    def __init__(self, on_running=lambda: None):
        self.trials, self.on_running = [], on_running

    def running(self, running):
        if any(job.used > 0 for job in running):
            self.on_running()
            self.on_running = lambda: None

    def ended(self, trial, best, done):
        self.trials.append(trial)

    def close(self):
        pass


@pytest.mark.slow
def test_the_search_goes_on_after_trials_that_fail_and_processes_that_die():
    def kill_it():
        (worker,) = multiprocessing.active_children()
        worker.kill()

    watcher = Watcher(kill_it)
    overrides = {"policy.lstm": True, "env.num_envs": 4, "train.horizon": 8, "train.num_minibatches": 4}
    options = SweepConfig(trials=4, seconds=30.0, steps=4000, sampler_seed=7)
    space = {"train.num_minibatches": Choice(4, 8)}
    result = sweep("bandit", options, {**overrides, "train.target_return": None}, space=space, progress=watcher)
    first, *others = watcher.trials
    assert first.error == "the process that trained it ended with exit code -9"
    assert {(trial.settings["train.num_minibatches"], trial.state) for trial in others} == {
        (4, "complete"),
        (8, "failed"),
    }
    failed = next(trial for trial in others if trial.state == "failed")
    assert "a recurrent policy learns from whole rows, of which there are 4" in failed.error
    assert result.best.settings == {"train.num_minibatches": 4}
    assert [trial.state for trial in result.trials][-2:] == ["failed", "failed"]


@pytest.mark.slow
def test_a_trial_that_another_machine_has_given_up_is_let_go(tmp_path):
    """As after a laptop's sleep, in which its signs of life were missed."""

    def give_it_up():
        study = optuna.load_study(study_name="bandit/sweep", storage=f"sqlite:///{tmp_path}/runs/bandit/sweep.db")
        study.tell(0, state=optuna.trial.TrialState.FAIL)

    options = SweepConfig(sampler_seed=1, trials=1, seconds=1.5)
    overrides = {"train.target_return": None}
    result = sweep("bandit", options, overrides, space=LEARNING_RATE, progress=Watcher(give_it_up))
    assert [(trial.number, trial.state, trial.error) for trial in result.trials] == [
        (1, "complete", ""),
        (0, "failed", "interrupted"),
    ]


@pytest.mark.slow
def test_a_trial_that_does_not_end_is_killed(monkeypatch):
    monkeypatch.setattr(puffer_numba.sweep.search, "_PATIENCE", 0.1)
    overrides = {"train.update_epochs": 10**6, "train.target_return": None}
    result = sweep("bandit", SweepConfig(sampler_seed=1, trials=1, seconds=0.5), overrides, space=LEARNING_RATE)
    assert [trial.state for trial in result.trials] == ["failed"]
    assert result.trials[0].error == "a rollout, or learning from it, took longer than the 0.5 s of the trial"


@pytest.mark.slow
def test_a_search_whose_first_trials_all_fail_says_why():
    overrides = {"policy.lstm": True, "env.num_envs": 4}
    with pytest.raises(APIUsageError, match=r"the first 5 trials all failed; the last one said: a recurrent policy"):
        sweep("bandit", SweepConfig(sampler_seed=1), overrides, space={"train.num_minibatches": Choice(8, 16)})


@pytest.mark.slow
def test_hopeless_trials_are_pruned_also_with_a_journal_for_storage(tmp_path):
    """The others, whose returns are made up, were far better all the time."""
    overrides = {"train.learning_rate": 1e-9, "train.target_return": None}
    options = SweepConfig(
        sampler_seed=1, trials=6, seconds=60.0, steps=200_000, storage=f"journal:{tmp_path}/sweep.log"
    )
    study, _ = open_study(load_config("bandit", overrides), LEARNING_RATE, options)
    distribution = {"train.learning_rate": LEARNING_RATE["train.learning_rate"].distribution()}
    for rate in (1e-4, 2e-4, 3e-4, 4e-4, 5e-4):
        values = dict.fromkeys(range(1, SLOTS + 1), 0.9)
        study.add_trial(
            optuna.trial.create_trial(
                params={"train.learning_rate": rate}, distributions=distribution, intermediate_values=values, value=0.9
            )
        )
    study.enqueue_trial({"train.learning_rate": 1e-9})
    (trial,) = (
        sweep("bandit", options, overrides, space=LEARNING_RATE, progress=(watcher := Watcher())) and watcher.trials
    )
    assert trial.state == "pruned"
    assert trial.score < 0.6
    assert trial.steps < 160_000


@pytest.mark.slow
def test_ctrl_c_leaves_a_study_that_the_same_command_goes_on_with(tmp_path):
    nothing_learns = ["--sweep.space", "train.learning_rate=log:1e-9:1e-8", "--sweep.pruner", "none"]
    args = ["sweep", "bandit", "--sweep.seconds", "0.8", "--sweep.sampler-seed", "1", *nothing_learns]
    command = [sys.executable, "-m", "puffer_numba", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert next(line for line in process.stdout if line.startswith("1/50 "))
        with closing(sqlite3.connect(tmp_path / "runs/bandit/sweep.db")) as database:
            while ("RUNNING",) not in database.execute("select state from trials").fetchall():
                time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "puffer: interrupted; the same command continues this study"
    assert "Traceback" not in errors
    assert "trial  score" in output
    *complete, fail, waiting = (trial.state.name for trial in stored(tmp_path))
    assert {*complete} == {"COMPLETE"}
    assert (fail, waiting) == ("FAIL", "WAITING")
    assert main([*args, "--sweep.trials", str(len(complete) + 1)]) == 0
    *_, interrupted, again = stored(tmp_path)
    assert again.state.name == "COMPLETE"
    assert again.params == interrupted.params


@pytest.mark.slow
def test_a_trial_whose_machine_has_died_is_failed(tmp_path):
    options = SweepConfig(sampler_seed=1, trials=1)
    search = make_search(load_config("bandit"), options, space=LEARNING_RATE)
    with own_heartbeats():
        done, dead, alive = (search.study.ask() for _ in range(3))
    search.study.tell(done, 0.5)
    for trial in (dead, alive):
        search._beat(trial)
    with closing(sqlite3.connect(tmp_path / "runs/bandit/sweep.db")) as database, database:
        database.execute("update trial_heartbeats set heartbeat = '2026-01-01' where trial_id = 2")
    search.run()
    states = {trial.number: (trial.state, trial.error) for trial in search.result().trials}
    assert states == {0: ("complete", ""), 1: ("failed", "interrupted"), 2: ("running", "")}


MY_SCRIPT = """
from puffer_numba import kernel, register
from puffer_numba.envs.bandit import Bandit
from puffer_numba.sweep import LogUniform, SweepConfig, sweep

@register("mine")
class Mine(Bandit):
    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = 0.5

options = SweepConfig(sampler_seed=1, trials=1, seconds=30.0, steps=1024)
result = sweep("mine", options, space={"train.learning_rate": LogUniform(1e-4, 1e-1)})
print(result.best.state)
"""


@pytest.mark.slow
def test_a_script_sweeps_its_own_environment(run_python):
    assert run_python(MY_SCRIPT).stdout.endswith("complete\n")


def test_a_missing_extra_is_named(run_python):
    code = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "optuna":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from puffer_numba.cli import main
raise SystemExit(main(["sweep", "bandit"]))
"""
    done = run_python(code, check=False)
    assert done.returncode == 2
    assert done.stderr == 'puffer: a sweep needs optuna: pip install "puffer_numba[sweep]"\n'


def test_the_live_table_shows_what_runs_and_what_ended():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    progress = make_progress("bandit: 9 trials", 9, console)
    ended = Trial(3, "complete", 0.75, 0.75, 1.5, 4096, 4096, {"train.gamma": 0.9})
    failed = Trial(4, "failed", None, None, None, None, None, {"train.gamma": 0.5}, "a loss was not finite")
    progress.ended(ended, ended, 1)
    progress.ended(failed, ended, 2)
    progress.running([Running(5, 0.5, 0.25, {"train.gamma": 0.7}), Running(6, 0.0, None, {"train.gamma": 0.8})])
    progress.close()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    for piece in ("2 of 9 trials", "best 0.75, trial 3", "0.75 after 1.5 s", "failed: a loss", "50%", "starting"):
        assert piece in text
    assert all(f"gamma={gamma}" in text for gamma in (0.9, 0.5, 0.7, 0.8))


def test_a_narrow_terminal_gets_the_columns_that_matter_most():
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("setup", {"train.target_return": 4.0})
    for k in range(6):
        distributions = {name: optuna.distributions.IntDistribution(0, 9) for name in ("train.gamma", "train.vf_coef")}
        params = {"train.gamma": 1, "train.vf_coef": k}
        attributes = {"settings": params, "outcome": {"mean_return": k / 2, "seconds": 1.0, "steps": 10}}
        study.add_trial(
            optuna.trial.create_trial(value=k, params=params, distributions=distributions, user_attrs=attributes)
        )
    result = SweepResult.of(study, load_config("bandit"), Path("results"))
    heads = {}
    for width in (50, 100):
        console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
        result.print(console)
        heads[width] = console.file.getvalue().splitlines()[0].split()
    assert heads[100] == ["trial", "score", "return", "seconds", "steps", "vf_coef", "gamma"]
    assert heads[50] == heads[100][:6]


def test_the_command_writes_flags_and_names_as_the_command_line_takes_them():
    overrides = {"train.norm_adv": False, "policy.lstm": True, "train.target_kl": None, "env.num_envs": 32}
    command = train_command("gym:A b", overrides)
    assert command == (
        "puffer train 'gym:A b' --train.no-norm-adv --policy.lstm --train.target-kl None --env.num-envs 32"
    )
