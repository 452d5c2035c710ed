import numpy as np
import pytest

from cascade.shop.lexicon import lexicon
from cascade.shop.listings import make_listings
from cascade.shop.postings import FIELDS, K1, B, index_block, join_blocks
from cascade.shop.sellers import make_sellers
from cascade.shop.spec import ShopSpec, stream
from cascade.shop.wording import TYPE, word_listings

ROWS = 3_000


@pytest.fixture(scope="module")
def shop():
    lex = lexicon()
    sellers = make_sellers(ShopSpec(seed=5, sellers=80), lex)
    listings = make_listings(stream(5, "listings"), ROWS, sellers, lex)
    return listings, word_listings(stream(5, "wording"), listings, sellers, lex)


def said_forms(forms, lex):
    return [lex.forms[f] for f in forms.tolist() if f >= 0]


def test_texts_have_the_length_of_real_ones(shop):
    _, wording = shop
    words = np.array([len(text.split()) for text in wording.descriptions])
    assert np.percentile(words, 5) >= 20
    assert np.percentile(words, 95) <= 75
    assert 4 <= np.mean([len(title.split()) for title in wording.titles]) <= 12
    assert all(title and title == title.strip() for title in wording.titles)


def test_a_title_names_its_type_and_says_its_forms_in_order(shop):
    listings, wording = shop
    lex = lexicon()
    for row in range(200):
        forms = wording.title_forms[row]
        kinds = {int(lex.form_concept[f]) for f in forms.tolist() if f >= 0}
        assert int(listings.type[row]) + lex.spans["type"][0] in kinds
        at = 0
        for form in said_forms(forms, lex):
            at = wording.titles[row].lower().index(form, at) + len(form)


def test_tags_and_descriptions_say_their_forms(shop):
    _, wording = shop
    lex = lexicon()
    for row in range(200):
        assert wording.tags[row] == said_forms(wording.tag_forms[row], lex)
        text = wording.descriptions[row]
        assert all(form in text for form in said_forms(wording.description_forms[row], lex))


def test_stuffed_titles_are_long_and_name_other_types(shop):
    listings, wording = shop
    lex = lexicon()
    low, high = lex.spans["type"]
    concept = np.where(wording.title_forms >= 0, lex.form_concept[wording.title_forms], -1)
    own = listings.type[:, None] + low
    others = ((concept >= low) & (concept < high) & (concept != own)).any(axis=1)
    assert others[listings.stuffed].mean() > 0.9
    assert not others[~listings.stuffed].any()
    length = np.array([len(title.split()) for title in wording.titles])
    assert length[listings.stuffed].mean() > 2 * length[~listings.stuffed].mean()
    assert 0.08 < listings.stuffed.mean() < 0.35


def test_honest_titles_say_only_what_the_listing_is(shop):
    listings, wording = shop
    lex = lexicon()
    honest = np.flatnonzero(~listings.stuffed)
    forms = wording.title_forms[honest]
    concept = np.where(forms >= 0, lex.form_concept[forms], -1)
    true = np.concatenate(
        [listings.attributes[honest], listings.type[honest][:, None] + lex.spans["type"][0]], axis=1
    )
    assert true.shape[1] == TYPE + 1
    assert ((concept[:, :, None] == true[:, None, :]).any(axis=2) | (concept < 0)).all()


def test_many_listings_call_their_type_by_another_word(shop):
    listings, wording = shop
    lex = lexicon()
    concept = listings.type + lex.spans["type"][0]
    canonical = lex.first_form[concept]
    several = lex.form_count[concept] > 1
    by_other = (wording.title_forms != canonical[:, None]).all(axis=1)
    assert 0.2 < by_other[several].mean() < 0.5


def reference_weight(row, word, wording, lex):
    """Sum of per-field BM25 of one word in one listing, without idf, by loops."""
    total = 0.0
    fields = {
        "title": wording.title_forms,
        "tags": wording.tag_forms,
        "description": wording.description_forms,
    }
    for name, forms in fields.items():
        boost, mean, filler = FIELDS[name]
        words = [w for f in forms[row].tolist() if f >= 0 for w in lex.form_words[f] if w >= 0]
        count = words.count(word)
        norm = K1 * (1 - B + B * (filler + len(words)) / mean)
        total += boost * count * (K1 + 1) / (count + norm)
    return total


def test_postings_are_bm25_by_loops(shop):
    _, wording = shop
    lex = lexicon()
    postings = join_blocks([index_block(wording, 0, lex)], ROWS)
    rows = range(0, ROWS, 150)
    for name in ("necklace", "silver", "mom", "candle", "gown"):
        word = lex.words.index(name)
        score = postings.score(np.array([word], np.int16))
        assert (score > 0).any()
        for row in rows:
            expected = reference_weight(row, word, wording, lex) * postings.idf[word]
            assert score[row] == pytest.approx(expected, rel=2e-3, abs=1e-6)
        holders = int((score > 0).sum())
        idf = np.log(1 + (ROWS - holders + 0.5) / (holders + 0.5))
        assert postings.idf[word] == pytest.approx(idf)


def test_two_blocks_join_as_one(shop):
    listings, wording = shop
    lex = lexicon()
    whole = join_blocks([index_block(wording, 0, lex)], ROWS)
    twice = join_blocks([index_block(wording, 0, lex), index_block(wording, ROWS, lex)], 2 * ROWS)
    for word in range(0, len(lex.words), 25):
        a = whole.rows[whole.starts[word] : whole.starts[word + 1]]
        b = twice.rows[twice.starts[word] : twice.starts[word + 1]]
        assert b.tolist() == [*a.tolist(), *(a + ROWS).tolist()]
    assert len(listings) == ROWS
