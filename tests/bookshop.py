"""A shop of 120 books in a real catalogue and a real embedded index, for tests of higher floors."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.engines._embedded.writer import EmbeddedWriter
from cascade.engines.embedded import EmbeddedEngine
from cascade.schema import Schema, parse_schema

SCHEMA = """
id = "id"
[fields.title]
type = "text"
boost = 2.0
[fields.blurb]
type = "text"
[fields.genre]
type = "keyword"
[fields.seller]
type = "keyword"
analyser = "plain"
[fields.price]
type = "number"
[fields.stock]
type = "number"
[fields.margin]
type = "number"
[fields.released]
type = "date"
"""
GENRES = ("crime", "travel", "poetry", "cooking")
WORDS = ("river", "winter", "garden", "silver", "night", "road", "salt", "stone")


@dataclass(frozen=True)
class Bookshop:
    """Hold the shop's parts; `books` are its documents as they were given, by row."""

    schema: Schema
    engine: EmbeddedEngine
    catalogue: Catalogue
    books: list[dict]


def books(count: int = 120) -> list[dict]:
    """Return books whose every value follows from their number."""
    made = []
    for i in range(count):
        first, second = WORDS[i % 8], WORDS[(i // 8 + 3 * i) % 8]
        book = {
            "id": f"b{i:03d}",
            "title": f"{first} {second} stories {i}",
            "blurb": f"a {GENRES[i % 4]} book about the {second} and the {WORDS[(i * 5) % 8]}",
            "genre": [GENRES[i % 4]],
            "seller": f"s{i % 10}",
            "price": float(5 + i % 23),
            "stock": i % 5,
            "margin": (i % 9) / 10,
            "released": f"20{10 + i % 15}-01-15",
        }
        if i % 11 == 0:
            del book["price"], book["genre"]
        made.append(book)
    return made


def schema() -> Schema:
    """Return the shop's schema."""
    return parse_schema(tomllib.loads(SCHEMA), Path("schema.toml"))


def open_bookshop(folder: Path, documents: list[dict] | None = None) -> Bookshop:
    """Build the shop in a folder and open it."""
    fields, given = schema(), documents if documents is not None else books()
    with CatalogueWriter(folder / "catalogue", fields, "books-000001") as catalogue:
        writer = EmbeddedWriter(folder / "engine", fields)
        for row, raw in enumerate(given):
            document = fields.document(raw)
            writer.add(row, document, catalogue.add(document))
        catalogue.finish()
        writer.finish()
    opened = Catalogue.open(folder / "catalogue", fields)
    return Bookshop(fields, EmbeddedEngine(folder / "engine", fields, opened), opened, given)
