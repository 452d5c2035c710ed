"""Definitions to features: every problem at once, each with the nearest valid name."""

import sys
import textwrap

import pytest
from memory_documents import MemoryDocuments, candidates

from cascade.errors import ConfigError
from cascade.features import KINDS, Features, Surface, build_features, feature_kind
from cascade.schema import Field, Kind, Schema

DOCUMENTS = MemoryDocuments(
    {"title": "text", "body": "text", "brand": "keyword", "price": "number", "made": "date"},
    [{"title": "red shoes", "price": 3.0}, {"title": "blue", "price": 5.0}],
)
SCHEMA = DOCUMENTS.schema


def problems(*definitions):
    with pytest.raises(ConfigError) as caught:
        build_features(definitions, SCHEMA, source="shop.toml")
    assert caught.value.source == "shop.toml"
    return list(caught.value.problems)


def test_every_problem_is_reported_at_once():
    found = problems(
        {"kind": "bm52", "name": "a"},
        {"kind": "bm25", "name": "b", "field": "tilte"},
        {"kind": "bm25", "name": "c", "field": "brand"},
        {"kind": "bm25", "name": "d", "field": "title", "k_1": 2},
        {"kind": "number", "name": "b", "field": "price"},
        {"kind": "expression", "name": "e", "formula": "log1p(nmuber) + b"},
        {"kind": "number", "name": "nmuber2", "field": "price"},
        {"kind": "coverage", "name": "f"},
    )
    expected = [
        r"features[0] (a).kind: 'bm52' is no feature kind; did you mean 'bm25'? accepted: age, ",
        "features[1] (b).field: 'tilte' is no field; a text field is needed: "
        "did you mean 'title'? accepted: body, title",
        "features[2] (c).field: 'brand' is a keyword field; a text field is needed: accepted: body",
        "features[3] (d).k_1: unknown setting; did you mean 'k1'? accepted: b, field, k1, name",
        "features[4].name: 'b' is the name of features[1] as well; names are distinct",
        "features[5] (e).formula: 'nmuber' is no feature before this one; accepted: a, b",
        "features[7] (f).field: is needed and not given",
    ]
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(start), problem


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ("bm25", "features[0]: is 'bm25'; accepted is a table with a kind"),
        ({"name": "a"}, "features[0] (a).kind: is None; accepted is the name of a kind"),
        ({"kind": "hour"}, "features[0].name: is None; accepted are letters"),
        ({"kind": "hour", "name": "a b"}, "features[0].name: is 'a b'; accepted are letters"),
        (
            {"kind": "bm25", "name": "a", "field": "title", "k1": "2"},
            "features[0] (a).k1: is '2'; accepted is a number",
        ),
        (
            {"kind": "bm25", "name": "a", "field": "title", "b": True},
            "features[0] (a).b: is True; accepted is a number",
        ),
        (
            {"kind": "bm25", "name": "a", "field": "title", "b": 3},
            "features[0] (a): b: is 3.0; accepted is 0 to 1",
        ),
        (
            {"kind": "bm25", "name": "a", "field": ["title"]},
            "features[0] (a).field: is ['title']; accepted is a string",
        ),
        (
            {"kind": "best_field", "name": "a", "fields": "title"},
            "features[0] (a).fields: is 'title'; accepted is a list of strings",
        ),
        (
            {"kind": "best_field", "name": "a", "fields": ["title", "price"]},
            "features[0] (a).fields: 'price' is a number field; a text field is needed",
        ),
        (
            {"kind": "best_field", "name": "a", "fields": []},
            "features[0] (a): fields: is empty; name at least one text field",
        ),
        (
            {"kind": "zscore", "name": "a", "field": "made2"},
            "features[0] (a).field: 'made2' is no field; a number or date field is needed: did "
            "you mean 'made'?",
        ),
        (
            {"kind": "zscore", "name": "a"},
            "features[0] (a): field or column: exactly one of the two is needed",
        ),
        (
            {"kind": "cross", "name": "a", "parts": ["brand", "query.txt"]},
            "features[0] (a).parts: 'query.txt' is none; did you mean 'query.text'?",
        ),
        (
            {"kind": "cross", "name": "a", "parts": ["brand"], "buckets": 7.5},
            "features[0] (a).buckets: is 7.5; accepted is a whole number",
        ),
        (
            {"kind": "column", "name": "a", "portable": "yes"},
            "features[0] (a).portable: is 'yes'; accepted is true or false",
        ),
        (
            {"kind": "expression", "name": "a", "formula": "2 ** a"},
            "features[0] (a): formula, position 1: '2 ** a' is not accepted",
        ),
        (
            {"kind": "expression", "name": "a", "formula": "a + 1"},
            "features[0] (a).formula: 'a' is no feature before this one; there are none",
        ),
        (
            {"kind": "expression", "name": "a", "formula": "b", "inputs": []},
            "features[0] (a).inputs: unknown setting; accepted: formula, name",
        ),
        (
            {"kind": "no.such.module:Recency", "name": "a"},
            "features[0] (a).kind: 'no.such.module:Recency' cannot be imported: No module named",
        ),
        (
            {"kind": "cascade.features:Bm26", "name": "a"},
            "features[0] (a).kind: cascade.features has no 'Bm26'; did you mean 'Bm25'?",
        ),
        (
            {"kind": "pathlib:Path", "name": "a"},
            "features[0] (a).kind: 'pathlib:Path' is not a dataclass; derive it from",
        ),
        (
            {"kind": "cascade.candidates:Query", "name": "a"},
            "features[0] (a).kind: 'cascade.candidates:Query' lacks name, version, scope",
        ),
    ],
)
def test_messages(definition, message):
    (problem,) = problems(definition)
    assert problem.startswith(message)


def test_fields_of_different_analysers_have_no_common_coverage():
    fields = (Field("title", Kind.TEXT), Field("titel", Kind.TEXT, analyser="german"))
    definition = {"kind": "any_coverage", "name": "a", "fields": ["title", "titel"]}
    with pytest.raises(ConfigError, match="are analysed in different ways"):
        build_features([definition], Schema("id", fields))


def test_a_missing_synonym_file_is_a_problem_of_the_field(tmp_path):
    title = Field("title", Kind.TEXT, synonyms=tmp_path / "none.txt")
    definition = {"kind": "bm25", "name": "a", "field": "title"}
    with pytest.raises(ConfigError, match=r"the schema's field 'title': .*none\.txt"):
        build_features([definition], Schema("id", (title,)))


def test_definitions_make_the_same_features_again():
    definitions = [
        {"kind": "best_field", "name": "best", "fields": ["title", "body"], "k1": 1},
        {"kind": "cross", "name": "cross", "parts": ["query.text", "brand"]},
        {"kind": "expression", "name": "half", "formula": "best / 2"},
    ]
    features = build_features(definitions, SCHEMA)
    assert features.definitions()[0] == {
        "kind": "best_field",
        "name": "best",
        "fields": ["title", "body"],
        "k1": 1.0,
        "b": 0.75,
        "version": 1,
    }
    again = build_features(features.definitions(), SCHEMA)
    assert again.features == features.features
    assert again.fingerprint == features.fingerprint


OUTSIDE = """
    from dataclasses import dataclass
    import numpy as np
    from cascade.features import BaseFeature, feature_kind, field_of, number_of
    from cascade.schema import Kind

    @dataclass(frozen=True, kw_only=True)
    class Half(BaseFeature):
        field: str = field_of(Kind.NUMBER)
        by: float = 2.0

        def values(self, candidates):
            return (number_of(candidates, self.field) / self.by).astype(np.float32)

    @feature_kind("third")
    @dataclass(frozen=True, kw_only=True)
    class Third(Half):
        by: float = 3.0
"""


@pytest.fixture
def my_shop(tmp_path, monkeypatch):
    (tmp_path / "my_shop_features.py").write_text(textwrap.dedent(OUTSIDE))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_shop_features", None)
    KINDS.pop("third", None)


@pytest.mark.usefixtures("my_shop")
def test_a_feature_from_outside_the_package_is_named_by_its_module():
    definition = {"kind": "my_shop_features:Half", "name": "half", "field": "price"}
    features = build_features([definition], SCHEMA)
    assert features.matrix(candidates(DOCUMENTS, ("q", [0, 1]))).tolist() == [[1.5], [2.5]]
    assert features.definitions() == [{**definition, "by": 2.0, "version": 1}]
    assert features.fields == ("price",)
    (problem,) = problems({**definition, "field": "title"})
    assert "a number field is needed: " in problem


@pytest.mark.usefixtures("my_shop")
def test_a_feature_from_outside_the_package_registers_a_kind():
    __import__("my_shop_features")
    features = build_features([{"kind": "third", "name": "t", "field": "price"}], SCHEMA)
    assert features.matrix(candidates(DOCUMENTS, ("q", [0]))).tolist() == [[1.0]]
    assert features.definitions()[0]["kind"] == "third"


def test_a_kind_is_taken_once():
    with pytest.raises(
        ValueError, match=r"'surface' is taken by cascade\.features\.context:Surface"
    ):
        feature_kind("surface")(Features)
    assert KINDS["surface"] is Surface
