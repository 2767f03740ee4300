"""Learning curves: what is read from runs, what belongs together, what is drawn."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from PIL import Image

from puffer_numba.cli import main
from puffer_numba.extras import MissingExtra
from puffer_numba.runs import folder as runs
from puffer_numba.runs.loggers import CSVLogger
from puffer_numba.runs.plot import RETURN, on_common_points, plot, read_curve
from puffer_numba.train.setup import load_config
from tests.helpers.command_line import QUICK, fails, puffer


def make_run(folder, overrides=None, *, returns=(1.0, 2.0, 3.0), env_name="cartpole"):
    """A run's folder, with one row of metrics for each of ``returns``."""
    folder.mkdir(parents=True)
    runs.record(folder, load_config(env_name, overrides))
    log(folder, [(100 * k, 0.5 * k, value) for k, value in enumerate(returns, 1)])
    return folder


def log(folder, rows):
    logger = CSVLogger(folder / runs.METRICS)
    for step, uptime, value in rows:
        logger.log({"uptime": uptime, RETURN: value, "losses/entropy": 0.5}, step)
    logger.close()


def drawn(path, out, **options):
    """The texts in the image that `plot` makes of ``path``."""
    _, svg = plot([path], out, **options)
    return svg.read_text()


def test_a_curve_is_what_the_run_has_logged(tmp_path):
    curve = read_curve(make_run(tmp_path / "a", {"env.gravity": 5.0}) / runs.METRICS)
    assert curve.steps.tolist() == [100, 200, 300]
    assert curve.seconds.tolist() == [0.5, 1.0, 1.5]
    assert curve.values.tolist() == [1.0, 2.0, 3.0]
    assert curve.environment == "cartpole"
    assert curve.settings["env.params.gravity"] == 5.0


def test_what_a_resumed_run_does_again_replaces_what_it_had_done(tmp_path):
    run = make_run(tmp_path / "a")  # as if ended after its last checkpoint, at step 200
    log(run, [(300, 0.25, 30.0), (400, 0.75, 40.0)])
    curve = read_curve(run / runs.METRICS)
    assert curve.steps.tolist() == [100, 200, 300, 400]
    assert curve.seconds.tolist() == [0.5, 1.0, 1.25, 1.75]
    assert curve.values.tolist() == [1.0, 2.0, 30.0, 40.0]


def test_an_unfinished_line_and_rows_without_the_metric_are_left_out(tmp_path):
    file = make_run(tmp_path / "a", returns=(1.0, float("nan"), 3.0, 4.0)) / runs.METRICS
    os.truncate(file, file.stat().st_size - 3)
    assert read_curve(file).values.tolist() == [1.0, 3.0]


def test_a_metric_may_be_called_by_its_last_name(tmp_path):
    file = make_run(tmp_path / "a") / runs.METRICS
    assert read_curve(file, "entropy").values.tolist() == [0.5, 0.5, 0.5]


def test_settings_come_from_a_checkpoint_where_the_run_has_not_written_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "cartpole", *QUICK, "--train.gamma", "0.5", "--log.interval", "0"]) == 0
    (run,) = (tmp_path / "runs" / "cartpole").iterdir()
    written = read_curve(run / runs.METRICS).settings
    (run / runs.RUN).unlink()
    assert read_curve(run / runs.METRICS).settings == written
    assert written["train.gamma"] == 0.5


def test_curves_are_interpolated_to_where_all_of_them_are():
    xs = [np.array([0.0, 10.0]), np.array([2.0, 4.0, 8.0])]
    points, values = on_common_points(xs, [np.array([0.0, 10.0]), np.array([5.0, 5.0, 7.0])])
    assert (points[0], points[-1]) == (2.0, 8.0)
    np.testing.assert_allclose(values[0], points)
    np.testing.assert_allclose(values[1], np.maximum(5.0, 5.0 + (points - 4) / 2))
    points, values = on_common_points([*xs[:1], np.array([20.0, 30.0])], [np.zeros(2), np.ones(2)])
    assert points.shape == (0,)
    assert values.shape == (2, 0)


@pytest.mark.slow
def test_runs_that_differ_in_their_seed_are_one_group(tmp_path):
    for seed in (1, 2, 3):
        make_run(tmp_path / "runs" / str(seed), {"train.seed": seed, "log.jsonl": seed == 1, "train.data_dir": "x"})
    text = drawn(tmp_path / "runs", tmp_path / "a.svg", title="Poles & carts")
    for piece in (">cartpole<", ">3 runs<", ">steps<", ">seconds<", ">episode return<", "Shaded: the lowest to the h"):
        assert piece in text
    assert "Poles &amp; carts" in text
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1000
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    assert drawn(tmp_path / "runs", tmp_path / "again") == drawn(tmp_path / "runs", tmp_path / "again.png")


@pytest.mark.slow
def test_groups_are_named_after_the_settings_that_differ(tmp_path):
    for k, overrides in enumerate([{}, {"train.seed": 2}, {"train.gamma": 0.5}, {"train.gamma": 0.5, "train.seed": 2}]):
        make_run(tmp_path / "runs" / str(k), overrides)
    make_run(tmp_path / "runs" / "s", env_name="squared")
    text = drawn(tmp_path / "runs", tmp_path / "a.svg")
    for piece in ("train.gamma=0.99 (2 runs)", "train.gamma=0.5 (2 runs)", ">cartpole<", ">squared<", ">1 run<"):
        assert piece in text
    labels = ["cart", "all"]
    _, svg = plot([tmp_path / "runs" / "0", tmp_path / "runs"], tmp_path / "b", labels=labels, smooth=2)
    text = svg.read_text()
    assert ">all (4 runs)<" in text  # each run counts once, where it was named last
    assert "gamma" not in text


def test_a_lone_csv_is_named_after_its_folder(tmp_path):
    file = make_run(tmp_path / "mountain" / "tuesday") / runs.METRICS
    (file.parent / runs.RUN).unlink()
    text = drawn(file, tmp_path / "a.svg")
    assert ">mountain<" in text
    assert ">tuesday (1 run)<" in text
    assert "Shaded" not in text


def test_a_run_that_cannot_be_used_is_left_out_with_a_warning(tmp_path):
    make_run(tmp_path / "runs" / "good")
    make_run(tmp_path / "runs" / "empty", returns=())
    with pytest.warns(UserWarning, match=r"left out: .*empty.* has no metrics of a run in it"):
        assert ">1 run<" in drawn(tmp_path / "runs", tmp_path / "a.svg")


def test_smoothing_keeps_constants_and_the_number_of_points(tmp_path):
    make_run(tmp_path / "a", returns=(2.0, 2.0, 2.0, 2.0))
    plain = drawn(tmp_path / "a", tmp_path / "a.svg")
    assert drawn(tmp_path / "a", tmp_path / "a.svg", smooth=3) == plain
    assert drawn(tmp_path / "a", tmp_path / "a.svg", smooth=100) == plain


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "needs a run's folder, a folder of runs such as runs/cartpole, or a metrics.csv."),
        (["nowhere"], "there is no nowhere; expected a run's folder, a folder of runs, or a metrics.csv."),
        (["folder"], "no run in folder: neither there nor below is a metrics.csv."),
        (["empty"], "empty/metrics.csv has no metrics of a run in it."),
        (["void.csv"], "void.csv has no metrics of a run in it."),
        (["text.csv"], "text.csv is no metrics.csv of a run: could not convert string to float: 'one'."),
        (["run", "--metric", "losses/entropi"], "no metric 'losses/entropi' in run/metrics.csv; did you mean losses/e"),
        (["run", "--metric", "episode_retrun"], "did you mean environment/episode_return?"),
        (["run", "--metric", "zzz"], "it has step, uptime, environment/episode_return, losses/entropy."),
        (["run", "--out", "a.pdf"], "the file to write is a.pdf; expected a name that ends in .png or .svg"),
        (["run", "--out", "void.csv/a.png"], "void.csv"),
        (["run", "--labels", "a", "b"], "there are 2 labels for 1 paths; expected one for each."),
        (["run", "--smooth", "0"], "smooth is 0; expected at least 1."),
    ],
    ids=" ".join,
)
def test_bad_input_ends_in_one_line(args, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run")
    make_run(tmp_path / "empty", returns=())
    (tmp_path / "folder").mkdir()
    (tmp_path / "void.csv").write_text("")
    (tmp_path / "text.csv").write_text(f"step,{RETURN}\none,two\n")
    assert message in fails(capsys, "plot", *args)


@pytest.mark.slow
def test_the_command_draws_and_imports_neither_torch_nor_a_window(tmp_path):
    make_run(tmp_path / "run")
    code = "import atexit, sys; atexit.register(lambda: print({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    result = puffer("plot", "run", "--out", "out/a.png", cwd=tmp_path, code=code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["drew out/a.png and out/a.svg", "set()"]
    assert (tmp_path / "out" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r'drawing curves needs matplotlib: pip install "puffer_numba\[plot\]"'):
        plot([tmp_path])
