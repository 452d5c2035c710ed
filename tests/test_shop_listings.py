import dataclasses
import math

import numpy as np
import pytest

from cascade.shop.lexicon import COLOUR, MATERIAL, PRICE, lexicon
from cascade.shop.listings import make_listings, stack
from cascade.shop.sellers import make_sellers
from cascade.shop.spec import ShopSpec, stream

ROWS = 12_000


@pytest.fixture(scope="module")
def sellers():
    return make_sellers(ShopSpec(seed=3, sellers=300), lexicon())


@pytest.fixture(scope="module")
def listings(sellers):
    return make_listings(stream(3, "listings"), ROWS, sellers, lexicon())


def test_sellers_have_distinct_names_and_some_are_new(sellers):
    assert len(set(sellers.names)) == 300
    assert 0.06 < (sellers.age_days < 60).mean() < 0.2
    assert 0.15 < np.mean([brand is None for brand in sellers.brands]) < 0.35


def test_a_seller_keeps_to_one_department(sellers):
    lex = lexicon()
    department = lex.category_department[lex.type_category][sellers.types]
    assert (department == department[:, :1]).all()


def test_prices_are_log_normal_around_their_types_median(listings):
    logs = np.log(listings.price / lexicon().type_price[listings.type])
    dear = lexicon().type_price[listings.type] > 20  # where rounding to a shop's price is small
    assert np.median(logs[dear]) == pytest.approx(0.0, abs=0.04)
    assert logs[dear].std() == pytest.approx(0.55, abs=0.03)
    fit = np.polyfit(listings.price_z[dear], logs[dear], 1)
    assert fit[0] == pytest.approx(0.55, abs=0.02)


def test_cheap_and_luxury_follow_from_the_price(listings):
    lex = lexicon()
    words = {lex.canonical(c): c for c in range(*lex.spans["price"])}
    cheap = listings.attributes[:, PRICE] == words["cheap"]
    luxury = listings.attributes[:, PRICE] == words["luxury"]
    # Shares of a standard normal below -.8 and above 1.
    assert cheap.mean() == pytest.approx(0.212, abs=0.02)
    assert luxury.mean() == pytest.approx(0.159, abs=0.02)
    assert listings.price_z[cheap].max() < listings.price_z[luxury].min()


def test_one_of_a_kind_is_one_in_eight_and_never_two(listings):
    assert listings.one_of_a_kind.mean() == pytest.approx(0.12, abs=0.012)
    assert set(listings.stock[listings.one_of_a_kind].tolist()) == {0, 1}
    assert (listings.stock == 0).mean() == pytest.approx(0.04, abs=0.008)


def test_quality_is_standard_normal_and_shows(listings):
    """What people see correlates with what was planted, but does not give it away."""
    assert listings.quality.mean() == pytest.approx(0.0, abs=0.15)
    assert listings.quality.std() == pytest.approx(1.0, abs=0.08)
    rated = listings.reviews > 0
    for seen in (np.log1p(listings.favourites), np.log1p(listings.reviews), listings.photos):
        assert 0.3 < np.corrcoef(seen, listings.quality)[0, 1] < 0.9
    assert 0.3 < np.corrcoef(listings.rating[rated], listings.quality[rated])[0, 1] < 0.9


def test_listings_without_reviews_have_no_rating(listings):
    assert np.array_equal(np.isnan(listings.rating), listings.reviews == 0)
    assert 0.1 < (listings.reviews == 0).mean() < 0.6
    rated = listings.rating[listings.reviews > 0]
    assert 1.0 <= rated.min() < rated.max() <= 5.0


def test_no_listing_is_older_than_its_shop(listings, sellers):
    assert (listings.age_days <= sellers.age_days[listings.seller]).all()


def test_poor_shops_stuff_more(listings, sellers):
    good = sellers.quality[listings.seller] > 0.5
    poor = sellers.quality[listings.seller] < -0.5
    assert listings.stuffed[poor].mean() > 2 * listings.stuffed[good].mean()


def test_attributes_are_of_their_kind_and_material_of_the_type(listings):
    lex = lexicon()
    low, high = lex.spans["colour"]
    colour = listings.attributes[:, COLOUR]
    assert ((colour >= low) & (colour < high)).all()
    material = listings.attributes[:, MATERIAL] - lex.spans["material"][0]
    chance = np.diff(lex.type_materials, axis=1, prepend=0.0)
    assert (chance[listings.type, material] > 0).all()


def test_stack_joins_every_column(listings):
    twice = stack([listings, listings])
    for field in dataclasses.fields(listings):
        assert len(getattr(twice, field.name)) == 2 * ROWS, field.name
    assert math.isclose(float(twice.price.sum()), 2 * float(listings.price.sum()), rel_tol=1e-5)
