"""What holds for every registered environment."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import puffer_numba
from puffer_numba import envs, registry

NAMES = sorted(registry._BUILT_IN)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(-(2**70), 2**70), data=st.data())
@settings(max_examples=12, deadline=None, derandomize=True)
def test_kernels_do_what_plain_python_does(name, seed, data):
    """Two copies for 20 steps: whole numbers exactly, others up to what rounding in float32 grows to."""
    compiled, plain = (puffer_numba.make(name, 2, jit=jit, debug=False) for jit in (True, False))
    whole = all(np.issubdtype(field.dtype, np.integer) or field.dtype == bool for field in plain.state)
    tolerance = {"rtol": 0, "atol": 0} if whole else {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(compiled.reset(seed)[0], plain.reset(seed)[0], rtol=1e-5, atol=1e-6)
    plain.action_space.seed(data.draw(st.integers(0, 2**32 - 1)))
    for _ in range(20):
        actions = plain.action_space.sample()
        results = zip(compiled.step(actions)[:4], plain.step(actions)[:4], strict=True)
        for ours, expected in results:
            np.testing.assert_allclose(ours, expected, **tolerance)
    logs = compiled.log(), plain.log()
    assert logs[0] == pytest.approx(logs[1], rel=1e-3)


def test_classes_can_be_imported_from_the_package_and_type_checkers_see_them():
    tree = ast.parse(Path(envs.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, alias.name, alias.asname) for node in block.body for alias in node.names}
    assert seen == {(module, name, name) for module, name, _ in registry._BUILT_IN.values()}
    for module, name, _ in registry._BUILT_IN.values():
        assert getattr(envs, name) is getattr(import_module(module), name)
        assert name in dir(envs)
    with pytest.raises(AttributeError, match="has no attribute 'CartPol'"):
        _ = envs.CartPol


def test_importing_one_class_imports_no_other(run_python):
    code = "import sys; from puffer_numba.envs import GridWalk; print('puffer_numba.envs.cartpole' in sys.modules)"
    assert run_python(code).stdout.strip() == "False"


@pytest.mark.parametrize("name", NAMES)
def test_docstring_says_what_a_user_must_know(name):
    text = registry.spec(name).env_class.__doc__
    order = [text.find(heading) for heading in ("Observation:", "Action:", "Reward:", "Terminated:", "Source:")]
    assert -1 not in order
    assert order == sorted(order)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_observations_and_actions_are_in_their_spaces(name):
    env = puffer_numba.make(name, 4, jit=False)  # with every access checked
    observations, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(30):
        assert observations in env.observation_space
        observations, rewards, terminals, truncations, _ = env.step(env.action_space.sample())
        assert np.isfinite(rewards).all()
        final = env.final_observations[terminals | truncations]
        assert all(row in env.single_observation_space for row in final)
