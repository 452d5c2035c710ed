"""Clauses for Solr: what stands in them, and that no text of a user ever does."""

import json
import re

import pytest

from cascade.engines._server.fields import IndexField, fields_of_ours
from cascade.engines._solr.query import ClauseWriter, instant, number
from cascade.engines._solr.template import Template
from cascade.engines.asking import Words
from cascade.engines.connection import Matching
from cascade.errors import ConfigError
from cascade.filters import parse
from cascade.schema import Field, Kind, Schema

SCHEMA = Schema(
    "id",
    (
        Field("title", Kind.TEXT, boost=3.0),
        Field("text", Kind.TEXT, boost=1.5),
        Field("code", Kind.TEXT, analyser="plain", boost=1.0),
        Field("note", Kind.TEXT, boost=0.0),
        Field("brand", Kind.KEYWORD),
        Field("price", Kind.NUMBER),
        Field("added", Kind.DATE),
    ),
)
TWO = Schema("id", SCHEMA.fields[:2] + SCHEMA.fields[4:])
# What a clause of ours may be made of: local parameters with references, names, numbers, brackets.
NASTY = [
    'x" OR *:* "',
    "{!term f=title}x",
    '_query_:"{!lucene}*:*"',
    "${c0}",
    "$c0",
    "a\\",
    "brand:acme",
    "x) OR (y",
    "'; v=$c1",
    "\x01",
    "} {!bool must=*:*",
]


MATCHING = Matching()


def writer(schema=TWO, matching=MATCHING, **more):
    words = Words.of(schema, schema)
    return ClauseWriter(words, fields_of_ours(schema), matching, **more)


def resolved(clause, params):
    """Return a clause with each reference replaced by what it stands for, in brackets."""
    while found := re.search(r"\$(\w+)", clause):
        clause = clause.replace(found[0], f"<{params[found[1]]}>", 1)
    return clause


def test_a_text_is_one_term_clause_for_each_field_and_word():
    found = writer().retrieval("Red shoes", parse(None, TWO))
    assert resolved(found.score, found.params) == (
        "({!term f=title v=<red>}^3.0 {!term f=text v=<red>}^1.5"
        " {!term f=title v=<shoe>}^3.0 {!term f=text v=<shoe>}^1.5)"
    )
    assert found.queries == []


def test_each_field_reads_the_text_by_its_own_analyser():
    found = writer(SCHEMA).retrieval("shoes", parse(None, SCHEMA))
    assert resolved(found.score, found.params) == (
        "({!term f=title v=<shoe>}^3.0 {!term f=text v=<shoe>}^1.5 {!term f=code v=<shoes>})"
    )


def test_nothing_is_asked_for_a_text_without_words():
    assert writer().retrieval(" !? ", parse(None, TWO)).score is None
    assert writer().retrieval("", parse(None, TWO), match_all=True).score == "+*:*^=0"


@pytest.mark.parametrize(
    ("share", "needed"), [(0.3, 1), (0.34, 2), (0.5, 2), (0.67, 3), (0.9, 3), (1.0, 3)]
)
def test_minimum_match_counts_words_rounded_up(share, needed):
    found = writer().retrieval("red blue hat", parse(None, TWO), minimum_match=share)
    assert found.score == f"{{!bool should=$c1 should=$c3 should=$c5 mm={needed}}}"
    assert found.params["c5"] == "({!term f=title v=$c4}^3.0 {!term f=text v=$c4}^1.5)"
    assert found.params["c4"] == "hat"


def test_words_are_fewer_where_a_server_would_refuse_so_many_clauses():
    fields = tuple(Field(f"f{i}", Kind.TEXT) for i in range(40))
    schema = Schema("id", fields)
    text = " ".join(f"w{i}" for i in range(100))
    score = writer(schema).retrieval(text, parse(None, schema)).score
    assert 0 < score.count("{!term") <= 1000
    assert writer().retrieval(text, parse(None, TWO)).score.count("{!term") == 64 * 2


@pytest.mark.parametrize(
    ("raw", "clause"),
    [
        ({"brand": "x"}, "({!term f=brand v=<x>})"),
        ({"brand": ["x", "y"]}, "({!terms f=brand separator=<\x01> v=<x\x01y>})"),
        (
            {"brand": ["a\x01b", "c"]},
            "({!terms f=brand separator=<\x02> v=<a\x01b\x02c>})",
        ),
        ({"brand": ""}, "((*:* -*:*))"),
        ({"brand": ["", "a"]}, "({!terms f=brand separator=<\x01> v=<\x01a>})"),
        ({"price": -0.0}, "({!term f=price v=<0.0>})"),
        ({"price": {"gte": -2.5, "lt": 20}}, "(price:[-2.5 TO 20.0})"),
        ({"price": {"gt": 1, "gte": 1}}, "(price:{1.0 TO *])"),
        ({"price": {"lt": 1e300}}, "(price:[* TO 1e+300})"),
        ({"added": {"gte": "2024-05-01"}}, "(added:[2024-05-01T00:00:00.000Z TO *])"),
        ({"added": 0.0015}, "({!term f=added v=<1970-01-01T00:00:00.002Z>})"),
        ({"brand": {"exists": True}}, "(brand:*)"),
        ({"brand": {"exists": False}}, "(*:* -(brand:*))"),
        ({"not": {}}, "(*:* -*:*)"),
        ({"any": [{}, {"price": 1}]}, "(*:* (+({!term f=price v=<1.0>})))"),
        (
            {"not": {"brand": "x", "price": {"lt": 1}}},
            "(*:* -(+({!term f=brand v=<x>}) +(price:[* TO 1.0})))",
        ),
    ],
    ids=str,
)
def test_filters(raw, clause):
    found = writer().retrieval("", parse(raw, TWO), match_all=True)
    assert [resolved(one, found.params) for one in found.queries] == [clause]


def test_a_date_between_milliseconds_parts_them_as_it_would_seconds():
    low = parse({"added": {"gte": 1.0004, "lte": 2.0004}}, TWO)
    strict = parse({"added": {"gt": 1.0004, "lt": 2.0004}}, TWO)
    found = writer().retrieval("", low, match_all=True).queries
    assert found == ["(added:[1970-01-01T00:00:01.001Z TO 1970-01-01T00:00:02.000Z])"]
    found = writer().retrieval("", strict, match_all=True).queries
    assert found == ["(added:{1970-01-01T00:00:01.000Z TO 1970-01-01T00:00:02.001Z})"]


def test_dates_are_held_within_what_a_server_reads():
    assert instant(-1e15) == "0001-01-01T00:00:00.000Z"
    assert instant(1e15) == "9999-12-31T23:59:59.999Z"
    assert instant(1714521600.123456) == "2024-05-01T00:00:00.123Z"
    assert number(-0.0) == "0.0"


def test_a_facet_can_leave_out_the_filters_of_its_field_alone():
    raw = {"brand": "x", "any": [{"brand": "y"}, {"price": 1}], "not": {"brand": "z"}}
    found = writer().retrieval("red", parse(raw, TWO))
    tagged = [one[:12] == "{!tag=brand}" for one in found.tagged]
    assert tagged == [True, False, True]
    assert found.tagged[1] == found.queries[1]


def test_every_request_carries_the_generation():
    always = {"generation": ("{!term f=cascade_generation v=$generation}", "products-000007")}
    clauses = writer(always=always)
    for found in (
        clauses.retrieval("red", parse({"price": 1}, TWO)),
        clauses.page(["a"], parse(None, TWO)),
        clauses.filtered(parse(None, TWO)),
    ):
        assert found.queries[0] == found.tagged[0] == always["generation"][0]
        assert found.params["generation"] == "products-000007"


def test_fields_of_others_are_asked_by_their_own_names():
    words = Words.of(TWO, TWO)
    fields = {
        **fields_of_ours(TWO),
        "title": (IndexField("name_en"), IndexField("name_any")),
        "text": (),
        "added": (IndexField("when", is_date=True),),
    }
    clauses = ClauseWriter(words, fields, Matching(), key="sku", ours=False)
    found = clauses.retrieval("red", parse({"added": 0}, TWO), only=["a"])
    assert resolved(found.score, found.params) == (
        "({!term f=name_en v=<red>}^3.0 {!term f=name_any v=<red>}^3.0)"
    )
    assert [resolved(one, found.params) for one in found.queries] == [
        "({!term f=when v=<1970-01-01T00:00:00.000Z>})",
        "{!term f=sku v=<a>}",
    ]


def test_phrases_are_of_the_terms_that_our_index_holds():
    found = writer(matching=Matching(phrase_boost=2.0, phrase_slop=1)).retrieval(
        "Red-shoes", parse(None, TWO)
    )
    phrases = resolved(found.score, found.params).partition(") ")[2]
    assert (
        phrases == '{!lucene df=title v=<"red shoe"~1>}^6.0 {!lucene df=text v=<"red shoe"~1>}^3.0)'
    )


def test_typos_are_allowed_in_words_that_are_long_enough():
    found = writer(matching=Matching(typos=True)).retrieval("tv cup lampe", parse(None, TWO))
    fuzzy = re.findall(r"df=title v=<(\S+)>", resolved(found.score, found.params))
    assert fuzzy == ["cup~1", "lamp~1"]


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("matching", [Matching(), Matching(phrase_boost=1.0, typos=True)], ids=str)
@pytest.mark.parametrize("ours", [True, False])
def test_no_text_or_value_stands_in_a_clause(nasty, matching, ours):
    clauses = writer(matching=matching, ours=ours)
    harmless = clauses.retrieval("red cap ink", parse({"brand": ["b", "x"]}, TWO), only=["a", "b"])
    found = clauses.retrieval(
        f"red {nasty} ink", parse({"brand": [nasty, "x"]}, TWO), only=[nasty, "b"]
    )
    for clause in [found.score, *found.queries]:
        # Whatever is asked, the words of our clauses are these and no others.
        words = set(re.findall(r"[^\s(){}=$^~]+", clause))
        known = set(re.findall(r"[^\s(){}=$^~]+", " ".join([harmless.score, *harmless.queries])))
        assert all(word in known or re.fullmatch(r"c\d+", word) for word in words)
    values = set(found.params.values())
    assert any(nasty in value for value in values)


@pytest.mark.parametrize("nasty", NASTY)
def test_what_a_server_analyses_has_no_operators(nasty):
    matching = Matching(analysed="server", phrase_boost=1.0)
    found = writer(matching=matching, ours=False).retrieval(f"red {nasty} NOT tv", parse(None, TWO))
    assert re.fullmatch(r"\(\{!edismax [\w$=.\-* ]+\}\)", found.score)
    assert "uf=-*" in found.score
    plain = found.params[re.search(r" v=\$(\w+)", found.score)[1]]
    # Every character that could be an operator has a backslash before it, every word is small.
    assert re.fullmatch(r"(?:[\w\s]|\\[^\w\s])*", plain)
    assert not re.search(r"\b(AND|OR|NOT|TO)\b", plain)


def test_the_server_is_told_to_round_up_too():
    matching = Matching(analysed="server")

    def share(minimum):
        clauses = writer(matching=matching, ours=False)
        found = clauses.retrieval("a b c", parse(None, TWO), minimum_match=minimum)
        return re.search(r"mm=(\S+)", found.score)[1]

    assert (share(0), share(0.6), share(1.0)) == ("1", "-40%", "100%")


def template(query, **more):
    return json.dumps({"query": query, **more})


def test_a_template_takes_text_and_filters_as_data():
    made = Template.parse(
        template(
            {"edismax": {"qf": "title^2", "query": "{{query}}"}},
            filter=["{{filters}}", "in_stock:true"],
            limit=3,
            fields="*",
        )
    )
    filled = made.filled('red {!x} "hat" OR -tv', ["(a)"], {"c0": "v"})
    assert filled == {
        "query": {"edismax": {"qf": "title^2", "query": "red x hat or tv"}},
        "filter": ["in_stock:true", "(a)"],
        "params": {"c0": "v"},
    }


def test_a_field_query_takes_the_text_as_it_is():
    made = Template.parse(
        template({"bool": {"should": [{"field": {"f": "t", "query": "{{query}}"}}]}})
    )
    filled = made.filled("red-{!x} OR", [], {})
    assert filled["query"]["bool"]["should"][0]["field"]["query"] == "red-{!x} OR"


def test_the_parameters_of_a_search_are_a_template_too():
    params = {"q": "{{query}}", "defType": "edismax", "qf": "title", "rows": 5, "fl": "*"}
    made = Template.parse(json.dumps({"params": params}))
    filled = made.filled("+red", ["f"], {"c0": "1"})
    assert filled == {
        "params": {"q": "red", "defType": "edismax", "qf": "title", "c0": "1"},
        "filter": ["f"],
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is no JSON"),
        ("[]", "is no search"),
        (template("{{query}}"), "query: the text would be parsed as a query there"),
        (template("title:{{query}}"), "query: the text would be parsed"),
        (template({"lucene": {"query": "{{query}}"}}), "query.lucene.query: the text"),
        (template({"bool": {"must": ["{{query}}"]}}), "query.bool.must.0: the text"),
        (template({"edismax": {"query": "x {{query}}"}}), "query.edismax.query: the text"),
        (template({"edismax": {"query": "x"}}), "nowhere says"),
        (template({"edismax": {"query": "{{query}}"}}, rq="x"), "rq: cannot be kept"),
        (json.dumps({"params": {"q": "{{query}}"}}), "params.q: the text"),
        (json.dumps({"params": {"q": "*:*", "fq": "{{query}}"}}), "params.fq: the text"),
    ],
)
def test_a_template_that_would_parse_the_text_is_refused(text, problem):
    with pytest.raises(ConfigError) as caught:
        Template.parse(text)
    assert problem in str(caught.value)
