"""NumPy's functions that make a row of rows, element by element: ``np.clip(s.v[i], -1.0, 1.0)``.

What they make lives on the stack of the function that calls them, as in `puffer_numba.jit.compiler.local`. So they are
intrinsics, whose code becomes a part of that function; only the loop over the elements is a function of its own.

Leans on Numba's ``make_intrinsic_template``: an intrinsic is otherwise one for all types of arguments, and these are
for arrays alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.core.typing.templates import infer, infer_global, make_intrinsic_template, signature
from numba.np import arrayobj, numpy_support

from puffer_numba.jit.compiler.local import new_array

_NOTHING = (types.NoneType, types.Omitted)
_KINDS = (types.Boolean, types.Integer, types.Float)  # each can hold what those before it can
_KNOWN = (types.Array, *_KINDS)


def unrolled(parameters: str, lines: list[str], **names: Any) -> Callable[..., Any]:
    """A function of these lines: a loop over a tuple's elements, which Numba types one by one."""
    made: dict[str, Any] = {"__name__": __name__, **names}
    exec("\n    ".join([f"def implementation({parameters}):", *lines, "return None"]), made)
    return made["implementation"]


Element = Callable[[dict[str, Any], bool], str]
"""Expression for one element of a result, in the names of the parameters and ``kind``, its dtype.

Takes Numba's types of the arguments by the parameters' names, without those that are None or left out, and whether the
result is of floats."""


def make_rows(function: Any, parameters: str, element: Element, decides: tuple[str, ...], **defaults: Any) -> None:
    """Have ``function`` take arrays, in kernels: all of one shape, and numbers beside them.

    Args:
        function: that Numba knows for numbers already.
        parameters: their names, separated by commas.
        element: of the result.
        decides: the parameters that decide of which dtype it is.
        defaults: of the last parameters.
    """
    names = parameters.split(", ")

    def typed(typing_context: Any, *given: Any) -> Any:
        given = tuple(one if isinstance(one, types.Type) else types.Omitted(one) for one in given)
        kinds = {n: kind for n, kind in zip(names, given, strict=True) if not isinstance(kind, _NOTHING)}
        arrays = [kind for kind in kinds.values() if isinstance(kind, types.Array)]
        if len({kind.ndim for kind in arrays}) != 1 or not all(isinstance(k, _KNOWN) for k in kinds.values()):
            return None
        result = types.Array(_dtype_of([kinds[name] for name in decides if name in kinds]), arrays[0].ndim, "C")
        fill = _filling(result, kinds, element(kinds, isinstance(result.dtype, types.Float)), defaults)
        return signature(result, *given), _generator(result, fill, [names.index(name) for name in kinds])

    declared = ", ".join(f"{name}={defaults[name]!r}" if name in defaults else name for name in names)
    definition = eval(f"lambda typing_context, {declared}: typed(typing_context, {parameters})", {"typed": typed})
    template = make_intrinsic_template(function, definition, function.__name__)
    infer(template)
    infer_global(function, types.Function(template))


def _dtype_of(kinds: list[Any]) -> Any:
    """As in NumPy: a number beside an array does not change its dtype, unless it is of another kind."""
    arrays = [kind.dtype for kind in kinds if isinstance(kind, types.Array)]
    dtypes = [numpy_support.as_dtype(dtype) for dtype in arrays]
    found = numpy_support.from_dtype(np.result_type(*dtypes)) if dtypes else types.boolean
    for kind in kinds:
        if not isinstance(kind, types.Array) and (not arrays or _rank(kind) > _rank(found)):
            both = [numpy_support.as_dtype(types.unliteral(one)) for one in (found, kind)]
            found = numpy_support.from_dtype(np.result_type(*both))
    return found


def _rank(kind: Any) -> int:
    return next(rank for rank, one in enumerate(_KINDS) if isinstance(kind, one))


def _generator(result: Any, fill: Callable[..., Any], passed: list[int]) -> Callable[..., Any]:
    """What compiles the function: a new array, which ``fill`` fills from the arguments with the numbers ``passed``."""

    def generate(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        kinds, given = [sig.args[k] for k in passed], [values[k] for k in passed]
        kind, value = next(pair for pair in zip(kinds, given, strict=True) if isinstance(pair[0], types.Array))
        shape = arrayobj.make_array(kind)(context, builder, value=value).shape
        made = new_array(context, builder, result, cgutils.unpack_tuple(builder, shape))._getvalue()
        context.compile_internal(builder, fill, signature(types.none, result, *kinds), (made, *given))
        return made

    return generate


def _filling(result: Any, kinds: dict[str, Any], element: str, defaults: dict[str, Any]) -> Callable[..., Any]:
    """The loop over the elements."""
    arrays = [name for name, kind in kinds.items() if isinstance(kind, types.Array)]
    indices = [f"k{axis}" for axis in range(result.ndim)]
    lines = [f"if {name}.shape != result.shape: raise ValueError('arrays of different shapes')" for name in arrays[1:]]
    depth = ""
    for axis, index in enumerate(indices):
        lines.append(f"{depth}for {index} in range(result.shape[{axis}]):")
        depth += "    "
    for name in arrays:
        lines.append(f"{depth}{name}_ = {name}[{', '.join(indices)}]")
        element = re.sub(rf"\b{name}\b", f"{name}_", element)
    lines.append(f"{depth}result[{', '.join(indices)}] = {element}")
    left_out = {name: value for name, value in defaults.items() if name not in kinds}
    kind = numpy_support.as_dtype(result.dtype).type
    return unrolled(", ".join(["result", *kinds]), lines, kind=kind, np=np, **left_out)
