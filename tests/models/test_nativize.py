"""Flat observations taken apart in torch, against NumPy's view of the same bytes."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from hypothesis import example, given, settings
from hypothesis import strategies as st

from puffer_numba.env import APIUsageError
from puffer_numba.pytorch import nativize_dtype, nativize_tensor
from puffer_numba.spaces.observations import ObservationLayout
from tests.helpers.spaces import EVERY_DTYPE, emulated, sampled, spaces

CAN_COMPILE = shutil.which("g++") is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


def assert_same(parts: Any, view: Any) -> None:
    """Equal in names, dtypes, shapes and values."""
    if isinstance(parts, dict):
        assert list(parts) == list(view.dtype.names)
        for name, part in parts.items():
            assert_same(part, view[name])
    else:
        assert parts.numpy().dtype == view.dtype
        np.testing.assert_array_equal(parts.numpy(), view, strict=True)


def tensors(parts: Any) -> list[torch.Tensor]:
    return [parts] if torch.is_tensor(parts) else [t for part in parts.values() for t in tensors(part)]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(space=spaces, seed=st.integers(0, 1000), rows=st.integers(1, 4))
@example(space=EVERY_DTYPE, seed=0, rows=3)
def test_it_is_numpys_view_without_a_copy(space: Any, seed: int, rows: int) -> None:
    flat = sampled(space, 2 * rows, seed)
    native_dtype = nativize_dtype(emulated(space))
    view = ObservationLayout(space).view(flat)
    observations = torch.from_numpy(flat)
    parts = nativize_tensor(observations, native_dtype)
    assert_same(parts, view)
    steps = nativize_tensor(observations.unflatten(0, (2, rows)), native_dtype)
    assert_same(steps, view.reshape(2, rows, *view.shape[1:]))
    for tensor in tensors(parts) + tensors(steps):
        assert tensor.untyped_storage().data_ptr() == observations.untyped_storage().data_ptr()


def test_what_is_written_shows_in_the_parts() -> None:
    space = Dict(image=Box(0, 255, (2, 2), np.uint8), speed=Box(-9, 9, (3,), np.float32), door=Discrete(4))
    flat = sampled(space, 5)
    parts: Any = nativize_tensor(torch.from_numpy(flat), nativize_dtype(emulated(space)))
    assert {name: tuple(part.shape) for name, part in parts.items()} == {
        "image": (5, 2, 2),
        "speed": (5, 3),
        "door": (5,),
    }
    ObservationLayout(space).view(flat)["speed"][3] = [1, 2, 3]
    assert parts["speed"][3].tolist() == [1, 2, 3]


def test_native_dtypes_are_pufferlibs() -> None:
    """Those of its own tests, but for a scalar's shape."""
    space = Dict(x=Box(0, 9, (4,), np.uint8), y=Tuple([Box(0, 1, (2, 3)), Discrete(3)]))
    assert nativize_dtype(emulated(space)) == {
        "x": (torch.uint8, (4,), 0, 4),
        "y": {"f0": (torch.float32, (2, 3), 8, 24), "f1": (torch.int64, (), 32, 8)},
    }
    floats = Dict(a=Box(0, 1, (2,)), b=Box(0, 1, (1, 2)))
    assert nativize_dtype(emulated(floats)) == {
        "a": (torch.float32, (2,), 0, 2),
        "b": (torch.float32, (1, 2), 2, 2),
    }
    assert nativize_dtype(emulated(Box(0, 255, (2, 2), np.uint8))) == (torch.uint8, (2, 2), 0, 4)


def test_a_lone_array_is_returned_as_it_is() -> None:
    observations = torch.zeros(3, 2, 2)
    assert nativize_tensor(observations, nativize_dtype(emulated(Box(0, 1, (2, 2))))) is observations


@pytest.mark.parametrize("kind", ["odd address", "odd rows", "rows of a wider tensor", "every other row"])
def test_rows_anywhere_in_memory(kind: str) -> None:
    """Where torch has no view it is a copy."""
    flat = sampled(EVERY_DTYPE, 4)
    rows, size = flat.shape
    source = torch.from_numpy(flat)
    if kind == "odd address":
        observations = torch.zeros(rows * size + 1, dtype=torch.uint8)[1:].view(rows, size)
    elif kind == "odd rows":
        observations = torch.zeros(rows, size + 3, dtype=torch.uint8)[:, :size]
    elif kind == "rows of a wider tensor":
        observations = torch.zeros(rows, 2 * size, dtype=torch.uint8)[:, size:]
    else:
        observations = torch.zeros(2 * rows, size, dtype=torch.uint8)[::2]
    observations.copy_(source)
    parts: Any = nativize_tensor(observations, nativize_dtype(emulated(EVERY_DTYPE)))
    assert_same(parts, ObservationLayout(EVERY_DTYPE).view(flat))
    own = observations.untyped_storage().data_ptr()
    assert parts["text"].untyped_storage().data_ptr() == own
    assert (parts["float64"].untyped_storage().data_ptr() == own) == (not kind.startswith("odd"))


@pytest.mark.parametrize("space", [EVERY_DTYPE, Dict(a=Box(0, 1, (2,), np.float64), b=Box(0, 1, (), np.float64))])
def test_observations_that_were_cast_are_refused(space: Any) -> None:
    with pytest.raises(APIUsageError, match=r"observations have dtype torch\.float32.*pass them uncast: torch\.from_"):
        nativize_tensor(torch.Tensor(sampled(space, 2)), nativize_dtype(emulated(space)))


BATCHES = [(3,), (5,), (2, 4), (1,)]  # recompiled for some of these


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_it_compiles(backend: str) -> None:
    native_dtype = nativize_dtype(emulated(EVERY_DTYPE))
    torch.compiler.reset()
    compiled: Any = torch.compile(nativize_tensor, backend=backend, fullgraph=True)
    for batch in BATCHES:
        flat = sampled(EVERY_DTYPE, int(np.prod(batch)))
        view = ObservationLayout(EVERY_DTYPE).view(flat)
        parts = compiled(torch.from_numpy(flat).reshape(*batch, -1), native_dtype)
        assert_same(parts, view.reshape(batch))


@pytest.mark.slow
@pytest.mark.skipif(not CAN_COMPILE, reason="inductor needs a C++ compiler and Python's headers")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, to itself
def test_inductor_compiles_it_within_a_policy() -> None:
    space = Dict(a=Box(0, 255, (2, 2), np.uint8), b=Box(-1, 1, (3,)), c=Discrete(4), d=Box(0, 9, (), np.float64))
    native_dtype = nativize_dtype(emulated(space))

    def features(observations: torch.Tensor) -> torch.Tensor:
        parts: Any = nativize_tensor(observations, native_dtype)
        return torch.cat([parts["a"].flatten(1) / 255, parts["b"], parts["c"][:, None], parts["d"][:, None]], -1)

    torch.compiler.reset()
    observations = torch.from_numpy(sampled(space, 4))
    compiled = torch.compile(features, fullgraph=True)
    torch.testing.assert_close(compiled(observations), features(observations))
