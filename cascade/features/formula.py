"""Arithmetic over named columns: parsed once against a closed list, never run as Python.

| written | meaning |
| --- | --- |
| `a + b`, `a - b`, `a * b`, `a / b`, `-a`, `(a)` | arithmetic |
| `a < b`, `<=`, `>`, `>=`, `==`, `!=` | 1 where it holds, else 0; NaN where a side is missing |
| `log1p(a)`, `sqrt(a)`, `abs(a)` | ln(1 + a), square root, absolute value |
| `min(a, b, ...)`, `max(a, b, ...)` | the smallest and largest, NaN where one is missing |
| `where(c, a, b)` | a where c is neither 0 nor missing, else b |
| `missing(a)` | 1 where a is missing, else 0 |

A name is a feature. A result that is no finite number (1 / 0, sqrt(-1)) is missing (NaN).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np

from cascade.candidates import Float32, Float64
from cascade.errors import nearest

MAX_CHARACTERS = 1000
MAX_DEPTH = 40

Operation: TypeAlias = Callable[..., Float64]


def _where(condition: Float64, then: Float64, otherwise: Float64) -> Float64:
    return np.where((condition != 0) & ~np.isnan(condition), then, otherwise)


def _missing(values: Float64) -> Float64:
    return np.isnan(values).astype(np.float64)


def _comparing(operation: Operation) -> Operation:
    def compare(left: Float64, right: Float64) -> Float64:
        return np.where(np.isnan(left) | np.isnan(right), np.nan, operation(left, right))

    return compare


def _least(*values: Float64) -> Float64:
    return reduce(np.minimum, values)


def _largest(*values: Float64) -> Float64:
    return reduce(np.maximum, values)


@dataclass(frozen=True, slots=True)
class Function:
    """Describe a function: what it computes and how many arguments it takes."""

    compute: Operation
    fewest: int
    most: int

    @property
    def takes(self) -> str:
        """How many arguments, in words."""
        if self.fewest == self.most:
            return f"{self.fewest} argument{'s' if self.fewest > 1 else ''}"
        return f"{self.fewest} or more arguments"


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(np.abs, 1, 1),
    "log1p": Function(np.log1p, 1, 1),
    "max": Function(_largest, 2, MAX_CHARACTERS),
    "min": Function(_least, 2, MAX_CHARACTERS),
    "missing": Function(_missing, 1, 1),
    "sqrt": Function(np.sqrt, 1, 1),
    "where": Function(_where, 3, 3),
}
_OPERATORS: Mapping[type[ast.AST], Operation] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Lt: _comparing(np.less),
    ast.LtE: _comparing(np.less_equal),
    ast.Gt: _comparing(np.greater),
    ast.GtE: _comparing(np.greater_equal),
    ast.Eq: _comparing(np.equal),
    ast.NotEq: _comparing(np.not_equal),
}
_ACCEPTED = f"accepted: numbers, features, + - * / ( ), comparisons, {', '.join(FUNCTIONS)}"


@dataclass(frozen=True, slots=True)
class _Step:
    """Compute something from other nodes."""

    compute: Operation
    inputs: tuple[_Node, ...]


_Node: TypeAlias = _Step | str | float
"""A step, the name of a feature, or a number."""


@dataclass(frozen=True)
class Formula:
    """Hold a parsed formula.

    Attributes:
        text: As it was written.
        names: The features it reads, in order of appearance.
    """

    text: str
    names: tuple[str, ...]
    _node: _Node

    def of(self, columns: Mapping[str, Float32]) -> Float32:
        """Return float32[n] of columns float32[n]; computed in float64."""
        wide = {name: columns[name].astype(np.float64) for name in self.names}
        with np.errstate(all="ignore"):
            values = _value(self._node, wide).astype(np.float32)
        finite: Float32 = np.where(np.isfinite(values), values, np.float32(np.nan))
        return finite


def parse_formula(text: str) -> Formula:
    """Parse a formula.

    Raises:
        ValueError: With the position (1-based) of what is not accepted.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"formula: has {len(text)} characters; accepted are {MAX_CHARACTERS}")
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"formula: is not one line of ASCII; {_ACCEPTED}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        place = f"formula, position {error.offset or len(text.strip()) + 1}"
        raise ValueError(f"{place}: {error.msg}; {_ACCEPTED}") from None
    except (MemoryError, RecursionError):
        raise ValueError(f"formula: nested deeper than {MAX_DEPTH} levels") from None
    names: dict[str, None] = {}
    node = _checked(tree, names, 0)
    if not names:
        raise ValueError("formula: names no feature; a constant says nothing of a document")
    return Formula(text.strip(), tuple(names), node)


def _checked(tree: ast.expr, names: dict[str, None], depth: int) -> _Node:
    if depth > MAX_DEPTH:
        raise _refused(tree, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(tree, ast.Name):
        names[tree.id] = None
        return tree.id
    if isinstance(tree, ast.Constant):
        return _number(tree)
    operation, inner = _called(tree) if isinstance(tree, ast.Call) else _operation(tree)
    return _Step(operation, tuple(_checked(part, names, depth + 1) for part in inner))


def _number(tree: ast.Constant) -> float:
    # Parsing bounds the digits, but an exponent or a long integer can still pass float64.
    if type(tree.value) in (int, float) and abs(tree.value) <= sys.float_info.max:  # type: ignore[arg-type]
        return float(tree.value)  # type: ignore[arg-type]
    raise _refused(tree, f"{ast.unparse(tree)[:40]} is no finite number; {_ACCEPTED}")


def _operation(tree: ast.expr) -> tuple[Operation, list[ast.expr]]:
    if isinstance(tree, ast.BinOp) and type(tree.op) in _OPERATORS:
        return _OPERATORS[type(tree.op)], [tree.left, tree.right]
    if isinstance(tree, ast.UnaryOp) and type(tree.op) in _OPERATORS:
        return _OPERATORS[type(tree.op)], [tree.operand]
    if isinstance(tree, ast.Compare) and len(tree.ops) > 1:
        raise _refused(tree, "a comparison has two sides; multiply two comparisons for both")
    if isinstance(tree, ast.Compare) and type(tree.ops[0]) in _OPERATORS:
        return _OPERATORS[type(tree.ops[0])], [tree.left, tree.comparators[0]]
    raise _refused(tree, f"{ast.unparse(tree)[:40]!r} is not accepted; {_ACCEPTED}")


def _called(tree: ast.Call) -> tuple[Operation, list[ast.expr]]:
    name = ast.unparse(tree.func)[:40]
    function = FUNCTIONS.get(name)
    if function is None:
        raise _refused(tree, f"{name!r} is no function; {nearest(name, FUNCTIONS)}")
    if tree.keywords or not function.fewest <= len(tree.args) <= function.most:
        raise _refused(tree, f"{name} takes {function.takes}")
    return function.compute, tree.args


def _refused(tree: ast.expr, message: str) -> ValueError:
    return ValueError(f"formula, position {tree.col_offset + 1}: {message}")


def _value(node: _Node, columns: Mapping[str, Float64]) -> Float64:
    if isinstance(node, str):
        return columns[node]
    if isinstance(node, _Step):
        return node.compute(*(_value(part, columns) for part in node.inputs))
    return np.asarray(node)
