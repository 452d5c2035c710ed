"""What a request must be before anything is asked of an engine."""

from __future__ import annotations

from cascade.business import Business
from cascade.candidates import Query
from cascade.errors import QueryError, nearest
from cascade.pipeline.trace import MAX_DEPTH, MAX_SIZE, PageRequest
from cascade.schema import Kind, Schema

MAX_TEXT = 10_000


def check(query: Query, request: PageRequest, schema: Schema, business: Business | None) -> None:
    """Refuse a query or a page request that cannot be served.

    Raises:
        QueryError: Saying what was given and what is accepted.
    """
    _check_query(query)
    if not 1 <= request.size <= MAX_SIZE:
        raise QueryError(f"size is {request.size}; accepted are 1 to {MAX_SIZE}")
    if request.offset < 0 or request.offset + request.size > MAX_DEPTH:
        raise QueryError(
            f"offset {request.offset} with size {request.size} is not acceptable; "
            f"accepted are pages that end at rank {MAX_DEPTH:,} or before"
        )
    _check_fields(request, schema)
    if business is not None:
        business.preference(query)
    elif query.preference:
        raise QueryError("a preference was given, and this cascade has no business layer")


def _check_query(query: Query) -> None:
    if len(query.text) > MAX_TEXT:
        raise QueryError(
            f"text has {len(query.text):,} characters; accepted are up to {MAX_TEXT:,}"
        )
    if not query.text.strip() and not query.filters.parts:
        raise QueryError(
            "text is empty and there are no filters; accepted are a text, or filters alone "
            "to browse what passes them"
        )


def _check_fields(request: PageRequest, schema: Schema) -> None:
    keywords = [f.name for f in schema.of_kind(Kind.KEYWORD)]
    numbers = [f.name for f in schema.filterable.values() if f.kind is not Kind.KEYWORD]
    texts = [f.name for f in schema.of_kind(Kind.TEXT)]
    sort = (request.sort.field,) if request.sort else ()
    collapse = (request.collapse,) if request.collapse is not None else ()
    for what, names, valid in (
        ("facets", request.facets, list(schema.faceted)),
        ("collapse", collapse, keywords),
        ("sort", sort, numbers),
        ("highlight", request.highlight, texts),
    ):
        for name in names:
            if name not in valid:
                raise QueryError(f"{what}: {name!r} cannot be used; {nearest(name, valid)}")
