"""Query bodies for Elasticsearch and OpenSearch, and the reading of their answers: no server."""

import json
from dataclasses import replace

import numpy as np
import pytest
from contracts.engine import SCHEMA

from cascade.engines._rest.answers import (
    facets_of,
    matched_scores,
    page_of,
    pages_of,
    rows_of,
    scores_of,
    total_of,
    values_of,
)
from cascade.engines._rest.client import Request
from cascade.engines._rest.filters import filter_clauses
from cascade.engines._rest.query import MAX_CLAUSES, QueryWriter, counting, ranked
from cascade.engines._rest.template import Template
from cascade.engines._server.connecting import Answer
from cascade.engines._server.fields import IndexField, fields_of_others, fields_of_ours
from cascade.engines._server.fusion import fused
from cascade.engines._server.listing import Listing
from cascade.engines.asking import MAX_QUERY_TERMS, Words, facet_groups, needed
from cascade.engines.connection import Matching
from cascade.errors import ConfigError, DeadlineError, EngineError, NotFoundError, QueryError
from cascade.filters import AllOf, parse
from cascade.protocols import Asked, FacetValue, Sort, Total
from cascade.schema import Field, Kind, Schema

OURS = fields_of_ours(SCHEMA)
REQUEST = Request("POST", "/products/_msearch", {}, None, True)


def writer(schema=SCHEMA, **settings):
    matching = settings.pop("matching", Matching())
    fields = settings.pop("fields", fields_of_ours(schema))
    return QueryWriter(Words.of(schema, schema), fields, matching, **settings)


def term(field, value, boost):
    return {"term": {field: {"value": value, "boost": boost}}}


def clauses(raw, fields=OURS):
    return filter_clauses(fields, parse(raw, SCHEMA))


def answer(value, status=200):
    return Answer(status, json.dumps(value).encode())


def test_a_text_is_the_sum_of_its_terms_over_the_searched_fields():
    assert writer().text("Red SHOES red", 0.0) == {
        "bool": {
            "should": [
                term("title", "red", 3.0),
                term("text", "red", 1.5),
                term("title", "shoe", 3.0),
                term("text", "shoe", 1.5),
            ]
        }
    }
    assert writer().text(" !? ", 0.0) is None


def test_a_word_may_be_in_any_field_for_minimum_match():
    made = writer().text("red shoe hat", 0.5)["bool"]
    assert made["minimum_should_match"] == 2
    assert made["should"][1] == {
        "bool": {"should": [term("title", "shoe", 3.0), term("text", "shoe", 1.5)]}
    }


@pytest.mark.parametrize(
    ("share", "words", "expected"), [(0.5, 3, 2), (1.0, 3, 3), (0.01, 3, 1), (0.7, 10, 7)]
)
def test_the_words_needed_are_rounded_up(share, words, expected):
    assert needed(share, words) == expected


def test_analysers_that_part_a_text_differently_have_words_of_their_own(tmp_path):
    rules = tmp_path / "synonyms.txt"
    rules.write_text("tee shirt => tshirt\n")
    schema = Schema(
        "id", (Field("a", Kind.TEXT, synonyms=rules), Field("b", Kind.TEXT, analyser="plain"))
    )
    made = writer(schema).text("tee shirt red", 1.0)["bool"]
    assert made["must"] == [
        {
            "bool": {
                "should": [
                    *(term("a", one, 1.0) for one in ("tshirt", "red")),
                    *(term("b", one, 1.0) for one in ("tee", "shirt", "red")),
                ]
            }
        }
    ]
    ways = made["filter"][0]["bool"]["should"]
    assert [way["bool"]["minimum_should_match"] for way in ways] == [2, 3]


def test_a_text_has_no_more_clauses_than_servers_take():
    schema = Schema("id", tuple(Field(f"t{i}", Kind.TEXT) for i in range(90)))
    text = " ".join(f"word{i}" for i in range(200))
    for share, settings in ((0.0, {}), (0.5, {}), (0.5, {"named": True})):
        made = json.dumps(writer(schema, **settings).text(text, share))
        assert 0 < made.count('"term"') <= MAX_CLAUSES
    few = json.dumps(writer().text(text, 0.0))
    assert few.count('"term"') == 2 * MAX_QUERY_TERMS


def test_phrases_and_typos_stand_beside_the_words():
    matching = Matching(phrase_boost=2.0, phrase_slop=1)
    made = writer(matching=matching).text("red shoe", 0.0)["bool"]
    assert [list(one["match_phrase"]) for one in made["should"]] == [["title"], ["text"]]
    assert made["should"][0]["match_phrase"]["title"] == {
        "query": "red shoe",
        "slop": 1,
        "boost": 6.0,
    }
    assert "match_phrase" not in json.dumps(writer(matching=matching).text("red", 0.0))
    typed = writer(matching=Matching(typos=True)).text("red", 0.0)["bool"]["should"][0]
    exact, fuzzy = typed["dis_max"]["queries"]
    assert exact == term("title", "red", 3.0)
    assert fuzzy["fuzzy"]["title"]["boost"] == 1.5
    assert fuzzy["fuzzy"]["title"]["prefix_length"] == 1


def test_a_server_that_analyses_gets_the_text():
    made = writer(matching=Matching(analysed="server")).text("Red: shoes", 0.5)["bool"]
    assert made["must"][0]["bool"]["should"][0] == {
        "match": {"title": {"query": "Red: shoes", "boost": 3.0}}
    }
    enough = made["filter"][0]["multi_match"]
    assert (enough["type"], enough["minimum_should_match"]) == ("cross_fields", "50%")
    assert writer(matching=Matching(analysed="server")).text("  ", 0.0) is None


def test_filters_ids_and_all_stand_around_the_text():
    text = term("title", "red", 1.0)
    filters = parse({"brand": "x"}, SCHEMA)
    brand = {"terms": {"brand": ["x"]}}
    ids = {"ids": {"values": ["1", "\ufffd"]}}
    whole = writer().whole
    assert whole(text, AllOf(()), Asked(), None) == text
    assert whole(text, filters, Asked(), ["1", "\ud800"]) == {
        "bool": {"must": [text], "filter": [brand, ids]}
    }
    everything = {"match_all": {}}
    assert whole(text, AllOf(()), Asked(match_all=True), None) == {
        "bool": {"should": [text], "filter": [everything]}
    }
    assert whole(None, AllOf(()), Asked(match_all=True), None) == {"bool": {"filter": [everything]}}
    assert whole(None, filters, Asked(), None) is None
    assert writer(id_field="sku").ids(["1"]) == {"terms": {"sku": ["1"]}}


def test_filters_by_the_table():
    assert clauses({"brand": ["a", "\ud800"]}) == [{"terms": {"brand": ["a", "\ufffd"]}}]
    assert clauses({"brand": "a" * 40_000}) == [{"match_none": {}}]
    assert clauses({"price": [-0.0, 2]}) == [{"terms": {"price": [0.0, 2.0]}}]
    assert str(clauses({"price": -0.0})[0]["terms"]["price"][0]) == "0.0"
    assert clauses({"price": {"gt": 1, "gte": 1, "lt": 5, "lte": 4}}) == [
        {"range": {"price": {"gt": 1.0, "lte": 4.0}}}
    ]
    assert clauses({"not": {"brand": {"exists": True}}}) == [
        {"bool": {"must_not": [{"bool": {"filter": [{"exists": {"field": "brand"}}]}}]}}
    ]
    assert clauses({"any": [{}, {"price": 1}]}) == [
        {
            "bool": {
                "should": [
                    {"match_all": {}},
                    {"bool": {"filter": [{"terms": {"price": [1.0]}}]}},
                ]
            }
        }
    ]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"gte": 1.5}, {"gte": 1500}),
        ({"gte": 1.0001}, {"gte": 1001}),
        ({"gt": 1.0001}, {"gt": 1000}),
        ({"lte": 1.0009}, {"lte": 1000}),
        ({"lt": 1.0009}, {"lt": 1001}),
        ({"gt": 1_700_000_000.123}, {"gt": 1_700_000_000_123}),
        ({"lt": -1.0001}, {"lt": -1000}),
        ({"lt": 1e300}, {"lt": 253_402_300_800_000}),
    ],
)
def test_dates_are_bounded_in_whole_milliseconds(condition, expected):
    (made,) = clauses({"added": condition})
    assert made == {"range": {"added": {**expected, "format": "epoch_millis"}}}


def test_a_field_that_the_index_has_not_is_named():
    with pytest.raises(QueryError, match="no field that holds 'brand'"):
        clauses({"brand": "x"}, {**OURS, "brand": ()})


def test_the_fields_of_an_index_of_others_are_found_by_their_types():
    properties = {
        "name": {"type": "text", "fields": {"en": {"type": "text"}}},
        "maker": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "flag": {"type": "boolean"},
        "attr_t_size": {"type": "text"},
        "attr_t_fit": {"type": "text"},
        "since": {"type": "date_nanos"},
        "seen": {"type": "long"},
        "hidden": {"type": "text", "index": False},
    }
    schema = Schema(
        "id",
        (
            Field("title", Kind.TEXT, source=("name",)),
            Field("attributes", Kind.TEXT, source=("attr_t_*", "name")),
            Field("maker", Kind.KEYWORD),
            Field("flag", Kind.KEYWORD),
            Field("since", Kind.DATE),
            Field("seen", Kind.DATE),
            Field("hidden", Kind.TEXT),
            Field("price", Kind.NUMBER),
        ),
    )
    found = fields_of_others(schema, properties)
    paths = {name: [field.path for field in fields] for name, fields in found.items()}
    assert paths == {
        "title": ["name"],
        "attributes": ["attr_t_size", "attr_t_fit", "name"],
        "maker": ["maker.raw"],
        "flag": ["flag"],
        "since": ["since"],
        "seen": ["seen"],
        "hidden": [],
        "price": [],
    }
    assert (found["since"][0].is_date, found["seen"][0].is_date) == (True, False)
    held = {"brand": (IndexField("a"), IndexField("b.raw"))}
    assert clauses({"brand": "x"}, {**OURS, **held}) == [
        {"bool": {"should": [{"terms": {"a": ["x"]}}, {"terms": {"b.raw": ["x"]}}]}}
    ]


def test_the_order_ends_in_what_parts_equal_hits():
    row = {"cascade_row": {"order": "asc", "missing": "_last"}}
    assert ranked(Asked(), True, OURS, "cascade_row") == [{"_score": {"order": "desc"}}, row]
    assert ranked(Asked(), False, OURS, "cascade_row") == [row]
    by_price, last = ranked(Asked(sort=Sort("price", True)), True, OURS, "_doc")
    assert by_price == {"price": {"order": "desc", "missing": "_last"}}
    assert last == {"_doc": {"order": "asc"}}


def test_facets_are_counted_without_hits():
    body = counting({"query": {}}, {"brand": "maker.raw"}, 3, shards=1)
    assert (body["size"], body["track_total_hits"]) == (0, False)
    assert body["aggs"]["brand"]["terms"] == {
        "field": "maker.raw",
        "size": 3,
        "order": [{"_count": "desc"}, {"_key": "asc"}],
    }
    assert counting({}, {"b": "b"}, 3, shards=2)["aggs"]["b"]["terms"]["shard_size"] >= 10_000


def test_each_facet_is_counted_under_all_filters_but_its_own():
    filters = parse({"brand": "x", "tags": "a", "price": 1}, SCHEMA)
    groups = facet_groups(["brand", "tags", "brand"], filters)
    assert list(groups.values()) == [["brand"], ["tags"]]
    assert [len(left.parts) for left in groups] == [2, 2]


# Templates


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{", "is no JSON"),
        ("[]", "is no search body"),
        ('{"query": {"match_all": {}}}', "nowhere says"),
        ('{"size": 3}', "query: is missing"),
        ('{"query": {"match": {"a": "{{query}}"}}, "collapse": {}}', "collapse: cannot be kept"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(template, problem):
    with pytest.raises(ConfigError, match=problem):
        Template.parse(template)


def test_a_template_is_filled_by_data():
    tree = {
        "query": {
            "bool": {
                "must": {"match": {"title": {"query": "{{query}}", "_name": "t"}}},
                "should": [{"term": {"x": "a {{query}} b"}}],
                "filter": [{"term": {"y": 1}}, "{{filters}}"],
            }
        },
        "min_score": 2,
        "size": 99,
    }
    template = Template.parse(json.dumps(tree))
    typed = '"}, {{filters}} \\ {{query}}'
    made = template.filled(typed, [{"f": 1}, {"f": 2}])
    inner = made["query"]["bool"]
    assert inner["must"]["match"]["title"]["query"] == typed
    assert inner["should"] == [{"term": {"x": f"a {typed} b"}}]
    assert inner["filter"] == [{"term": {"y": 1}}, {"f": 1}, {"f": 2}]
    assert set(made) == {"query", "min_score"}
    assert template.names() == ["t"]
    assert template.ordered


def test_filters_stand_around_a_template_that_has_no_place_for_them():
    tree = {"query": {"match": {"t": "{{query}}"}}, "knn": {"field": "v", "filter": {"g": 1}}}
    made = Template.parse(json.dumps(tree)).filled("x", [{"f": 1}])
    assert made["query"] == {"bool": {"must": [{"match": {"t": "x"}}], "filter": [{"f": 1}]}}
    assert made["knn"]["filter"] == [{"g": 1}, {"f": 1}]
    body = writer(template=Template.parse(json.dumps(tree))).matched("x", AllOf(()), Asked(), None)
    assert body is not None
    assert body.scored


# Answers


def test_hits_are_read_by_what_they_are_sorted_by():
    page = page_of(
        answer(
            {
                "hits": {
                    "total": {"value": 3, "relation": "gte"},
                    "hits": [{"sort": [2.5, 7]}, {"sort": [2.5, 9_223_372_036_854_775_807]}],
                }
            }
        )
    )
    assert total_of(page) == Total(3, "gte")
    scores = scores_of(page.hits.hits, ordered=True)
    assert (scores.dtype, scores.tolist()) == (np.float32, [2.5, 2.5])
    rows = rows_of([hit.sort[-1] for hit in page.hits.hits], documents=8)
    assert (rows.dtype, rows.tolist()) == (np.int32, [7, -1])
    assert rows_of([7], documents=7).tolist() == [-1]  # of a catalogue that is not read yet
    assert len(rows_of([], documents=7)) == 0


def test_values_and_named_scores_are_read():
    hits = [
        {"fields": {"p": [3.5, 4]}, "matched_queries": {"a": 1.5}},
        {"fields": {"p": ["x"]}, "matched_queries": ["a"]},
        {},
    ]
    read = page_of(answer({"hits": {"hits": hits}})).hits.hits
    assert values_of(read, "p").tolist() == pytest.approx([3.5, np.nan, np.nan], nan_ok=True)
    assert matched_scores(read, "a").tolist() == [1.5, 1.0, 0.0]


def test_facets_are_read_in_order():
    buckets = [
        {"key": "b", "doc_count": 2},
        {"key": "a", "doc_count": 2},
        {"key": 1, "key_as_string": "true", "doc_count": 3},
    ]
    page = page_of(answer({"aggregations": {"f": {"buckets": buckets}}}))
    assert facets_of(page, ["f", "g"]) == {
        "f": (FacetValue("true", 3), FacetValue("a", 2), FacetValue("b", 2)),
        "g": (),
    }


def test_an_answer_that_is_none_is_an_error():
    with pytest.raises(EngineError, match="is none to a search"):
        page_of(Answer(200, b"<html>"))
    with pytest.raises(DeadlineError, match="stopped searching"):
        page_of(answer({"timed_out": True}))


def test_each_of_several_searches_may_fail():
    good = {"status": 200, "hits": {"hits": []}}
    gone = {"status": 404, "error": {"type": "index_not_found_exception", "reason": "no such"}}
    late = {"status": 500, "error": {"type": "x", "reason": "Time exceeded"}}
    assert len(pages_of(answer({"responses": [good, good]}), 2, "here", REQUEST)) == 2
    for bad, kind, words in ((gone, NotFoundError, "no such"), (late, DeadlineError, "Time")):
        with pytest.raises(kind, match=words):
            pages_of(answer({"responses": [good, bad]}), 2, "here", REQUEST)
    with pytest.raises(EngineError, match="answered 1 of 2"):
        pages_of(answer({"responses": [good]}), 2, "here", REQUEST)


def test_two_listings_are_fused_by_their_ranks():
    def found(rows, ids=()):
        scores = np.arange(len(rows), 0, -1, dtype=np.float32)
        return Listing(np.array(rows, np.int32), scores, Total(9), ids)

    made = fused(found([4, 2]), found([2, 7, 5]), 3)
    # 2: 1/62 + 1/61; 4: 1/61; 7: 1/62; 5: 1/63
    assert made.rows.tolist() == [2, 4, 7]
    assert made.scores.tolist() == pytest.approx([1 / 61 + 1 / 62, 1 / 61, 1 / 62])
    assert made.total == Total(9)
    unknown = fused(found([-1, 1], ["x", "1"]), found([-1, 1], ["y", "1"]), 9)
    assert unknown.rows.tolist() == [1, -1, -1]
    assert list(unknown.ids) == ["1", "x", "y"]
    nothing = fused(found([]), found([]), 3)
    assert len(nothing.rows) == 0


def test_named_parts_are_one_for_each_field():
    made = writer(named=True).text("red shoe", 0.0)["bool"]["should"]
    assert [part["bool"]["_name"] for part in made] == ["title", "text"]
    assert made[0]["bool"]["should"] == [term("title", "red", 3.0), term("title", "shoe", 3.0)]
    plain = replace(writer(named=True), matching=Matching(analysed="server"))
    (title, _) = plain.text("red shoe", 0.0)["bool"]["should"]
    assert title["match"]["title"]["_name"] == "title"
