"""Literals as kernels need them: integers beside float32, and lists for ``np.array``.

Integers that an author writes beside float32 leave it float32: ``2 * s.x[i]``, ``s.v[i] / 50``, ``s.x[i] > 4``.

So does NumPy 2 with Python's numbers. Numba takes them for int64, and would compute in float64, at half the speed.
Before it infers types, each constant integer of an operation becomes ``beside(number, other operand)``: the number in
float32 where the other operand is float32, if it has the same value there, and the number itself everywhere else.

A list would need memory; where it is written only to be made an array, ``np.array([s.x[i], 1.0])``, it becomes a tuple.

Leans on Numba's intermediate representation, and on which of its passes come before and after.
"""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np
from numba.core import ir, types
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import get_definition, guard
from numba.extending import intrinsic

EXACT = 2**24
"""Integers up to this are the same in float32."""

_OPERATORS = frozenset(
    {operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod}
    | {operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne}
)
_FUNCTIONS = frozenset(
    {
        "min", "max", "minimum", "maximum", "fmin", "fmax", "where", "add", "subtract", "multiply", "divide", "mod",
        "true_divide", "remainder", "fmod", "floor_divide", "power", "pow", "hypot", "arctan2", "atan2", "copysign",
        "divmod",
    }
)  # fmt: skip
"""Names of Python's, math's and NumPy's whose arguments are operands in the same way."""


@intrinsic(prefer_literal=True)
def beside(typing_context, number, other):
    """``number``, in float32 beside float32 or an array of it."""
    kind = getattr(other, "dtype", other)
    if kind == types.float32 and isinstance(number, types.IntegerLiteral) and abs(number.literal_value) <= EXACT:
        value = float(number.literal_value)

        def in_float32(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return context.get_constant(types.float32, value)

        return types.float32(number, other), in_float32

    def as_it_is(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return number(number, other), as_it_is


@register_pass(mutates_CFG=False, analysis_only=False)
class LiteralsBesideFloat32(FunctionPass):
    """The pass over Numba's intermediate representation."""

    _name = "literals_beside_float32"

    def __init__(self) -> None:  # abstract in Numba
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        found = False
        for block in state.func_ir.blocks.values():
            body: list[Any] = []
            for statement in block.body:
                if isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Expr):
                    added = _Operation(state.func_ir, block.scope, statement.value).converted()
                    found |= bool(added)
                    body += added
                body.append(statement)
            block.body = body
        return found


@register_pass(mutates_CFG=False, analysis_only=False)
class ListsForArrays(FunctionPass):
    """The pass that comes before all that Numba does with lists."""

    _name = "lists_for_arrays"

    def __init__(self) -> None:  # abstract in Numba
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        found = False
        for block in state.func_ir.blocks.values():
            for expression in block.find_exprs(op="call"):
                if expression.args and called_name(state.func_ir, expression) in ("array", "asarray"):
                    found |= _as_tuple(state.func_ir, expression.args[0])
        return found


def _as_tuple(func_ir: Any, variable: ir.Var) -> bool:
    """Make a list that has no name of its own a tuple, and those in it; whether it is one."""
    definition = guard(get_definition, func_ir, variable)
    is_list = variable.name.startswith("$") and isinstance(definition, ir.Expr) and definition.op == "build_list"
    if is_list:
        definition.op = "build_tuple"
        for item in definition.items:
            _as_tuple(func_ir, item)
    return is_list


def called_name(func_ir: Any, call: ir.Expr) -> str:
    """Name of the function of Python's, math's or NumPy's that is called, or nothing."""
    definition = guard(get_definition, func_ir, call.func)
    if isinstance(definition, ir.Expr) and definition.op == "getattr":
        owner = _constant(guard(get_definition, func_ir, definition.value))
        return str(definition.attr) if getattr(owner, "__name__", "") in ("numpy", "math") else ""
    value = _constant(definition)
    name = str(getattr(value, "__name__", getattr(value, "_name", "")))
    is_ours = type(value).__name__ == "_Intrinsic"  # from numpy import array
    return name if is_ours or any(vars(owner).get(name, owner) is value for owner in (builtins, math, np)) else ""


def _constant(definition: Any) -> Any:
    return definition.value if isinstance(definition, ir.Global | ir.FreeVar) else None


class _Operation:
    """One expression, and the variables it is of."""

    def __init__(self, func_ir: Any, scope: Any, expression: ir.Expr) -> None:
        self._func_ir, self._scope, self._expression = func_ir, scope, expression

    def converted(self) -> list[Any]:
        """Have the constants converted; the statements that do so, which have to come before."""
        expression = self._expression
        if expression.op in ("binop", "inplace_binop"):
            if expression.op == "binop" and expression.fn not in _OPERATORS:
                return []
            if expression.op == "inplace_binop" and expression.immutable_fn not in _OPERATORS:
                return []
            added: list[Any] = []
            if self._is_whole(expression.rhs):
                expression.rhs = self._beside(expression.rhs, expression.lhs, added)
            elif expression.op == "binop" and self._is_whole(expression.lhs):
                expression.lhs = self._beside(expression.lhs, expression.rhs, added)
            return added
        if expression.op == "call" and not expression.kws and expression.vararg is None:
            return self._of_call()
        return []

    def _of_call(self) -> list[Any]:
        operands = list(self._expression.args)
        whole = [self._is_whole(operand) for operand in operands]
        if len(operands) < 2 or not any(whole):
            return []
        name = called_name(self._func_ir, self._expression)
        if name not in _FUNCTIONS:
            return []
        first = 1 if name == "where" else 0
        other = next((o for o, is_whole in zip(operands[first:], whole[first:], strict=True) if not is_whole), None)
        added: list[Any] = []
        if other is not None:
            for k in range(first, len(operands)):
                if whole[k]:
                    operands[k] = self._beside(operands[k], other, added)
            self._expression.args = tuple(operands)
        return added

    def _is_whole(self, variable: Any) -> bool:
        definition = guard(get_definition, self._func_ir, variable)
        return isinstance(definition, ir.Const | ir.Global | ir.FreeVar) and type(definition.value) is int

    def _beside(self, number: ir.Var, other: ir.Var, added: list[Any]) -> ir.Var:
        loc = self._expression.loc
        function = self._scope.redefine("$beside", loc)
        result = self._scope.redefine("$number", loc)
        for target, value in (
            (function, ir.Global("beside", beside, loc)),
            (result, ir.Expr.call(function, (number, other), (), loc)),
        ):
            added.append(ir.Assign(value, target, loc))
            self._func_ir._definitions[target.name].append(value)
        return result
