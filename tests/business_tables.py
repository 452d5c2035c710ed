"""Tables `[business]` of tests, and the schema of the documents that they are for."""

from cascade.schema import Field, Kind, Schema

SCHEMA = Schema(
    "id",
    (
        Field("title", Kind.TEXT),
        Field("seller", Kind.KEYWORD),
        Field("price", Kind.NUMBER),
        Field("margin", Kind.NUMBER),
        Field("stock", Kind.NUMBER),
        Field("seller_age_days", Kind.NUMBER),
        Field("added", Kind.DATE),
    ),
)


def objective(**settings):
    """Return a table of one objective."""
    return {"objectives": [settings]}


def rule(**settings):
    """Return a table of one rule, whose name is `r`."""
    return {"rules": [{"name": "r", **settings}]}
