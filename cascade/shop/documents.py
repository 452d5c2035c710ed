"""A listing as the JSON document that a shop would send to its search engine."""

from __future__ import annotations

import numpy as np
import orjson
from numpy.random import Generator
from numpy.typing import NDArray

from cascade.shop.lexicon import COLOUR, MATERIAL, Lexicon
from cascade.shop.listings import Listings
from cascade.shop.sellers import NEW_SELLER_DAYS, Sellers
from cascade.shop.spec import REFERENCE_EPOCH_S
from cascade.shop.wording import Wording

MATERIAL_GIVEN = 0.65
COLOUR_GIVEN = 0.85
# Fields that a document leaves out when it has no value for them.
OPTIONAL = ("brand", "colour", "material", "rating")


def document_ids(rows: NDArray[np.integer]) -> list[str]:
    """Return the document ids of rows of listings."""
    return [f"p{row:08d}" for row in rows.tolist()]


def write_documents(
    rng: Generator,
    first_row: int,
    listings: Listings,
    wording: Wording,
    shop: tuple[Sellers, Lexicon],
) -> bytes:
    """Return one block of listings as lines of JSON.

    Args:
        rng: Decides which structured attributes the sellers filled in.
        first_row: Row of the block's first listing.
        listings: The block.
        wording: Its texts.
        shop: The sellers and the vocabulary.
    """
    columns = _columns(rng, first_row, listings, wording, shop)
    names = tuple(columns)
    lines = []
    for row in zip(*columns.values(), strict=True):
        document = dict(zip(names, row, strict=True))
        for name in OPTIONAL:
            if document[name] is None:
                del document[name]
        lines.append(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)


def _columns(
    rng: Generator,
    first_row: int,
    listings: Listings,
    wording: Wording,
    shop: tuple[Sellers, Lexicon],
) -> dict[str, list[object]]:
    """Return every field's values, None where a listing has none."""
    sellers, lex = shop
    n = len(listings)
    seller = listings.seller
    age_days = sellers.age_days[seller]
    today = np.datetime64(REFERENCE_EPOCH_S, "s").astype("datetime64[D]")
    created = today - listings.age_days.astype("timedelta64[D]")
    departments = _names("department", lex)
    categories = _names("category", lex)
    paths = [
        [departments[at], category]
        for at, category in zip(lex.category_department, categories, strict=True)
    ]
    rating = np.where(np.isnan(listings.rating), 0.0, listings.rating)
    return {
        "id": document_ids(np.arange(first_row, first_row + n)),
        "title": [*wording.titles],
        "description": [*wording.descriptions],
        "tags": [*wording.tags],
        "category": [categories[at] for at in listings.filed.tolist()],
        "category_path": [paths[at] for at in listings.filed.tolist()],
        "brand": [sellers.brands[at] if at >= 0 else None for at in listings.brand.tolist()],
        "colour": _given(rng, listings.attributes[:, COLOUR], COLOUR_GIVEN, lex),
        "material": _given(rng, listings.attributes[:, MATERIAL], MATERIAL_GIVEN, lex),
        "price": _decimals(listings.price, 2),
        "margin": _decimals(listings.margin, 3),
        "seller": [sellers.ids[at] for at in seller.tolist()],
        "seller_name": [sellers.names[at] for at in seller.tolist()],
        "seller_age_days": age_days.tolist(),
        "new_seller": (age_days < NEW_SELLER_DAYS).tolist(),
        "stock": listings.stock.tolist(),
        "created": created.astype(str).tolist(),
        "rating": [value or None for value in _decimals(rating, 1)],
        "reviews": listings.reviews.tolist(),
        "photos": listings.photos.tolist(),
        "favourites": listings.favourites.tolist(),
        "one_of_a_kind": listings.one_of_a_kind.tolist(),
    }


def _names(kind: str, lex: Lexicon) -> list[str]:
    return [lex.canonical(concept) for concept in range(*lex.spans[kind])]


def _given(rng: Generator, concepts: NDArray[np.int16], share: float, lex: Lexicon) -> list[object]:
    """Return canonical names of the attributes that the sellers filled in."""
    given = np.where(rng.random(len(concepts)) < share, concepts, -1)
    names = [*(lex.canonical(concept) for concept in range(len(lex.first_form))), None]
    return [names[at] for at in given.tolist()]


def _decimals(values: NDArray[np.floating], digits: int) -> list[float]:
    # In double precision first, so that the JSON shows 12.99 and not 12.989999771.
    rounded: list[float] = np.round(values.astype(np.float64), digits).tolist()
    return rounded
