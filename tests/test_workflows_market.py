"""The market of a policy: rows, gains, columns and groups by hand; parts; names that are wrong."""

import re

import numpy as np
import pytest

from cascade.config import judgments_columns
from cascade.errors import ConfigError, InputError
from cascade.judgments import read_judgments
from cascade.workflows.market import market_of
from cascade.workflows.market_columns import GAIN
from cascade.workflows.split import divide_judgments
from tests.policy_shop import TEXTS, WINDOW, grades, settled, write_policy_shop
from tests.small_shop import BRANDS, BY_ID, CHEAPEST

PROFIT = 'evolution.columns={profit="price * margin", dear="profit > 5", bought="gain > 1"}'
HEAD = CHEAPEST[:WINDOW]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_policy_shop(tmp_path_factory.mktemp("cups"))


@pytest.fixture(scope="module")
def market(shop):
    path, judgments = shop
    return market_of(settled(path, PROFIT, 'evolution.groups=["brand"]'), judgments)


def of_head(value):
    return [value(BY_ID[doc_id]) for doc_id in HEAD]


def test_rows_are_the_window_of_what_the_last_stage_ranks(market):
    for part, window in market.windows.items():
        sample = market.parts[part]
        assert list(window.ids()) == HEAD * sample.requests
        assert sample.listings.offsets.tolist() == list(range(0, len(window) + 1, WINDOW))
        assert len(sample.scores) == len(window)
    # In each listing the scores begin with a mean of 0 and a deviation of 1, and never rise.
    scores = market.parts["test"].scores.reshape(-1, WINDOW)
    np.testing.assert_allclose(scores.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(scores.std(axis=1), 1, atol=1e-5)
    assert (np.diff(scores, axis=1) < 0).all()
    assert market.models == {"cheap": "plain-cheap/1"}


def test_parts_are_those_of_training(shop, market):
    path, judgments = shop
    config = settled(path)
    read = read_judgments(judgments, judgments_columns(config))
    divided, _ = divide_judgments(read, config.settings.split)
    for part, ids in divided.items():
        assert list(market.texts[part]) == [read.texts[i] for i in ids]
    together = [text for texts in market.texts.values() for text in texts]
    assert sorted(together) == sorted(TEXTS)
    assert len(set(together)) == len(together)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_gains_are_the_grades_and_0_without_one(market, part):
    found = market.parts[part].listings.column(GAIN).reshape(-1, WINDOW)
    for text, gains in zip(market.texts[part], found, strict=True):
        given = grades(TEXTS.index(text))
        assert gains.tolist() == [given.get(doc_id, 0) for doc_id in HEAD]
        assert gains.sum() == 6


def test_columns_are_fields_objectives_and_formulas(market):
    listings = market.parts["validation"].listings
    rows = slice(0, WINDOW)
    assert listings.column("price")[rows].tolist() == of_head(lambda d: d["price"])
    profit = np.array(of_head(lambda d: d["price"] * 0.5), dtype=np.float32)
    np.testing.assert_array_equal(listings.column("profit")[rows], profit)
    np.testing.assert_array_equal(listings.column("dear")[rows], profit > 5)
    np.testing.assert_array_equal(listings.column("bought"), listings.column(GAIN) > 1)
    # Revenue is the share of the others that bring less; prices rise with the rank.
    percentiles = np.arange(WINDOW) / (WINDOW - 1)
    np.testing.assert_allclose(listings.column("revenue")[rows], percentiles, atol=1e-6)
    # What no formula reads is no column.
    assert set(listings.columns) == {
        GAIN,
        "price",
        "margin",
        "revenue",
        "stocked",
        "profit",
        "dear",
        "bought",
    }


def test_objectives_are_inputs_and_shares(market):
    assert [o.name for o in market.objectives] == ["revenue", "stocked"]
    assert market.shape.objectives == ("relevance", "revenue", "stocked")
    sample = market.parts["train"]
    assert sample.names == ("score", "rank_percentile", "revenue", "stocked")
    for name in ("revenue", "stocked"):
        np.testing.assert_array_equal(sample.input(name), sample.listings.column(name))
    empty = np.array(of_head(lambda d: d["stock"] == 0))
    stocked = sample.listings.column("stocked")[:WINDOW]
    assert (stocked[empty] == 0).all()
    assert (stocked[~empty] > 0).all()


def test_a_group_is_the_first_value_of_its_field(market):
    window, listings = market.windows["test"], market.parts["test"].listings
    codes = listings.group("brand")
    wanted = window.documents.keyword_codes("brand", BRANDS)
    of_brand = dict(zip(BRANDS, wanted, strict=True))
    assert codes[:WINDOW].tolist() == [of_brand[BY_ID[i]["brand"]] for i in HEAD]
    assert len(set(codes.tolist())) > 1


def test_only_the_first_of_many_values_counts_and_none_is_no_group(tmp_path, monkeypatch):
    import tests.small_shop as shop

    several = [dict(d) for d in shop.DOCUMENTS]
    for number, document in enumerate(several):
        document["brand"] = [["elm", "ash"], [], "ash"][number % 3]
    monkeypatch.setattr(shop, "DOCUMENTS", several)
    path, judgments = write_policy_shop(tmp_path)
    found = market_of(settled(path, 'evolution.groups=["brand"]'), judgments)
    window = found.windows["test"]
    elm, ash = window.documents.keyword_codes("brand", ["elm", "ash"])
    wanted = [[elm, -1, ash][int(doc_id[1:]) % 3] for doc_id in HEAD]
    assert found.parts["test"].listings.group("brand")[:WINDOW].tolist() == wanted


def test_rules_of_retrieval_hold_and_rules_of_places_do_not(shop):
    path, judgments = shop
    rules = (
        'business.rules=[{kind="min_stock", name="in-stock", field="stock", at_least=1}, '
        f'{{kind="pin", name="lead", slots={{{CHEAPEST[20]}=1}}, queries=["{TEXTS[0]}"]}}]'
    )
    found = market_of(settled(path, rules), judgments)
    held = [doc_id for doc_id in CHEAPEST if BY_ID[doc_id]["stock"]][:WINDOW]
    for window in found.windows.values():
        assert list(window.ids()) == held * len(window.queries)


def test_a_model_and_a_preference_of_serving_change_nothing(shop, market):
    path, judgments = shop
    served = ('business.model="plain-policy"', 'business.preference="balanced"')
    found = market_of(settled(path, *served), judgments)
    for part, sample in found.parts.items():
        np.testing.assert_array_equal(sample.scores, market.parts[part].scores)
        np.testing.assert_array_equal(sample.inputs, market.parts[part].inputs)


def test_every_wrong_name_is_told_at_once(shop):
    path, judgments = shop
    wrong = 'evolution.columns={a="prise * 2", b="price +", c="d + 1", d="gain"}'
    with pytest.raises(ConfigError) as caught:
        market_of(settled(path, wrong, 'evolution.groups=["brnd", "price"]'), judgments)
    told = caught.value.problems
    assert len(told) == 5
    assert "evolution.columns.a: 'prise' is no column; did you mean 'price'?" in told[0]
    assert re.match(r"evolution.columns.b: formula, position \d", told[1])
    # A formula sees what is before it alone.
    assert "evolution.columns.c: 'd' is no column" in told[2]
    assert "evolution.groups: 'brnd' is no keyword field; did you mean 'brand'?" in told[3]
    assert "'price' is no keyword field" in told[4]


def shop_with_a_gain(folder):
    """Write the shop with a number field `gain`, 7 in every document."""
    import tests.small_shop as shop

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shop, "DOCUMENTS", [{**d, "gain": 7.0} for d in shop.DOCUMENTS])
        patched.setattr(shop, "SCHEMA", shop.SCHEMA + '[fields.gain]\ntype = "number"\n')
        return write_policy_shop(folder)


def test_a_field_named_gain_is_not_taken_for_the_grades(tmp_path):
    path, judgments = shop_with_a_gain(tmp_path)
    reading = (
        [],  # nDCG@10 and acceptance
        ["evolution.acceptance={}", 'evolution.columns={dear="gain * price"}'],
        ["evolution.acceptance={}", f'evolution.fitness={{function="{__name__}:nothing"}}'],
    )
    for overrides in reading:
        with pytest.raises(ConfigError, match="schema: a number field is named 'gain'"):
            market_of(settled(path, *overrides), judgments)
    unread = ("evolution.acceptance={}", 'evolution.fitness={raised="mean(price)@3"}')
    found = market_of(settled(path, *unread), judgments).parts["test"].listings
    assert sorted(set(found.column(GAIN).tolist())) == [0, 1, 2, 3]


def test_an_objective_named_gain_is_refused(shop):
    path, judgments = shop
    named = 'business.objectives=[{name="gain", kind="stock", field="stock"}]'
    with pytest.raises(ConfigError, match=r"business.objectives: one is named 'gain'"):
        market_of(settled(path, named), judgments)


def test_a_function_may_read_every_number_field(shop):
    path, judgments = shop
    read = f'evolution.fitness={{function="{__name__}:nothing"}}'
    listings = market_of(settled(path, read), judgments).parts["test"].listings
    assert {"price", "stock", "margin"} < set(listings.columns)
    assert listings.column("stock")[:WINDOW].tolist() == of_head(lambda d: d["stock"])


def test_no_business_layer(shop, tmp_path):
    path, judgments = shop
    bare = path.with_name("bare.toml")
    text = path.read_text()
    bare.write_text(text[: text.index("[business]")] + text[text.index("[cascades") :])
    with pytest.raises(ConfigError, match=r"business: is missing; .* with objectives"):
        market_of(settled(bare), judgments)


def test_a_part_without_results(shop, tmp_path):
    path, _ = shop
    unknown = tmp_path / "unknown.tsv"
    rows = [f"zebra{i}\td001\t1" for i in range(40)]
    unknown.write_text("\n".join(["query\tdoc_id\tgrade", *rows]) + "\n")
    with pytest.raises(InputError, match=r"rank train requests: none of \d+ has a result"):
        market_of(settled(path), unknown)


def test_a_head_that_no_stage_leaves(shop):
    path, judgments = shop
    wrong = (
        'business.policy={inputs=["score", "revenue", "head(p_buy)"]}',
        'business.guard_gain="engine_scor"',
    )
    with pytest.raises(ConfigError) as caught:
        market_of(settled(path, *wrong), judgments)
    first, second = caught.value.problems
    assert first.startswith("business.policy.inputs: head(p_buy): no stage leaves a head 'p_buy'")
    assert "stage:" not in first
    assert "business.guard_gain: no stage leaves a head 'engine_scor'; did you mean" in second


def test_number_fields_that_measures_read_are_columns(shop):
    path, judgments = shop
    read = (
        'evolution.fitness={measures={"mean(price)@3"=1, "MRR where stock"=1}}',
        'evolution.bounds={"total(margin)@5"=">= 0.9 of base"}',
    )
    found = market_of(settled(path, *read), judgments).parts["train"].listings
    assert set(found.columns) == {GAIN, "revenue", "stocked", "price", "stock", "margin"}
    assert found.column("stock")[:WINDOW].tolist() == of_head(lambda d: d["stock"])


def test_requests_have_the_surfaces_of_inputs_in_turn(shop):
    path, judgments = shop
    inputs = 'business.policy={inputs=["score", "revenue", "stocked", "surface(app)"]}'
    sample = market_of(settled(path, inputs), judgments).parts["train"]
    by_request = sample.input("surface(app)").reshape(-1, WINDOW)
    wanted = np.arange(sample.requests) % 2
    np.testing.assert_array_equal(by_request, np.repeat(wanted[:, None], WINDOW, axis=1))
