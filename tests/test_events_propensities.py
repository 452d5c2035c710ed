"""Propensities: the demo marketplace planted `rank ** -exponent` by surface; here it is found."""

from dataclasses import replace

import numpy as np
import pytest

from cascade.errors import InputError
from cascade.events.clicks import read_pages
from cascade.events.importing import ImportTask, import_files
from cascade.events.propensities import (
    SOURCES,
    adjacent_propensities,
    pbm_propensities,
    propensities,
    shuffled_propensities,
)
from cascade.events.pseudonyms import Pseudonyms
from cascade.events.tables import EventLog
from cascade.events.ubi import UbiReader
from cascade.shop import ShopSpec, write_shop
from cascade.shop.visitors import POSITION_EXPONENTS, SURFACES

PLANTED = dict(zip(SURFACES, POSITION_EXPONENTS, strict=True))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    files = write_shop(ShopSpec(listings=1_500, queries=60, sessions=6_000), folder / "shop")
    root = folder / "log"
    task = ImportTask(UbiReader, Pseudonyms(folder / "salts"))
    import_files(root, [files.query_log, files.event_log], task)
    return read_pages(EventLog(root))


# Deviations stated: shuffled pages are a seventh of the log, the model reads all of it, and the
# chain of neighbours adds up the noise of its steps.
@pytest.mark.parametrize(
    ("source", "within"), [("shuffled", 0.2), ("pbm", 0.1), ("adjacent", 0.35)]
)
def test_the_planted_exponents_are_found(pages, source, within):
    found = propensities(pages, source)
    planted = [PLANTED[name] for name in found.surfaces]
    assert found.exponents == pytest.approx(planted, abs=within)
    if source != "pbm":
        # Standard errors cover: within three of them, and they are no wider than what is stated.
        assert (np.abs(found.exponents - planted) < 3 * found.errors).all()
    assert (found.errors < within).all()


def test_naive_rates_are_steeper_than_what_was_planted(pages):
    # What is naively read off the ranks mixes examination with the order's own quality.
    lexical = pages.select(~pages.shuffled)
    naive = shuffled_propensities(replace(lexical, shuffled=np.ones(len(lexical.lengths), bool)))
    planted = np.array([PLANTED[name] for name in naive.surfaces])
    assert (naive.exponents > planted + 0.1).all()


def test_rates_stand_beside_the_law(pages):
    found = shuffled_propensities(pages)
    web = found.surfaces.index("web")
    assert found.rates[web, 0] == 1.0
    ranks = np.arange(1, 6)
    assert found.rates[web, :5] == pytest.approx(ranks**-0.7, abs=0.15)
    # Mails show six rows.
    assert np.isnan(found.rates[found.surfaces.index("email"), 6:]).all()


def test_rows_take_the_law_of_their_surface(pages):
    found = pbm_propensities(pages)
    surfaces = np.array([0, 0, 2], dtype=np.int32)
    given = found.of(surfaces, np.array([1, 4, 2], dtype=np.int32))
    expected = [1.0, 4.0 ** -found.exponents[0], 2.0 ** -found.exponents[2]]
    assert given == pytest.approx(expected)


def test_auto_takes_shuffled_pages_where_there_are_enough(pages):
    assert propensities(pages).source == "shuffled"
    assert propensities(pages.select(~pages.shuffled)).source == "pbm"


def test_without_random_order_the_shuffled_way_refuses(pages):
    lexical = pages.select(~pages.shuffled)
    with pytest.raises(InputError, match="no search of the log stood in random order"):
        propensities(lexical, "shuffled")
    with pytest.raises(InputError, match="accepted are auto, adjacent, pbm, shuffled"):
        propensities(pages, "guess")


def test_too_few_clicks_give_no_exponent(pages):
    few = pages.select(np.arange(len(pages.lengths)) < 20)
    for source in SOURCES:
        if source == "shuffled":
            continue
        found = propensities(few, source)
        assert np.isnan(found.exponents).all()
        assert found.of(few.row_surfaces, few.ranks).tolist() == [1.0] * len(few)
    assert np.isnan(adjacent_propensities(few).errors).all()
