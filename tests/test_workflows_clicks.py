"""From a log to grades and rows: what is written can be read, and rows are what serving ranks."""

from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from click.testing import CliRunner

from cascade.cli.main import main
from cascade.config import load_config
from cascade.config.click_settings import ClickSettings
from cascade.errors import InputError
from cascade.events.clicks import Fitting, fit_pbm, read_pages
from cascade.events.propensities import propensities
from cascade.events.tables import EventLog
from cascade.judgments import JudgmentColumns, read_judgments
from cascade.training.dataset import Dataset
from cascade.training.fit import TreeOptions, fit_trees
from cascade.workflows.click_grades import click_grades, graded, scaled
from cascade.workflows.clicks import (
    by_search,
    prepared_from_clicks,
    write_click_judgments,
)
from cascade.workflows.progress import silent


@pytest.fixture(scope="module")
def log(demo_folder, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("log")
    for name in ("searches", "events"):
        (root / name).mkdir(parents=True)
    shop, database = demo_folder / "shop", duckdb.connect()
    database.execute(f"""
        copy (select query_id, user_query as text, epoch_ms(timestamp::timestamp) / 1e3 as time,
            null::varchar as session, client_id as visitor, query_attributes.surface as surface,
            query_response_hit_ids as results, null::double[] as propensities
        from read_json('{shop}/queries.ndjson'))
        to '{root}/searches/a.parquet' (format parquet)""")
    database.execute(f"""
        copy (select query_id, if(action_name = 'add_to_cart', 'cart', action_name) as action,
            event_attributes.object.object_id as doc_id,
            event_attributes.position.ordinal::int as rank,
            epoch_ms(timestamp::timestamp) / 1e3 as time, session_id as session,
            client_id as visitor, event_attributes.surface as surface, null::double as value
        from read_json('{shop}/events.ndjson')) to '{root}/events/a.parquet' (format parquet)""")
    return root


@pytest.fixture(scope="module")
def pages(log):
    return read_pages(EventLog(log))


def configured(demo_folder, tmp_path, *overrides):
    given = (f'models.root="{tmp_path / "models"}"', *overrides)
    return next(iter(load_config(demo_folder / "cascade.toml", given).values()))


def test_judgments_are_what_the_model_found(log, pages, tmp_path):
    settings = ClickSettings(minimum_impressions=3, strength=2.0)
    out = tmp_path / "grades.tsv"
    made = write_click_judgments(EventLog(log), "pbm", settings, out)
    columns = JudgmentColumns("query", "doc_id", "grade", query_id="query_id")
    read = read_judgments(out, columns)
    shown = pages.per_pair()
    assert made.pairs == len(read) == int((shown >= 3).sum())
    assert made.left_out == int((shown < 3).sum())
    relevance = fit_pbm(pages, Fitting(strength=2.0)).relevance
    kept = np.flatnonzero(shown >= 3)
    for pair in kept[:50].tolist():
        text = pages.texts[pages.pair_queries[pair]]
        grade = read.grades[text][pages.doc_ids[pages.pair_documents[pair]]]
        assert grade == pytest.approx(3 * relevance[pair] / relevance[kept].max(), rel=1e-4)


def test_what_cannot_be_graded_is_told(log, tmp_path):
    with pytest.raises(InputError, match="was shown 100000 times; the most is"):
        settings = ClickSettings(minimum_impressions=100_000)
        write_click_judgments(EventLog(log), "ctr", settings, tmp_path / "a.tsv")
    with pytest.raises(InputError, match="no click model 'pmb'"):
        write_click_judgments(EventLog(log), "pmb", ClickSettings(), tmp_path / "a.tsv")
    with pytest.raises(InputError, match=r"ends in \.tsv"):
        write_click_judgments(EventLog(log), "pbm", ClickSettings(), tmp_path / "a.csv")


def test_rates_are_scaled_to_the_highest():
    assert scaled(np.array([0.1, 0.2, 0.0]), 3.0).tolist() == pytest.approx([1.5, 3.0, 0.0])
    assert scaled(np.zeros(2), 3.0).tolist() == [0.0, 0.0]


def test_grades_by_hand(pages):
    # Without a prior the naive grade is the click-through rate, and the unbiased one the sum of
    # clicks over the sum of propensities.
    settings = ClickSettings(strength=0.0, scale="rate")
    clicks, shown = pages.per_pair(pages.clicks), pages.per_pair()
    assert click_grades(pages, settings, None) == pytest.approx(scaled(clicks / shown, 3.0))
    chances = propensities(pages, "pbm")
    looked = pages.per_pair(np.maximum(chances.of(pages.row_surfaces, pages.ranks), 0.5))
    clipped = ClickSettings(strength=0.0, clip=0.5, scale="rate")
    expected = scaled(np.minimum(clicks / looked, 1.0), 3.0)
    assert click_grades(pages, clipped, chances) == pytest.approx(expected)
    # A purchase that counts three times a click outweighs it.
    weighted = ClickSettings(strength=0.0, scale="rate", events={"click": 1.0, "purchase": 3.0})
    bought = pages.per_pair(pages.events["purchase"] > 0)
    expected = scaled((clicks + 3 * bought) / shown, 3.0)
    assert click_grades(pages, weighted, None) == pytest.approx(expected)
    root = click_grades(pages, ClickSettings(strength=0.0), None)
    assert root == pytest.approx(scaled(np.sqrt(clicks / shown), 3.0))


def test_rows_are_those_of_training_on_judgments(demo_folder, log, pages, tmp_path):
    config = configured(
        demo_folder, tmp_path, "clicks.debias=none", "clicks.strength=0", "clicks.prior=common"
    )
    prepared = prepared_from_clicks(config, log)
    train = prepared.train
    assert prepared.queries["train"] == len(train.query_ids)
    assert train.positions is None
    assert train.matrix.shape == (len(train), len(train.names))
    # Every clicked row of a training query that retrieval brings is there, with its clicks.
    clicked = train.tasks["click"]
    assert (train.grades[clicked > 0] > 0).all()
    assert (train.grades[clicked == 0] == 0).all()
    kept = set(train.query_ids)
    in_training = [pages.texts[q] in kept for q in pages.pair_queries.tolist()]
    assert 0 < clicked.sum() <= pages.per_pair(pages.events["click"])[in_training].sum()
    assert not kept & set(prepared.validation.query_ids)


def test_later_stages_draw_rows_anew_with_the_same_grades(demo_folder, log, tmp_path):
    config = configured(demo_folder, tmp_path, "training.negatives=3", "retrieval.size=200")
    prepared = prepared_from_clicks(config, log)
    assert prepared.drawn is not None
    for again, first in zip(
        prepared.drawn((), 200, silent), (prepared.train, prepared.validation), strict=True
    ):
        assert again.query_ids == first.query_ids
        assert again.grades == pytest.approx(first.grades, rel=1e-6)
    # What was shown has a grade above 0, clicked or not, and the sampled rows have none.
    graded = sum(int((part.grades > 0).sum()) for part in (prepared.train, prepared.validation))
    assert graded == prepared.train.counts["shown"]
    clicked = prepared.train.tasks["click"] > 0
    assert clicked.any()
    assert prepared.train.grades[clicked].mean() > prepared.train.grades[~clicked].mean()


def test_the_prior_does_not_know_what_held_out_rows_were_clicked_for(demo_folder, pages, tmp_path):
    config = configured(demo_folder, tmp_path)
    random = np.random.default_rng(5)
    train, validation = one_row_a_pair(pages, random, 0), one_row_a_pair(pages, random, 1)
    learned = train.grades.astype(int) - 1
    held = validation.grades.astype(int) - 1
    liked = held[validation.matrix[:, 0] > 0.5]
    clicked = np.isin(pages.pairs, liked) | (pages.clicks & ~np.isin(pages.pairs, held))
    planted = replace(pages, events={**pages.events, "click": clicked.astype(np.int32)})
    unliked = clicked & ~np.isin(pages.pairs, liked)
    without = replace(pages, events={**pages.events, "click": unliked.astype(np.int32)})
    fooled = graded(config, planted, None, train, validation)
    honest = graded(config, without, None, train, validation)
    # All the pairs that one feature marks were clicked whenever they were shown, in held-out
    # queries alone: grades to train on are the same but for their scale.
    ratio = fooled[learned] / honest[learned]
    assert ratio == pytest.approx(np.full(len(learned), ratio[0]))
    # Held-out rows have the grade that their own clicks give them.
    assert fooled[liked].mean() > 2 * fooled[np.setdiff1d(held, liked)].mean()


def one_row_a_pair(pages, random, part: int) -> Dataset:
    """Return a row of two random features for each pair of every second query."""
    order = np.argsort(pages.pair_queries, kind="stable")
    order = order[pages.pair_queries[order] % 2 == part]
    queries, lengths = np.unique(pages.pair_queries[order], return_counts=True)
    return Dataset(
        names=("planted", "other"),
        matrix=random.random((len(order), 2)).astype(np.float32),
        grades=(order + 1).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        query_ids=tuple(pages.texts[q] for q in queries),
        counts={},
    )


def test_searches_are_listings_in_the_order_that_was_shown(demo_folder, log, tmp_path):
    config = configured(
        demo_folder,
        tmp_path,
        "clicks.debias=lambdarank",
        "clicks.searches=40",
        "training.negatives=5",
    )
    train = prepared_from_clicks(config, log).train
    assert train.positions is not None
    assert 0 < len(train.query_ids) <= 40
    for first, last in zip(train.offsets[:-1].tolist(), train.offsets[1:].tolist(), strict=True):
        ranks = train.positions[first:last]
        seen = ranks[ranks > 0]
        assert (np.diff(seen) > 0).all()
        assert (ranks[len(seen) :] == 0).all()
        assert train.grades[first:last].max() > 0
        assert (train.grades[first:last][ranks == 0] == 0).all()


def test_by_search_gives_each_search_its_own_rows(pages):
    # One row a pair, whose only feature is the pair's number; one sampled row a query.
    queries = sorted(set(pages.pair_queries.tolist()))
    order = np.argsort(pages.pair_queries, kind="stable")
    pair, lengths = [], []
    for query in queries:
        mine = order[pages.pair_queries[order] == query].tolist()
        pair += [*mine, -1]
        lengths.append(len(mine) + 1)
    rows = Dataset(
        names=("pair",),
        matrix=np.array(pair, np.float32)[:, None],
        grades=np.zeros(len(pair), np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        query_ids=tuple(pages.texts[q] for q in queries),
        counts={},
    )
    found = by_search(rows, np.array(pair), pages, ClickSettings(searches=30), seed=1)
    fruitful = np.flatnonzero(np.bincount(pages.page, pages.clicks) > 0)
    searches = np.sort(np.random.default_rng(1).permutation(fruitful)[:30])
    assert found.times is not None
    assert found.times.tolist() == pages.times[searches].tolist()
    for listing, search in enumerate(searches.tolist()):
        given = slice(int(found.offsets[listing]), int(found.offsets[listing + 1]))
        shown = slice(int(pages.offsets[search]), int(pages.offsets[search + 1]))
        assert found.matrix[given, 0].tolist() == [*pages.pairs[shown].tolist(), -1]
        assert found.grades[given].tolist() == [*pages.clicks[shown].tolist(), 0]


def test_the_commands_train_on_a_log_and_on_its_judgments(demo_folder, log, tmp_path):
    out, config = tmp_path / "grades.tsv", str(demo_folder / "cascade.toml")
    run = CliRunner()
    made = run.invoke(
        main,
        ["events", "judgments", str(out), "--model", "sdbn", "--log", str(log), "--config", config],
    )
    assert made.exit_code == 0, made.output
    assert "sdbn: log-likelihood" in made.output
    found = run.invoke(main, ["events", "propensities", "--log", str(log), "--config", config])
    assert found.exit_code == 0, found.output
    assert "email" in found.output
    quick = ["--config", config, "--set", f'models.root="{tmp_path / "models"}"']
    quick += ["--set", "stages.1.trees.rounds=3", "--set", "training.negatives=5"]
    for source in (["--clicks", str(log)], ["--judgments", str(out)]):
        trained = run.invoke(main, ["train", *source, *quick])
        assert trained.exit_code == 0, trained.output
        assert "shop-trees" in trained.output
    assert run.invoke(main, ["train", *quick]).exit_code == 2
    assert run.invoke(main, ["train", "--clicks", str(log), "--judgments", str(out)]).exit_code == 2


def test_a_log_that_leaves_too_little_is_refused(demo_folder, log, tmp_path):
    config = configured(demo_folder, tmp_path, "split.test=0.99", "split.validation=0.005")
    with pytest.raises(InputError, match="queries to train on"):
        prepared_from_clicks(config, log)


def test_settings_that_count_nothing_are_refused():
    with pytest.raises(ValueError, match="nothing counts"):
        ClickSettings(events={"click": 0.0})


def test_trees_told_the_ranks_are_fitted_another_way():
    # That rows have ranks is what turns XGBoost's `lambdarank_unbiased` on.
    rng = np.random.default_rng(8)
    count, width = 200, 10
    quality = rng.random((count, width)).astype(np.float32)
    ranks = np.tile(np.arange(1, width + 1, dtype=np.int32), (count, 1))
    clicks = rng.random((count, width)) < 0.8 * quality / ranks
    rows = Dataset(
        names=("quality",),
        matrix=quality.reshape(-1, 1),
        grades=clicks.ravel().astype(np.float32),
        offsets=np.arange(count + 1, dtype=np.int64) * width,
        query_ids=tuple(str(i) for i in range(count)),
        counts={},
    )
    held, options = rows.select(np.arange(count) < 50), TreeOptions(rounds=5, threads=1)
    probe = rng.random((100, 1)).astype(np.float32)
    naive = fit_trees(rows, held, options).predict(probe)
    told = fit_trees(replace(rows, positions=ranks.ravel()), held, options).predict(probe)
    assert not np.allclose(naive, told)
    assert np.corrcoef(told, probe[:, 0])[0, 1] > 0.5


def test_the_texts_asked_last_are_held_out(demo_folder, log, pages, tmp_path):
    config = configured(
        demo_folder, tmp_path, "split.by=time", "training.negatives=0", "retrieval.size=50"
    )
    prepared = prepared_from_clicks(config, log)
    last: dict[str, float] = {}
    for query, time in zip(pages.queries.tolist(), pages.times.tolist(), strict=True):
        last[pages.texts[query]] = max(time, last.get(pages.texts[query], time))
    train, held = (
        [last[text] for text in part.query_ids] for part in (prepared.train, prepared.validation)
    )
    assert max(train) <= min(held)
    later = sum(time > max(held) for time in last.values())
    assert later == prepared.queries["test"] == round(0.2 * len(last))
