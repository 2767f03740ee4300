"""Simulations: what is laid out in memory here is what compiled code reads there."""

from __future__ import annotations

import gc
import weakref

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_numba.env import Buffers
from puffer_numba.jit.compiler.simulation import Simulation
from puffer_numba.jit.compiler.tuples import tuple_class
from tests.helpers.jit_envs import Walk

SCALARS = [True, 3, -(2**40), 0.1, np.float32(1.5), np.int8(-3), np.uint16(65535), np.int32(-7), np.uint64(2**63)]
ARRAYS = [
    np.arange(6).astype(t).reshape(shape) for t in (np.int8, np.float32, np.bool_, np.uint64) for shape in (6, (2, 3))
]
ARRAYS[0].flags.writeable = False


@numba.njit
def fields_of(simulation):
    return simulation.state, simulation.params, simulation.metrics, simulation.streams, simulation.action_high


@pytest.mark.slow
@given(st.lists(st.sampled_from(SCALARS), max_size=9), st.lists(st.sampled_from(ARRAYS), max_size=4))
@settings(max_examples=12)  # each compiles
def test_compiled_code_reads_what_was_given(scalars, arrays):
    values = [*scalars, *arrays]
    params = tuple_class("Params", [f"a{k}" for k in range(len(values))])(*values)
    streams, high = np.arange(5, dtype=np.uint64), np.array([7])
    simulation = Simulation((ARRAYS[1],), params, tuple(arrays), streams, (True, 2.0), (1, (False, 2)), high, high)
    (state,), found, metrics, *rest = fields_of(simulation)
    np.testing.assert_array_equal(state, ARRAYS[1])
    for given_value, value in zip([*values, *arrays, streams, high], [*found, *metrics, *rest], strict=True):
        np.testing.assert_array_equal(value, given_value)
        assert not isinstance(value, np.ndarray) or value.dtype == given_value.dtype


def test_arrays_live_as_long_as_a_simulation_of_them():
    array = np.zeros(5)
    simulation = Simulation((array,), (), (), array, (), (), array, array)
    alive = weakref.ref(array)
    del array
    gc.collect()
    assert alive() is not None
    del simulation
    gc.collect()
    assert alive() is None


def test_other_buffers_of_other_types():
    """A step into arrays of another type or layout than the first is right, too, or is refused before it is taken."""
    env = Walk(num_envs=3, size=12)
    simulation = env._simulation
    same = simulation.with_buffers(Buffers(*(np.zeros_like(array) for array in env.buffers)))
    assert same._numba_type_ == simulation._numba_type_
    others = env.buffers._replace(rewards=np.zeros(3))
    assert simulation.with_buffers(others)._numba_type_ != simulation._numba_type_
