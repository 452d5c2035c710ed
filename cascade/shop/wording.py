"""How sellers describe their listings: titles, tags and descriptions, honest or stuffed.

A listing's words are drawn as indices of forms, so that the text and the lexical index of the
generator come from the same arrays, and the text is joined without a loop over rows.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cascade.shop import phrases
from cascade.shop.lexicon import (
    ATTRIBUTE_KINDS,
    CANONICAL_SHARE,
    COLOUR,
    MATERIAL,
    MOTIF,
    OCCASION,
    PRICE,
    RECIPIENT,
    STYLE,
    Lexicon,
)
from cascade.shop.listings import Listings
from cascade.shop.sellers import Sellers

TYPE = len(ATTRIBUTE_KINDS)
# Chance that a title, or a tag, says an attribute that the listing has.
TITLE_SAYS = (0.65, 0.45, 0.6, 0.75, 0.35, 0.4, 0.15)
TAGS_SAY = (0.5, 0.4, 0.55, 0.55, 0.5, 0.5, 0.3)
DEPARTMENT_TAG = 0.3
OTHER_FORM_TAG = 0.35
DIALECT_SHARE = 0.7
BRAND_IN_TITLE = 0.2
# Columns of a title in the order in which they are read.
TITLE_ORDERS = np.array(
    [
        [PRICE, STYLE, COLOUR, MATERIAL, MOTIF, TYPE],
        [STYLE, MOTIF, MATERIAL, PRICE, TYPE, COLOUR],
        [MATERIAL, TYPE, MOTIF, STYLE, COLOUR, PRICE],
        [COLOUR, MOTIF, TYPE, MATERIAL, PRICE, STYLE],
    ]
)
SLOTS = tuple(phrases.FALLBACKS)
_SLOT_COLUMNS = {"type": TYPE} | {name: column for column, name in enumerate(ATTRIBUTE_KINDS)}


@dataclass(frozen=True)
class Wording:
    """Hold the text of a block of listings, and the forms it consists of.

    Attributes:
        titles: One a listing.
        tags: Texts of each listing's tags.
        descriptions: One a listing.
        title_forms: `int16[n, a]`, -1 for none.
        tag_forms: `int16[n, b]`.
        description_forms: `int16[n, c]`.
    """

    titles: list[str]
    tags: list[list[str]]
    descriptions: list[str]
    title_forms: NDArray[np.int16]
    tag_forms: NDArray[np.int16]
    description_forms: NDArray[np.int16]


@dataclass(frozen=True)
class _Sentences:
    """Templates cut at their slots: lead, slot, middle, slot, tail; the last row is empty."""

    lead: NDArray[np.object_]
    first: NDArray[np.int64]
    middle: NDArray[np.object_]
    second: NDArray[np.int64]
    tail: NDArray[np.object_]


def word_listings(rng: Generator, listings: Listings, sellers: Sellers, lex: Lexicon) -> Wording:
    """Write the texts of a block of listings."""
    concepts = _concepts(listings, lex)
    dialect = sellers.dialect[listings.seller]
    luck = np.where(rng.random(concepts.shape) < DIALECT_SHARE, dialect[:, None], 0.0)
    luck = np.where(luck > 0, luck, rng.random(concepts.shape))
    spoken = lex.speak(concepts, luck)

    title_forms = _title_forms(rng, spoken, listings.stuffed, lex)
    tag_forms = _tag_forms(rng, concepts, spoken, listings.stuffed, lex)
    descriptions, description_forms = _describe(rng, concepts, spoken, lex)
    return Wording(
        titles=_titles(rng, title_forms, listings, sellers, lex),
        tags=_tags(tag_forms, lex),
        descriptions=descriptions,
        title_forms=title_forms,
        tag_forms=tag_forms,
        description_forms=description_forms,
    )


def _concepts(listings: Listings, lex: Lexicon) -> NDArray[np.int16]:
    """Return `int16[n, 8]`: the attributes' concepts and, last, the type's."""
    kind = listings.type + np.int16(lex.spans["type"][0])
    return np.concatenate([listings.attributes, kind[:, None]], axis=1)


def _any_of(
    rng: Generator, kind: str, size: int | tuple[int, int], lex: Lexicon
) -> NDArray[np.int16]:
    return rng.integers(*lex.spans[kind], size).astype(np.int16)


def _neighbours(
    rng: Generator, kind: NDArray[np.int16], count: int, lex: Lexicon
) -> NDArray[np.int16]:
    """Draw `int16[n, count]` type concepts of each listing's department, itself included."""
    department = lex.category_department[lex.type_category]
    first = np.searchsorted(department, department[kind], side="left")
    width = np.searchsorted(department, department[kind], side="right") - first
    pick = first[:, None] + np.floor(rng.random((len(kind), count)) * width[:, None])
    return (pick + lex.spans["type"][0]).astype(np.int16)


def _stuffing(rng: Generator, kind: NDArray[np.int16], lex: Lexicon) -> NDArray[np.int16]:
    """Draw `int16[n, 12]` forms that promise what the listing is not."""
    n = len(kind)
    concepts = np.concatenate(
        [
            _neighbours(rng, kind, 4, lex),
            _any_of(rng, "style", (n, 2), lex),
            _any_of(rng, "material", (n, 2), lex),
            _any_of(rng, "occasion", (n, 1), lex),
            _any_of(rng, "recipient", (n, 2), lex),
            _any_of(rng, "colour", (n, 1), lex),
        ],
        axis=1,
    )
    forms = lex.speak(concepts, rng.random(concepts.shape))
    return np.where(rng.random(forms.shape) < 0.85, forms, -1).astype(np.int16)


def _title_forms(
    rng: Generator, spoken: NDArray[np.int16], stuffed: NDArray[np.bool_], lex: Lexicon
) -> NDArray[np.int16]:
    n = len(spoken)
    says = rng.random((n, TYPE + 1)) < np.array([*TITLE_SAYS, 1.0])
    said = np.where(says, spoken, -1)
    order = TITLE_ORDERS[rng.integers(0, len(TITLE_ORDERS), n)]
    head = np.take_along_axis(said, order, axis=1)
    kind = lex.form_concept[spoken[:, TYPE]] - lex.spans["type"][0]
    tail = np.where(stuffed[:, None], _stuffing(rng, kind.astype(np.int16), lex), -1)
    again = np.where(stuffed & (rng.random(n) < 0.5), spoken[:, TYPE], -1)
    parts = [head, said[:, [OCCASION]], said[:, [RECIPIENT]], tail, again[:, None]]
    return np.concatenate(parts, axis=1).astype(np.int16)


def _tag_forms(
    rng: Generator,
    concepts: NDArray[np.int16],
    spoken: NDArray[np.int16],
    stuffed: NDArray[np.bool_],
    lex: Lexicon,
) -> NDArray[np.int16]:
    n = len(spoken)
    says = rng.random((n, TYPE + 1)) < np.array([*TAGS_SAY, 0.9])
    own = np.where(says, spoken, -1)
    other = lex.speak(concepts[:, [TYPE]], rng.uniform(CANONICAL_SHARE, 1.0, (n, 1)))
    other = np.where(rng.random((n, 1)) < OTHER_FORM_TAG, other, -1)
    kind = concepts[:, TYPE] - lex.spans["type"][0]
    department = lex.category_department[lex.type_category[kind]] + lex.spans["department"][0]
    place = lex.speak(department.astype(np.int16), rng.random(n))[:, None]
    place = np.where(rng.random((n, 1)) < DEPARTMENT_TAG, place, -1)
    wrong = _stuffing(rng, kind.astype(np.int16), lex)[:, [0, 1, 4, 6, 9]]
    wrong = np.where(stuffed[:, None], wrong, -1)
    forms = np.concatenate([own, other, place, wrong], axis=1).astype(np.int16)
    twice = (forms[:, TYPE] == forms[:, TYPE + 1]) & (forms[:, TYPE] >= 0)
    forms[twice, TYPE + 1] = -1
    return forms


def _texts(lex: Lexicon, shape: str) -> NDArray[np.object_]:
    """Return each form's text as `shape` writes it, and "" last, where index -1 finds it."""
    return np.array([*(shape.format(form) for form in lex.forms), ""], dtype=object)


def _titles(
    rng: Generator,
    forms: NDArray[np.int16],
    listings: Listings,
    sellers: Sellers,
    lex: Lexicon,
) -> list[str]:
    words = np.array([*(" " + form.title().replace("'S", "'s") for form in lex.forms), ""], object)
    pieces = words[forms]
    gift_starts = np.array([", Gift for", " for", " | For"], dtype=object)
    to = gift_starts[rng.integers(0, 3, len(forms))]
    place = TITLE_ORDERS.shape[1] + 1
    pieces[:, place] = np.where(forms[:, place] >= 0, to + pieces[:, place], "")
    brands = np.array([*((f" {brand}" if brand else "") for brand in sellers.brands), ""], object)
    shown = np.where(rng.random(len(forms)) < BRAND_IN_TITLE, listings.brand, -1)
    rows = np.concatenate([brands[shown][:, None], pieces], axis=1).tolist()
    return [row[1:] for row in map("".join, rows)]


def _tags(forms: NDArray[np.int16], lex: Lexicon) -> list[list[str]]:
    said = forms >= 0
    flat = _texts(lex, "{}")[forms[said]].tolist()
    ends = np.cumsum(said.sum(axis=1)).tolist()
    return [flat[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


@functools.cache
def _sentences(templates: tuple[str, ...]) -> _Sentences:
    rows: list[tuple[str, int, str, int, str]] = []
    for template in templates:
        cut = re.split(r"\{(\w+)\}", template)
        cut += ["", ""] * ((5 - len(cut)) // 2)
        first, second = (SLOTS.index(c) if c else len(SLOTS) for c in (cut[1], cut[3]))
        rows.append((" " + cut[0], first, cut[2], second, cut[4]))
    rows.append(("", len(SLOTS), "", len(SLOTS), ""))
    lead, first_slot, middle, second_slot, tail = zip(*rows, strict=True)
    return _Sentences(
        np.array(lead, object),
        np.array(first_slot),
        np.array(middle, object),
        np.array(second_slot),
        np.array(tail, object),
    )


def _describe(
    rng: Generator, concepts: NDArray[np.int16], spoken: NDArray[np.int16], lex: Lexicon
) -> tuple[list[str], NDArray[np.int16]]:
    """Return descriptions, and `int16[n, c]` the forms that their slots say."""
    n = len(spoken)
    kind = (concepts[:, TYPE] - lex.spans["type"][0]).astype(np.int16)
    other = lex.speak(_neighbours(rng, kind, 1, lex), rng.random((n, 1)))[:, 0]
    colour = lex.speak(_any_of(rng, "colour", n, lex), rng.random(n))
    said = {"other": other, "colour2": colour}
    said |= {name: spoken[:, column] for name, column in _SLOT_COLUMNS.items()}
    slots = np.stack([*(said[name] for name in SLOTS), np.full(n, -1)], axis=1).astype(np.int16)
    text = _texts(lex, "{}")[slots]
    for column, fallback in enumerate(phrases.FALLBACKS.values()):
        text[slots[:, column] < 0, column] = fallback

    plan = (
        (phrases.INTRO, 1.0),
        (phrases.DETAIL, 0.8),
        (phrases.GIFT, 0.5),
        (phrases.TRAP, 0.4),
        (phrases.SERVICE, 0.9),
        (phrases.SERVICE, 0.4),
    )
    every = np.arange(n)
    pieces, forms = [], []
    for templates, chance in plan:
        cut = _sentences(templates)
        pick = np.where(rng.random(n) < chance, rng.integers(0, len(templates), n), -1)
        first, second = cut.first[pick], cut.second[pick]
        pieces += [cut.lead[pick], text[every, first], cut.middle[pick]]
        pieces += [text[every, second], cut.tail[pick]]
        forms += [slots[every, first], slots[every, second]]
    rows = np.stack(pieces, axis=1).tolist()
    return [row[1:] for row in map("".join, rows)], np.stack(forms, axis=1)
