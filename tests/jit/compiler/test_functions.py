"""Plain functions made ready for Numba: float literals, helpers of every kind, and the hash of their content."""

from __future__ import annotations

import types

import numba
import numpy as np
import pytest

from puffer_numba import APIUsageError, kernel
from puffer_numba.jit.compiler.functions import content_hash, specialize
from puffer_numba.jit.math import sin
from tests.helpers import helpers_in_module

TENTH = 0.1
TABLE = np.array([1.5, 2.5], np.float32)


def plain_helper(x):
    return x * 2.5 + TENTH


@kernel
def decorated_helper(x):
    return x / 3.0


def helper_with_default(x, by=0.25):
    return x * by


def make_closure(scale):
    def scaled(x):
        return x * scale

    def outer(x):
        return scaled(x) + scale

    return outer


def branches(x):
    if x > 0.5:
        return 1.0
    return x if x < 0.25 else 0.0


def literal_in_tuple(x):
    a, b = (0.5, 1.5)
    return x * a + b


def augmented(x):
    total = 0.0
    for _ in range(3):
        total += x * 1.1
    return total


def calls_everything(x):
    return plain_helper(x) + decorated_helper(x) + helper_with_default(x) + helpers_in_module.quarter(x) + sin(x)


def reads_table(x):
    return x * TABLE[1]


def reads_module_constant(x):
    return x * helpers_in_module.HALF


def nested(x):
    def inner(y):
        return y * 0.5

    return inner(x) * 0.5


def call(function, x, float_type):
    """Its value and the type that Numba inferred for it."""
    jitted = specialize(function, float_type)

    @numba.njit
    def caller(x):
        return jitted(x)

    value = caller(x)
    return value, str(caller.nopython_signatures[0].return_type)


@pytest.mark.parametrize("float_type", [np.float32, np.float64])
@pytest.mark.parametrize(
    "function",
    [
        plain_helper,
        decorated_helper,
        helper_with_default,
        make_closure(0.1),
        branches,
        literal_in_tuple,
        augmented,
        calls_everything,
        reads_table,
        reads_module_constant,
        helpers_in_module.quarter,
        nested,
        lambda x: x * 0.1,
    ],
    ids=lambda f: getattr(f, "__qualname__", "decorated_helper"),
)
def test_floats_stay_in_the_environments_type(function, float_type):
    value, result_type = call(function, float_type(0.3), float_type)
    assert result_type == float_type.__name__
    plain = getattr(function, "__func__", function)
    assert value == pytest.approx(float(plain(0.3)), rel=1e-6 if float_type is np.float32 else 1e-15)


def test_float64_literals_keep_their_full_precision():
    value, _ = call(lambda x: x + 0.1, np.float64(0), np.float64)
    assert value == 0.1


def test_integers_and_strings_are_left_alone():
    value, result_type = call(lambda x: x + 2 if "a" == "a" else x, np.int32(1), np.float32)
    assert (value, result_type) == (3, "int64")


def test_the_authors_function_is_not_changed():
    specialize(plain_helper, np.float32)
    assert type(plain_helper(1.0)) is float
    assert plain_helper(1.0) == 2.6
    assert type(plain_helper.__globals__["TENTH"]) is float


def test_kernel_functions_are_callable_from_plain_python():
    assert decorated_helper(6.0) == 2.0
    assert specialize(decorated_helper, np.float32)(np.float32(6)) == 2


def test_the_same_content_gives_the_same_object():
    assert specialize(plain_helper, np.float32) is specialize(plain_helper, np.float32)
    assert specialize(plain_helper, np.float32) is not specialize(plain_helper, np.float64)
    assert specialize(make_closure(2.0), np.float32) is specialize(make_closure(2.0), np.float32)
    assert specialize(make_closure(2.0), np.float32) is not specialize(make_closure(3.0), np.float32)


def test_two_functions_of_one_name_do_not_mix():
    one, _ = call(make_closure(2.0), np.float32(1), np.float32)
    two, _ = call(make_closure(5.0), np.float32(1), np.float32)
    assert (one, two) == (4, 10)


def factorial(n):
    return 1 if n <= 1 else n * factorial(n - 1)


def is_even(n):
    return True if n == 0 else is_odd(n - 1)


def is_odd(n):
    return False if n == 0 else is_even(n - 1)


@pytest.mark.parametrize("function", [factorial, is_even])
def test_hashing_a_recursive_function_terminates(function):
    assert content_hash(function) == content_hash(function)


@pytest.mark.parametrize("function", [factorial, is_even])
def test_a_recursive_function_is_refused(function):
    with pytest.raises(APIUsageError, match=f"{function.__name__} calls itself"):
        specialize(function, np.float32)


SOURCE = """
import enum, numpy as np
import helpers

CONSTANT = 3
FLOAT = 0.5
NAMES = ("a", "b")
TABLE = np.arange(2000)
TABLES = (np.arange(2000), np.arange(3))

class Move(enum.IntEnum):
    LEFT = 0
    RIGHT = 1

def inner(x):
    return x + 1

def helper(x):
    return inner(x) * 2

def unused(x):
    return 7

def with_default(x, by=2):
    return x * by

def with_keyword(x, *, by=2):
    return x * by

def make(bound):
    import helpers as local_helpers
    def f(x):
        \"\"\"Docstring.\"\"\"
        y = helper(x) + CONSTANT + TABLE[0] + TABLES[0][0] + with_default(x) + with_keyword(x)
        for name in NAMES:
            y += 1 if x > FLOAT else 4
        y += sum([helper(k) for k in range(3)])
        return y * bound + Move.RIGHT + helpers.f(x) + local_helpers.g(x)
    return f

target = make(10)
"""

HELPERS = """
OFFSET = 1

def deep(x):
    return x + OFFSET

def f(x):
    return deep(x) * 2

def g(x):
    return x - 1
"""


def hash_of(source=SOURCE, helpers=HELPERS, monkeypatch=None):
    module = types.ModuleType("helpers")
    exec(helpers, module.__dict__)
    monkeypatch.setitem(__import__("sys").modules, "helpers", module)
    namespace = {"__name__": "edited"}
    exec(source, namespace)
    return content_hash(namespace["target"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("return inner(x) * 2", "return inner(x) * 3", id="literal of a helper"),
        pytest.param("return inner(x) * 2", "return inner(x) + 2", id="operator of a helper"),
        pytest.param("return x + 1\n", "return x + 2\n", id="helper of a helper"),
        pytest.param("CONSTANT = 3", "CONSTANT = 4", id="global constant"),
        pytest.param("CONSTANT = 3", "CONSTANT = 3.0", id="type of a global constant"),
        pytest.param("FLOAT = 0.5", "FLOAT = 0.25", id="global float"),
        pytest.param('NAMES = ("a", "b")', 'NAMES = ("a", "c")', id="global tuple"),
        pytest.param("TABLE = np.arange(2000)", "TABLE = np.arange(2000) + (np.arange(2000) == 1000)", id="array"),
        pytest.param("TABLE = np.arange(2000)", "TABLE = np.arange(2000.0)", id="dtype of an array"),
        pytest.param(
            "(np.arange(2000), np.arange(3))",
            "(np.arange(2000) + (np.arange(2000) == 1000), np.arange(3))",
            id="array in a tuple",
        ),
        pytest.param("RIGHT = 1", "RIGHT = 5", id="enum member"),
        pytest.param("x, by=2", "x, by=3", id="default argument"),
        pytest.param("x, *, by=2", "x, *, by=3", id="keyword-only default"),
        pytest.param("target = make(10)", "target = make(11)", id="closure variable"),
        pytest.param("[helper(k) for", "[helper(k + 1) for", id="comprehension"),
        pytest.param("range(3)", "range(4)", id="constant in the body"),
    ],
)
def test_hash_changes_with_an_edit_of(old, new, monkeypatch):
    assert old in SOURCE
    before = hash_of(monkeypatch=monkeypatch)
    assert hash_of(SOURCE.replace(old, new), monkeypatch=monkeypatch) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("return deep(x) * 2", "return deep(x) * 3", id="module.f"),
        pytest.param("return x + OFFSET", "return x - OFFSET", id="what module.f calls"),
        pytest.param("OFFSET = 1", "OFFSET = 2", id="constant that it reads"),
        pytest.param("return x - 1", "return x - 2", id="module held in a closure"),
    ],
)
def test_hash_changes_with_an_edit_in_another_module_of(old, new, monkeypatch):
    assert old in HELPERS
    before = hash_of(monkeypatch=monkeypatch)
    assert hash_of(helpers=HELPERS.replace(old, new), monkeypatch=monkeypatch) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("CONSTANT = 3", "CONSTANT = 3  # a comment\n\n\n", id="comment and empty lines"),
        pytest.param("Docstring.", "Another.", id="docstring"),
        pytest.param("return 7", "return 8", id="function that it does not use"),
        pytest.param("return inner(x) * 2", "return inner(x) * 2  # twice", id="comment in a helper"),
    ],
)
def test_hash_does_not_change_with(old, new, monkeypatch):
    assert old in SOURCE
    before = hash_of(monkeypatch=monkeypatch)
    assert hash_of(SOURCE.replace(old, new), monkeypatch=monkeypatch) == before


@pytest.mark.slow
def test_hash_is_the_same_in_every_process(run_python):
    script = "from tests.jit.compiler.test_functions import *; print(content_hash(calls_everything))"
    assert {run_python(script, PYTHONHASHSEED=str(seed)).stdout.strip() for seed in (1, 2)} == {
        content_hash(calls_everything)
    }
