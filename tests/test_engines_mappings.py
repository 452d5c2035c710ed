"""Renderings, documents and differences, without a server."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from cascade.engines.connection import IndexShape
from cascade.engines.mappings import (
    differences,
    document_elasticsearch,
    document_solr,
    render,
    render_elasticsearch,
    render_opensearch,
    render_solr,
)
from cascade.engines.mappings.folding import folding_rules
from cascade.engines.mappings.stems import EXCEPTIONS
from cascade.engines.mappings.synonyms import synonym_rules
from cascade.errors import ConfigError, InputError
from cascade.schema import Schema, parse_schema
from cascade.text import ANALYSERS, analyser

FIELDS = {
    "title": {"type": "text"},
    "notes": {"type": "text", "boost": 0},
    "titel": {"type": "text", "analyser": "german"},
    "brand": {"type": "keyword"},
    "colour": {"type": "keyword", "roles": ["faceted", "shown", "catalogue"]},
    "secret": {"type": "keyword", "roles": ["catalogue"]},
    "price": {"type": "number"},
    "margin": {"type": "number", "roles": ["shown", "catalogue"]},
    "created": {"type": "date"},
    "look": {"type": "vector", "dims": 2},
}


def schema_of(fields: dict) -> Schema:
    return parse_schema({"fields": fields}, Path("schema.toml"))


SCHEMA = schema_of(FIELDS)
SHAPE = IndexShape(shards=3, replicas=1, refresh_s=0.5)


class TestElasticsearch:
    def test_the_mapping_has_each_field_that_an_engine_uses(self):
        body = render_elasticsearch(SCHEMA, SHAPE, {"generation": "g-000001"})
        keyword = {"type": "keyword", "ignore_above": 8191}
        assert body["mappings"] == {
            "dynamic": False,
            "_meta": {"generation": "g-000001"},
            "properties": {
                "cascade_row": {"type": "long"},
                "cascade_id": {"type": "keyword"},
                "cascade_raw": {"type": "object", "enabled": False},
                "title": {"type": "text", "analyzer": "cascade_english"},
                "titel": {"type": "text", "analyzer": "cascade_german"},
                "brand": keyword,
                "colour": {**keyword, "index": False},
                "price": {"type": "double"},
                "margin": {"type": "double", "index": False},
                "created": {"type": "date", "format": "epoch_millis"},
                "look": {
                    "type": "dense_vector",
                    "dims": 2,
                    "index": True,
                    "similarity": "cosine",
                },
            },
        }
        assert body["settings"]["index"] == {
            "number_of_shards": 3,
            "number_of_replicas": 1,
            "refresh_interval": "500ms",
        }

    def test_opensearch_differs_in_vectors_alone(self):
        ours = render_elasticsearch(SCHEMA, SHAPE, {})
        theirs = render_opensearch(SCHEMA, SHAPE, {})
        look = theirs["mappings"]["properties"].pop("look")
        assert (look["type"], look["dimension"]) == ("knn_vector", 2)
        assert theirs["settings"]["index"].pop("knn") is True
        del ours["mappings"]["properties"]["look"]
        assert theirs == ours
        without = schema_of({"title": {"type": "text"}})
        assert render_opensearch(without, SHAPE, {}) == render_elasticsearch(without, SHAPE, {})

    def test_every_part_of_an_analyser_is_defined_or_the_servers_own(self):
        analysis = render_elasticsearch(SCHEMA, SHAPE, {})["settings"]["analysis"]
        own = {"lowercase"}
        for chain in analysis["analyzer"].values():
            assert set(chain["char_filter"]) <= analysis["char_filter"].keys()
            assert chain["tokenizer"] in analysis["tokenizer"]
            assert set(chain["filter"]) <= analysis["filter"].keys() | own
        used = {part for chain in analysis["analyzer"].values() for part in chain["filter"]}
        assert used == analysis["filter"].keys() | own

    def test_fields_of_one_synonym_file_share_an_analyser(self, tmp_path: Path):
        for name in ("a.txt", "b.txt"):
            (tmp_path / name).write_text("sofa, couch")
        fields = {
            "one": {"type": "text", "synonyms": "a.txt"},
            "two": {"type": "text", "synonyms": "a.txt"},
            "three": {"type": "text", "synonyms": "b.txt"},
            "four": {"type": "text"},
        }
        schema = parse_schema({"fields": fields}, tmp_path / "schema.toml")
        properties = render_elasticsearch(schema, SHAPE, {})["mappings"]["properties"]
        assert [properties[name]["analyzer"] for name in fields] == [
            "cascade_english_synonyms",
            "cascade_english_synonyms",
            "cascade_english_synonyms2",
            "cascade_english",
        ]

    @pytest.mark.parametrize("name", ["cascade_row", "cascade_id", "cascade_raw"])
    def test_a_name_that_the_index_needs_is_refused(self, name):
        schema = schema_of({"title": {"type": "text"}, name: {"type": "keyword"}})
        with pytest.raises(ConfigError, match=f"fields.{name}: the index has a field of this name"):
            render_elasticsearch(schema, SHAPE, {})


class TestSolr:
    def test_fields_have_types_that_are_made_with_them(self):
        rendered = render_solr(SCHEMA, SHAPE, {"generation": "g-000001"})
        types = {spec["name"]: spec for spec in rendered.field_types}
        fields = {spec["name"]: spec for spec in rendered.fields}
        assert all(spec["type"] in types for spec in fields.values())
        assert all(name.startswith("cascade_") for name in types)
        assert fields["title"] == {
            "name": "title",
            "type": "cascade_terms",
            "indexed": True,
            "stored": False,
            "multiValued": True,
        }
        assert not fields["price"]["multiValued"]
        assert (fields["colour"]["indexed"], fields["brand"]["indexed"]) == (False, True)
        assert types["cascade_vector_2"]["vectorDimension"] == "2"
        assert fields["cascade_raw"]["stored"]
        assert not {"notes", "secret"} & fields.keys()
        assert rendered.about == {"generation": "g-000001"}

    def test_a_field_called_as_solrs_key_is_refused(self):
        schema = schema_of({"title": {"type": "text"}, "id": {"type": "keyword"}})
        with pytest.raises(ConfigError, match="name the document's key in `source`"):
            render_solr(schema, SHAPE, {})


class TestRender:
    def test_a_kind_without_a_rendering_is_refused(self):
        with pytest.raises(InputError, match="nothing for 'embedded'"):
            render("embedded", SCHEMA, SHAPE, {})

    def test_solr_gets_commands(self):
        assert set(render("solr", SCHEMA, SHAPE, {})) == {"add-field-type", "add-field"}


class TestFolding:
    @pytest.mark.parametrize("name", ANALYSERS)
    def test_a_text_that_a_rule_has_folded_has_the_same_terms(self, name):
        tokens = analyser(name).tokens
        rules = dict(folding_rules(name))
        # What these decompose into would fold once more; neither side does that.
        assert [rules.pop(char) for char in "ŉ\u0374ℏ"] == ["\u02bcn", "\u02b9", "ħ"]
        for before, after in rules.items():
            assert tokens(f"x{before}y 7{before}") == tokens(f"x{after}y 7{after}"), before

    def test_the_rules_are_those_of_the_analyser(self):
        english, german = folding_rules("english"), folding_rules("german")
        assert (english["é"], english["Ä"], english["ß"], english["’"]) == ("e", "a", "ss", "'")
        assert (english["½"], english["\u200b"], english["ﬁ"]) == (" 1/2 ", "", "fi")
        assert "ä" not in german and german["é"] == "e"
        assert german["a\u0308"] == "ä"
        # What separates anyway needs no rule.
        assert "–" not in english and "™" not in english

    def test_rules_are_written_so_that_no_server_trims_them(self):
        analysis = render_elasticsearch(SCHEMA, SHAPE, {})["settings"]["analysis"]
        rules = analysis["char_filter"]["cascade_folding"]["mappings"]
        assert r"½=>\u00201/2\u0020" in rules
        assert r"\u00ad=>" in rules
        assert not any(re.search(r"\s", rule) for rule in rules)


class TestStems:
    def test_each_exception_has_the_stem_of_the_analyser(self):
        tokens = analyser("english").tokens
        assert {w: [s] for w, s in EXCEPTIONS["english"].items()} == {
            word: tokens(word) for word in EXCEPTIONS["english"]
        }


class TestSynonyms:
    def test_lines_become_plain_replacements_as_they_were_written(self, tmp_path: Path):
        path = tmp_path / "synonyms.txt"
        path.write_text(
            "\ufeff# furniture\nsofa, Couch\nsettee, couch\nT-Shirt, tee\n"
            "universities, colleges\nflat screen tv, telly => television set, TV\n"
            "red dress\\, long, gown\ncouch, COUCHES\n",
            encoding="utf-8",
        )
        assert synonym_rules("english", path) == [
            "Couch => sofa",
            "settee => sofa",
            "T-Shirt => T-Shirt",
            "tee => T-Shirt",
            "colleges => universities",
            "flat screen tv => television set TV",
            "telly => television set TV",
            r"red dress\, long => red dress\, long",
            r"gown => red dress\, long",
        ]

    def test_each_side_is_analysed_into_what_the_rule_says(self, tmp_path: Path):
        path = tmp_path / "synonyms.txt"
        path.write_text("organizers, universities hats\nhats => organizers, pasted\n")
        alone, contracting = analyser("english"), analyser("english", path)
        rules = [rule.split(" => ") for rule in synonym_rules("english", path)]
        assert [alone.tokens(right) for _, right in rules] == [
            contracting.tokens(left) for left, _ in rules
        ]
        assert len(rules) == 2


RAW = {
    "id": "a1",
    "title": ["Red Couches", "café"],
    "titel": "Größe",
    "brand": ["x", "y" * 8192],
    "secret": "s",
    "price": -0.0,
    "margin": "1.5",
    "created": "2024-02-29T12:00:00.1236Z",
    "look": [0.5, -1],
    "extra": {"deep": [1, None]},
}


class TestDocuments:
    def test_elasticsearch_gets_checked_values_and_the_raw_document(self):
        sent = document_elasticsearch(7, SCHEMA.document(RAW), SCHEMA)
        assert sent == {
            "cascade_row": 7,
            "cascade_id": "a1",
            "cascade_raw": RAW,
            "title": ["Red Couches", "café"],
            "titel": ["Größe"],
            "brand": ["x", "y" * 8192],
            "price": 0.0,
            "margin": 1.5,
            "created": 1709208000124,
            "look": [0.5, -1.0],
        }
        assert str(sent["price"]) == "0.0"

    def test_solr_gets_terms_and_the_raw_document_as_json(self):
        sent = document_solr(7, SCHEMA.document(RAW), "g-000001", SCHEMA)
        assert json.loads(sent.pop("cascade_raw")) == RAW
        assert sent == {
            "id": "a1",
            "cascade_id": "a1",
            "cascade_row": 7,
            "cascade_generation": "g-000001",
            "title": ["red couch", "cafe"],
            "titel": ["gross"],
            "brand": ["x"],
            "price": 0.0,
            "margin": 1.5,
            "created": "2024-02-29T12:00:00.124Z",
            "look": [0.5, -1.0],
        }

    def test_a_document_without_a_row_has_no_field_of_it(self):
        document = SCHEMA.document({"id": 5})
        assert document_elasticsearch(-1, document, SCHEMA) == {
            "cascade_id": "5",
            "cascade_raw": {"id": 5},
        }
        assert "cascade_row" not in document_solr(-1, document, "g", SCHEMA)

    def test_what_json_cannot_hold_is_replaced(self):
        document = SCHEMA.document({"id": "1", "title": "a\ud800b", "n": 2**70})
        sent = document_elasticsearch(0, document, SCHEMA)
        assert sent["cascade_raw"] == {"id": "1", "title": "a\ufffdb", "n": 2**70}
        sent = document_solr(0, document, "g", SCHEMA)
        assert json.loads(sent["cascade_raw"])["title"] == "a\ufffdb"

    def test_a_vector_without_direction_is_left_out(self):
        document = SCHEMA.document({"id": "1", "look": [0, 0.0]})
        assert "look" not in document_elasticsearch(0, document, SCHEMA)

    @pytest.mark.parametrize(
        ("seconds", "ms", "iso"),
        [
            (1e300, 253402300799999, "9999-12-31T23:59:59.999Z"),
            (-1e300, -62135596800000, "0001-01-01T00:00:00.000Z"),
            (-0.0004, 0, "1970-01-01T00:00:00.000Z"),
        ],
    )
    def test_a_date_that_no_server_holds_becomes_the_nearest(self, seconds, ms, iso):
        document = SCHEMA.document({"id": "1", "created": seconds})
        assert document_elasticsearch(0, document, SCHEMA)["created"] == ms
        assert document_solr(0, document, "g", SCHEMA)["created"] == iso

    def test_schemas_do_not_get_in_each_others_way(self):
        document = SCHEMA.document({"id": "1", "title": "dresses", "price": 2})
        german = schema_of({"title": {"type": "text", "analyser": "plain"}})
        for _ in range(20):
            fresh = replace(german)
            assert document_solr(0, document, "g", fresh)["title"] == ["dresses"]
            assert document_solr(0, document, "g", SCHEMA)["title"] == ["dress"]


class TestDifferences:
    RENDERED = render_elasticsearch(SCHEMA, SHAPE, {})

    def live(self) -> dict:
        """Return what a server tells of a fresh index: strings, and defaults besides."""
        told = json.loads(json.dumps(self.RENDERED))
        told["mappings"]["dynamic"] = "false"
        told["mappings"]["properties"]["price"]["coerce"] = True
        told["settings"]["analysis"]["filter"]["cascade_cut"]["length"] = "100"
        return told

    def test_an_index_that_tells_its_defaults_as_strings_does_not_differ(self):
        assert differences(self.RENDERED, self.live()) == []

    def test_each_difference_is_a_line(self):
        live = self.live()
        properties = live["mappings"]["properties"]
        del properties["brand"]
        properties["price"] = {"type": "keyword"}
        properties["old"] = {"type": "text"}
        filters = live["settings"]["analysis"]["filter"]
        filters["cascade_english_exceptions"]["rules"].remove("organic => organic")
        live["settings"]["analysis"]["analyzer"]["cascade_german"]["filter"].reverse()
        assert differences(self.RENDERED, live) == [
            "fields.brand: is missing in the index",
            "fields.price.type: is 'keyword' in the index, 'double' in the schema",
            "fields.old: is in the index and not in the schema",
            "analysis.filter.cascade_english_exceptions.rules: the index lacks "
            "'organic => organic'",
            "analysis.analyzer.cascade_german.filter: has another order in the index",
        ]

    def test_an_index_of_others_lacks_everything(self):
        found = differences(self.RENDERED, {"mappings": {}})
        assert "fields.title: is missing in the index" in found

    def test_solr_is_compared_by_name(self):
        rendered = render("solr", SCHEMA, SHAPE, {})
        types = [dict(spec) for spec in rendered["add-field-type"]]
        live = {"fieldTypes": types[::-1], "fields": list(rendered["add-field"])}
        assert differences(rendered, live) == []
        types[0]["class"] = "solr.StrField"
        live["fields"] = live["fields"][1:]
        assert differences(rendered, live) == [
            "field-type.cascade_terms.class: is 'solr.StrField' in the index, 'solr.TextField' "
            "in the schema",
            "field.cascade_row: is missing in the index",
        ]
