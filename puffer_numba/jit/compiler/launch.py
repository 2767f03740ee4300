"""One machine code for one thread and for many.

A kernel with a ``prange`` in it would be compiled a second time for every environment, some steps into a run. Instead
there is one parallel loop for all environments, `launch`, which calls the machine code that steps on one thread, by its
address. It is compiled once for each type of actions and kept on disk.

Leans on Numba's internals: a compiled function's ``library`` and ``fndesc`` give its address; how it is called, and how
it raises, is in ``context.call_conv``; a `StructRefProxy` keeps its memory in ``_meminfo``.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import prange
from numba.core import types
from numba.core.callconv import RETCODE_USEREXC
from numba.experimental import structref
from numba.extending import intrinsic

from puffer_numba.jit.compiler.announce import announce

MANY = 32768
"""Environments from which on the check of their actions is worth a round of all threads."""


@structref.register
class AnySimulationType(types.StructRef):
    """Numba's type of an `AnySimulation`."""


class AnySimulation(structref.StructRefProxy):
    """A simulation without its type: the one loop takes those of all environments."""

    # as of `puffer_numba.jit.compiler.simulation.Simulation`
    _numba_type_ = structref.StructRefProxy._type  # type: ignore[attr-defined]


structref.define_boxing(AnySimulationType, AnySimulation)


def without_type(simulation: Any) -> Any:
    """The same memory, which it keeps alive, as an `AnySimulation`."""
    return AnySimulation._numba_box_(AnySimulationType(()), simulation._meminfo)


def address(kernel: Any, *args: Any) -> int:
    """Of the machine code of a kernel that returns an integer, for arguments such as these; compiles it if need be."""
    compiled = kernel.get_compile_result(types.intp(*map(numba.typeof, args)))
    found = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    if not found:
        raise RuntimeError(f"Numba {numba.__version__} keeps no machine code of {kernel.__name__} to call")
    return found


CHECK, STEP = 1, 2
"""Phases of a kernel: count the bad actions; step. ``CHECK | STEP`` steps if there are none."""


@intrinsic
def _call(typing_context, kernel, simulation, actions, chunk, chunks, phase):
    """Call what is at the address ``kernel`` with the other arguments.

    The integer that it returns; where it raises, which only a STEP can, whose integer is 0, the exception's address.
    """
    parameters = (simulation, actions, *3 * [types.intp])

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        convention = context.call_conv
        function_type = convention.get_function_type(types.intp, parameters)
        function = builder.inttoptr(values[0], ir.PointerType(function_type))
        status, result = convention.call_function(builder, function, types.intp, parameters, values[1:])
        return builder.select(status.is_error, builder.ptrtoint(status.excinfoptr, result.type), result)

    return types.intp(types.intp, *parameters), generate


@intrinsic
def _raise(typing_context, exception):
    """Raise what `_call` gave the address of."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        convention = context.call_conv
        raised = builder.icmp_signed("!=", values[0], context.get_constant(types.intp, 0))
        with builder.if_then(raised, likely=False):
            argument = convention._get_excinfo_argument(builder.function)
            builder.store(builder.inttoptr(values[0], argument.type.pointee), argument)
            convention._return_errcode_raw(builder, RETCODE_USEREXC)
        return context.get_dummy_value()

    return types.none(types.intp), generate


def _launch(kernel, simulation, actions, n, chunks):
    """Step ``n`` environments on all threads, unless an action is bad; how many are.

    Args:
        kernel: address of ``step(simulation, actions, chunk, chunks, phase)``.
        simulation: an `AnySimulation`.
        actions: one row for each environment.
        chunks: parts that the threads share.
    """
    bad = 0
    if n < MANY:
        bad = _call(kernel, simulation, actions, 0, 1, CHECK)
    else:
        for chunk in prange(chunks):
            bad += _call(kernel, simulation, actions, chunk, chunks, CHECK)
    exception = 0
    if bad == 0:
        for chunk in prange(chunks):
            exception = max(exception, _call(kernel, simulation, actions, chunk, chunks, STEP))
        _raise(exception)  # here, since what is raised inside the loop is lost
    return bad


launch = announce(
    numba.njit(_launch, parallel=True, nogil=True, cache=True, error_model="numpy"), "the loop over threads"
)
