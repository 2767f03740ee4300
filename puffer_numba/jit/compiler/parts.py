"""How the parts of a kernel are compiled: to be linked into it, not to be run by themselves.

Numba turns every function into machine code as soon as it has compiled it, though of the helpers that a kernel is made
of only the copies inside the kernel ever run. Worse, to make machine code LLVM rewrites the helper for the processor,
and it is this that Numba then links into what calls the helper, and optimises once more. Without it, Snake compiles in
4.4 seconds instead of 13.2, others in two thirds to four fifths of the time, and MinAtar's Breakout steps 13 % faster.

Numba's compiler can be customised, but what becomes machine code is decided below that: `_Part` overrides private
methods of Numba's `JITCodeLibrary`, and reads its ``_codegen._engine`` and ``_final_module``. So this is done only with
versions of Numba in `TESTED`. With any other, and where the environment variable ``PUFFER_NUMBA_LINKED_PARTS`` is 0,
parts are Numba's ordinary overloads: the same trajectories, compiled more slowly.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import AnalysisPass, PassManager, register_pass
from numba.core.typed_passes import AnnotateTypes
from numba.core.untyped_passes import IRProcessing, ReconstructSSA
from numba.extending import overload

from puffer_numba.jit.compiler.literals import ListsForArrays, LiteralsBesideFloat32

# Not True: that assumes there are no NaN. Not reassoc: the vectorized loop and the one for the rest would add up in
# another order, and an environment's trajectory would depend in its last bits on how many there are beside it.
FASTMATH = {"contract", "nsz", "arcp", "afn"}
JIT_OPTIONS: Any = {"fastmath": FASTMATH, "error_model": "numpy", "boundscheck": False}

DEBUG_OPTIONS: Any = {**JIT_OPTIONS, "boundscheck": True}
"""For the author's functions where an index out of bounds is to raise an IndexError."""

OVERLOADED = "__numba_overload__"
"""Attribute of a function that Numba can call as it is; its value stands for the content in hashes."""

TESTED = ((0, 62), (0, 68))
"""The first and the last minor version of Numba that ``tests/jit/compiler/test_parts.py`` has passed with.

0.61 brings LLVM 15, whose pointers have types: it cannot read the declaration that `_Part` adds.
"""

LINKED = TESTED[0] <= numba.version_info.short <= TESTED[1] and os.environ.get("PUFFER_NUMBA_LINKED_PARTS") != "0"
"""Whether parts are only linked. What is compiled in one way must not be loaded in the other: it is in every hash."""

_ENVIRONMENT = "_ZN08NumbaEnv"


class _Part(JITCodeLibrary):
    """A compiled function that is only ever linked into others."""

    def get_pointer_to_function(self, name: str) -> int:
        """None, whatever the name."""
        self._ensure_finalized()
        return 0

    def _finalize_final_module(self) -> None:
        engine = self._codegen._engine
        for variable in self._final_module.global_variables:
            # of a function's constants, for what prints or raises; Numba fills it in, and who links it shares it
            if variable.name.startswith(_ENVIRONMENT) and not engine.is_symbol_defined(variable.name):
                engine.add_module(llvm.parse_assembly(f'@"{variable.name}" = common global ptr null'))
        engine.finalize_object()
        self._finalized = True


@register_pass(mutates_CFG=False, analysis_only=True)
class _BecomePart(AnalysisPass):
    _name = "become_part"

    def __init__(self) -> None:  # abstract in Numba
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        return False


class AuthorCompiler(CompilerBase):
    """Compiles a function as kernels have it."""

    def define_pipelines(self) -> list[Any]:
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.add_pass_after(ListsForArrays, IRProcessing)
        pipeline.add_pass_after(LiteralsBesideFloat32, ReconstructSSA)
        self._extend(pipeline)
        pipeline.finalize()
        return [pipeline]

    def _extend(self, pipeline: PassManager) -> None:
        pass


class _PartCompiler(AuthorCompiler):
    def _extend(self, pipeline: PassManager) -> None:
        pipeline.add_pass_after(_BecomePart, AnnotateTypes)  # the last one before code is made


def part(function: Callable[..., Any], jit_options: Mapping[str, Any]) -> Callable[..., Any]:
    """Numba's ``@overload(function)``: what it decorates gives the implementation, for kernels only."""
    options: Any = {**jit_options, "pipeline_class": AuthorCompiler}
    if LINKED:
        options |= {"pipeline_class": _PartCompiler, "no_cfunc_wrapper": True}
    return overload(function, jit_options=options, strict=False)
