"""The contract of PufferEnv and its buffers, kept by an environment written in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text

import puffer_numba
from puffer_numba import APIUsageError, Buffers, PufferEnv, vector
from puffer_numba.env import buffer_specs, make_buffers
from tests.helpers.corridor import Corridor

OBSERVATION, ACTION = Box(-10, 10, (2,), np.float32), Discrete(2)


class Count(PufferEnv):
    """Adds up its actions; an episode ends at 3."""

    def __init__(self, num_agents=4, buf=None):
        self.single_observation_space, self.single_action_space = OBSERVATION, ACTION
        self.num_agents = num_agents
        super().__init__(buf)

    def reset(self, seed=None):
        self.observations[:] = 0 if seed is None else seed
        return self.observations, []

    def step(self, actions):
        self.observations += np.asarray(actions)[:, None]
        self.terminals[:] = self.observations[:, 0] >= 3
        self.final_observations[self.terminals] = self.observations[self.terminals]
        self.observations[self.terminals] = 0
        self.rewards[:] = actions
        return self.observations, self.rewards, self.terminals, self.truncations, [{"sum": int(np.sum(actions))}]


def test_an_environment_in_pufferlibs_form():
    env = Corridor(length=5)
    assert env.reset(seed=0)[0].tolist() == [[0, 0, 1, 0, 0]]
    assert env.render() == "..@.."
    env.step(np.array([1]))
    observations, rewards, terminals, truncations, infos = env.step(np.array([1]))
    assert observations is env.observations
    assert observations.tolist() == [[0, 0, 1, 0, 0]]
    assert (rewards.tolist(), terminals.tolist(), truncations.tolist()) == ([1.0], [True], [False])
    assert infos == [{"reward": 1.0}]
    env.close()


@pytest.mark.parametrize("options", [{"backend": "Serial"}, {"num_workers": 2}], ids=str)
def test_backends_take_an_environment_in_pufferlibs_form(options):
    with vector.make(Corridor, env_kwargs={"length": 5}, num_envs=4, **options) as env:
        assert env.reset(seed=0)[0].tolist() == [[0, 0, 1, 0, 0]] * 4
        assert env.step(np.array([0, 1, 0, 1]))[0].tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0]] * 2
        assert env.step(np.array([0, 1, 1, 0]))[1].tolist() == [-1, 1, 0, 0]


def test_logs_under_operants_names():
    env = puffer_numba.make("bandit", 4, jit=False)
    env.reset()
    assert env.get_logs() == {"episode_count": 0.0, "mean_reward": 0.0, "mean_length": 0.0}
    env.step(np.zeros(4, int))
    logs = env.get_logs()
    assert (logs["episode_count"], logs["mean_length"]) == (4.0, 1.0)


def shared_arrays(rows=10):
    return {name: np.zeros(shape, dtype) for name, (shape, dtype) in buffer_specs(OBSERVATION, ACTION, rows).items()}


@pytest.mark.parametrize(
    ("action_space", "shape", "dtype"),
    [
        (Discrete(3), (4,), np.int32),
        (MultiDiscrete([2, 3, 4]), (4, 3), np.int32),
        (Box(-1, 1, (2, 2), np.float64), (4, 2, 2), np.float64),
    ],
)
def test_buffers_have_a_row_for_each_agent(action_space, shape, dtype):
    buffers = make_buffers(Box(0, 255, (5, 6), np.uint8), action_space, 4)
    assert (buffers.actions.shape, buffers.actions.dtype) == (shape, dtype)
    assert (buffers.observations.shape, buffers.observations.dtype) == ((4, 5, 6), np.uint8)
    assert (buffers.final_observations.shape, buffers.final_observations.dtype) == ((4, 5, 6), np.uint8)
    assert buffers.rewards.dtype == np.float32
    assert all(a.dtype == np.bool_ and a.shape == (4,) for a in buffers[2:5])
    assert buffers.masks.all()
    assert not buffers.terminals.any()


@pytest.mark.parametrize("kind", [dict, Buffers])
def test_writes_in_place_into_slices_of_one_big_array(kind):
    shared = shared_arrays(10)
    rows = {name: array[3:7] for name, array in shared.items()}
    env = Count(4, buf=rows if kind is dict else Buffers(**rows))
    env.reset(seed=2)
    observations, rewards, terminals, truncations, _ = env.step(np.array([1, 0, 1, 0]))
    for returned, name in (
        (observations, "observations"),
        (rewards, "rewards"),
        (terminals, "terminals"),
        (truncations, "truncations"),
    ):
        assert np.shares_memory(returned, shared[name])
        assert returned.ctypes.data == rows[name].ctypes.data
    np.testing.assert_array_equal(shared["observations"][:, 0], [0, 0, 0, 0, 2, 0, 2, 0, 0, 0])
    np.testing.assert_array_equal(shared["final_observations"][:, 1], [0, 0, 0, 3, 0, 3, 0, 0, 0, 0])
    np.testing.assert_array_equal(shared["terminals"].nonzero()[0], [3, 5])
    np.testing.assert_array_equal(shared["rewards"], [0, 0, 0, 1, 0, 1, 0, 0, 0, 0])


def test_buf_may_hold_only_some_of_the_arrays():
    rewards = np.zeros(4, np.float32)
    env = Count(4, buf={"rewards": rewards})
    assert env.rewards is rewards
    assert env.observations.shape == (4, 2)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "rewards",
            np.zeros(3, np.float32),
            r"buf\['rewards'\] has shape \(3,\); .* array of shape \(4,\)",
        ),
        ("rewards", np.zeros(4, np.float64), r"buf\['rewards'\] has dtype float64; expected .* float32"),
        ("terminals", np.zeros(4, np.uint8), r"buf\['terminals'\] has dtype uint8; expected .* bool"),
        ("actions", np.zeros(4, np.int64), r"buf\['actions'\] has dtype int64; expected .* int32"),
        ("observations", np.zeros((4, 2), np.float32, order="F"), r"buf\['observations'\] is not C-contiguous"),
        ("observations", np.zeros((8, 2), np.float32)[::2], r"buf\['observations'\] is not C-contiguous"),
        ("observations", np.zeros((4, 3), np.float32)[:, :2], r"buf\['observations'\] is not C-contiguous"),
        ("observations", np.broadcast_to(np.float32(0), (4, 2)), r"buf\['observations'\] is not C-contiguous"),
        ("masks", np.frombuffer(bytes(4), np.bool_), r"buf\['masks'\] is read-only; expected a writable"),
        ("rewards", [0.0] * 4, r"buf\['rewards'\] is a list; expected"),
        (
            "reward",
            np.zeros(4, np.float32),
            r"unknown arrays \['reward'\]; an environment has observations",
        ),
    ],
)
def test_wrong_buf_says_what_is_wrong_and_what_is_expected(name, array, message):
    with pytest.raises(APIUsageError, match=message):
        Count(4, buf={name: array})


def declare(**attributes):
    class Odd(PufferEnv):
        def __init__(self):
            for name, value in attributes.items():
                setattr(self, name, value)
            super().__init__()

    return Odd


@pytest.mark.parametrize("missing", ["single_observation_space", "single_action_space", "num_agents"])
def test_undeclared_attribute_is_named(missing):
    given = {"single_observation_space": OBSERVATION, "single_action_space": ACTION, "num_agents": 1}
    del given[missing]
    with pytest.raises(APIUsageError, match=rf"Odd must set self.{missing} before super\(\).__init__\(buf\)"):
        declare(**given)()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_agents", 0, "num_agents is 0; expected at least 1"),
        ("num_agents", -2, "num_agents is -2; expected at least 1"),
        ("num_agents", 2.0, "num_agents is 2.0; expected an integer of at least 1"),
        ("num_agents", True, "num_agents is True; expected an integer of at least 1"),
        ("single_observation_space", Dict(a=OBSERVATION), "single_observation_space is Dict.*has a Box"),
        ("single_observation_space", Discrete(4), r"single_observation_space is Discrete\(4\).*has a Box"),
        ("single_action_space", Text(3), "single_action_space is Text.*Discrete, MultiDiscrete or Box"),
    ],
)
def test_wrong_declaration_says_what_is_expected(name, value, message):
    given = {"single_observation_space": OBSERVATION, "single_action_space": ACTION, "num_agents": 1, name: value}
    with pytest.raises(APIUsageError, match=message):
        declare(**given)()


def test_recv_before_anything_was_sent_is_an_error():
    with pytest.raises(APIUsageError, match=r"recv\(\) has nothing to return; call async_reset\(\) or send"):
        Count().recv()


def test_second_recv_is_an_error():
    env = Count()
    env.async_reset()
    env.recv()
    with pytest.raises(APIUsageError, match="nothing to return"):
        env.recv()


@pytest.mark.parametrize("first", ["async_reset", "send"])
def test_second_send_without_recv_is_an_error_and_steps_nothing(first):
    env = Count()
    env.reset()
    env.async_reset() if first == "async_reset" else env.send(np.ones(4, int))
    before = env.observations.copy()
    with pytest.raises(APIUsageError, match=r"recv\(\) between two sends"):
        env.send(np.ones(4, int))
    np.testing.assert_array_equal(env.observations, before)


def test_actions_are_for_all_rows():
    env = Count()
    env.reset(seed=0)
    env.send(np.ones(4, int), env_ids=np.arange(4))
    env.recv()
    with pytest.raises(APIUsageError, match=r"send\(\): env_ids has 2 rows; expected all 4, in order"):
        env.send(np.ones(2, int), env_ids=np.arange(2))


def test_async_reset_can_interrupt_a_send():
    env = Count()
    env.async_reset()
    env.recv()
    env.send(np.ones(4, int))
    env.async_reset(seed=1)
    observations, rewards, *_ = env.recv()
    assert (observations == 1).all()
    assert not rewards.any()


def test_send_and_recv_equal_step():
    one, two = Count(), Count()
    one.reset(seed=2)
    two.async_reset(seed=2)
    *_, env_ids, masks = two.recv()
    np.testing.assert_array_equal(env_ids, np.arange(4))
    assert masks is two.masks
    for action in ([1, 0, 1, 0], [1, 1, 0, 0]):
        stepped = one.step(np.array(action))
        two.send(np.array(action))
        for a, b in zip(stepped, two.recv(), strict=False):
            np.testing.assert_array_equal(a, b)


def test_async_reset_clears_what_the_last_step_left():
    env = Count()
    env.reset(seed=2)
    env.step(np.ones(4, int))
    assert env.terminals.all()
    env.async_reset()
    _, rewards, terminals, truncations, infos, _, _ = env.recv()
    assert not rewards.any()
    assert not terminals.any()
    assert not truncations.any()
    assert infos == []


def test_bind_moves_the_next_step_to_other_buffers():
    env = Count()
    env.reset(seed=1)
    first = env.buffers
    second = make_buffers(OBSERVATION, ACTION, 4)
    second.observations[:] = first.observations
    env.bind(second)
    env.step(np.ones(4, int))
    assert env.observations is second.observations
    assert (second.observations == 2).all()
    assert (first.observations == 1).all()
    assert not first.rewards.any()


def test_batched_spaces_have_a_row_for_each_agent():
    env = Count(3)
    assert env.observation_space.shape == (3, 2)
    assert env.action_space == MultiDiscrete([2, 2, 2])
    assert env.num_envs == env.num_agents == 3


def test_context_manager_closes_and_close_may_be_called_again():
    with Count() as env:
        assert not env.closed
    assert env.closed
    env.close()


@pytest.mark.parametrize("call", [lambda env: env.reset(), lambda env: env.step([0])])
def test_methods_that_a_subclass_must_write_name_it(call):
    env = declare(single_observation_space=OBSERVATION, single_action_space=ACTION, num_agents=1)()
    with pytest.raises(NotImplementedError, match="Odd does not implement"):
        call(env)


def test_render_and_log_default_to_nothing():
    assert Count().render() is None
    assert Count().log() == {}
    assert Count().episode_returns is None
