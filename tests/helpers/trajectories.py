"""Recording what environments do, and comparing it."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete

from tests.helpers.jit_envs import Team

MODES = ("same-step", "next-step", "disabled")
WORTH = np.array([0, 1, 2, 0.5])
LIFETIMES = np.array([2, 3, 5])
ROWS = ("observations", "rewards", "terminals", "truncations", "masks")
ENDS = ("final_observations", "episode_returns", "episode_lengths")  # valid where an episode ended


def actions_for(env, steps, seed=0):
    generator = np.random.default_rng(seed)
    space, rows = env.single_action_space, env.num_agents
    for _ in range(steps):
        if isinstance(space, Box):
            yield generator.uniform(space.low, space.high, (rows, *space.shape)).astype(space.dtype)
        elif isinstance(space, MultiDiscrete):
            yield generator.integers(0, space.nvec, (rows, len(space.nvec)), dtype=np.int32)
        else:
            yield generator.integers(space.start, space.start + space.n, rows, dtype=np.int32)


def step_and_reset(env, actions):
    """A step; the user's own reset first where autoreset is disabled."""
    if env.autoreset == 2:
        over = env._episodes.ended.copy()
        if over.any():
            env.reset(mask=over)
    return env.step(actions)


def record(env, steps=40, seed=None, actions=None):
    """Everything a user can see, at each step."""
    env.reset(seed=seed)
    seen = [{"observations": env.observations.copy()}]
    for action in actions or actions_for(env, steps):
        step_and_reset(env, action)
        ended = env.terminals | env.truncations
        seen.append(
            {name: getattr(env, name).copy() for name in ROWS}
            | {name: getattr(env, name)[ended].copy() for name in ENDS}
        )
    return seen


def assert_same(one, two):
    assert len(one) == len(two)
    for step, (a, b) in enumerate(zip(one, two, strict=True)):
        for name in a:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_array_equal(a[name], b[name], err_msg=f"{name} at step {step}")


def concatenated(parts):
    return [{n: np.concatenate([p[n] for p in step]) for n in step[0]} for step in zip(*parts, strict=True)]


def make_team(**kwargs):
    return Team(lifetimes=LIFETIMES, revive_at=4, length=9, **kwargs)
