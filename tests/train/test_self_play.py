"""Self-play: who sits where, what is learned from it, ratings, checkpoints."""

from __future__ import annotations

import numpy as np
import pytest

from puffer_numba.cli import main
from puffer_numba.env import APIUsageError
from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy
from puffer_numba.train.self_play import SelfPlay, Standings
from tests.helpers.training import same_weights, weights

SMALL = {
    "env.num_envs": 16,
    "train.horizon": 16,
    "train.num_minibatches": 2,
    "train.self_play": True,
    "train.self_play_interval": 1000,
    "log.tensorboard": False,
    "policy.hidden_size": 32,
}


def trainer_of(name="tic_tac_toe", **overrides):
    config = load_config(name, SMALL | overrides)
    env = load_env(config)
    return PuffeRL(config, env, load_policy(config, env))


def standings_of(scores):
    scores = np.array(scores, np.float64)
    return Standings(list(range(len(scores))), scores)


def test_ratings_are_log_odds():
    """Three wins in four games are odds of 3 to 1: 400 log10(3) points; 10 to 1, 400 points; and they add up."""
    many = 1e6  # in which the drawn game that is added does not show
    np.testing.assert_allclose(standings_of([[0, many], [3 * many, 0]]).ratings(), [0, 190.85], atol=0.1)
    chain = standings_of([[0, many, 0], [10 * many, 0, many], [0, 10 * many, 0]])
    np.testing.assert_allclose(chain.ratings(), [0, 400, 800], atol=1)


def test_who_never_lost_has_a_finite_rating():
    first, second = standings_of([[0, 0], [100, 0]]).ratings()
    assert first == 0
    assert 800 < second < 1000


def test_results_are_recorded_for_both():
    standings = Standings()
    for step in (0, 10):
        standings.add(step)
    standings.record(10, 0, np.array([[1, -1], [1, -1], [0, 0], [-1, 1]]))
    np.testing.assert_array_equal(standings.scores, [[0, 1.5], [2.5, 0]])


def test_an_opponent_takes_one_seat_for_a_whole_game():
    trainer = trainer_of(**{"train.self_play_share": 1.0})
    for _ in range(3):
        trainer.evaluate()
    rollout = trainer.rollout
    seats = trainer.self_play.taken.reshape(-1, 2)
    assert (seats.sum(1) == 1).all()  # by now each first game is over
    masks = rollout.masks[:-1].reshape(16, 16, 2)
    ends = rollout.terminals.reshape(16, 16, 2).any(2)
    for copy in range(16):
        for game in np.split(masks[:, copy], np.flatnonzero(ends[:, copy]) + 1)[:-1]:
            assert game.any(0).sum() <= 1  # who learns from this game; none if it is the other's only move
    trainer.close()


def test_what_an_opponent_does_is_keyed_by_its_row_among_those_of_all_processes():
    config = load_config("tic_tac_toe", SMALL)
    env = load_env(config)
    policy = load_policy(config, env)

    def actions(*rows, first_row=0):
        self_play = SelfPlay(env, policy, None, config.train, lambda n: load_env(config, n), "", first_row)
        env.reset(seed=0)
        env.observations[:] = env.observations[0]
        self_play._begin_rollout()
        return self_play._opponents_actions(np.array(rows)).tolist()

    every = actions(*range(32))
    assert actions(4, 9, 30) == [every[4], every[9], every[30]]
    assert actions(*range(28), first_row=4) == every[4:]
    env.close()


def test_without_opponents_all_rows_learn():
    trainer = trainer_of(**{"train.self_play_share": 0.0})
    trainer.evaluate()
    assert trainer.global_step == 16 * 16
    assert not trainer.self_play.taken.any()
    trainer.close()


@pytest.mark.slow
def test_it_grows_better_than_it_was():
    trainer = trainer_of(**{"env.num_envs": 64, "train.total_timesteps": 60_000, "train.self_play_interval": 20_000})
    metrics = trainer.learn().mean_and_log()
    standings = trainer.self_play.standings
    assert len(standings.steps) == 3
    assert standings.ratings()[-1] > 50
    assert metrics["environment/elo"] == standings.ratings()[-1]
    trainer.close()


def test_there_is_no_rating_before_the_first_rollout():
    trainer = trainer_of()
    assert "environment/elo" not in trainer.mean_and_log()
    trainer.close()


def test_the_pool_keeps_the_newest():
    trainer = trainer_of(**{"train.self_play_pool": 2, "train.self_play_interval": 100})
    for _ in range(4):
        trainer.evaluate()
    assert len(trainer.self_play.standings.steps) == 4
    assert [opponent.step for opponent in trainer.self_play.opponents] == trainer.self_play.standings.steps[-2:]
    trainer.close()


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{}, {"policy.lstm": True}, {"train.normalize_observations": True}])
def test_resume_is_exact(extra, tmp_path):
    overrides = extra | {"train.data_dir": str(tmp_path), "train.total_timesteps": 3000}
    whole, first = (trainer_of(**overrides) for _ in range(2))
    whole.learn()
    for _ in range(6):
        first.evaluate()
        first.train()
    second = trainer_of(**overrides)
    second.load_checkpoint(first.save_checkpoint())
    second.learn()
    assert same_weights(weights(whole), weights(second))
    np.testing.assert_array_equal(whole.self_play.standings.scores, second.self_play.standings.scores)
    for trainer in (whole, first, second):
        trainer.close()


def test_through_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--train.total-timesteps", "4000", "--log.no-tensorboard", "--env.num-envs", "16"]
    assert main(["train", "tic_tac_toe", *small, "--train.self-play", "--train.self-play-interval", "1500"]) == 0
    lines = capsys.readouterr().out.splitlines()
    header = next(k for k, line in enumerate(lines) if line.split() == ["version", "at", "step", "Elo", "games", "won"])
    assert lines[header + 1].split()[:2] == ["0", "0"]
    assert len(lines) >= header + 3


def test_wrong_use():
    with pytest.raises(APIUsageError, match=r"train.self_play is on, but cartpole has one agent; it takes two or more"):
        trainer_of("cartpole")
    with pytest.raises(APIUsageError, match=r"train.self_play needs environments that step together"):
        trainer_of(**{"vec.overlap": True})
    with pytest.raises(APIUsageError, match=r"train.self_play_share is 1.5; allowed: 0 to 1"):
        load_config("tic_tac_toe", {"train.self_play_share": 1.5})
