"""The environments of ``examples``: compiled code does as plain Python, nothing is found wrong, rules hold."""

from __future__ import annotations

import numpy as np
import pytest

from examples.card_game import Goofspiel
from examples.job_shop import JobShop
from examples.market_classifier import collect, fit, trade
from examples.maze import STEPS, Maze, Move
from examples.predators import Predators
from examples.quadrotor import Quadrotor
from examples.user_bandit import UserBandit
from puffer_numba.checks.apart import Job
from puffer_numba.checks.native import check_here
from puffer_numba.spaces import action_masks
from tests.helpers.paths import ROOT

ENVIRONMENTS = [Maze, Predators, Quadrotor, Goofspiel, JobShop, UserBandit]
each = pytest.mark.parametrize("cls", ENVIRONMENTS)


@each
def test_compiled_code_does_as_plain_python(cls):
    compiled, plain = cls(num_envs=3, seed=3), cls(num_envs=3, seed=3, jit=False)
    generator = np.random.default_rng(0)
    compiled.action_space.seed(0)
    np.testing.assert_allclose(compiled.reset()[0], plain.reset()[0], rtol=1e-5, atol=1e-5)
    for _ in range(100):
        legal = action_masks(compiled)
        actions = compiled.action_space.sample()
        if legal is not None:
            actions = (generator.random(legal.shape) * legal).argmax(1)
        for ours, expected in zip(compiled.step(actions)[:4], plain.step(actions)[:4], strict=True):
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    assert compiled.log()["episodes"] == plain.log()["episodes"]


@pytest.mark.slow
@each
def test_check_finds_no_problem(cls):
    findings = check_here(Job(cls, {}, 300, False))  # its kernels are compiled here already
    assert [finding for finding in findings if finding.level == "problem"] == []


@each
def test_it_is_in_the_table(cls):
    name = f"examples/{cls.__module__.split('.')[-1]}.py:{cls.__name__}"
    assert f"`puffer train {name}`" in (ROOT / "examples" / "README.md").read_text()


def test_maze_has_one_way_between_any_two_rooms():
    env = Maze(num_envs=8, size=4)
    env.reset(seed=0)
    walls = env.state.walls
    assert walls[:, [0, -1]].all()
    assert walls[:, :, [0, -1]].all()
    assert len(np.unique(walls.reshape(8, -1), axis=0)) == 8
    for map_ in walls:
        reached, waiting = {(1, 1)}, [(1, 1)]
        while waiting:
            row, column = waiting.pop()
            near = {(row + down, column + right) for down, right in STEPS} - reached
            waiting += [square for square in near if not map_[square]]
            reached |= set(waiting)
        assert len(reached) == (~map_).sum() == 2 * 4**2 - 1  # a tree: rooms, and one passage fewer


def test_maze_ends_at_the_exit_and_walls_stop():
    env = Maze(num_envs=2, size=2, autoreset="disabled")
    env.reset(seed=0)
    env.state.walls[:] = True
    env.state.walls[:, 3, 1:4] = False
    env.state.row[:], env.state.column[:] = 3, 2
    _, rewards, terminals, *_ = env.step(np.array([Move.RIGHT, Move.UP]))
    np.testing.assert_allclose(rewards, [1, -0.01])
    assert terminals.tolist() == [True, False]
    assert env.state.row.tolist() == [3, 3]
    assert env.state.column.tolist() == [3, 2]
    np.testing.assert_array_equal(env.observations[1, 0], [[1, 1, 1], [0, 0, 0], [1, 1, 1]])


def test_predators_starve_one_by_one_and_share_the_prey():
    env = Predators(num_envs=1, speed=0.0, autoreset="disabled")
    env.reset(seed=0)
    env.state.energy[0] = (1, 5, 1)
    env.state.position[0] = ((0, 0), (5, 5), (9, 9))
    env.state.prey[0] = (5, 6)
    _, rewards, terminals, _, _ = env.step(np.array([0, 1, 0]))  # the second one goes right, and eats
    np.testing.assert_allclose(rewards, [-1, 1, -0.8])
    assert terminals.tolist() == [True, False, True]
    assert env.state.energy[0].tolist() == [0, 40, 0]
    env.state.energy[0, 1] = 1
    env.state.prey[0] = (0, 0)
    _, rewards, terminals, *_ = env.step(np.zeros(3, int))
    np.testing.assert_allclose(rewards, [0, -1, 0])
    assert terminals.tolist() == [False, True, False]  # the others left before
    assert env.log()["episodes"] == 1


def test_quadrotor_hovers_falls_and_crashes():
    env = Quadrotor(num_envs=2, autoreset="disabled")
    env.reset(seed=0)
    env.state.x[:] = 0
    for _ in range(10):
        _, rewards, terminals, *_ = env.step(np.array([[0, 0], [-1, -1]], np.float32))
    np.testing.assert_allclose(env.state.x[0], 0, atol=1e-6)
    np.testing.assert_allclose(env.state.x[1, [1, 4]], [-9.81 * 0.2**2 / 2, -9.81 * 0.2], rtol=1e-4)
    np.testing.assert_allclose(rewards[0], 1)
    assert not terminals.any()
    env.state.x[1, 2] = 1.6
    _, rewards, terminals, *_ = env.step(np.zeros((2, 2), np.float32))
    assert rewards[1] < -8
    assert terminals.tolist() == [False, True]


def test_goofspiel_gives_the_prize_to_the_higher_bid():
    env = Goofspiel(num_envs=3, cards=3)
    env.reset(seed=0)
    env.state.hand[:] = (1, 1, 1)
    env.state.opponent[:] = (0, 1, 0)  # it has nothing else to bid
    env.state.prizes[:] = (2, 0, 1)
    env.step(np.array([0, 1, 2]))
    assert env.state.score.tolist() == [-3, 0, 3]
    np.testing.assert_array_equal(action_masks(env), [[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    env.state.round[:] = 2
    env.state.opponent[:] = (0, 1, 0)
    env.state.score[:] = (-3, 0, 3)
    _, rewards, terminals, *_ = env.step(np.array([2, 1, 0]))  # for the prize 2
    assert rewards.tolist() == [-1, 0, 1]
    assert terminals.all()


def test_job_shop_begins_what_can_begin():
    env = JobShop(num_envs=1, jobs=2, machines=2, autoreset="disabled")
    env.reset(seed=0)
    env.state.order[0] = ((0, 1), (0, 1))
    env.state.left[0] = ((1, 1), (2, 1))
    env.step(np.array([[0, 1]]))  # machine 0 does job 0, and finishes; job 1 isn't at machine 1
    assert env.state.working[0].tolist() == [-1, -1]
    assert env.state.done[0].tolist() == [1, 0]
    env.step(np.array([[1, 0]]))  # both work; machine 1 finishes job 0
    assert env.state.working[0].tolist() == [1, -1]
    assert env.state.done[0].tolist() == [2, 0]
    env.step(np.array([[0, 2]]))  # machine 0 goes on with job 1, whatever is asked
    _, rewards, terminals, *_ = env.step(np.array([[2, 1]]))
    np.testing.assert_allclose(rewards, -0.1)
    assert terminals.all()
    assert env.state.time.tolist() == [4]


def test_a_classifier_gains_on_markets_that_it_has_not_seen():
    model = fit(*collect(num_envs=32, ticks=256, seed=0))
    equities = [trade(model, ticks=128, seed=seed) for seed in range(1000, 1010)]
    assert np.mean(equities) > 10_300


def test_bandit_pays_what_the_arrays_say():
    features, rewards = np.eye(3, dtype=np.float32), np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    env = UserBandit(num_envs=6, features=features, rewards=rewards, noise=0.0)
    observations, _ = env.reset(seed=0)
    users = observations.argmax(1)
    _, paid, terminals, *_ = env.step(np.array([0, 1] * 3))
    np.testing.assert_array_equal(paid, rewards[users, [0, 1] * 3])
    assert terminals.all()
    with pytest.raises(ValueError, match="as many rows"):
        UserBandit(num_envs=1, features=features[:2], rewards=rewards)
