"""Rates and counts of behaviour against values calculated by hand."""

import math

import numpy as np
import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.behaviour import BoundCounts, Counted, Counter, snapshot_of
from cascade.candidates import Query
from cascade.errors import ConfigError
from cascade.features import Count, Rate, build_features, counters_of

NAN = math.nan
CLICKS, SHOWN = (Counter("document", action, 30.0) for action in ("click", "impression"))
BOUGHT = Counter("group", "purchase", math.inf, 7.0, "brand")
CTR = Rate(name="ctr", by="document", of="click", prior_weight=10.0)
SALES = Count(
    name="sales", by="group", field="brand", action="purchase", window_days=0, half_life_days=7
)
PAIR = {"kind": "rate", "name": "f", "by": "pair", "of": "cart", "per": "click"}


def names(values):
    return Counted(
        None, np.array(list(values), dtype=object), np.array(list(values.values()), dtype=float)
    )


# 6 clicks on 60 impressions: the rate over everything is 0.1.
COUNTED = {
    CLICKS: names({"a": 5.0, "gone": 1.0}),
    SHOWN: names({"a": 10.0, "b": 30.0, "gone": 20.0}),
    BOUGHT: names({"ash": 3.0}),
}


def shop(as_of=1000.0, counts=COUNTED, max_age_s=math.inf):
    documents = MemoryDocuments(
        {"brand": "keyword"}, [{"id": "a", "brand": ["ash"]}, {"id": "b"}, {"id": "c"}]
    )
    if counts is not None:
        documents.behaviour = BoundCounts(snapshot_of(as_of, counts), documents, max_age_s)
    return documents


def of(feature, batch):
    return feature.values(batch).tolist()


def test_a_rate_is_drawn_to_the_rate_over_everything():
    # (5 + 10 * 0.1) / (10 + 10), (0 + 1) / (30 + 10), and for what was never seen 1 / 10.
    expected = [0.3, 0.025, 0.1, NAN]
    assert of(CTR, candidates(shop(), ("q", [0, 1, 2, -1]))) == pytest.approx(expected, nan_ok=True)


def test_a_rate_may_name_its_prior():
    feature = Rate(name="f", by="document", of="click", prior_weight=10.0, prior_rate=0.5)
    assert of(feature, candidates(shop(), ("q", [0, 1, 2]))) == pytest.approx([0.5, 0.125, 0.5])


def test_a_count_is_its_logarithm():
    batch = candidates(shop(), ("q", [0, 1, -1]))
    assert of(SALES, batch) == pytest.approx([math.log(4), 0, NAN], nan_ok=True)


def test_a_rate_without_a_single_impression_is_0():
    counts = {CLICKS: names({}), SHOWN: names({})}
    assert of(CTR, candidates(shop(counts=counts), ("q", [0, 1]))) == [0, 0]


def test_without_counts_every_value_is_missing():
    for documents in (shop(counts=None), shop(counts={SHOWN: COUNTED[SHOWN]})):
        batch = candidates(documents, ("q", [0, 1]))
        assert np.isnan(CTR.values(batch)).all()
        assert np.isnan(SALES.values(batch)).all()


def test_counts_that_are_too_old_or_of_later_are_those_of_what_was_never_seen():
    documents = shop(as_of=1000.0, max_age_s=60.0)
    listings = [(Query(str(t), "q", time=t), [0, -1]) for t in (999.0, 1000.0, 1060.0, 1061.0, 0.0)]
    batch = candidates(documents, *listings)
    expected = [0.1, NAN, 0.3, NAN, 0.3, NAN, 0.1, NAN, 0.3, NAN]
    assert of(CTR, batch) == pytest.approx(expected, nan_ok=True)
    seen = math.log(4)
    expected = [0, NAN, seen, NAN, seen, NAN, 0, NAN, seen, NAN]
    assert of(SALES, batch) == pytest.approx(expected, nan_ok=True)


def test_columns_of_a_join_come_before_the_newest_counts():
    columns = {CLICKS.name: [1, 0, 3], SHOWN.name: [30, 0, 3]}
    batch = candidates(shop(), ("q", [0, 1, -1]), columns=columns)
    # (1 + 10 * 0.1) / (30 + 10), 1 / 10
    assert of(CTR, batch) == pytest.approx([0.05, 0.1, NAN], nan_ok=True)
    assert of(SALES, batch)[0] == pytest.approx(math.log(4))


def test_columns_of_a_join_may_bring_what_happened_in_all():
    columns = {CLICKS.name: [1, 0], SHOWN.name: [30, 0]}
    columns |= {CLICKS.total_name: [20, 0], SHOWN.total_name: [100, 0]}
    for documents in (shop(), shop(counts=None)):
        batch = candidates(documents, ("q", [0, 1]), columns=columns)
        # (1 + 10 * 0.2) / (30 + 10); nothing happened before the second row's moment.
        assert of(CTR, batch) == pytest.approx([0.075, 0.0])


def test_a_join_and_the_counts_of_that_moment_give_the_same_bits():
    random = np.random.default_rng(5)
    drawn = {f"{i}": float(v) for i, v in enumerate(random.exponential(50, 40))}
    shown = {name: value * 3.7 for name, value in drawn.items()}
    documents = MemoryDocuments({}, [{"id": name} for name in drawn])
    counts = {CLICKS: names(drawn), SHOWN: names(shown)}
    documents.behaviour = BoundCounts(snapshot_of(1.0, counts), documents)
    rows = list(range(40))
    columns = {CLICKS.name: list(drawn.values()), SHOWN.name: list(shown.values())}
    served = CTR.values(candidates(documents, ("q", rows)))
    trained = CTR.values(candidates(documents, ("q", rows), columns=columns))
    assert served.tobytes() == trained.tobytes()


def test_what_has_to_be_counted_follows_from_the_features():
    features = build_features(
        [
            {"kind": "hour", "name": "hour"},
            CTR.definition(),
            SALES.definition(),
            {**CTR.definition(), "name": "again", "prior_weight": 5.0},
            {"kind": "expression", "name": "e", "formula": "ctr * 2"},
        ],
        shop().schema,
    )
    assert counters_of(features.features) == (CLICKS, SHOWN, BOUGHT)
    assert features.engine_bound == ()
    assert features.fields == ("brand",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by": "documents"}, "by: is 'documents'.*document"),
        ({"by": "group"}, "field: is needed"),
        ({"by": "pair", "field": "brand"}, "field: is needed for"),
        ({"by": "group", "field": "title"}, "'title' is no field"),
        ({"of": "clicks"}, "of: is 'clicks'.*click"),
        ({"per": "view"}, "per: is 'view'"),
        ({"prior_weight": 0.0}, "prior_weight"),
        ({"prior_rate": -1.0}, "prior_rate"),
        ({"window_days": -1}, "window_days"),
        ({"half_life_days": math.inf}, "half_life_days"),
        ({"windowdays": 1}, "unknown setting"),
    ],
)
def test_settings_that_are_not_sound_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        build_features([{**PAIR, **change}], shop().schema)


def test_every_stage_of_a_request_reads_the_same_counts():
    documents = shop()
    features = build_features([CTR.definition()], documents.schema)
    begun = candidates(documents, (Query("1", "q", time=2000.0), [0, 1, 2]))
    first = features.matrix(begun)
    newer = {CLICKS: names({"b": 9.0}), SHOWN: names({"b": 9.0})}
    documents.behaviour = BoundCounts(snapshot_of(1500.0, newer), documents)
    other = build_features([{**CTR.definition(), "name": "later"}], documents.schema)
    assert other.matrix(begun.head(2)).tobytes() == first[:2].tobytes()
    assert features.matrix(begun.bare())[1] == pytest.approx(1.0)
