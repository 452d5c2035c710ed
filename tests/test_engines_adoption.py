"""What is read from the search and the mapping of others, without a server."""

import pytest

from cascade.engines.adoption import read_index, read_search
from cascade.engines.adoption.mapping import analysis_of
from cascade.errors import InputError
from cascade.schema import Kind


def search(query: dict, **rest: object):
    return read_search("elasticsearch", {"query": query, **rest})


class TestSearch:
    def test_a_match_on_one_field(self):
        found = search({"match": {"title": "red dress"}})
        assert found.boosts == {"title": 1.0}
        assert found.template == {"query": {"match": {"title": "{{query}}"}}}
        assert found.notes == ()

    def test_a_query_clause_alone_is_a_search(self):
        found = read_search("opensearch", {"match": {"title": {"query": "x", "operator": "AND"}}})
        assert found.template["query"]["match"]["title"]["query"] == "{{query}}"
        assert found.hints == {"minimum_match": 1.0}

    def test_boosts_of_clauses_and_fields_multiply_and_add(self):
        found = search(
            {
                "dis_max": {
                    "queries": [
                        {"multi_match": {"query": "x", "fields": ["a^2", "b"], "boost": 3}},
                        {"match": {"a": {"query": "x", "boost": 0.5, "fuzziness": "AUTO"}}},
                    ]
                }
            }
        )
        assert found.boosts == {"a": 6.5, "b": 3.0}
        assert found.hints == {"typos": True}

    def test_a_phrase_adds_a_hint_and_no_weight(self):
        multi = {"query": "x", "fields": ["a^4"], "type": "phrase"}
        clauses = [{"match": {"a": "x"}}, {"multi_match": multi}]
        found = search({"bool": {"should": clauses, "minimum_should_match": "2<75%"}})
        assert found.boosts == {"a": 1.0}
        assert found.hints == {"phrase_boost": 4.0}
        assert found.notes == ("minimum_should_match '2<75%' is in the template alone",)

    def test_what_is_not_understood_stays_and_is_told(self):
        score = {"query": {"match": {"a": "x"}}, "field_value_factor": {"field": "sales"}}
        found = search(
            {"bool": {"must": [{"function_score": score}, {"prefix": {"a": "x"}}]}},
            collapse={"field": "family"},
            highlight={"fields": {"a": {}}},
        )
        must = found.template["query"]["bool"]["must"]
        assert must[0]["function_score"]["query"] == {"match": {"a": "{{query}}"}}
        assert must[0]["function_score"]["field_value_factor"] == {"field": "sales"}
        assert must[1] == {"prefix": {"a": "x"}}
        assert found.template.keys() == {"query"}
        assert found.notes == (
            "function_score: kept in the template; no feature knows what it adds",
            "prefix: kept in the template as it stands; it was not understood",
            "'collapse' of the search is left out: it cannot be kept",
        )

    def test_a_match_in_a_filter_is_no_text_of_a_user(self):
        clauses = {"must": {"match": {"a": "x"}}, "filter": {"match": {"shop": "north"}}}
        found = search({"bool": clauses})
        assert found.boosts == {"a": 1.0}
        assert found.template["query"]["bool"]["filter"] == {"match": {"shop": "north"}}
        assert "match under filter: kept in the template" in found.notes[0]

    @pytest.mark.parametrize("query", [{"match_all": {}}, {"term": {"a": "x"}}])
    def test_a_search_without_a_text_is_refused(self, query):
        with pytest.raises(InputError, match="no match or multi_match that names its fields"):
            search(query)

    def test_several_texts_are_told(self):
        found = search({"bool": {"should": [{"match": {"a": "x"}}, {"match": {"b": "y"}}]}})
        assert found.notes == ("it asks for 2 different texts; each became {{query}}",)


class TestSolrSearch:
    def test_the_forms_of_one_search_are_the_same(self):
        flat = {"defType": "edismax", "q": "x", "qf": "a^2 b", "rows": 10}
        forms = [
            flat,
            {"params": flat},
            {"query": "x", "params": {"defType": "edismax", "qf": "a^2 b"}},
            {"query": {"edismax": {"query": "x", "qf": "a^2 b"}}},
        ]
        found = [read_search("solr", form) for form in forms]
        assert [f.boosts for f in found] == [{"a": 2.0, "b": 1.0}] * 4
        wanted = {"params": {"defType": "edismax", "q": "{{query}}", "qf": "a^2 b"}}
        assert [f.template for f in found] == [wanted] * 4

    def test_hints_and_notes(self):
        params = {"q": "x", "qf": "a", "pf": "a^5", "mm": "75%", "bq": "in_stock:true"}
        found = read_search("solr", params)
        assert found.hints == {"minimum_match": 0.75, "phrase_boost": 5.0}
        assert found.notes == ("bq: kept in the template; no feature knows what it adds",)

    @pytest.mark.parametrize(
        "params", [{"q": "title:x"}, {"q": "x", "defType": "lucene", "qf": "a"}]
    )
    def test_another_parser_is_refused(self, params):
        with pytest.raises(InputError, match="no edismax or dismax with qf"):
            read_search("solr", params)


class TestMapping:
    def test_an_index_without_the_searched_fields_is_refused(self):
        live = {"mappings": {"properties": {"title": {"type": "text"}, "n": {"type": "long"}}}}
        with pytest.raises(
            InputError, match="none of the searched fields name as a text; it has title, n"
        ):
            read_index("elasticsearch", live, search({"match": {"name": "x"}}))

    def test_names_are_made_fit_and_stay_apart(self):
        properties = {"a-b": {"type": "text"}, "a b": {"type": "text"}, "not": {"type": "long"}}
        properties |= {"7up": {"type": "date", "format": "epoch_millis"}, "no": {"type": "alias"}}
        live = {"mappings": {"properties": properties}}
        found = read_index("elasticsearch", live, search({"match": {"a-b": "x"}}))
        assert [(f.name, f.kind, f.sources) for f in found.fields] == [
            ("a_b", Kind.TEXT, ("a-b",)),
            ("a_b_2", Kind.TEXT, ("a b",)),
            ("field_not", Kind.NUMBER, ("not",)),
            ("field_7up", Kind.DATE, ("7up",)),
        ]
        assert found.fields[3].notes[0].startswith("documents may hold milliseconds")
        assert found.notes == ("no: a field of type alias is not taken over",)

    def test_a_pattern_of_fields_weighs_each(self):
        properties = {"title_de": {"type": "text"}, "title_en": {"type": "text"}}
        live = {"mappings": {"properties": properties}}
        query = search({"multi_match": {"query": "x", "fields": ["title_*^2"]}})
        assert [f.boost for f in read_index("opensearch", live, query).fields] == [2.0, 2.0]

    @pytest.mark.parametrize(
        ("spec", "analyser", "note"),
        [
            ({}, "plain", None),
            ({"analyzer": "standard"}, "plain", None),
            ({"analyzer": "english"}, "english", "removes stop words"),
            ({"analyzer": "french"}, "plain", "no analyser for french"),
            ({"analyzer": "stemmed"}, "german", None),
            ({"analyzer": "parts"}, "plain", "the filter parts_of (edge_ngram) has no counterpart"),
            ({"analyzer": "far"}, "plain", "the synonyms of far_syn lie in syn.txt"),
        ],
    )
    def test_the_nearest_analyser_is_taken(self, spec, analyser, note):
        analysis = {
            "analyzer": {
                "stemmed": {"type": "custom", "filter": ["lowercase", "st"]},
                "parts": {"tokenizer": "standard", "filter": ["parts_of"]},
                "far": {"tokenizer": "standard", "filter": "far_syn"},
            },
            "filter": {
                "st": {"type": "snowball", "language": "German2"},
                "parts_of": {"type": "edge_ngram"},
                "far_syn": {"type": "synonym", "synonyms_path": "syn.txt"},
            },
        }
        found = analysis_of(spec, analysis)
        assert found.analyser == analyser
        if note is None:
            assert found.notes == ()
        else:
            assert any(note in one for one in found.notes)

    def test_synonyms_may_be_in_the_analyser_of_searches(self):
        analysis = {
            "analyzer": {"asked": {"type": "custom", "filter": ["same"]}},
            "filter": {"same": {"type": "synonym", "synonyms": ["a, b"]}},
        }
        spec = {"analyzer": "english", "search_analyzer": "asked"}
        found = analysis_of(spec, analysis)
        assert (found.analyser, found.synonyms) == ("english", ("a, b",))


def test_a_solr_type_is_read_by_its_filters():
    live = {
        "uniqueKey": "sku",
        "fieldTypes": [
            {
                "name": "t",
                "class": "solr.TextField",
                "indexAnalyzer": {"filters": [{"class": "solr.PorterStemFilterFactory"}]},
                "queryAnalyzer": {
                    "filters": [{"class": "solr.SynonymGraphFilterFactory", "synonyms": "s.txt"}]
                },
            },
            {"name": "v", "class": "solr.DenseVectorField", "vectorDimension": "3"},
            {"name": "geo", "class": "solr.LatLonPointSpatialField"},
        ],
        "fields": [
            {"name": "sku", "type": "t"},
            {"name": "_text_", "type": "t"},
            {"name": "title", "type": "t"},
            {"name": "look", "type": "v"},
            {"name": "where", "type": "geo"},
            {"name": "rare", "type": "t"},
        ],
        "made": {"title_t": {"type": "t"}, "look": {"type": "v"}},
    }
    found = read_index("solr", live, read_search("solr", {"q": "x", "qf": "title^2"}))
    assert found.id_key == "sku"
    assert [(f.name, f.kind, f.boost, f.dims) for f in found.fields] == [
        ("title_t", Kind.TEXT, 0.0, 0),
        ("look", Kind.VECTOR, None, 3),
        ("title", Kind.TEXT, 2.0, 0),
    ]
    analysis = found.fields[2].analysis
    assert analysis.analyser == "english"
    assert analysis.notes == (
        "its synonyms lie in s.txt on the server; copy them beside this file",
    )
    assert found.notes == (
        "where: a field of type geo is not taken over",
        "no document has rare: they are not taken over",
    )
