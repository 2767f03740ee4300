"""What an author reads where a function does not compile: the line, why, and what to write instead."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Dict, Discrete, MultiBinary, Tuple

from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.explain import CompilationError, explain
from tests.helpers.snippets import Snippet, environment

pytestmark = pytest.mark.slow  # together: each compiles a little

MOVE = "class Move(enum.IntEnum):\n    A = 0\n    B = 1"

# Code, the line that is to be named, and words of the explanation.
ERRORS = {
    "list": (Snippet("q = [1, 2]\ns.n[i] = q[0]"), "q = [1, 2]", "A list allocates memory; write a tuple"),
    "growing list": (Snippet("q = []\nq.append(s.x[i])"), "q = []", "A list allocates memory"),
    "comprehension": (Snippet("t = sum([x for x in s.v[i]])"), "t = sum([x", "A comprehension allocates memory"),
    "generator expression": (Snippet("t = sum(x * x for x in s.v[i])"), "t = sum(x", "write a for loop"),
    "dict": (Snippet("q = {1: 2.0}\ns.x[i] = q[1]"), "q = {1", "A dict allocates memory; look values up in an array"),
    "dict of strings": (Snippet("q = {'a': 2.0}\ns.x[i] = q['a']"), "q = {", "A dict allocates memory"),
    "dict comprehension": (Snippet("q = {k: k for k in range(3)}\ns.n[i] = q[1]"), "q = {", "A dict allocates memory"),
    "set": (Snippet("q = {1, 2}\ns.n[i] = action in q"), "q = {1", "A set allocates memory; write x in (1, 2)"),
    "f-string": (Snippet("print(f'{s.x[i]}')"), "print(f", "An f-string makes a string"),
    "array of a list with a name": (Snippet("q = [1, 2]\ns.x[i] = np.array(q)[0]"), "q = [1", "np.array([1, 2, 3])"),
    "list beside that of an array": (
        Snippet("q = np.array([1, 2])\nr = [3]\ns.n[i] = q[0] + r[0]"), "r = [3]", "A list",
    ),
    "np.arange": (Snippet("q = np.arange(3)\ns.n[i] = q[1]"), "q = np.arange", "np.arange makes a new array"),
    "np.linspace": (Snippet("q = np.linspace(0, 1, 3)\ns.x[i] = q[1]"), "q = np.linspace", "makes a new array"),
    "np.sort": (Snippet("q = np.sort(s.v[i])\ns.x[i] = q[1]"), "q = np.sort", "np.sort makes a new array"),
    "np.roll": (Snippet("q = np.roll(s.v[i], 1)\ns.x[i] = q[1]"), "q = np.roll", "np.roll makes a new array"),
    "np.concatenate": (Snippet("q = np.concatenate((s.v[i], s.v[i]))\ns.x[i] = q[1]"), "q = np.c", "a new array"),
    "matrix product": (Snippet("q = s.board[i].astype(np.float32) @ s.v[i]"), "q = s.board", "makes a new array"),
    "clip as a method": (Snippet("s.v[i] = s.v[i].clip(-1, 1)"), ".clip(", "np.clip(s.v[i], ...) works"),
    "round as a method": (Snippet("s.v[i] = s.v[i].round(1)"), ".round(", "np.round(...) works"),
    "abs of a row": (Snippet("s.v[i] = abs(s.v[i])"), "abs(", "np.abs(row)"),
    "row and tuple": (Snippet("s.v[i] += (1.0, 0.5, 2.0)"), "s.v[i] +=", "np.array((1.0, 0.5, 2.0)) in place of (1.0"),
    "product of two dtypes": (
        Snippet("q = np.ones((3, 3), np.float64)\ns.x[i] = (q @ s.v[i])[0]"), "q @ s.v[i]",
        "float32 and float64: give both one dtype"
    ),
    "np.dot of two dtypes": (Snippet("s.x[i] = np.dot(s.board[i, 0, :3], s.v[i])"), "np.dot", "float32 and int8: give"),
    "condition on a row": (
        Snippet("if s.v[i] > 0:\n    s.n[i] = 1"), "if s.v[i]", "write (s.v[i] > 0).any() or .all()",
    ),
    "row for a number": (Snippet("s.x[i] = s.v[i] * 2"), "s.x[i] =", "An array is given where one number is kept"),
    "map": (Snippet("s.x[i] = sum(map(abs, s.v[i]))"), "map(", "write a for loop"),
    "sorted": (Snippet("q = sorted(s.v[i])\ns.x[i] = q[0]"), "sorted(", "allocates memory; write a for loop"),
    "key of max": (
        Snippet("s.n[i] = max(range(3), key=lambda k: s.v[i, k])"), "max(", "max has no key= in a kernel; write",
    ),
    "zip, strict": (Snippet("for a, b in zip(s.v[i], s.v[i], strict=True):\n    s.x[i] = a"), "zip(", "leave it out"),
    "rest of a row": (Snippet("a, *b = s.v[i]\ns.x[i] = a"), "a, *b", "no *b on the left"),
    "tuple from a row": (Snippet("s.n[i] = 1", observe="obs[i] = (*s.v[i, :2], 1.0)"), "(*s.v", "from a row"),
    "minimum as a method": (Snippet("s.x[i] = s.v[i].min()"), "s.v[i].min()", "np.min(s.v[i]) works"),
    "array too large": (Snippet("q = np.zeros((400, 400))\ns.x[i] = q[1, 1]"), "q = np.z", "too large for the stack"),
    "helper returns its array": (
        Snippet("q = f(s.x[i])\ns.x[i] = q[0]", "def f(x):\n    q = np.zeros(2)\n    q[0] = x\n    return q"),
        "return q", "A helper cannot return an array that it makes",
    ),
    "helper returns its arrays": (
        Snippet("q, r = f(s.x[i])\ns.x[i] = q[0]", "def f(x):\n    q = np.zeros(2)\n    return q, q"),
        "q = np.zeros(2)", "A helper cannot return an array that it makes",
    ),
    "np.linalg": (Snippet("q = np.linalg.det(s.board[i])\ns.x[i] = q"), "np.linalg", "np.linalg.det cannot be comp"),
    "np.random": (Snippet("s.x[i] = np.random.rand()"), "np.random.rand()", "np.random does not draw from the env"),
    "random": (Snippet("s.x[i] = random.random()", "import random"), "random.random()", "uniform(rng, low, high)"),
    "random's function": (Snippet("s.n[i] = randint(0, 3)", "from random import randint"), "randint", "integer(rng"),
    "np.random in a helper": (
        Snippet("s.x[i] = noise()", "def noise():\n    return np.random.normal()"), "return np.random", "normal(rng)"
    ),
    "method of rng": (Snippet("s.x[i] = rng.uniform(0, 1)"), "rng.uniform", "uniform(rng, low, high)"),
    "time": (Snippet("s.x[i] = time.time()", "import time"), "time.time()", "time.time cannot be used in a kernel"),
    "unknown field": (Snippet("s.borad[i] = 0"), "s.borad", "State has no field 'borad'. Did you mean 'board'?"),
    "unknown parameter": (Snippet("s.x[i] = p.gravity"), "p.gravity", "Params has no field 'gravity'. Fields: a"),
    "unknown name": (Snippet("s.x[i] = gravity * 2"), "gravity", "The name 'gravity' is not defined"),
    "unknown function": (Snippet("s.x[i] = clamp(s.x[i])"), "clamp", "The name 'clamp' is not defined"),
    "unknown function of NumPy": (Snippet("s.x[i] = np.clamp(s.x[i])"), "np.clamp", "numpy has no 'clamp'. Did"),
    "no index": (Snippet("s.n += 1"), "s.n += 1", "s.n is the array of all environments; for this one write s.n[i]"),
    "no index, assigned": (Snippet("s.x = 0.5"), "s.x = 0.5", "for this one write s.x[i]"),
    "no index, read": (Snippet("s.x[i] = s.n + 1"), "s.x[i] = s.n + 1", "for this one write s.n[i]"),
    "condition on an array": (Snippet("if s.x > 1:\n    s.n[i] = 1"), "if s.x > 1", "for this one write s.x[i]"),
    "parameter assigned": (Snippet("p.a = 2.0"), "p.a = 2.0", "p.a is a parameter, which kernels cannot change"),
    "parameter's element": (Snippet("p.template[0, 0] = 2"), "p.template[0, 0]", "read-only in kernels"),
    "float as index": (Snippet("s.x[i] = s.v[i, s.x[i]]"), "s.v[i, s.x[i]]", "An index is a float; write int(...)"),
    "bool as index": (Snippet("s.x[i] = s.v[i, action > 0]"), "s.v[i, ", "An index is a bool; write int(...)"),
    "several indices": (Snippet("s.v[i, (0, 2)] = 1.0"), "(0, 2)", "Several indices for one axis"),
    "tuple of several types": (Snippet("q = (1, 2.5)\ns.x[i] = q[action]"), "q[action]", "takes constant indices only"),
    "functions in a tuple": (
        Snippet("s.x[i] = F[action](s.x[i])", "def f(x):\n    return x\nF = (f, f)"), "F[action]", "F holds functions"
    ),
    "lambdas in a tuple": (
        Snippet("q = (lambda x: x, lambda x: 2 * x)\ns.x[i] = q[action](1.0)"), "q[", "Functions in a",
    ),
    "arguments from a row": (
        Snippet("s.x[i] = f(*s.v[i])", "def f(a, b, c):\n    return a"), "f(*", "f(row[0], row[1])",
    ),
    "any keywords": (Snippet("s.x[i] = f(a=1.0)", "def f(**k):\n    return k['a']"), "f(a=", "name its parameters"),
    "tuple that grows": (Snippet("q = (1, 2)\nq += (3,)\ns.n[i] = q[2]"), "q += ", "Write t = t + (...)"),
    "match of a tuple": (
        Snippet("match (action, s.n[i]):\n    case (0, 0): s.x[i] = 1\n    case _: s.n[i] += 1"),
        "case (0, 0)", "match takes one number"
    ),
    "type": (Snippet("if type(s.x[i]) == float:\n    s.n[i] += 1"), "type(s.x[i])", "Types are known before"),
    "enum made": (Snippet("if Move(action) == Move.A:\n    s.n[i] = 1", MOVE), "Move(action)", "action == Move.NAME"),
    "enum looped over": (Snippet("for m in Move:\n    s.n[i] += m.value", MOVE), "for m", "cannot be looped over"),
    "length of an enum": (Snippet("s.n[i] = len(Move)", MOVE), "len(Move)", "the members only"),
    "state looped over": (Snippet("for f in s:\n    f[i] = 0"), "for f in s", "State cannot be looped over"),
    "complex stored": (Snippet("s.x[i] = 1j"), "1j", "cannot hold complex128"),
    "more than 64 bits": (
        Snippet("s.n[i] = 10000000000000000000000 % 7 + 99999999999999999999 * action"), "99", "64 bits",
    ),
    "isinstance": (Snippet("if isinstance(action, int):\n    s.n[i] += 1"), "isinstance(", "leave isinstance out"),
    "is True": (Snippet("if (action == 1) is True:\n    s.n[i] += 1"), "is True", "write the condition alone"),
    "element deleted": (Snippet("q = np.zeros(3)\ndel q[0]"), "del q[0]", "Arrays keep their size"),
    "itertools": (
        Snippet("for a, b in itertools.product((0, 1), (0, 1)):\n    s.n[i] += a * b", "import itertools"),
        "itertools.product", "loops do what itertools does",
    ),
    "string made": (Snippet("q = str(s.n[i])\nprint(q)"), "str(", "Kernels cannot make strings"),
    "string's method": (Snippet("q = '{}'.format(s.n[i])"), ".format(", "Kernels cannot make strings"),
    "letter of a string": (Snippet("if 'LR'[action] == 'L':\n    s.n[i] += 1"), "'LR'[", "Kernels cannot make strings"),
    "hexadecimal": (Snippet("q = hex(s.n[i])"), "hex(", "Kernels cannot make strings"),
    "strings of the module": (
        Snippet("if N[action] == 'a':\n    s.n[i] = 1", "N = ['a', 'b']"), "N[action]", "N holds strings",
    ),
    "set of the module": (Snippet("if action in SAFE:\n    s.n[i] = 1", "SAFE = {0}"), "SAFE", "SAFE is a set, which"),
    "builtin": (Snippet("setattr(s, 'x', 1)"), "setattr", "setattr(...) cannot be used in a kernel"),
    "self": (Snippet("self.count += 1"), "self", "Kernels have no self"),
    "logging": (
        Snippet("logging.info('x')", "import logging"), "logging.info", "logging.info cannot be used in a kernel",
    ),
    "fmod": (Snippet("s.x[i] = math.fmod(s.x[i], 2)"), "math.fmod", "np.fmod can"),
    "attribute of the class": (
        Snippet("s.n[i] = Env.single_action_space.n"), "Env.single", "make what it holds a parameter",
    ),
    "class in a function": (Snippet("class A:\n    x = 1\ns.n[i] = A.x"), "class A", "move A to the top of the file"),
    "inner function that calls itself": (
        Snippet("def f(n):\n    return 1 if n <= 0 else n * f(n - 1)\ns.n[i] = f(3)\nreturn 1.0, False"),
        "", "An inner function cannot call itself",
    ),
    "what an inner function returns": (
        Snippet("def f(x):\n    return x\ns.x[i] = f(1.0)\nreturn 1.0"),
        "return 1.0", "returns float32; expected reward"
    ),
    "too many indices": (Snippet("s.x[i, 0, 1] = 2"), "s.x[i, 0, 1]", "index"),
    "string stored": (Snippet("s.x[i] = 'fast'"), "s.x[i] = 'fast'", "cannot hold a string; it holds numbers"),
    "None stored": (Snippet("s.x[i] = None"), "s.x[i] = None", "cannot hold None"),
    "string and number": (Snippet("s.x[i] = 'a' * s.x[i]"), "'a' *", "* of"),
    "two types": (
        Snippet("if action:\n    q = 'a'\nelse:\n    q = 1\nprint(q)"), "", "in one place and",
    ),
    "row and number": (Snippet("q = s.v[i]\nif action:\n    q = 1.0\ns.x[i] = q"), "", "in one place and"),
    "dict of the module": (Snippet("s.x[i] = COSTS[0]", "COSTS = {0: 1.0}"), "COSTS[0]", "COSTS is a dict, which"),
    "object of the module": (Snippet("s.x[i] = WORLD.g", "class W:\n    g = 1\nWORLD = W()"), "WORLD", "WORLD is a W"),
    "dataclass": (
        Snippet("q = P(1.0)\ns.x[i] = q.a", "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: float"),
        "q = P(1.0)", "P is a class, of which kernels cannot make objects",
    ),
    "recursion": (Snippet("s.n[i] = f(3)", "def f(n):\n    return n and f(n - 1)"), "def f(n)", "f calls itself"),
    "too few arguments": (Snippet("s.x[i] = f(1.0)", "def f(x, y):\n    return x"), "f(1.0)", "f(x, y) cannot be"),
    "unknown keyword": (Snippet("s.x[i] = f(1.0, z=2)", "def f(x, y=1):\n    return x"), "f(1.0", "cannot be called"),
    "keywords of a dict": (Snippet("s.x[i] = f(**{'x': 1})", "def f(x):\n    return x"), "f(**", "cannot take key"),
    "generator": (Snippet("yield 1.0, False"), "yield", "cannot be a generator"),
    "try": (Snippet("try:\n    s.x[i] = 1 / s.n[i]\nexcept ZeroDivisionError:\n    s.x[i] = 0"), "try:", "cannot"),
    "with": (Snippet("with open('log') as f:\n    s.n[i] = 1"), "with open", "Kernels have no with"),
    "import": (Snippet("import math as m\ns.x[i] = m.pi"), "import math", "move the import to the top"),
    "global": (Snippet("global COUNT\nCOUNT = 1", "COUNT = 0"), "global COUNT", "make COUNT a field of State"),
    "walrus": (Snippet("if (y := s.x[i]) > 0:\n    s.n[i] = 1"), "if (y :=", "assign y on a line of its own"),
    "del": (Snippet("q = s.x[i]\ndel q"), "del q", "Kernels have no del"),
    "super": (Snippet("super().step()"), "super()", "Base.function(...)"),
    "open": (Snippet("open('log')"), "open(", "open"),
    "one returned value": (Snippet("return 1.0"), "return 1.0", "returns float32; expected reward, terminated"),
    "no returned value": (Snippet("s.n[i] += 1\nif action:\n    return"), "return", "returns None; expected reward"),
    "four returned values": (Snippet("return 1.0, False, False, 2"), "return 1.0", "expected reward, terminated; or"),
    "string returned": (Snippet("return 'a', False"), "return 'a'", "(a string, False); expected reward"),
    "row returned": (Snippet("return s.v[i], False"), "return s.v", "(an array of float32, False); expected reward"),
    "observation too wide": (Snippet("s.n[i] += 1", observe="obs[i, 0, 0] = s.x[i]"), "obs[i, 0, 0]", "index"),
    "observation of a string": (Snippet("s.n[i] += 1", observe="obs[i, 0] = 'a'"), "obs[i, 0] = 'a'", "a string"),
    "wrong in a helper": (
        Snippet("s.n[i] = outer(3)", "def inner(n):\n    return [n][0]\n\ndef outer(n):\n    return inner(n)"),
        "return [n][0]", "A list allocates memory",
    ),
}  # fmt: skip


def message_of(snippet, tmp_path):
    """What is said of a snippet that does not compile, without trying to make a kernel of it, which takes longer."""
    try:
        env = environment(snippet, tmp_path)(num_envs=2)
        error = explain(env, Exception("unexplained"))
    except APIUsageError as raised:  # while it is made
        error = raised
    return str(error)


@pytest.mark.parametrize("name", ERRORS)
def test_the_line_the_reason_and_the_remedy(name, tmp_path):
    snippet, line, words = ERRORS[name]
    message = message_of(snippet, tmp_path)
    lines = message.splitlines()
    assert words in " ".join(lines)
    assert "unexplained" not in message
    assert len(lines) <= 12
    assert max(map(len, lines)) < 200
    assert f'File "{tmp_path / "snippet.py"}", line ' in message
    number = int(message.partition(", line ")[2].split()[0])
    text = (tmp_path / "snippet.py").read_text().splitlines()[number - 1].strip()
    assert lines[2].strip() == text
    assert line in text


def test_it_is_raised_by_reset_and_step(tmp_path):
    env = environment(Snippet("q = [1, 2]\ns.n[i] = q[0]"), tmp_path)(num_envs=2)
    env.reset(seed=0)
    with pytest.raises(CompilationError, match="A list allocates") as caught:
        env.step(np.zeros(2, np.int64))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    env = environment(Snippet("s.n[i] = 1", observe="obs[i, 0] = 'a'"), tmp_path)(num_envs=2)
    with pytest.raises(CompilationError, match=r"Env\.observe_env cannot be compiled"):
        env.reset(seed=0)


def test_the_compiler_s_own_words_on_request(tmp_path, monkeypatch):
    monkeypatch.setenv("PUFFER_NUMBA_TRACEBACK", "1")
    env = environment(Snippet("q = [1, 2]\ns.n[i] = q[0]"), tmp_path)(num_envs=2)
    env.reset(seed=0)
    with pytest.raises(CompilationError) as caught:
        env.step(np.zeros(2, np.int64))
    assert "No implementation of function" in str(caught.value.__cause__)


def test_what_a_kernel_raises_is_passed_on(tmp_path):
    env = environment(Snippet("if action == 1:\n    raise KeyError('mine')"), tmp_path)(num_envs=2)
    env.reset(seed=0)
    with pytest.raises(KeyError, match="mine"):
        env.step(np.ones(2, np.int64))


@pytest.mark.parametrize(
    ("space", "instead"),
    [
        (MultiBinary(3), r"MultiDiscrete\(\[2\] \* n\)"),
        (Tuple((Discrete(2),)), "one number for each part"),
        (Dict(a=Discrete(2)), "one number for each part"),
    ],
    ids=["MultiBinary", "Tuple", "Dict"],
)
def test_actions_that_kernels_do_not_take(space, instead, tmp_path):
    env_class = environment(Snippet("s.n[i] = 1"), tmp_path)
    env_class.single_action_space = space
    with pytest.raises(APIUsageError, match=f"a JitEnv takes Discrete, MultiDiscrete or Box: .*{instead}"):
        env_class()


def changed(env_class, **attributes):
    return type("Env", (env_class,), attributes)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"metrics": ("v",)}, r"Env\.metrics: v is an array; a metric is one number"),
        ({"agents": 2}, r"Env\.reset_env\(s, p, i, rng\) is called with \(s, p, i, rng, team\): too many positional"),
        (
            {"step_env": staticmethod(lambda s, p, i: (0, 0))},
            r"Env\.step_env\(s, p, i\) is called with \(s, p, i, action",
        ),
        ({"observe_env": lambda s, p, i, obs: None}, r"Env\.observe_env is no kernel: write @kernel above it"),
        ({"setup": lambda cls, params: params}, r"Env\.setup is no class method: write @classmethod above it"),
    ],
)
def test_a_class_that_is_wrong_is_told_so_when_it_is_made(attributes, message, tmp_path):
    env_class = changed(environment(Snippet("s.n[i] = 1"), tmp_path), **attributes)
    with pytest.raises(APIUsageError, match=message):
        env_class()


def test_agents_may_be_a_function_of_the_params(tmp_path):
    team = {
        "reset_env": staticmethod(lambda s, p, i, rng, team: None),
        "step_env": staticmethod(lambda s, p, i, action, rng, team: False),
    }
    env_class = changed(environment(Snippet("s.n[i] = 1"), tmp_path), agents=lambda p: p.k, **team)
    assert env_class(k=5).agents_per_env == 5
    wrong = changed(env_class, agents=lambda p: p.players)
    with pytest.raises(APIUsageError, match=r"Env\.agents: cannot compute the size .*has no attribute 'players'"):
        wrong()
    with pytest.raises(APIUsageError, match=r"Env\.agents: size .* is 0; expected a positive integer"):
        changed(env_class, agents=lambda p: 0)()


def test_a_state_that_is_larger_than_the_memory(tmp_path):
    class State(NamedTuple):
        n: int
        board: Annotated[np.int8, 2**42]

    env_class = changed(environment(Snippet("s.n[i] = 1"), tmp_path), State=State)
    message = r"Env\.State, whose State\.board is int8 of shape \(8, \d+\), would take 32,768\.0 GiB of memory"
    with pytest.raises(APIUsageError, match=message):
        env_class(num_envs=8)


def test_setup_may_return_nothing(tmp_path):
    seen = []
    env_class = changed(
        environment(Snippet("s.n[i] = 1"), tmp_path), setup=classmethod(lambda cls, p: seen.append(p.k))
    )
    assert env_class(k=5).params.k == 5
    assert seen == [5]
