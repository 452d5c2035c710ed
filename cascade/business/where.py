"""Which candidates a filter accepts, from the columns of their documents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Float64, Ragged
from cascade.filters import AllOf, AnyOf, Exists, Filter, In, Not, Range
from cascade.schema import Kind

Bool = NDArray[np.bool_]


def matches(tree: Filter, candidates: Candidates) -> Bool:
    """Return which rows a filter accepts, bool[n], as an engine would decide.

    A document without a value, and one that the catalogue does not have, meets no condition on
    the field; it meets the `Not` of one.
    """
    if isinstance(tree, AllOf):
        accepted = np.ones(len(candidates), dtype=np.bool_)
        for part in tree.parts:
            accepted &= matches(part, candidates)
        return accepted
    if isinstance(tree, AnyOf):
        accepted = np.zeros(len(candidates), dtype=np.bool_)
        for part in tree.parts:
            accepted |= matches(part, candidates)
        return accepted
    if isinstance(tree, Not):
        return ~matches(tree.inner, candidates)
    if candidates.documents.schema.by_name[tree.field].kind is Kind.KEYWORD:
        return _keyword(tree, candidates)
    return _number(tree, number_of(candidates, tree.field))


def number_of(candidates: Candidates, name: str) -> Float64:
    """Return a number or date field of each row, float64[n], NaN where absent.

    It is kept with the candidates as ("number", name), the plain column of the documents, so that
    what an earlier stage has read is not read again.
    """

    def read(asked: Candidates) -> NDArray[np.generic]:
        return asked.documents.numbers((name,), asked.rows)[:, 0]

    return candidates.derived(("number", name), read).astype(np.float64, copy=False)


def listed(values: Ragged, codes: NDArray[np.int32]) -> Bool:
    """Return which lists hold at least one of these codes, bool[n]; no list holds -1."""
    found = np.zeros(len(values.offsets) - 1, dtype=np.bool_)
    # One comparison is many times faster than a search in a set of one.
    held = values.values == codes[0] if len(codes) == 1 else np.isin(values.values, codes)
    found[values.owners()[held]] = True
    return found


def _keyword(tree: In | Range | Exists, candidates: Candidates) -> Bool:
    documents = candidates.documents
    values = documents.keywords(tree.field, candidates.rows)
    if isinstance(tree, Exists):
        return values.lengths > 0
    # The grammar gives a keyword field no range.
    assert isinstance(tree, In)
    codes = documents.keyword_codes(tree.field, [str(value) for value in tree.values])
    return listed(values, codes)


def _number(tree: In | Range | Exists, column: Float64) -> Bool:
    present = ~np.isnan(column)
    if isinstance(tree, Exists):
        return present
    if isinstance(tree, In):
        return np.isin(column, np.array(tree.values, dtype=np.float64))
    if tree.gt is not None:
        present &= column > tree.gt
    if tree.gte is not None:
        present &= column >= tree.gte
    if tree.lt is not None:
        present &= column < tree.lt
    if tree.lte is not None:
        present &= column <= tree.lte
    return present
