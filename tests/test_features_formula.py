"""Formulas: what they compute, and what they refuse and where."""

import math

import numpy as np
import pytest

from cascade.features import parse_formula

NAN = math.nan
COLUMNS = {
    "a": np.array([1, 4, -2, NAN], dtype=np.float32),
    "b": np.array([2, 0, 0.5, 1], dtype=np.float32),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", [3, 4, -1.5, NAN]),
        ("a - 2 * b", [-3, 4, -3, NAN]),
        ("-(a - 2) * +b", [2, 0, 2, NAN]),
        ("a / b", [0.5, NAN, -4, NAN]),
        ("b / b", [1, NAN, 1, 1]),
        ("log1p(a)", [math.log(2), math.log(5), NAN, NAN]),
        ("sqrt(a)", [1, 2, NAN, NAN]),
        ("abs(a)", [1, 4, 2, NAN]),
        ("min(a, b)", [1, 0, -2, NAN]),
        ("max(a, b, 1.5)", [2, 4, 1.5, NAN]),
        ("a > b", [0, 1, 0, NAN]),
        ("a >= 1", [1, 1, 0, NAN]),
        ("(a < b) + (a <= 4) + (a == 4) + (a != 4)", [3, 2, 3, NAN]),
        ("where(a > b, a, b)", [2, 4, 0.5, 1]),
        ("where(b, a, 7)", [1, 7, -2, NAN]),
        ("missing(a)", [0, 0, 0, 1]),
        ("where(missing(a), 0, a)", [1, 4, -2, 0]),
        ("1e300 * 1e10 * a", [NAN, NAN, NAN, NAN]),
        ("  a * 1e-1 ", [0.1, 0.4, -0.2, NAN]),
        ("1e38 * 10 * b", [NAN, 0, NAN, NAN]),
    ],
)
def test_formulas(text, expected):
    found = parse_formula(text).of(COLUMNS)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_names_stand_in_order_of_appearance():
    assert parse_formula("b + log1p(a) + b").names == ("b", "a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a ** 2", r"position 1: 'a \*\* 2' is not accepted; accepted: numbers"),
        ("a + b.c", "position 5: 'b.c' is not accepted"),
        ("1 + a[0]", r"position 5: 'a\[0\]' is not accepted"),
        ("__import__('os')", "position 1: '__import__' is no function"),
        ("a + log(a)", "position 5: 'log' is no function; did you mean 'log1p'"),
        ("a.b(1)", "position 1: 'a.b' is no function"),
        ("a % 2", "position 1"),
        ("a // 2", "position 1"),
        ("a and b", "position 1"),
        ("not a", "position 1"),
        ("a if b else a", "position 1"),
        ("a + (lambda: 1)", "position 6"),
        ("[a]", "position 1"),
        ("a + 'x'", "position 5: 'x' is no finite number"),
        ("a + True", "position 5: True is no finite number"),
        ("a + 2j", "position 5: 2j is no finite number"),
        ("a + 1e999", "position 5: 1e309 is no finite number"),
        ("a + None", "position 5"),
        ("1 < a < 2", "position 1: a comparison has two sides"),
        ("a is b", "position 1"),
        ("a in b", "position 1"),
        ("abs(a, b)", "position 1: abs takes 1 argument"),
        ("min(a)", "position 1: min takes 2 or more arguments"),
        ("where(a, b)", "position 1: where takes 3 arguments"),
        ("where(a, *b)", "position 1: where takes 3 arguments"),
        ("where(a, b, *b)", r"position 13: '\*b' is not accepted"),
        ("abs(x=a)", "position 1: abs takes 1 argument"),
        ("a + ", "position 4"),
        ("a b", "position 1|position 3"),
        ("(a := 1)", "position 2"),
        ("", "position 1"),
        ("3 + 4", "names no feature"),
        ("a + \u00e4", "ASCII"),
        ("a\n+ b", "ASCII"),
        ("a" * 1001, "1001 characters; accepted are 1000"),
        ("-" * 60 + "a", "nested deeper than 40 levels"),
        ("(" * 400 + "a" + ")" * 400, "formula"),
        ("9" * 900 + " * a", "no finite number"),
    ],
)
def test_everything_else_is_refused_with_its_position(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_formula(text)
    assert "formula" in str(caught.value)
