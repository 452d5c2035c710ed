import numpy as np
import pytest

from cascade.errors import InputError
from cascade.shop.lexicon import ATTRIBUTE_KINDS, OCCASION, RECIPIENT, lexicon
from cascade.shop.listings import make_listings
from cascade.shop.queries import BRAND, GIFT, KINDS, TYPE_ONLY, VAGUE, ZIPF_EXPONENT, make_queries
from cascade.shop.sellers import make_sellers
from cascade.shop.spec import ShopSpec, stream

SPEC = ShopSpec(seed=11, listings=6_000, sellers=150, queries=1_500)


@pytest.fixture(scope="module")
def shop():
    lex = lexicon()
    sellers = make_sellers(SPEC, lex)
    listings = make_listings(stream(SPEC.seed, "listings"), SPEC.listings, sellers, lex)
    return sellers, listings, make_queries(SPEC, listings, sellers, lex)


def damerau(a, b):
    """Edit distance with swaps of neighbours, by the textbook table."""
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    table[:, 0], table[0, :] = range(len(a) + 1), range(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            same = a[i - 1] == b[j - 1]
            best = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (not same))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                best = min(best, table[i - 2, j - 2] + 1)
            table[i, j] = best
    return int(table[-1, -1])


def test_texts_are_distinct_and_clean(shop):
    _, _, queries = shop
    assert len(set(queries.texts)) == SPEC.queries
    assert all(text and text == " ".join(text.split()) for text in queries.texts)
    assert not any("\t" in text or text != text.lower() for text in queries.texts)


def test_typing_errors_are_one_slip_in_one_word(shop):
    _, _, queries = shop
    wrong = [(t, m) for t, m in zip(queries.texts, queries.meant, strict=True) if t != m]
    assert 0.04 < len(wrong) / SPEC.queries < 0.12
    for typed, meant in wrong:
        assert damerau(typed, meant) == 1
    known = set(" ".join(lexicon().forms).replace("-", " ").split())
    for typed, meant in wrong:
        slip = next(a for a, b in zip(typed.split(), meant.split(), strict=True) if a != b)
        assert slip not in known


def test_frequencies_follow_zipf(shop):
    _, _, queries = shop
    head = np.arange(1, 201)
    slope = np.polyfit(np.log(head), np.log(queries.frequency[:200]), 1)[0]
    assert slope == pytest.approx(-ZIPF_EXPONENT, abs=0.01)
    assert (np.diff(queries.frequency) <= 0).all()


def test_segments_split_the_searches_half_and_a_third(shop):
    _, _, queries = shop
    assert (np.diff(queries.segment) >= 0).all()
    share = np.bincount(queries.segment, queries.frequency) / queries.frequency.sum()
    assert share == pytest.approx([0.5, 0.3, 0.2], abs=0.02)


def test_every_kind_of_query_is_there_and_wants_what_it_should(shop):
    _, _, queries = shop
    assert set(queries.kind.tolist()) == set(range(len(KINDS)))
    wanted = (queries.attributes >= 0).sum(axis=1)
    for kind, number in ((VAGUE, 0), (TYPE_ONLY, 0), (BRAND, 0)):
        assert (wanted[queries.kind == kind] == number).all()
    for number, name in enumerate(("attribute", "attributes", "niche"), start=1):
        assert (wanted[queries.kind == KINDS.index(name)] == number).all()
    gifts = queries.attributes[queries.kind == GIFT]
    others = [c for c in range(len(ATTRIBUTE_KINDS)) if c not in (OCCASION, RECIPIENT)]
    assert (gifts[:, others] == -1).all()
    assert (queries.scope[queries.kind == GIFT] == -1).all()
    assert (queries.brand[queries.kind == BRAND] >= 0).all()
    low, _ = lexicon().spans["type"]
    assert (queries.scope[queries.kind == VAGUE] < low).all()


def test_every_query_has_a_listing_that_is_all_it_wants(shop):
    _, listings, queries = shop
    low, _ = lexicon().spans["type"]
    typed = np.flatnonzero(queries.scope >= low)
    for row in typed[::20].tolist():
        wanted = queries.attributes[row]
        asked = wanted >= 0
        fits = (listings.attributes[:, asked] == wanted[asked]).all(axis=1)
        fits &= listings.type == queries.scope[row] - low
        if queries.brand[row] >= 0:
            fits &= listings.brand == queries.brand[row]
        assert fits.any(), queries.texts[row]


def test_queries_say_their_intent_in_some_form(shop):
    sellers, _, queries = shop
    lex = lexicon()
    for row in range(0, SPEC.queries, 10):
        concepts = [c for c in queries.attributes[row].tolist() if c >= 0]
        if queries.scope[row] >= 0:
            concepts.append(int(queries.scope[row]))
        for concept in concepts:
            assert any(form in queries.meant[row] for form in lex.concept_forms(concept))
        if queries.brand[row] >= 0:
            assert sellers.brands[queries.brand[row]].lower() in queries.meant[row]


def test_expanded_words_contain_the_said_and_add_synonyms(shop):
    _, _, queries = shop
    more = 0
    for said, expanded in zip(queries.words, queries.expanded, strict=True):
        assert set(said.tolist()) <= set(expanded.tolist())
        more += len(expanded) > len(said)
    assert more > SPEC.queries / 2


def test_too_few_listings_for_so_many_queries_is_refused():
    lex = lexicon()
    spec = ShopSpec(seed=1, listings=1, sellers=1, queries=5_000)
    sellers = make_sellers(spec, lex)
    listings = make_listings(stream(1, "listings"), 1, sellers, lex)
    with pytest.raises(InputError, match=r"1 listings give only [\d,]+ distinct queries, 5,000"):
        make_queries(spec, listings, sellers, lex)
