"""What shoppers want, and how they type it: vague or niche, in their own synonyms, misspelt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from cascade.errors import InputError
from cascade.shop.lexicon import ATTRIBUTE_KINDS, OCCASION, RECIPIENT, Lexicon
from cascade.shop.listings import Listings
from cascade.shop.sellers import Sellers
from cascade.shop.spec import ShopSpec, stream

KINDS = ("vague", "gift", "type", "attribute", "attributes", "niche", "brand")
VAGUE, GIFT, TYPE_ONLY, ATTRIBUTE, ATTRIBUTES, NICHE, BRAND = range(len(KINDS))
KIND_SHARES = (0.04, 0.05, 0.08, 0.31, 0.32, 0.14, 0.06)
WANTED_ATTRIBUTES = np.array([0, 2, 0, 1, 2, 3, 0])
# How often shoppers name an attribute, in the order of ATTRIBUTE_KINDS.
NAMED_WEIGHT = (1.0, 0.6, 0.7, 1.0, 0.35, 0.45, 0.3)
# Higher kinds of query are asked more often; the noise lets some niche ones be popular.
FREQUENCY_BONUS = np.array([3.0, 1.5, 2.5, 1.0, 0.3, -0.7, 0.0])
ZIPF_EXPONENT = 0.85
# The most frequent queries with half of all searches are the head, the next 30 % the torso.
HEAD_SHARE, TORSO_SHARE = 0.5, 0.8
SEGMENTS = ("head", "torso", "tail")
TYPO_SHARE = 0.09
PLURAL_SHARE = 0.2
NOUN_FIRST_SHARE = 0.12
MAX_ROUNDS = 6
_READ_ORDER = ("price", "style", "colour", "material", "motif")
_NEIGHBOUR_KEYS = {"a": "s", "e": "r", "i": "o", "o": "p", "n": "m", "t": "r", "s": "d", "l": "k"}


@dataclass(frozen=True)
class Queries:
    """Hold one row a query text, the most frequent first.

    Attributes:
        texts: As typed.
        meant: The same without typing errors.
        kind: `int8[q]`, index into `KINDS`.
        scope: `int16[q]`, concept of the wanted type, category or department, -1 for any.
        attributes: `int16[q, 7]`, wanted concepts, -1 where indifferent.
        brand: `int32[q]`, row of the wanted seller's brand, -1 for any.
        words: Per query, the indices of the lexicon's words that it says rightly.
        expanded: Per query, the words of all synonyms of what it says.
        frequency: `int64[q]`, searches in a month.
        segment: `int8[q]`, index into `SEGMENTS`.
    """

    texts: tuple[str, ...]
    meant: tuple[str, ...]
    kind: NDArray[np.int8]
    scope: NDArray[np.int16]
    attributes: NDArray[np.int16]
    brand: NDArray[np.int32]
    words: tuple[NDArray[np.int16], ...]
    expanded: tuple[NDArray[np.int16], ...]
    frequency: NDArray[np.int64]
    segment: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def ids(self) -> list[str]:
        """The query ids, in row order."""
        return [f"q{row:05d}" for row in range(len(self))]


@dataclass(frozen=True)
class _Draft:
    kind: NDArray[np.int64]
    scope: NDArray[np.int16]
    attributes: NDArray[np.int16]
    brand: NDArray[np.int32]
    forms: NDArray[np.int16]
    meant: NDArray[np.object_]
    typed: NDArray[np.object_]
    broken: NDArray[np.int16]

    def take(self, rows: NDArray[np.int64]) -> _Draft:
        return _Draft(**{name: getattr(self, name)[rows] for name in _Draft.__dataclass_fields__})


def make_queries(spec: ShopSpec, listings: Listings, sellers: Sellers, lex: Lexicon) -> Queries:
    """Draw distinct query texts, each wanted by somebody who would like some listing.

    Raises:
        InputError: So few listings cannot give so many distinct texts.
    """
    rng = stream(spec.seed, "queries")
    parts: list[_Draft] = []
    seen: set[str] = set()
    for _ in range(MAX_ROUNDS):
        draft = _draft(rng, max(64, 2 * spec.queries), listings, sellers, lex)
        fresh = []
        for row, text in enumerate(draft.typed.tolist()):
            if text not in seen:
                seen.add(text)
                fresh.append(row)
        parts.append(draft.take(np.array(fresh, np.int64)))
        if len(seen) >= spec.queries:
            break
    else:
        raise InputError(
            f"shop: {spec.listings:,} listings give only {len(seen):,} distinct queries, "
            f"{spec.queries:,} were asked for; ask for fewer queries or more listings"
        )
    names = _Draft.__dataclass_fields__
    all_rows = _Draft(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})
    return _ranked(rng, all_rows.take(np.arange(spec.queries)), lex)


def _draft(
    rng: Generator, count: int, listings: Listings, sellers: Sellers, lex: Lexicon
) -> _Draft:
    """Draw queries from listings that exist, so that every query has an answer."""
    seed = rng.integers(0, len(listings), count)
    kind = rng.choice(len(KINDS), count, p=KIND_SHARES)
    brand = np.where(kind == BRAND, listings.brand[seed], -1).astype(np.int32)
    kind = np.where((kind == BRAND) & (brand < 0), ATTRIBUTE, kind)
    attributes = _wanted(rng, kind, listings.attributes[seed])
    named = (attributes >= 0).sum(axis=1)
    kind = np.where((kind == GIFT) & (named == 0), TYPE_ONLY, kind)
    by_number = np.array([TYPE_ONLY, ATTRIBUTE, ATTRIBUTES, NICHE])[named]
    kind = np.where((kind >= ATTRIBUTE) & (kind <= NICHE), by_number, kind)
    scope = _scope(rng, kind, listings.type[seed], lex)

    concepts = np.concatenate([attributes, scope[:, None]], axis=1)
    forms = lex.speak(concepts, rng.random(concepts.shape))
    words = _phrase(rng, forms, brand, sellers, lex)
    typed, broken = _typed(rng, words, forms, lex)
    return _Draft(kind, scope, attributes, brand, forms, words, typed, broken)


def _wanted(
    rng: Generator, kind: NDArray[np.int64], available: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Keep a few of the attributes of each listing: those that the shopper asks for."""
    key = rng.gumbel(size=available.shape) + np.log(np.array(NAMED_WEIGHT))
    key = np.where(available >= 0, key, -np.inf)
    only_gifts = np.isin(np.arange(available.shape[1]), (OCCASION, RECIPIENT))
    key = np.where((kind == GIFT)[:, None] & ~only_gifts, -np.inf, key)
    order = np.argsort(np.argsort(-key, axis=1, kind="stable"), axis=1, kind="stable")
    number = WANTED_ATTRIBUTES[kind]
    keep = (order < number[:, None]) & np.isfinite(key)
    return np.where(keep, available, -1).astype(np.int16)


def _scope(
    rng: Generator, kind: NDArray[np.int64], types: NDArray[np.int16], lex: Lexicon
) -> NDArray[np.int16]:
    category = lex.type_category[types]
    broad = np.where(
        rng.random(len(kind)) < 0.4,
        lex.category_department[category] + lex.spans["department"][0],
        category + lex.spans["category"][0],
    )
    scope = np.where(kind == VAGUE, broad, types + lex.spans["type"][0])
    return np.where(kind == GIFT, -1, scope).astype(np.int16)


def _phrase(
    rng: Generator,
    forms: NDArray[np.int16],
    brand: NDArray[np.int32],
    sellers: Sellers,
    lex: Lexicon,
) -> NDArray[np.object_]:
    """Join the forms of each query into a text."""
    texts = np.array([*(form + " " for form in lex.forms), ""], object)
    plurals = np.array([*(_plural(form) + " " for form in lex.forms), ""], object)
    noun_form = forms[:, -1]
    noun = np.where(rng.random(len(forms)) < PLURAL_SHARE, plurals[noun_form], texts[noun_form])
    noun = np.where(noun_form < 0, "gift ", noun)
    front = texts[forms[:, [ATTRIBUTE_KINDS.index(name) for name in _READ_ORDER]]]
    front = front.sum(axis=1)
    names = np.array([*(((b or "").lower() + " ") for b in sellers.brands), ""], object)
    front = names[brand] + front
    swap = rng.random(len(forms)) < NOUN_FIRST_SHARE
    body = np.where(swap, noun + front, front + noun)
    body = texts[forms[:, OCCASION]] + body
    to = np.where((forms[:, RECIPIENT] >= 0) & (rng.random(len(forms)) < 0.7), "for ", "")
    joined = body + to + texts[forms[:, RECIPIENT]]
    return np.array([text.rstrip() for text in joined.tolist()], object)


def _plural(form: str) -> str:
    return form + "s" if form[-1] in "degklmnprtw" else form


def _typed(
    rng: Generator, meant: NDArray[np.object_], forms: NDArray[np.int16], lex: Lexicon
) -> tuple[NDArray[np.object_], NDArray[np.int16]]:
    """Misspell one word of some queries; `broken` is the word's index in the lexicon, or -1."""
    typed, broken = meant.copy(), np.full(len(meant), -1, np.int16)
    known = set(" ".join(lex.forms).replace("-", " ").split())
    at, how = rng.random(len(meant)), rng.random((len(meant), 2))
    for row in np.flatnonzero(rng.random(len(meant)) < TYPO_SHARE).tolist():
        said = {
            lex.words[w] for f in forms[row].tolist() if f >= 0 for w in lex.form_words[f] if w >= 0
        }
        words = meant[row].split(" ")
        long = [i for i, w in enumerate(words) if len(w) >= 5 and w in said]
        if not long:
            continue
        place = long[int(at[row] * len(long))]
        wrong = _misspelt(words[place], *how[row].tolist())
        if wrong in known or wrong == words[place]:
            continue
        broken[row] = lex.words.index(words[place])
        words[place] = wrong
        typed[row] = " ".join(words)
    return typed, broken


def _misspelt(word: str, where: float, how: float) -> str:
    """Return a word with two letters swapped, one lost, doubled or hit beside its key."""
    at = 1 + int(where * (len(word) - 2))
    if how < 0.35:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how < 0.65:
        return word[:at] + word[at + 1 :]
    if how < 0.85:
        return word[:at] + word[at] + word[at:]
    return word[:at] + _NEIGHBOUR_KEYS.get(word[at], "e") + word[at + 1 :]


def _ranked(rng: Generator, draft: _Draft, lex: Lexicon) -> Queries:
    """Order queries by how often they are asked and give them Zipf's frequencies."""
    n = len(draft.kind)
    order = np.argsort(-(FREQUENCY_BONUS[draft.kind] + rng.gumbel(size=n)), kind="stable")
    draft = draft.take(order)
    frequency = np.maximum(np.round(20.0 * n / np.arange(1, n + 1) ** ZIPF_EXPONENT), 1)
    before = (np.cumsum(frequency) - frequency) / frequency.sum()
    segment = (before >= HEAD_SHARE).astype(np.int8) + (before >= TORSO_SHARE)
    words = lex.form_words[draft.forms]
    words[draft.forms < 0] = -1
    flat = words.reshape(n, -1)
    spoken = tuple(
        np.unique(row[(row >= 0) & (row != wrong)])
        for row, wrong in zip(flat, draft.broken, strict=True)
    )
    return Queries(
        texts=tuple(draft.typed.tolist()),
        meant=tuple(draft.meant.tolist()),
        kind=draft.kind.astype(np.int8),
        scope=draft.scope,
        attributes=draft.attributes,
        brand=draft.brand,
        words=spoken,
        expanded=tuple(_expanded(row, lex) for row in draft.forms),
        frequency=frequency.astype(np.int64),
        segment=segment.astype(np.int8),
    )


def _expanded(forms: NDArray[np.int16], lex: Lexicon) -> NDArray[np.int16]:
    """Return the words of every form of the concepts that a query's forms say."""
    said = np.isin(lex.form_concept, lex.form_concept[forms[forms >= 0]])
    words = lex.form_words[said]
    return np.unique(words[words >= 0])
