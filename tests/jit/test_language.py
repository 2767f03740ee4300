"""What an author's functions may be written in: each of these is compiled, and does as plain Python does."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import pytest

from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.local import LIMIT
from puffer_numba.jit.compiler.simd import float64_places
from tests.helpers.snippets import Snippet, compiled_alone, environment, play

pytestmark = pytest.mark.slow  # together: each compiles a little

HELPER = "def helper(x, scale=2.0, shift=0.0):\n    return x * scale + shift"
MOVES = "class Move(enum.IntEnum):\n    LEFT = 0\n    RIGHT = 1"
CONSTANTS = (
    "class Physics:\n    G = 0.25\n    SIZES = (1, 2, 3)\n\n    @staticmethod\n    def double(x):\n        return 2 * x"
)

WORKS = {
    "numbers": Snippet("s.x[i] = (s.x[i] + 0.1) % 3\nreturn s.x[i], s.x[i] > 2"),
    "three returned values": Snippet("s.x[i] += 0.1\nreturn s.x[i], s.x[i] > 2, s.x[i] > 1"),
    "several returns": Snippet("if action == 0:\n    return 1, False\nreturn 0.5, True"),
    "integers for bools": Snippet("return 1, 1 if action else 0"),
    "while, break": Snippet("k = 0\nwhile k < 5:\n    k += 1\n    if k == 4:\n        break\ns.n[i] += k"),
    "for, else": Snippet("for k in range(3):\n    if k == 9:\n        break\nelse:\n    s.n[i] += k"),
    "match": Snippet("match action:\n    case 0:\n        s.n[i] += 1\n    case _:\n        s.n[i] -= 1"),
    "chained comparison": Snippet("return 1.0, -1 < s.x[i] < 1"),
    "divmod, round, abs": Snippet("a, b = divmod(s.n[i] + 7, 3)\ns.n[i] = b + round(1.4)\nreturn abs(s.x[i]), False"),
    "inner function": Snippet("def double(x):\n    return 2 * x\nreturn double(s.x[i]), False"),
    "lambda": Snippet("double = lambda x: 2 * x\nreturn double(s.x[i]), False"),
    "assert and raise": Snippet("assert s.x[i] < 100\nif s.x[i] > 100:\n    raise ValueError('far')"),
    "swap": Snippet("s.v[i, 0], s.v[i, 1] = s.v[i, 1], s.v[i, 0]"),
    "last element": Snippet("return s.v[i, -1], False"),
    # helpers
    "helper with keywords": Snippet("return helper(s.x[i], shift=1.0), False", HELPER),
    "helper with keywords in another order": Snippet("return helper(shift=1.0, x=s.x[i]), False", HELPER),
    "helper with defaults": Snippet("return helper(s.x[i]), False", HELPER),
    "keyword-only": Snippet("return f(s.x[i], scale=3.0), False", "def f(x, *, scale=2.0):\n    return x * scale"),
    "required keyword": Snippet("return f(s.x[i], scale=3.0), False", "def f(x, *, scale):\n    return x * scale"),
    "any number of arguments": Snippet("return total(1.0, s.x[i]), False", "def total(*a):\n    return a[0] + a[1]"),
    "arguments from a tuple": Snippet("return helper(*(s.x[i], 2.0)), False", HELPER),
    "helper that returns tuples": Snippet("a, (_, c) = f(s.x[i])\ns.x[i] = a + c", "def f(x):\n    return x, (x, 2)"),
    "helper that returns a named tuple": Snippet(
        "q = Point(s.x[i], 1.0)\nreturn q.a, False", "class Point(NamedTuple):\n    a: float\n    b: float"
    ),
    "helper of the class": Snippet(
        "return Env.double(s.x[i]), False", body="@kernel\ndef double(x):\n    return 2 * x"
    ),
    "helper that changes a row": Snippet("halve(s.v[i])", "def halve(row):\n    row *= 0.5"),
    # constants
    "constant of the class": Snippet("s.x[i] += Env.G\nreturn s.x[i], False", body="G = 0.25"),
    "constants of another class": Snippet("s.x[i] += Physics.G * Physics.SIZES[action]", CONSTANTS),
    "function of another class": Snippet("return Physics.double(s.x[i]), False", CONSTANTS),
    "IntEnum": Snippet("if action == Move.LEFT:\n    s.n[i] += Move.RIGHT\ns.v[i, Move.RIGHT] += 1", MOVES),
    "value of an IntEnum": Snippet("s.n[i] += Move.RIGHT.value", MOVES),
    "list of numbers": Snippet("return STEPS[action] * 0.5, False", "STEPS = [1, 2, 3]"),
    "table as a list of lists": Snippet("return TABLE[action][1], False", "TABLE = [[0.5, 1.5], [2.5, 3.5]]"),
    "array": Snippet("return TABLE[action], False", "TABLE = np.array([1.0, 2.0], np.float32)"),
    "string": Snippet("if MODE == 'slow':\n    s.n[i] += 1", "MODE = 'slow'"),
    "pi": Snippet("s.x[i] = 0.2 * np.sin(np.pi * s.x[i]) + math.pi\nreturn min(np.inf, s.x[i]), False"),
    # numbers, by NumPy
    "np.clip": Snippet("s.x[i] = np.clip(s.x[i] + action - 0.4, -1, 1)"),
    "np.clip by keywords": Snippet("s.x[i] = np.clip(s.x[i] + 0.3, a_min=-1.0, a_max=1.0)"),
    "np.clip of integers": Snippet("s.n[i] = np.clip(s.n[i] + 2 * action - 1, -3, 3)"),
    "clip, imported": Snippet("s.x[i] = clip(s.x[i] + 0.3, -1, 1)", "from numpy import clip"),
    "np.where": Snippet("s.x[i] = np.where(s.x[i] > 1, 0.0, s.x[i] + 0.3)"),
    "np.sign, np.floor": Snippet("s.x[i] = np.sign(s.x[i]) * np.floor(s.x[i] + 0.7) + 0.3"),
    "np.ceil, np.rint, np.trunc": Snippet("s.x[i] = np.ceil(s.x[i] + 0.2) - np.rint(s.x[i]) * 0.5 - np.trunc(s.x[i])"),
    "np.sqrt, np.abs": Snippet("s.x[i] = np.sqrt(np.abs(s.x[i] - 0.4))"),
    "np.exp, np.log, np.tanh": Snippet("s.x[i] = np.tanh(np.exp(-s.x[i])) + np.log(2.0)"),
    "np.maximum, np.minimum": Snippet("s.x[i] = np.maximum(np.minimum(s.x[i] + 0.3, 1.0), -1.0)"),
    "np.hypot, np.arctan2": Snippet("s.x[i] = np.hypot(s.x[i], 0.5) * np.arctan2(s.x[i], 0.7)"),
    "np.isnan, np.isfinite": Snippet("return 1.0, np.isnan(s.x[i]) or not np.isfinite(s.x[i])"),
    "math": Snippet("s.x[i] = math.sin(s.x[i]) + math.floor(s.x[i]) + math.sqrt(abs(s.x[i]))"),
    # rows
    "observation from a row": Snippet("s.v[i, 1] += 0.1", observe="obs[i] = s.v[i]"),
    "observation from a tuple": Snippet("s.v[i, 1] += 0.1", observe="obs[i] = (s.x[i], 1.0, s.v[i, 1])"),
    "observation from numbers of several types": Snippet(
        "s.n[i] += 1", observe="obs[i] = (s.x[i], s.n[i] % 7, s.n[i] > 2)"
    ),
    "parts of an observation": Snippet("s.v[i] += 0.1", observe="obs[i, 0:2] = s.v[i, 1:3]\nobs[i, 2] = 0"),
    "row of a row from numbers of several types": Snippet("s.board[i, 1] = (s.n[i] == 0, 2, 0.5, action)"),
    "slice from numbers of several types": Snippet("s.v[i, :2] = (1, 0.5)\ns.board[i, 1:3, 2] = (True, action)"),
    "view from numbers of several types": Snippet("row = s.v[i]\nrow[:] = (1, 0.5, True)"),
    "row from params": Snippet("s.board[i] = p.template"),
    "row from a number": Snippet("s.board[i] = action"),
    "row of a row": Snippet("s.board[i, 1] = s.board[i, 2] + 1\ns.board[i, :, 3] = s.board[i, 0]"),
    "rows that overlap": Snippet("s.v[i, 1:] = s.v[i, :2]\ns.v[i] = s.v[i, ::-1]\ns.v[i, 0] += 0.125"),
    "in place": Snippet("s.v[i, :] *= 0.5\ns.v[i] += 1\ns.v[i] -= s.v[i] * 0.25\ns.v[i] /= 2"),
    "arithmetic of rows": Snippet("s.v[i] = s.v[i] * 0.5 + np.sqrt(np.abs(s.v[i])) - 1"),
    "a copy is a copy": Snippet("old = s.v[i].copy()\ns.v[i] *= 0.5\nreturn old[1] - s.v[i, 1], False"),
    "a row is a view": Snippet("row = s.v[i]\nrow[0] += 1"),
    "astype": Snippet("s.n[i] += s.v[i].astype(np.int32)[2]"),
    "fill, ellipsis": Snippet("s.board[i, ...] = 1\ns.board[i].fill(action)"),
    "row by a condition": Snippet("s.v[i][s.v[i] < 0] = 0.5"),
    "comparison of boards": Snippet("s.board[i, 1, 2] = 6\nreturn (s.board[i] == p.template).sum() * 1.0, False"),
    "np.array_equal": Snippet("s.board[i] = p.template\nreturn 1.0, np.array_equal(s.board[i], p.template)"),
    "for x in row": Snippet("total = 0.0\nfor x in s.v[i]:\n    total += x\nreturn total, False"),
    "enumerate": Snippet("total = 0.0\nfor k, x in enumerate(s.v[i]):\n    total += k * x\nreturn total, False"),
    "zip": Snippet("total = 0.0\nfor x, y in zip(s.v[i], s.v[i, ::-1]):\n    total += x * y\nreturn total, False"),
    "tuples of tuples": Snippet("t = 0.0\nfor a, b in ((1.0, 2.0), (3.0, 4.0)):\n    t += a * b\nreturn t, False"),
    "reversed": Snippet("t = 0\nfor k in reversed(range(1, 8, 3)):\n    t = 10 * t + k\nreturn 1.0 * t, False"),
    "min, max, sum": Snippet("return min(s.v[i]) + max(s.v[i]) + sum(s.v[i]), False"),
    "any, all": Snippet("s.v[i, action] *= -1\nreturn 1.0, any(s.v[i] > 0.1) and not all(s.v[i] > -0.1)"),
    "any of a tuple": Snippet("return 1.0, any((action == 0, s.x[i] > 1)) or all((action, action))"),
    "np.min, np.max": Snippet("return np.min(s.v[i]) + 2 * np.max(s.board[i]) + np.amax(s.v[i]), False"),
    "np.sum, np.mean, np.argmax": Snippet("return np.sum(s.v[i]) + np.mean(s.v[i]) + np.argmax(s.v[i]), False"),
    "np.dot, np.linalg.norm": Snippet("return np.dot(s.v[i], s.v[i]) + np.linalg.norm(s.v[i]), False"),
    "np.count_nonzero": Snippet("s.board[i, 1, action] = 1\nreturn 1.0 * np.count_nonzero(s.board[i]), False"),
    "x in row": Snippet("return 1.0, 0.5 in s.v[i] or action in (0, 3)"),
    "shape, len": Snippet("return 1.0 * s.board.shape[1] + len(s.v[i]), False"),
    "transposed": Snippet("s.board[i, 1, 2] = 3\nreturn 1.0 * s.board[i].T[2, 1], False"),
    "np.clip of a row": Snippet("s.v[i] = np.clip(s.v[i] + 0.3 * action, -1, 1)"),
    "np.clip of a row by keywords": Snippet("s.v[i] = np.clip(s.v[i] * 3.0, a_min=-0.3, a_max=0.4)"),
    "np.clip between rows": Snippet("s.v[i] = np.clip(s.v[i] + 0.1, s.v[i] * 0.5, 0.2)"),
    "np.clip of a board": Snippet("s.board[i] = np.clip(s.board[i] + p.template, 2, 9)"),
    "np.clip with one bound": Snippet(
        "s.v[i] = np.clip(s.v[i] + 0.1, None, 0.5)\ns.x[i] = np.clip(s.x[i] - 0.1, 0, None)"
    ),
    "np.where of rows": Snippet("s.v[i] = np.where(s.v[i] > 0, s.v[i] - 0.1, 0)"),
    "np.where of numbers by a row": Snippet("s.v[i] = np.where(s.v[i] > 0, 1, -1)"),
    "np.where of a board": Snippet("s.board[i] = np.where(p.template > 5, p.template, action)"),
    "np.round": Snippet("s.x[i] = np.round(s.x[i] * 1.37 + 0.3, 1)\ns.n[i] = np.round(s.n[i] + 1)"),
    "np.round to tens": Snippet("s.x[i] = np.around(s.x[i] + 13, -1) % 100"),
    "np.round of rows": Snippet("s.v[i] = np.round(s.v[i] * 7) % 5 + np.round(s.v[i] + 0.26, decimals=1)"),
    "np.round of a board": Snippet("s.board[i] = np.round(p.template)"),
    "integers beside float32": Snippet(
        "s.v[i] = (2 * s.v[i] + 1) / 50 - 3\ns.x[i] = min(max(1 - s.x[i], -1), s.x[i] % 2, 3)\ns.v[i] *= 2\n"
        "return np.maximum(s.x[i], 0), s.x[i] > 4 or -1 == s.x[i]"
    ),
    "sum of a row": Snippet(
        "return sum(s.v[i], 1) + sum(s.board[i, 0]) + sum((1, 2.5, action)) + sum(range(3)), False"
    ),
    "members of IntFlag and StrEnum": Snippet(
        "s.n[i] = (F.A | F.B) & F.B\nif M.SLOW == MODE:\n    s.x[i] += 1",
        "class F(enum.IntFlag):\n    A = 1\n    B = 2\nclass M(enum.StrEnum):\n    SLOW = 'slow'\nMODE = 'slow'",
    ),
    # local arrays
    "np.array of a list": Snippet("q = np.array([s.x[i], 1.0, action])\ns.v[i] += q * 0.5"),
    "np.array of constants": Snippet("s.v[i] += np.array([0.5, 0.25, 1])\ns.v[i, 0] %= 2"),
    "np.array of lists": Snippet("q = np.array([[0.5, s.x[i], 1], [1.0, 2.0, 3.0]])\ns.v[i] = q[action]"),
    "np.array of a tuple, by dtype": Snippet("q = np.array((1, 2, 300), dtype=np.int16)\ns.n[i] = q[2] + q.itemsize"),
    "np.array of bools": Snippet("q = np.array([True, False, action > 0])\ns.v[i][q] = 1.5"),
    "np.array of a row": Snippet("q = np.array(s.v[i])\nq[0] = 7\nr = np.asarray(s.v[i])\nr[1] = q[0]"),
    "array, imported": Snippet("s.v[i] = array([1.0, 2.0, s.x[i]])", "from numpy import array"),
    "rows of an array of lists": Snippet("for d in np.array([[0, 1], [1, 0]]):\n    s.n[i] += d[action]"),
    "np.zeros_like": Snippet("q = np.zeros_like(s.v[i])\nq[1] = s.x[i]\ns.v[i] = q"),
    "np.ones_like, np.full_like": Snippet(
        "s.board[i] = np.ones_like(s.board[i]) * 2\ns.v[i] = np.full_like(s.v[i], 0.25)"
    ),
    "np.empty_like": Snippet("q = np.empty_like(s.v[i])\nq[:] = s.v[i] * 0.5\nreturn q[1], False"),
    "np.zeros_like of a dtype": Snippet("q = np.zeros_like(s.v[i], dtype=int)\nq[0] = 3\ns.n[i] = q[0] + q[1]"),
    "np.zeros": Snippet("q = np.zeros(3)\nq[action] += s.x[i]\nreturn q[0] - q[2], False"),
    "zeros, imported": Snippet("q = zeros(3)\nq[1] = s.x[i]\nreturn q[1] + q[2], False", "from numpy import zeros"),
    "numpy.linalg, imported": Snippet("return la.norm(s.v[i]), False", "import numpy.linalg as la"),
    "np.zeros of a parameter": Snippet("q = np.zeros(p.k)\nq[p.k - 1] = 1\nreturn q[0] + q[2], False"),
    "np.empty, np.ones, np.full": Snippet(
        "q = np.empty((3, 3))\nq[:] = s.x[i]\nq[1] = np.ones(3)\nq[2] = np.full(3, 0.5)\nreturn np.sum(q), False"
    ),
    "np.zeros of a dtype": Snippet("q = np.zeros((2, 4), np.int8)\nq[1, 3] = 5\nreturn 1.0 * q[1].sum(), False"),
    "np.zeros by keywords": Snippet("q = np.zeros(shape=3, dtype=int)\nq[1] = 5\nreturn 1.0 * q[1], False"),
    "local arrays in a loop": Snippet(
        "before = np.zeros(2)\nt = 0.0\nfor k in range(4):\n    now = np.zeros(2)\n    now[0] = k * k\n"
        "    t += now[0] - before[0] + now[1]\n    before = now\nreturn t, False"
    ),
    "local array in a helper": Snippet(
        "return largest(s.v[i]), False",
        "def largest(row):\n    ranks = np.zeros(3)\n    ranks[:] = row * 2\n    return np.max(ranks)",
    ),
    "local array in a helper that returns nothing": Snippet(
        "twice(s.v[i])", "def twice(row):\n    q = np.zeros(3)\n    q[:] = row\n    row[:] = 0.25 * q + 0.5 * row"
    ),
    "arithmetic of rows in observe_env": Snippet("s.x[i] += 0.1", observe="obs[i] = s.v[i] / 4 + s.x[i]"),
    "local array for a helper": Snippet(
        "q = np.zeros(3)\nfill(q, s.x[i])\nreturn q[2], False", "def fill(q, x):\n    q[:] = x"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKS)
def test_it_does_as_plain_python_does(name, tmp_path):
    env_class = environment(WORKS[name], tmp_path)
    compiled, plain = (env_class(num_envs=2, seed=0, jit=jit) for jit in (True, False))
    plain_functions = [env_class.reset_env, env_class.step_env, env_class.observe_env]
    found = play(compiled, compiled_alone(compiled))
    expected = play(plain, plain_functions)
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=1e-5, atol=1e-5)


def test_integers_beside_float32_do_not_make_it_float64(tmp_path):
    lines = [
        "s.x[i] = np.clip(2 * s.x[i] + 1, -1, 1)",
        "s.x[i] = max(s.x[i], 0) + min(1, s.x[i], 3) + np.maximum(s.x[i], 0)",
        "s.x[i] = np.where(s.x[i] > 4, s.x[i] / 50, 0) + s.x[i] % 2 + s.x[i] // SIZE",
        "s.v[i] = np.minimum(1 - 2 * s.v[i], 1) * np.linalg.norm(s.v[i])",
        "s.v[i] *= 3",
        "s.x[i] = sum(s.v[i]) + np.mean(s.v[i]) + abs(s.x[i] - 1) + np.hypot(s.x[i], 1)",
        "s.x[i] = s.n[i] / 7",  # which NumPy computes in float64, too
    ]
    env = environment(Snippet("\n".join(lines), "SIZE = 5"), tmp_path)()
    text = (tmp_path / "snippet.py").read_text().splitlines()
    found = [text[place.line - 1].strip() for place in float64_places(env)]
    assert sorted(found) == ["s.v[i, k] = 0.25 * k - 0.2", "s.x[i] = s.n[i] / 7"]


def step_once(env_class, **kwargs):
    env = env_class(num_envs=3, **kwargs)
    env.reset(seed=0)
    return env, env.step(np.array([0, 1, 0]))


@pytest.mark.parametrize("jit", [True, False])
def test_a_truncation_of_the_environment_s_own(jit, tmp_path):
    _, (_, rewards, terminals, truncations, _) = step_once(
        environment(Snippet("return 2.0, False, action == 1"), tmp_path), jit=jit
    )
    assert rewards.tolist() == [2, 2, 2]
    assert not terminals.any()
    assert truncations.tolist() == [False, True, False]


@pytest.mark.parametrize("jit", [True, False])
def test_local_arrays_in_a_whole_kernel(jit, tmp_path):
    code = "q = np.zeros(3)\nq[action] = 1\ns.v[i] = q * (action + 1)\nreturn np.sum(q), False"
    env, (_, rewards, *_) = step_once(environment(Snippet(code), tmp_path), jit=jit)
    assert rewards.tolist() == [1, 1, 1]
    assert env.state.v.tolist() == [[1, 0, 0], [0, 2, 0], [1, 0, 0]]


def test_local_arrays_that_do_not_fit(tmp_path):
    code = "t = 0.0\nfor k in range(1000):\n    q = np.empty(p.k)\n    q[0] = k\n    t += q[0]\nreturn t, False"
    env_class = environment(Snippet(code), tmp_path)
    assert step_once(env_class)[1][1].tolist() == [499500] * 3
    with pytest.raises(MemoryError, match=f"local arrays of more than {LIMIT} bytes"):
        step_once(env_class, k=LIMIT // 1000)


@pytest.mark.parametrize("jit", [True, False])
def test_state_begins_at_its_defaults(jit, tmp_path):
    code = "s.n[i] -= 1\nreturn s.x[i], action == 1"
    source = Snippet(code, observe="obs[i, 0] = s.n[i]\nobs[i, 1] = s.x[i]\nobs[i, 2] = s.v[i, 2]")
    env_class = with_state(environment(source, tmp_path))
    _, (observations, *_) = step_once(env_class, jit=jit)
    assert observations.tolist() == [[2, 1.25, 0.5], [3, 1.25, 0.5], [2, 1.25, 0.5]]  # the second episode begins anew


def with_state(env_class, default=3):
    class State(NamedTuple):
        x: float = 0.25
        n: int = default
        v: Annotated[np.float32, 3] = 0.5
        board: Annotated[np.int8, 4, 4] = 0

    def reset_env(s, p, i, rng):
        s.x[i] += 1

    return type("Env", (env_class,), {"State": State, "reset_env": staticmethod(reset_env)})


@pytest.mark.parametrize("default", ["3", 0.5, 2**40, True, np.zeros(3)], ids=str)
def test_a_default_must_be_a_number_that_its_field_holds(default, tmp_path):
    env_class = with_state(environment(Snippet("pass"), tmp_path), default)
    with pytest.raises(APIUsageError, match=r"Env\.State\.n: its default is .*; expected a number that int32 holds"):
        env_class()


def test_params_stay_as_they_are(tmp_path):
    env = environment(Snippet("pass"), tmp_path)()
    with pytest.raises(
        APIUsageError, match=r"Env: params stay as they are; make another environment: Env\(NAME=VALUE\)"
    ):
        env.params = env.params._replace(k=4)
    with pytest.raises(AttributeError):
        env.params.k = 4
