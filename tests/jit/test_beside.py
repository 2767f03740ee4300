"""What stands in a file of its own beside an environment's rules: how it is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import puffer_numba
from puffer_numba import registry
from puffer_numba.envs.cartpole import CartPole
from puffer_numba.envs.drawing import cartpole, mountain_car
from puffer_numba.envs.mountain_car_continuous import MountainCarContinuous
from puffer_numba.jit import JitEnv
from tests.helpers.jit_envs import Walk

NAMES = sorted(registry._BUILT_IN)


class Painted(CartPole):
    """A cartpole of somebody else's, drawn in another way."""

    @staticmethod
    def render_env(s, p, i):
        return np.full((2, 3, 3), i, np.uint8)


class Heavier(CartPole):
    """Drawn as the one it derives from."""


@pytest.mark.parametrize("name", NAMES)
def test_every_environment_of_the_suite_is_drawn(name):
    with puffer_numba.make(name, 2, jit=False) as env:
        assert "rgb_array" in env.render_modes
        env.reset(seed=0)
        image = env.render(1)
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert "ansi" not in env.render_modes or isinstance(env.render(1, "ansi"), str)


def test_every_drawing_is_of_an_environment():
    folder = Path(registry.__file__).parent / "envs" / "drawing"
    assert {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")} <= set(NAMES)


def test_a_class_attribute_comes_first_then_the_class_s_own_file_then_its_base_s():
    assert Painted(jit=False).render_env is Painted.render_env
    assert Painted.ansi_env is None
    assert CartPole.render_env is Heavier.render_env is cartpole.render_env
    assert MountainCarContinuous.render_env is mountain_car.render_env
    assert JitEnv.render_env is Walk.render_env is Walk.ansi_env is None


def test_keys_and_speed_stand_beside_the_drawing():
    assert CartPole.keys == Heavier.keys == {"left": 0, "right": 1}
    assert CartPole.render_fps == Painted.render_fps == 50
    assert MountainCarContinuous.keys == {"left": -1.0, "": 0.0, "right": 1.0}
    assert MountainCarContinuous.render_fps == Walk.render_fps == 30
    assert Walk.keys == {}
    assert type("Slow", (CartPole,), {"render_fps": 2, "keys": {"a": 1}})(jit=False).keys == {"a": 1}


def test_a_drawing_is_imported_when_it_is_asked_for(run_python):
    run_python("""
import sys
from puffer_numba.envs.cartpole import CartPole
env = CartPole(jit=False)
assert not {"PIL", "puffer_numba.envs.drawing", "puffer_numba.render.canvas"} & set(sys.modules)
assert env.render_modes == ["rgb_array"]
assert "puffer_numba.envs.drawing.cartpole" in sys.modules
assert "PIL" not in sys.modules
""")


def test_a_package_of_somebody_else_s_may_keep_drawings_too(tmp_path, run_python):
    package = tmp_path / "zoo"
    (package / "drawing").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "drawing" / "__init__.py").write_text("print('drawing')")
    (package / "drawing" / "walk.py").write_text("def ansi_env(s, p, i):\n    return f'at {s.position[i]}'\n")
    for name in ("walk", "run"):
        (package / f"{name}.py").write_text("from tests.helpers.jit_envs import Walk\nclass Own(Walk):\n    pass\n")
    done = run_python(
        """
from zoo import run, walk
assert run.Own(jit=False).render_modes == []
print("nothing of another's is imported")
env = walk.Own(jit=False)
env.reset(seed=0)
assert env.render_modes == ["ansi"]
print(env.render(0, "ansi"))
"""
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["nothing of another's is imported", "drawing"]
    assert lines[2].startswith("at ")
