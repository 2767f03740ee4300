"""Params of a JitEnv: bounds that their annotations declare, tables that follow from them, other defaults."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MultipleOf
from numpy.typing import NDArray

from puffer_numba import APIUsageError, JitEnv, kernel
from puffer_numba.jit import with_defaults
from puffer_numba.jit.bounds import describe
from puffer_numba.options import env_options, env_params
from puffer_numba.registry import EnvSpec
from tests.helpers.jit_envs import Push

Money = Annotated[float, np.float64]


class Bounded(Push):
    """With a parameter of each kind."""

    class Params(NamedTuple):
        mass: Annotated[float, Gt(0)] = 1.0
        """kg"""
        share: Annotated[float, Interval(ge=0, lt=1)] = 0.5  # of what is there
        count: Annotated[int, Ge(1), Le(32)] = 4
        top: Annotated[float, Gt(0), Le(0.1)] = 0.1
        cash: Annotated[Money, Gt(0), Lt(math.inf)] = 1.0
        shift: Annotated[float, Gt(-math.inf), Lt(math.inf)] = 0.0
        rates: Annotated[NDArray[Any], Ge(0), Le(1)] = np.array([0.0, 1.0])
        free: float = 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"mass": 0}, "mass is 0; expected more than 0."),
        ({"mass": -2.5}, "mass is -2.5; expected more than 0."),
        ({"mass": math.nan}, "mass is nan; expected more than 0."),
        ({"share": 1.0}, "share is 1; expected 0 to less than 1."),
        ({"share": -0.5}, "share is -0.5; expected 0 to less than 1."),
        ({"share": math.nan}, "share is nan; expected 0 to less than 1."),
        ({"count": 0}, "count is 0; expected 1 to 32."),
        ({"count": 33}, "count is 33; expected 1 to 32."),
        ({"count": 2.0}, "count is 2.0; expected an integer."),
        ({"top": 0.2}, "top is 0.2; expected more than 0 and at most 0.1."),
        ({"cash": math.inf}, "cash is inf; expected more than 0 and finite."),
        ({"shift": math.nan}, "shift is nan; expected a finite number."),
        ({"shift": -math.inf}, "shift is -inf; expected a finite number."),
        ({"rates": [0.5, 2.0]}, "rates is [0.5, 2.0]; expected each 0 to 1."),
        ({"rates": [0.5, math.nan]}, "rates is [0.5, nan]; expected each 0 to 1."),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_value_and_what_is_allowed(params, message, dtype):
    with pytest.raises(ValueError, match="Bounded") as error:
        Bounded(jit=False, dtype=dtype, **params)
    assert str(error.value) == f"Bounded: parameter {message}"


def test_bounds_stand_beside_a_dtype_and_allow_their_own_values():
    params = Bounded(jit=False, share=0, count=32, top=0.1, rates=[1], mass=math.inf, free=math.nan).params
    assert (type(params.cash), type(params.top), type(params.count)) == (np.float64, np.float32, int)
    assert params.top == np.float32(0.1)  # which is above 0.1 in float64
    assert params.rates.dtype == np.int64
    assert math.isnan(params.free)  # nothing is declared of it


class Even(NamedTuple):
    size: Annotated[int, MultipleOf(2)] = 2


def test_what_cannot_be_checked_may_not_be_declared():
    with pytest.raises(APIUsageError, match=r"Odd.Params.size: MultipleOf\(multiple_of=2\) is not checked; declare Gt"):
        type("Odd", (Push,), {"Params": Even})(jit=False)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ([Ge(2)], "at least 2"),
        ([Lt(3)], "less than 3"),
        ([Le(0.5)], "at most 0.5"),
        ([Gt(0), Lt(1)], "more than 0 and less than 1"),
        ([Ge(0), Lt(math.inf)], "at least 0 and finite"),
        ([Ge(0), Le(2**31 - 1)], "0 to 2147483647"),
    ],
)
def test_bounds_in_words(bounds, words):
    assert describe(bounds) == words


class Look(JitEnv):
    """Observes a table that follows from ``size``, whose last element pays."""

    single_observation_space = Push.single_observation_space
    single_action_space = Push.single_action_space

    class State(NamedTuple):
        tick: int

    class Params(NamedTuple):
        size: int = 2

    class Tables(NamedTuple):
        squares: NDArray[Any] = np.zeros(0)
        exact: NDArray[np.float64] = np.zeros(0)
        last: int = 0

    @classmethod
    def tables(cls, params: Any) -> Any:
        squares = np.arange(params.size) ** 2.0
        return cls.Tables(squares, squares, len(squares) - 1)

    @kernel
    def reset_env(s, p, i, rng):
        s.tick[i] = 0

    @kernel
    def step_env(s, p, i, action, rng):
        return p.squares[p.last], False

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = p.squares[1]
        obs[i, 1] = p.size


@pytest.mark.parametrize("jit", [True, False])
def test_kernels_find_tables_beside_params(jit):
    env = Look(2, size=4, jit=jit)
    assert env.params._fields == ("size", "squares", "exact", "last")
    assert (env.params.squares.dtype, env.params.exact.dtype) == (np.float32, np.float64)
    assert not env.params.squares.flags.writeable
    assert env.reset(seed=0)[0].tolist() == [[1, 4], [1, 4]]
    assert env.step(np.zeros((2, 2), np.float32))[1].tolist() == [9, 9]


def test_nobody_can_set_a_table():
    with pytest.raises(ValueError, match=r"Look has no parameter 'squares'\. Parameters: size\. Given"):
        Look(squares=[1], jit=False)
    assert env_params(EnvSpec("look", Look)).keys() - {"max_episode_steps"} == {"size"}


class Clash(NamedTuple):
    size: int = 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Tables": Clash}, r"Odd.Tables: \['size'\] are names of params"),
        ({"Tables": dict}, "Odd.Tables must be a NamedTuple class"),
        ({"tables": classmethod(lambda cls, p: {})}, r"Odd.tables\(\) returned dict; expected its Tables"),
    ],
)
def test_wrong_tables_are_refused(changed, message):
    with pytest.raises(APIUsageError, match=message):
        type("Odd", (Look,), changed)(jit=False)


class Heavy(Bounded):
    """The same, heavier."""

    Params = with_defaults(Bounded.Params, mass=3.0)


def test_a_derived_class_may_have_other_defaults():
    assert (Bounded(jit=False).params.mass, Heavy(jit=False).params.mass) == (1, 3)
    assert Heavy(jit=False, mass=2.0).params.mass == 2
    assert Heavy.Params()[:2] == (3.0, 0.5)
    assert Heavy.Params(5.0, share=0.25)[:3] == (5.0, 0.25, 4)
    with pytest.raises(ValueError, match="Heavy: parameter mass is 0; expected more than 0"):
        Heavy(jit=False, mass=0.0)
    spec = EnvSpec("heavy", Heavy)
    assert env_params(spec)["mass"] == 3.0
    fields = env_options(spec, None).__dataclass_fields__
    helps = {name: str(fields[name].type) for name in ("mass", "share", "free")}
    assert "help='kg'" in helps["mass"]
    assert "help='of what is there'" in helps["share"]
    assert "help='Parameter of heavy.'" in helps["free"]
    with pytest.raises(APIUsageError, match=r"Bounded.Params has no parameter 'weight'. Parameters: mass, share"):
        with_defaults(Bounded.Params, weight=1.0)
