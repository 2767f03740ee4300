"""Training settings of the suite: a file for each environment, behind what a class itself declares."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from puffer_numba import presets, registry
from puffer_numba.config import Config
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.envs.frozen_lake import FrozenLake
from puffer_numba.envs.frozen_lake_8x8 import FrozenLake8x8
from puffer_numba.jit import JitEnv
from puffer_numba.train.setup import load_config
from tests.helpers.jit_envs import Walk


class Heavier(CartPole):
    """A cartpole of somebody else's."""


class Mine(CartPole):
    """One that says how it is trained."""

    train_config: ClassVar = {"train.horizon": 8}


def test_every_environment_of_the_suite_has_a_preset_and_every_preset_an_environment():
    suite = [name for name in presets.names() if ":" not in name]
    assert suite == sorted(registry._BUILT_IN)
    assert presets.names() == [*suite, "gym:LunarLander-v3", "gym:Pendulum-v1"]


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_settings_that_exist_and_are_allowed(name):
    chosen, default = load_config(name).to_dict(), Config().to_dict()
    for key, value in presets.settings(name).items():
        section, _, setting = key.partition(".")
        params = chosen[section] | chosen[section].get("params", {})
        assert params[setting] == value
        if setting in default[section]:
            assert default[section][setting] is None or isinstance(value, type(default[section][setting]) | int)
    assert "train.total_timesteps" in presets.settings(name)


def test_an_environment_of_no_preset_has_the_defaults():
    assert presets.settings("nobody") == {}
    assert JitEnv.train_config == Walk.train_config == {}


@pytest.mark.usefixtures("own_registry")
def test_what_a_class_declares_comes_before_a_preset():
    assert CartPole.train_config is presets.settings("cartpole")
    assert FrozenLake8x8.train_config == presets.settings("frozen_lake_8x8") != FrozenLake.train_config
    assert Heavier.train_config == CartPole.train_config
    assert Mine.train_config == {"train.horizon": 8}
    assert Mine(jit=False).train_config == {"train.horizon": 8}
    registry.register("mine", Mine)
    config = load_config("mine")
    assert config.train.horizon == 8
    assert config.train.learning_rate == Config().train.learning_rate
    assert load_config(f"{__name__}:Mine").train.horizon == 8
    assert load_config(f"{__name__}:Heavier").train.target_return == 490.0


def test_overrides_come_before_a_preset():
    assert load_config("cartpole", {"train.horizon": 16}).train.horizon == 16


def test_presets_need_neither_torch_nor_numba(run_python):
    package = str(Path(registry.__file__).parent)
    run_python(f"""
import sys, types
sys.modules["puffer_numba"] = package = types.ModuleType("puffer_numba")  # whose own imports are left out
package.__path__ = [{package!r}]
from puffer_numba import presets
assert presets.settings("pong")
assert not {{"torch", "numba"}} & set(sys.modules)
""")
