"""Click models find what was planted: pages are drawn from the model itself, with known numbers."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from cascade.errors import InputError, NotFoundError
from cascade.events.clicks import (
    MODELS,
    Between,
    Fitting,
    Pages,
    fit_cascade,
    fit_coec,
    fit_ctr,
    fit_dbn,
    fit_pbm,
    fit_sdbn,
    likelihood,
    read_pages,
)
from cascade.events.tables import EVENTS, SEARCHES, EventLog

FREE = Fitting(strength=0.0, iterations=300, tolerance=1e-5)


def pages_of(pairs, clicks, surfaces=None, ranks=None):
    """Return pages from int[s, places] pairs and bool[s, places] clicks."""
    count, width = pairs.shape
    total = int(pairs.max()) + 1
    if ranks is None:
        ranks = np.tile(np.arange(1, width + 1), (count, 1))
    surfaces = np.zeros(count, np.int32) if surfaces is None else surfaces.astype(np.int32)
    return Pages(
        offsets=np.arange(count + 1, dtype=np.int64) * width,
        pairs=pairs.ravel().astype(np.int32),
        ranks=ranks.ravel().astype(np.int32),
        clicks=clicks.ravel().astype(bool),
        surfaces=surfaces,
        shuffled=np.zeros(count, bool),
        times=np.arange(count, dtype=float),
        pair_queries=np.zeros(total, np.int32),
        pair_documents=np.arange(total, dtype=np.int32),
        texts=("query",),
        doc_ids=tuple(f"d{i}" for i in range(total)),
        surface_names=tuple(f"s{i}" for i in range(int(surfaces.max()) + 1)),
        events={},
    )


def drawn_orders(rng, count, documents):
    """Return int[count, documents]: every search shows all documents, in an order of its own."""
    return rng.permuted(np.tile(np.arange(documents), (count, 1)), axis=1)


def network_clicks(rng, orders, attraction, satisfaction, going_on):
    """Let shoppers behave as a dynamic Bayesian network says."""
    clicks = np.zeros(orders.shape, bool)
    looking = np.ones(len(orders), bool)
    for place in range(orders.shape[1]):
        shown = orders[:, place]
        clicks[:, place] = looking & (rng.random(len(orders)) < attraction[shown])
        content = clicks[:, place] & (rng.random(len(orders)) < satisfaction[shown])
        looking = looking & ~content & (rng.random(len(orders)) < going_on)
    return clicks


def test_ctr_by_hand_is_drawn_to_the_mean():
    pages = pages_of(np.array([[0, 1]] * 4), np.array([[1, 0], [1, 0], [0, 0], [1, 0]]))
    assert fit_ctr(pages, FREE).attraction.tolist() == [0.75, 0.0]
    # 3 of 8 impressions are clicked, 4 a pair; a prior of strength 2 is worth 8 of them.
    drawn = fit_ctr(pages, Fitting(strength=2.0)).attraction
    assert drawn.tolist() == pytest.approx([(3 + 3) / 12, 3 / 12])


def test_coec_by_hand_is_the_workbenchs():
    # Ranks 1 and 2 were clicked 3 and 1 times of 4. Document 0 stood once on rank 2, and counts
    # at its best rank all the same: 3 clicks against 4 * 0.75. Document 2 stood on rank 2 alone.
    pairs = np.array([[0, 1], [0, 1], [0, 2], [2, 0]])
    clicks = np.array([[1, 0], [1, 0], [1, 0], [0, 0]], bool)
    clicks[3, 1] = True
    fitted = fit_coec(pages_of(pairs, clicks))
    assert fitted.parameters["rank_ctr"].tolist() == [0.75, 0.25]
    assert fitted.attraction.tolist() == pytest.approx([4 / (4 * 0.75), 0.0, 0.0])


def test_coec_finds_planted_ratios():
    rng = np.random.default_rng(1)
    # Each document keeps its rank; six documents of one rank, half as good or one and a half.
    count, rates = 60_000, np.array([0.4, 0.2, 0.1])
    better = rng.random((count, 3)) < 0.5
    pairs = np.arange(3) + 3 * better
    ratio = np.where(better, 1.5, 0.5)
    clicks = rng.random((count, 3)) < rates * ratio
    found = fit_coec(pages_of(pairs, clicks)).attraction
    assert found == pytest.approx([0.5, 0.5, 0.5, 1.5, 1.5, 1.5], abs=0.06)


def test_the_position_based_model_finds_examination_by_surface_and_attraction():
    rng = np.random.default_rng(2)
    attraction = np.array([0.8, 0.6, 0.45, 0.3, 0.15, 0.05])
    examination = np.array([[1.0, 0.7, 0.5, 0.4, 0.3, 0.2], [0.9, 0.8, 0.75, 0.7, 0.65, 0.6]])
    count = 60_000
    surfaces = rng.integers(0, 2, count)
    # The ranking is biased: better documents stand further up, but not always in one order.
    orders = np.argsort(-(attraction + 0.3 * rng.gumbel(size=(count, 6))), axis=1)
    clicks = rng.random(orders.shape) < examination[surfaces] * attraction[orders]
    fitted = fit_pbm(pages_of(orders, clicks, surfaces), FREE)
    assert fitted.parameters["examination"] == pytest.approx(examination, abs=0.03)
    assert fitted.attraction == pytest.approx(attraction, abs=0.03)
    naive = fit_ctr(pages_of(orders, clicks, surfaces), FREE).attraction
    assert np.abs(naive - attraction).max() > 0.1


def test_the_cascade_model_finds_attraction():
    rng = np.random.default_rng(3)
    attraction = np.array([0.7, 0.5, 0.3, 0.2, 0.1])
    orders = drawn_orders(rng, 20_000, 5)
    clicks = network_clicks(rng, orders, attraction, np.ones(5), 1.0)
    assert clicks.sum(axis=1).max() == 1
    assert fit_cascade(pages_of(orders, clicks), FREE).attraction == pytest.approx(
        attraction, abs=0.02
    )


def test_sdbn_finds_attraction_and_satisfaction():
    rng = np.random.default_rng(4)
    attraction = np.array([0.6, 0.5, 0.3, 0.2, 1.0])
    satisfaction = np.array([0.8, 0.3, 0.5, 0.1, 1.0])
    # Whoever is not satisfied finds at the end what satisfies for certain: SDBN's own premise.
    orders = np.hstack([drawn_orders(rng, 30_000, 4), np.full((30_000, 1), 4)])
    clicks = network_clicks(rng, orders, attraction, satisfaction, 1.0)
    fitted = fit_sdbn(pages_of(orders, clicks), FREE)
    assert fitted.attraction == pytest.approx(attraction, abs=0.02)
    assert fitted.satisfaction == pytest.approx(satisfaction, abs=0.02)
    assert fitted.relevance == pytest.approx(attraction * satisfaction, abs=0.03)


def test_dbn_finds_attraction_satisfaction_and_continuation():
    rng = np.random.default_rng(5)
    attraction = np.array([0.6, 0.5, 0.4, 0.25, 0.15])
    satisfaction = np.array([0.7, 0.3, 0.5, 0.2, 0.6])
    orders = drawn_orders(rng, 30_000, 5)
    clicks = network_clicks(rng, orders, attraction, satisfaction, 0.85)
    pages = pages_of(orders, clicks)
    fitted = fit_dbn(pages, FREE)
    assert fitted.parameters["continuation"] == pytest.approx(0.85, abs=0.02)
    assert fitted.attraction == pytest.approx(attraction, abs=0.02)
    assert fitted.satisfaction == pytest.approx(satisfaction, abs=0.06)
    # The model that the clicks came from foresees them better than the others, on other pages too.
    fresh = drawn_orders(rng, 10_000, 5)
    held = pages_of(fresh, network_clicks(rng, fresh, attraction, satisfaction, 0.85))
    told = {name: likelihood(fit(pages, FREE), held) for name, fit in MODELS.items()}
    assert max(told, key=lambda name: told[name].log_likelihood) == "dbn"
    assert min(told, key=lambda name: told[name].perplexity) in {"dbn", "pbm"}


def test_the_chances_of_a_network_are_those_of_all_its_outcomes():
    # By hand: a = (0.5, 0.4), s = (0.2, 0.9), going on 0.8.
    pages = pages_of(np.array([[0, 1], [0, 1]]), np.array([[1, 0], [0, 1]]))
    from cascade.events.clicks.cascade import network_chances

    found = network_chances(pages, np.array([0.5, 0.4]), np.array([0.2, 0.9]), 0.8)
    assert found.given == pytest.approx([0.5, 0.8 * 0.8 * 0.4, 0.5, 0.8 * 0.4])
    # Over both outcomes of the first row: 0.5 * 0.8 * 0.8 * 0.4 + 0.5 * 0.8 * 0.4.
    assert found.alone == pytest.approx([0.5, 0.288, 0.5, 0.288])


def test_likelihood_and_perplexity_by_hand():
    pages = pages_of(np.array([[0, 1], [0, 1]]), np.array([[1, 0], [0, 0]]))
    told = likelihood(fit_ctr(pages, FREE), pages)
    assert told.by_rank == pytest.approx([2.0, 1.0], abs=1e-6)
    assert told.perplexity == pytest.approx(1.5, abs=1e-6)
    assert told.log_likelihood == pytest.approx(np.log(0.5), abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gives_every_pair_a_finite_number(name):
    rng = np.random.default_rng(6)
    orders = drawn_orders(rng, 30, 8)[:, :3]
    clicks = rng.random(orders.shape) < 0.2
    pages = pages_of(orders, clicks)
    fitted = MODELS[name](pages, None)
    assert fitted.attraction.shape == (pages.pair_count,)
    assert np.isfinite(fitted.relevance).all()
    assert (fitted.relevance >= 0).all()
    silent = pages_of(orders, np.zeros_like(clicks))
    assert np.isfinite(MODELS[name](silent, None).relevance).all()


def write_log(root: Path, searches, events):
    for name, columns, rows in (("searches", SEARCHES, searches), ("events", EVENTS, events)):
        (root / name).mkdir(parents=True)
        database = duckdb.connect()
        typed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        database.execute(f"create table t ({typed})")
        for row in rows:
            given = [row.get(column) for column in columns]
            database.execute(f"insert into t values ({', '.join('?' * len(given))})", given)
        path = str(root / name / "part.parquet")
        database.execute(f"copy t to '{path}' (format parquet)")
    return EventLog(root)


def test_pages_are_read_from_a_log(tmp_path):
    searches = [
        {
            "query_id": "b",
            "text": "Red  Shoe",
            "time": 20.0,
            "surface": "app",
            "results": ["x", "y"],
        },
        {
            "query_id": "a",
            "text": "red shoe",
            "time": 10.0,
            "surface": "web",
            "results": ["y", "x"],
            "propensities": [0.5, 0.5],
        },
        {"query_id": "c", "text": "red shoe", "time": 30.0, "results": ["z"]},
        {"query_id": "d", "text": None, "time": 40.0, "results": ["z"]},
    ]
    events = [
        {"query_id": "a", "action": "click", "doc_id": "x", "rank": 2, "time": 11.0},
        {"query_id": "a", "action": "click", "doc_id": "x", "rank": 2, "time": 12.0},
        {"query_id": "a", "action": "purchase", "doc_id": "x", "rank": 2, "time": 13.0},
        {"query_id": "b", "action": "click", "doc_id": "q", "rank": 9, "time": 21.0},
        # Search c logged its page row by row, and only this row was seen, twice.
        {"query_id": "c", "action": "impression", "doc_id": "x", "rank": 4, "time": 31.0},
        {"query_id": "c", "action": "impression", "doc_id": "x", "rank": 3, "time": 32.0},
    ]
    log = write_log(tmp_path / "log", searches, events)
    pages = read_pages(log)
    assert pages.texts == ("red shoe",)
    assert pages.doc_ids == ("x", "y")
    assert pages.offsets.tolist() == [0, 2, 4, 5]
    assert [pages.doc_ids[pages.pair_documents[p]] for p in pages.pairs] == [
        "y",
        "x",
        "x",
        "y",
        "x",
    ]
    assert pages.ranks.tolist() == [1, 2, 1, 2, 3]
    assert pages.clicks.tolist() == [False, True, False, False, False]
    assert pages.events["click"].tolist() == [0, 2, 0, 0, 0]
    assert pages.events["purchase"].tolist() == [0, 1, 0, 0, 0]
    assert pages.shuffled.tolist() == [True, False, False]
    assert [pages.surface_names[s] for s in pages.surfaces] == ["web", "app", ""]
    assert pages.unseen == 1
    early = read_pages(log, Between(until=20.0))
    assert early.times.tolist() == [10.0]
    chosen = pages.select(np.array([False, True, True]))
    assert chosen.pairs.tolist() == pages.pairs[2:].tolist()
    assert chosen.pair_count == pages.pair_count
    with pytest.raises(InputError, match="no search with a text"):
        read_pages(log, Between(since=40.0))
    with pytest.raises(NotFoundError, match="holds no event log"):
        read_pages(EventLog(tmp_path / "nothing"))
