"""Rules and filters over few fields, and one row of every kind: what tests of rule sets share."""

from hypothesis import strategies as st
from memory_documents import MemoryDocuments, candidates

from cascade.business.rules import AtLeast, AtMost, Pin
from cascade.filters import parse

FIELDS = {"seller": "keyword", "brand": "keyword", "stock": "number", "sku": "keyword"}
SCHEMA = MemoryDocuments(FIELDS, []).schema


def where(raw):
    """Return a filter."""
    return parse(raw, SCHEMA)


OWN = where({"brand": "own"})
SELLERS = {"seller": ["a", "b"]}


def pin(name="pin", scope=None, **slots):
    """Return a rule that puts documents to slots."""
    return Pin(name=name, slots=tuple(slots.items()), **(scope or {}))


def floor(count, top, raw=SELLERS, name="floor"):
    """Return a rule that asks for so many rows, of two sellers unless it is told of whom."""
    return AtLeast(name=name, where=where(raw), count=count, top=top)


def limit(count, top, where=None):
    """Return a rule that allows so many rows of a seller."""
    chosen = None if where is None else parse(where, SCHEMA)
    return AtMost(name="limit", field="seller", count=count, top=top, where=chosen)


NUMBERS = st.integers(0, 3).map(float)
CONDITIONS = st.one_of(
    st.lists(NUMBERS, min_size=1, max_size=2).map(lambda v: {"stock": v}),
    st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS, min_size=1).map(
        lambda b: {"stock": b}
    ),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map(lambda v: {"seller": v}),
)
FILTERS = st.one_of(CONDITIONS, CONDITIONS.map(lambda c: {"not": c}))
EVERY_ROW = candidates(
    MemoryDocuments(
        FIELDS,
        [
            {"seller": list(sellers), **({} if stock is None else {"stock": stock})}
            for sellers in ("", "a", "b", "c", "ab", "bc")
            for stock in (None, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
        ],
    ),
    ("q", range(48)),
)
