"""What happens while a policy is trained: evaluations, callbacks, metrics by rollouts, numbers from infos."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from puffer_numba import pufferl, vector
from puffer_numba.env import APIUsageError, NumberedInfos
from puffer_numba.runs import checkpoint
from puffer_numba.runs.callbacks import Callback
from puffer_numba.train.infos import MAX_NAMES, InfoStatistics
from tests.helpers.trainer_envs import Cut
from tests.helpers.training import make_trainer, same_weights, weights

pytestmark = pytest.mark.slow  # together: most start processes or train

STEPS = 16 * 16
QUICK = {
    "env.num_envs": 16,
    "train.horizon": 16,
    "train.num_minibatches": 2,
    "train.total_timesteps": 8 * STEPS,
    "train.checkpoint_interval": 0,
    "log.tensorboard": False,
}
QUIET = SimpleNamespace(update=lambda snapshot: None, close=lambda: None)


def train(folder, overrides=(), name="cartpole", **kwargs):
    return pufferl.train(name, {**QUICK, "train.data_dir": str(folder), **dict(overrides)}, dashboard=QUIET, **kwargs)


def rows(trainer):
    with (trainer.run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_evaluations_leave_the_training_alone_and_keep_the_best(tmp_path):
    plain = train(tmp_path / "plain", {"log.interval": 1e9})
    settings = {"eval.every": 2 * STEPS, "eval.episodes": 5, "eval.deterministic": True, "log.interval": 1e9}
    evaluated = train(tmp_path, settings)
    assert same_weights(weights(plain), weights(evaluated))
    points = {int(row["step"]): row for row in rows(evaluated)}
    scores = {
        step: float(row["evaluation/episode_return"]) for step, row in points.items() if row["evaluation/episodes"]
    }
    assert list(scores) == [2 * STEPS, 4 * STEPS, 6 * STEPS, 8 * STEPS]
    assert all(float(points[step]["evaluation/episodes"]) == 5 for step in scores)
    best = max(scores, key=lambda step: (scores[step], step))
    assert checkpoint.find("best", "cartpole", tmp_path).name == f"checkpoint_{best:012d}"
    again = pufferl.eval("cartpole", "best", episodes=5, deterministic=True, data_dir=tmp_path)
    assert again.returns.mean() == pytest.approx(scores[best])
    assert int(checkpoint.find("latest", "cartpole", tmp_path).name[-12:]) == 8 * STEPS


def test_a_resumed_run_counts_from_the_last_evaluation(tmp_path):
    settings = {"eval.every": 3 * STEPS, "eval.episodes": 2, "train.total_timesteps": 4 * STEPS}
    train(tmp_path, settings)
    more = train(tmp_path, {**settings, "train.total_timesteps": 9 * STEPS}, resume_from="latest")
    steps = [int(row["step"]) // STEPS for row in rows(more) if row["evaluation/episodes"]]
    assert steps == [3, 4, 7, 9], "the last rollout is always evaluated"


def test_an_evaluation_that_is_good_enough_ends_the_run(tmp_path):
    trainer = train(tmp_path, {"eval.every": STEPS, "eval.episodes": 3, "eval.target_return": 5.0})
    assert trainer.global_step == STEPS
    assert trainer.evaluated_well
    assert trainer.evaluation["episode_return"] >= 5


def test_evaluations_are_filmed(tmp_path):
    trainer = train(tmp_path, {"eval.every": 4 * STEPS, "eval.episodes": 2, "eval.video": True})
    videos = sorted((trainer.run_dir / "videos").iterdir())
    assert [int(video.stem.removeprefix("step_")) for video in videos] == [4 * STEPS, 8 * STEPS]
    head = videos[0].read_bytes()[:12]
    assert (head[4:8], videos[0].suffix) == (b"ftyp", ".mp4") or (head[:4], videos[0].suffix) == (b"GIF8", ".gif")


class Recorder(Callback):
    def __init__(self, until=10**9):
        self.calls, self.until = [], until

    def on_rollout(self, trainer):
        self.calls.append(("rollout", trainer.global_step))

    def on_episode(self, trainer, episode):
        self.calls.append(("episode", episode.episode_return, episode.episode_length))

    def on_update(self, trainer):
        assert "entropy" in trainer.losses
        self.calls.append(("update", trainer.global_step))
        return trainer.global_step < self.until


def test_callbacks_are_told_and_may_end_the_run(tmp_path):
    recorder, updates = Recorder(until=3 * STEPS), []
    ours = SimpleNamespace(on_update=lambda trainer: updates.append(trainer.epoch))
    trainer = train(tmp_path, {"log.interval": 0.0}, callbacks=[recorder, ours])
    assert trainer.global_step == 3 * STEPS
    assert updates == [1, 2, 3]
    assert [c for c in recorder.calls if c[0] != "episode"] == [
        (kind, k * STEPS) for k in (1, 2, 3) for kind in ("rollout", "update")
    ]
    episodes = [c[1:] for c in recorder.calls if c[0] == "episode"]
    assert len(episodes) == trainer.statistics.episodes
    assert [e[0] for e in episodes[-100:]] == list(trainer.statistics.recent_returns)
    with pytest.raises(APIUsageError, match=r"has no method on_rollout, on_episode or on_update"):
        train(tmp_path, callbacks=[print])


@pytest.mark.parametrize(("points", "expected"), [(200, [1, 2, 3, 4, 5, 6, 7, 8]), (4, [2, 4, 6, 8]), (0, [8])])
def test_metrics_are_logged_by_rollouts(points, expected, tmp_path):
    trainer = train(tmp_path, {"log.interval": 1e9, "log.points": points})
    assert [int(row["step"]) // STEPS for row in rows(trainer)] == expected


class Told(gymnasium.Env):
    """Episodes of three steps; each info has a number, and the last one more."""

    observation_space, action_space = Box(-1, 1, (1,)), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {"speed": 100.0}

    def step(self, action):
        self.time += 1
        info = {"speed": float(self.time), "text": "no number", "array": np.zeros(3)}
        if self.time == 3:
            info |= {"success": True, "score": {"home": np.int64(4), "away": np.array([2.0])}, "lost": np.nan}
        return np.zeros(1, np.float32), 1.0, self.time == 3, False, info


@pytest.mark.parametrize("backend", ["serial", "multiprocessing"])
def test_numbers_of_the_infos_at_the_ends_of_episodes_are_metrics(backend):
    batch = {} if backend == "serial" else {"batch_size": 2, "num_workers": 2}
    with vector.make(Told, num_envs=4, backend=backend, **batch) as env:
        trainer = make_trainer(env, {"train.num_minibatches": 1})
        trainer.evaluate()
        trainer.train()
        metrics = trainer.mean_and_log()
    told = {name.removeprefix("environment/"): value for name, value in metrics.items() if "environment/" in name}
    assert {k: v for k, v in told.items() if not k.startswith("episode")} == {
        "speed": 3.0, "success": 1.0, "score/home": 4.0, "score/away": 2.0,
    }  # fmt: skip


def test_numbers_that_a_puffer_env_tells_are_metrics_whenever_it_does():
    class Tells(Cut):
        def step(self, actions):
            *results, _ = super().step(actions)
            return *results, ([{"score": float(self.tick)}] if self.tick % 8 == 0 else [])

    trainer = make_trainer(Tells())
    trainer.evaluate()
    assert trainer.collector.infos.summary() == {"score": 12.0}


def test_numbers_of_agents_have_one_name():
    driver = SimpleNamespace(emulated=object(), possible_agents=["a", "b"])
    env = SimpleNamespace(driver_env=driver, num_agents=4, num_envs=2)
    statistics, ended = InfoStatistics(env), np.array([False, False, True, True])
    infos = NumberedInfos()
    infos.add(0, [{"a": {"score": 100}}])
    infos.add(1, [{"a": {"score": 1}, "b": {"score": 4}}, {"a": {"score": 50}}])  # the second is the next episode's
    statistics.add(infos, ended)
    assert statistics.summary() == {"score": 2.5}
    statistics.add([{str(k): k for k in range(200)}], np.ones(4, np.bool_))
    assert len(statistics.summary()) == MAX_NAMES
