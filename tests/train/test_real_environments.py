"""Environments that people use, by their names, through the backends; each step compared with the environment's own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from puffer_numba import vector
from puffer_numba.emulation.from_pettingzoo import PettingZooPufferEnv
from puffer_numba.env import PufferEnv

pytestmark = pytest.mark.slow  # together: most start processes or train

CLASSIC_CONTROL = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"]
TOY_TEXT = ["Blackjack-v1", "FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"]
BOX2D = ["LunarLander-v3", "BipedalWalker-v3", "CarRacing-v3"]
OTHERS = ["HalfCheetah-v5", "ale_py:ALE/Pong-v5", "minigrid:MiniGrid-Empty-5x5-v0"]
STEPS = {"CarRacing-v3": 12, "ale_py:ALE/Pong-v5": 40, "BipedalWalker-v3": 100}


@pytest.mark.parametrize("gym_id", CLASSIC_CONTROL + TOY_TEXT + BOX2D + OTHERS)
def test_same_steps_as_the_environment_itself(gym_id: str) -> None:
    with vector.make(f"gym:{gym_id}", num_envs=2, num_workers=2, backend="multiprocessing", seed=7) as env:
        observations, _ = env.reset()
        bare = [gymnasium.make(gym_id) for _ in range(2)]
        expected = [one.reset(seed=7 + number)[0] for number, one in enumerate(bare)]
        env.action_space.seed(0)
        for _ in range(STEPS.get(gym_id, 250)):
            for row in range(2):
                assert_same_observation(env, observations[row], expected[row])
            actions = env.action_space.sample()
            observations, rewards, terminals, truncations, _ = env.step(actions)
            for row, one in enumerate(bare):
                expected[row], *results, _ = one.step(actions[row])
                assert (rewards[row], terminals[row], truncations[row]) == (np.float32(results[0]), *results[1:])
                if terminals[row] or truncations[row]:
                    assert_same_observation(env, env.final_observations[row], expected[row])
                    expected[row], _ = one.reset()
        for one in bare:
            one.close()


def assert_same_observation(env: PufferEnv, flat: Any, expected: Any) -> None:
    """The flat observation, taken apart again, equals that of the environment."""
    assert env.emulated is not None  # type: ignore[attr-defined]
    found = env.driver_env.unflatten(flat)  # type: ignore[attr-defined]
    leaves = expected.items() if isinstance(expected, dict) else enumerate(np.atleast_1d(expected))
    if isinstance(expected, dict | tuple):
        for key, value in leaves:
            assert np.array_equal(found[key], value), key
    else:
        assert np.array_equal(np.asarray(found).reshape(np.shape(expected)), expected)


def test_text_and_images_come_back_from_one_buffer() -> None:
    with vector.make("gym:minigrid:MiniGrid-DoorKey-5x5-v0", num_envs=2, num_workers=1) as env:
        observations, _ = env.reset()
        found = env.driver_env.unflatten(observations[1])  # type: ignore[attr-defined]
        assert found["mission"] == "use the key to open the door and then get to the goal"
        assert found["image"].shape == (7, 7, 3)
        assert np.shares_memory(found["image"], observations)


PARALLEL = ["mpe2.simple_spread_v3", "sisl.pursuit_v5", "butterfly/pistonball-v6"]


@pytest.mark.parametrize("module", PARALLEL)
def test_same_steps_as_the_parallel_environment_itself(module: str) -> None:
    creator = vector.env_creator(f"pettingzoo:{module}")
    with vector.make(creator, num_envs=2, num_workers=2, backend="multiprocessing", seed=7) as env:
        observations, _ = env.reset()
        bare = creator()
        agents = bare.possible_agents
        expected, _ = bare.reset(seed=7)
        env.action_space.seed(0)
        for _ in range(40):
            for row, agent in enumerate(agents):
                assert np.array_equal(observations[row], expected[agent])
            actions = env.action_space.sample()
            observations, rewards, terminals, truncations, _ = env.step(actions)
            first = dict(zip(agents, actions[: len(agents)], strict=True))
            expected, own_rewards, own_terminals, own_truncations, _ = bare.step(first)
            assert rewards[: len(agents)] == pytest.approx([own_rewards[agent] for agent in agents])
            assert terminals[: len(agents)].tolist() == [own_terminals[agent] for agent in agents]
            assert truncations[: len(agents)].tolist() == [own_truncations[agent] for agent in agents]
            if not bare.agents:
                expected, _ = bare.reset()
        bare.close()


def test_a_board_game_between_random_players() -> None:
    """Connect Four, an AEC environment: the players' turns alternate, and every game ends with a winner or a draw."""
    env = PettingZooPufferEnv(env_creator=vector.env_creator("pettingzoo:classic.connect_four_v3"))
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    results = []
    while len(results) < 20:
        boards = env.observations.view(env.obs_dtype)[:, 0]
        player = env.env.unwrapped.agent_selection
        row = env.possible_agents.index(player)
        moves = np.zeros(2, np.int64)
        moves[row] = rng.choice(np.flatnonzero(boards["action_mask"][row]))
        _, rewards, terminals, _, _ = env.step(moves)
        if terminals.any():
            results.append(tuple(rewards))
    assert set(results) <= {(1.0, -1.0), (-1.0, 1.0), (0.0, 0.0)}
    assert {(1.0, -1.0), (-1.0, 1.0)} <= set(results)
    env.close()
