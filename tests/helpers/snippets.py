"""Environments made of a few lines of code each, in files of their own: for tests of what compiles and what is said."""

from __future__ import annotations

import importlib.util
import textwrap
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from puffer_numba.jit import JitEnv
from puffer_numba.jit.compiler import explain
from puffer_numba.jit.compiler.functions import KernelFunction, specialize
from puffer_numba.jit.compiler.tuples import Stream


class Snippet(NamedTuple):
    """Code for an environment whose state is ``x``, ``n``, ``v`` (3 floats) and ``board`` (4 x 4 int8)."""

    step: str
    """Body of step_env; ``return 1.0, False`` is added where it has no return."""
    top: str = ""
    """What stands above the class."""
    body: str = ""
    """What stands in the class, before State."""
    observe: str = "obs[i, 0] = s.x[i]\nobs[i, 1] = s.n[i]\nobs[i, 2] = s.v[i, 0] + s.board[i, 1, 2]"


TEMPLATE = """
import enum
import math
from typing import Annotated, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete
from puffer_numba import JitEnv, kernel

{top}


class Env(JitEnv):
    single_observation_space = Box(-1e6, 1e6, (3,), np.float32)
    single_action_space = Discrete(2)
{body}

    class State(NamedTuple):
        x: float
        n: int
        v: Annotated[np.float32, 3]
        board: Annotated[np.int8, 4, 4]

    class Params(NamedTuple):
        a: float = 0.5
        k: int = 3
        template: np.ndarray = np.arange(16, dtype=np.int8).reshape(4, 4)

    @kernel
    def reset_env(s, p, i, rng):
        s.x[i] = 0.1
        for k in range(3):
            s.v[i, k] = 0.25 * k - 0.2

    @kernel
    def step_env(s, p, i, action, rng):
{step}

    @kernel
    def observe_env(s, p, i, obs):
{observe}
"""


def environment(snippet: Snippet, folder: Path) -> type[JitEnv]:
    """The class that a snippet makes, imported from a file in ``folder``."""
    step = snippet.step if "return" in snippet.step or "yield" in snippet.step else snippet.step + "\nreturn 1.0, False"
    source = TEMPLATE.format(
        top=snippet.top,
        body=textwrap.indent(snippet.body, "    "),
        step=textwrap.indent(step, "        "),
        observe=textwrap.indent(snippet.observe, "        "),
    )
    path = folder / "snippet.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("snippet", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Env  # type: ignore[no-any-return]


def compiled_alone(env: JitEnv) -> list[Any]:
    """The author's three functions, each compiled by itself: much faster than a kernel made of them."""
    return [_compiled(specialize(function, env.float_type), kinds) for function, kinds in explain.author_functions(env)]


@cache
def _compiled(function: KernelFunction, kinds: tuple[Any, ...]) -> Any:
    dispatcher = explain.alone(function.py_func)
    dispatcher.compile(kinds)
    return dispatcher


def play(env: JitEnv, functions: list[Any], steps: int = 200) -> list[Any]:
    """Rewards, ends and observations of two environments over so many steps of these functions, and the last state."""
    reset_env, step_env, observe_env = functions
    observations = np.zeros((2, 3), np.float32)
    actions = np.random.default_rng(0).integers(2, size=(steps, 2))
    seen: list[Any] = []
    for i in map(np.uintp, range(2)):
        rng = Stream(env._streams, i)
        reset_env(env.state, env.params, i, rng)
        for step in range(steps):
            seen += step_env(env.state, env.params, i, actions[step, i], rng)
            observe_env(env.state, env.params, i, observations)
            seen += observations[i].tolist()
    return [*seen, *(value for array in env.state for value in array.ravel().tolist())]
