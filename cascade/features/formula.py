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
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from cascade.candidates import Float32, Float64
from cascade.errors import nearest

MAX_CHARACTERS = 1000
MAX_DEPTH = 40

Operation = Callable[..., Any]


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


@dataclass(frozen=True)
class Formula:
    """Hold a parsed formula.

    Attributes:
        text: As it was written.
        names: The features it reads, in order of appearance.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    def of(self, columns: Mapping[str, Float32]) -> Float32:
        """Return float32[n] of columns float32[n]; computed in float64."""
        wide = {name: columns[name].astype(np.float64) for name in self.names}
        with np.errstate(all="ignore"):
            values = np.asarray(_value(self._tree, wide), dtype=np.float64).astype(np.float32)
        values = np.where(np.isfinite(values), values, np.float32(np.nan))
        n = next((len(column) for column in columns.values()), 0)
        return values if values.ndim else np.full(n, values, dtype=np.float32)


def parse_formula(text: str) -> Formula:
    """Parse a formula.

    Raises:
        ValueError: With the position (1-based) of what is not accepted.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"formula has {len(text)} characters; accepted are {MAX_CHARACTERS}")
    if not text.isascii() or "\n" in text or "\0" in text:
        raise ValueError("formula must be one line of ASCII; " + _ACCEPTED)
    shift = len(text) - len(text.lstrip())
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        position = shift + (error.offset or 1)
        raise ValueError(f"formula, position {position}: {error.msg}; {_ACCEPTED}") from None
    except (MemoryError, RecursionError, ValueError):
        raise ValueError(f"formula is nested too deep; accepted are {MAX_DEPTH} levels") from None
    names: dict[str, None] = {}
    _check(tree, names, shift, 0)
    if not names:
        raise ValueError("formula names no feature; a constant says nothing")
    return Formula(text, tuple(names), tree)


def _check(node: ast.expr, names: dict[str, None], shift: int, depth: int) -> None:
    def refuse(message: str, at: ast.expr = node) -> ValueError:
        return ValueError(f"formula, position {shift + at.col_offset + 1}: {message}")

    if depth > MAX_DEPTH:
        raise refuse(f"nested deeper than {MAX_DEPTH} levels")
    inner: list[ast.expr] = []
    if isinstance(node, ast.Constant):
        if type(node.value) not in (int, float) or not _finite(node.value):
            raise refuse(f"{ast.unparse(node)[:40]} is no finite number; {_ACCEPTED}")
    elif isinstance(node, ast.Name):
        names[node.id] = None
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        inner = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        inner = [node.operand]
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in _OPERATORS:
        if len(node.ops) > 1:
            raise refuse("a comparison has two sides; multiply two comparisons for both")
        inner = [node.left, node.comparators[0]]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        inner = node.args
        function = FUNCTIONS.get(node.func.id)
        if function is None:
            raise refuse(f"{node.func.id!r} is no function; {nearest(node.func.id, FUNCTIONS)}")
        if node.keywords or not function.fewest <= len(inner) <= function.most:
            raise refuse(f"{node.func.id} takes {function.takes}")
    else:
        raise refuse(f"{ast.unparse(node)[:40]!r} is not accepted; {_ACCEPTED}")
    for part in inner:
        _check(part, names, shift, depth + 1)


def _finite(number: Any) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _value(node: ast.expr, columns: Mapping[str, Float64]) -> Any:
    match node:
        case ast.Constant(value=value):
            return np.float64(float(value))  # type: ignore[arg-type]
        case ast.Name(id=name):
            return columns[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATORS[type(op)](_value(left, columns), _value(right, columns))
        case ast.UnaryOp(op=op, operand=operand):
            return _OPERATORS[type(op)](_value(operand, columns))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _OPERATORS[type(op)](_value(left, columns), _value(right, columns))
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name].compute(*(_value(arg, columns) for arg in args))
    raise AssertionError(f"{ast.dump(node)} passed the check")
