"""What a page shows of a document that was read from a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cascade.engines.highlight import highlighted
from cascade.errors import DocumentError
from cascade.protocols import PageDocument
from cascade.schema import Schema
from cascade.text import Analyser


def page_document(
    raw: Mapping[str, Any],
    fields: Sequence[str] | None,
    terms: Mapping[str, Sequence[str]],
    schema: Schema,
    analysers: Mapping[str, Analyser],
) -> PageDocument:
    """Return the fields of a document and its texts with their matches marked.

    Args:
        raw: The document as it was given; one of others that the schema does not accept is not
            marked.
        fields: Its keys that are shown; None shows all.
        terms: What is marked in each text field.
        schema: Finds the texts in the document.
        analysers: The analyser of each text field.
    """
    kept = raw if fields is None else {name: raw[name] for name in fields if name in raw}
    if not terms:
        return PageDocument(kept)
    try:
        texts = schema.document(raw).texts
    except DocumentError:
        return PageDocument(kept)
    marked = {}
    for name, found in terms.items():
        fragment = highlighted(texts.get(name, ()), found, analysers[name])
        if fragment is not None:
            marked[name] = fragment
    return PageDocument(kept, marked)
