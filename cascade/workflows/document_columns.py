"""Fields of documents, as business measures read them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cascade.candidates import Documents, Float64, Int32
from cascade.config import Config
from cascade.errors import InputError, nearest
from cascade.measures import Columns, Exposure, Position, over, parse_business_measure
from cascade.protocols import Measure
from cascade.schema import Kind, Schema

_NUMBERS = (Kind.NUMBER, Kind.DATE)


def business_measures(config: Config, documents: Documents) -> tuple[Measure, ...]:
    """Return the business measures of a configuration over its documents.

    Raises:
        InputError: If a field is not in the schema, or not of a kind that the measure can read.
    """
    measures = [parse_business_measure(w) for w in config.settings.evaluation.business_measures]
    for measure in measures:
        if not isinstance(measure, Position):
            value = measure.value if isinstance(measure, Exposure) else ""
            _check(documents.schema, str(measure), measure.field, value)
    columns = columns_of(documents)
    return tuple(over(measure, columns) for measure in measures)


def columns_of(documents: Documents) -> Columns:
    """Return what reads fields of documents by their ids; an unknown document has no value."""

    def read(field: str, value: str, ids: Sequence[str]) -> Float64:
        # A report asks for the same few thousand documents again and again.
        distinct, at = np.unique(np.array(ids, dtype=object).astype(str), return_inverse=True)
        rows = documents.rows(distinct.tolist())
        if not value:
            column: Float64 = documents.numbers([field], rows)[:, 0]
            return column[at]
        return _has(documents, field, value, rows)[at]

    return read


def _has(documents: Documents, field: str, value: str, rows: Int32) -> Float64:
    codes = documents.keywords(field, rows)
    mine = codes.values == documents.keyword_codes(field, [value])[0]
    found = np.zeros(len(rows))
    found[codes.owners()[mine]] = 1.0
    return found


def _check(schema: Schema, measure: str, field: str, value: str) -> None:
    kinds = {f.name: f.kind for f in schema.fields}
    fitting = [n for n, kind in kinds.items() if (kind is Kind.KEYWORD) == bool(value)]
    fitting = fitting if value else [n for n in fitting if kinds[n] in _NUMBERS]
    if field not in fitting:
        what = "keyword field" if value else "number field"
        raise InputError(
            f"evaluation.business_measures: {measure}: the schema has no {what} {field!r}; "
            + (nearest(field, fitting) if fitting else f"it has no {what} at all")
        )
