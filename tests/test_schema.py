"""The schema: its TOML form, how documents are read, and what each refusal says."""

import math
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.errors import ConfigError, DocumentError
from cascade.schema import Field, Kind, Schema, load_schema, parse_schema

HERE = Path("mappings/shop.toml")
MAPPINGS = sorted((Path(__file__).resolve().parent.parent / "mappings").glob("*.toml"))
TEXT = """
id = "sku"

[fields.title]
type = "text"
boost = 3.0
synonyms = "words/synonyms.txt"

[fields.attributes]
type = "text"
source = ["attr_*", "extra"]
analyser = "plain"
boost = 0
strip_html = true

[fields.brand]
type = "keyword"
source = "maker"

[fields.price]
type = "number"

[fields.created]
type = "date"

[fields.image]
type = "vector"
dims = 3
"""


def schema(text=TEXT):
    return parse_schema(tomllib.loads(text), HERE)


def test_a_table_becomes_fields_in_order():
    found = schema()
    assert found.id == "sku"
    assert found.fields == (
        Field(
            "title",
            Kind.TEXT,
            ("title",),
            3.0,
            synonyms=Path("mappings/words/synonyms.txt").resolve(),
        ),
        Field("attributes", Kind.TEXT, ("attr_*", "extra"), 0.0, "plain", strip_html=True),
        Field("brand", Kind.KEYWORD, ("maker",)),
        Field("price", Kind.NUMBER, ("price",)),
        Field("created", Kind.DATE, ("created",)),
        Field("image", Kind.VECTOR, ("image",), dims=3),
    )
    assert list(found.filterable) == ["brand", "price", "created"]
    assert [f.name for f in found.of_kind(Kind.DATE, Kind.TEXT)] == [
        "title",
        "attributes",
        "created",
    ]


def test_the_definition_is_plain_data_without_paths():
    definition = schema().definition()
    assert definition["id"] == "sku"
    assert definition["fields"][0] == {
        "name": "title",
        "kind": "text",
        "source": ["title"],
        "boost": 3.0,
        "analyser": "english",
        "synonyms": "synonyms.txt",
        "dims": 0,
        "strip_html": False,
    }
    assert definition["fields"][2]["analyser"] is None


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda path: path.stem)
def test_every_schema_that_the_project_ships_is_sound(path):
    assert load_schema(path).of_kind(Kind.TEXT)


def problems(text):
    with pytest.raises(ConfigError) as refused:
        schema(text)
    return refused.value.problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fields: at least one [fields.NAME] is needed"),
        ("fields = 3", "fields: at least one [fields.NAME] is needed"),
        ("idd = 'x'", "idd: unknown key; did you mean 'id'? accepted: fields, id, name"),
        ("[fields]\ntitle = 'text'", "fields.title: is 'text'; accepted is a table with a type"),
        ("[fields.a]\ntype = 'txt'", "fields.a.type: is 'txt'; did you mean 'text'?"),
        ("[fields.a]\nboost = 1", "fields.a.type: is None;"),
        ("[fields.a]\ntype = 'text'\nbost = 1", "fields.a.bost: unknown key; did you mean 'boost'"),
        ("[fields.a]\ntype = 'text'\nboost = 'x'", "fields.a.boost: is 'x', of the wrong type"),
        ("[fields.a]\ntype = 'text'\nboost = true", "fields.a.boost: is True, of the wrong type"),
        ("[fields.a]\ntype = 'text'\nboost = -1", "fields.a.boost: is -1; accepted is a number of"),
        ("[fields.a]\ntype = 'text'\nboost = nan", "fields.a.boost: is nan; accepted is a number"),
        ("[fields.a-b]\ntype = 'text'", "fields.a-b: a name starts with a letter, then letters,"),
        ("[fields.not]\ntype = 'text'", "fields.not: a name starts with a letter"),
        ("[fields.v]\ntype = 'vector'", "fields.v.dims: a vector needs its length"),
        ("[fields.b]\ntype = 'keyword'", "fields: at least one text field with a boost above 0"),
        ("[fields.b]\ntype = 'text'\nboost = 0", "fields: at least one text field with a boost"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(text, said):
    assert any(line.startswith(said) for line in problems(text)), problems(text)


def test_every_problem_is_told_at_once():
    found = problems("x = 1\n[fields.a]\ntype = 'txt'\n[fields.v]\ntype = 'vector'\nhue = 1")
    assert sorted(line.split(":")[0] for line in found) == [
        "fields.a.type",
        "fields.v.dims",
        "fields.v.hue",
        "x",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such schema file"),
        (b"id = ", "not valid TOML: Invalid value (at "),
        (b"id = '\xff'", "not valid TOML: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_file_that_is_no_schema_is_refused(tmp_path, content, said):
    path = tmp_path / "schema.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load_schema(path)
    assert refused.value.problems[0].startswith(said)
    assert refused.value.source == str(path)


def test_a_document_is_split_by_kind():
    raw = {
        "sku": 17,
        "title": "Cup",
        "attr_b": ["<b>blue</b>", 3],
        "attr_a": "a < b",
        "extra": True,
        "maker": ["Ash", "Elm", "Ash"],
        "price": "12.50",
        "created": "2024-05-01T14:00:00+02:00",
        "image": [1, 2.5, "3"],
        "unknown": {"x": 1},
    }
    document = schema().document(raw)
    assert document.id == "17"
    assert document.texts == {"title": ("Cup",), "attributes": (" blue ", "3", "a < b", "true")}
    assert document.keywords == {"brand": ("Ash", "Elm")}
    assert document.numbers == {
        "price": 12.5,
        "created": datetime(2024, 5, 1, 12, tzinfo=UTC).timestamp(),
    }
    assert document.vectors == {"image": (1.0, 2.5, 3.0)}
    assert document.raw is raw


@pytest.mark.parametrize("empty", [None, "", [], [None, ""]])
def test_a_document_without_any_optional_field_is_sound(empty):
    document = schema().document({"sku": "a"} | dict.fromkeys(["title", "maker", "price"], empty))
    assert (document.texts, document.keywords, document.numbers, document.vectors) == (
        {},
        {},
        {},
        {},
    )


def test_a_date_without_a_zone_means_utc():
    with_zone = schema().document({"sku": "a", "created": "2024-05-01T00:00:00Z"})
    for written in ("2024-05-01", "2024-05-01T00:00:00", with_zone.numbers["created"]):
        assert schema().document({"sku": "a", "created": written}).numbers == with_zone.numbers


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ([], "a document is a JSON object, not list"),
        ({"title": "x"}, r"the id field 'sku' is None; accepted is a non-empty string \(the docu"),
        ({"sku": ""}, "the id field 'sku' is ''; accepted is a non-empty string"),
        ({"sku": True}, "the id field 'sku' is True"),
        ({"sku": 1.5}, "the id field 'sku' is 1.5"),
        ({"sku": "a", "title": {}}, "document 'a', field 'title' is dict; accepted is a string or"),
        ({"sku": "a", "maker": [["x"]]}, "field 'brand' is list; accepted is a string or a list"),
        ({"sku": "a", "price": "cheap"}, "field 'price' .*cheap"),
        ({"sku": "a", "price": [1, 2]}, "field 'price' has 2 values; accepted is one"),
        ({"sku": "a", "price": math.inf}, "field 'price' is inf; accepted is a finite number"),
        ({"sku": "a", "price": "nan"}, "field 'price' is 'nan'; accepted is a finite number"),
        ({"sku": "a", "price": {"eur": 1}}, "field 'price' is dict; accepted is a number"),
        ({"sku": "a", "created": "soon"}, "field 'created' is 'soon'; accepted is an ISO 8601"),
        ({"sku": "a", "image": [1, 2]}, "field 'image' has 2 numbers; its schema says 3"),
        ({"sku": "a", "image": [1, 2, "x"]}, "field 'image' .*x"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(raw, said):
    with pytest.raises(DocumentError, match=said):
        schema().document(raw)


def test_lone_surrogates_are_replaced():
    document = schema().document({"sku": "a\ud800", "title": "x\udfffy", "maker": "\ud83d"})
    assert (document.id, document.texts["title"], document.keywords["brand"]) == (
        "a\ufffd",
        ("x\ufffdy",),
        ("\ufffd",),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from(["sku", "title", "maker", "price", "created", "image"]), JSON)
)
def test_whatever_json_is_given_is_read_or_refused(raw):
    try:
        document = schema().document(raw)
    except DocumentError:
        return
    assert document.id
    document.id.encode()
    assert all(math.isfinite(number) for number in document.numbers.values())
    for texts in (*document.texts.values(), *document.keywords.values()):
        assert texts
        for text in texts:
            text.encode()


def test_by_name_finds_each_field():
    one = Schema("id", (Field("title", Kind.TEXT),))
    assert one.by_name == {"title": one.fields[0]}


def parsed(fields: dict) -> Schema:
    return parse_schema({"fields": {"title": {"type": "text"}, **fields}}, HERE)


class TestRoles:
    def test_a_field_that_names_none_is_all_that_its_kind_can_be(self):
        schema = parsed(
            {
                "notes": {"type": "text", "boost": 0},
                "brand": {"type": "keyword"},
                "price": {"type": "number"},
                "created": {"type": "date"},
                "look": {"type": "vector", "dims": 2},
            }
        )
        shown = {"shown", "catalogue"}
        assert {f.name: set(f.roles) for f in schema.fields} == {
            "title": {"searched", *shown},
            "notes": shown,
            "brand": {"filtered", "faceted", *shown},
            "price": {"filtered", *shown},
            "created": {"filtered", *shown},
            "look": shown,
        }
        assert list(schema.filterable) == ["brand", "price", "created"]
        assert list(schema.faceted) == ["brand"]
        assert schema.hidden == frozenset()

    def test_named_roles_are_all_there_is(self):
        schema = parsed(
            {
                "brand": {"type": "keyword", "roles": ["filtered", "catalogue"]},
                "colour": {"type": "keyword", "roles": ["faceted", "shown", "catalogue"]},
                "margin": {"type": "number", "roles": ["catalogue"]},
                "notes": {"type": "text", "roles": ["shown", "catalogue"]},
            }
        )
        assert list(schema.filterable) == ["brand"]
        assert list(schema.faceted) == ["colour"]
        assert schema.hidden == {"brand", "margin"}
        assert schema.by_name["notes"].boost == 0.0
        given = schema.definition()["fields"]
        assert [field.get("roles") for field in given] == [
            None,
            ["catalogue", "filtered"],
            ["catalogue", "faceted", "shown"],
            ["catalogue"],
            ["catalogue", "shown"],
        ]

    def test_a_page_lacks_what_only_hidden_fields_read(self):
        schema = parsed(
            {
                "costs": {"type": "number", "source": "cost", "roles": ["catalogue"]},
                "attributes": {"type": "text", "source": ["attr_*"], "roles": ["catalogue"]},
                "heading": {"type": "keyword", "source": "title", "roles": ["catalogue"]},
            }
        )
        raw = {"id": "1", "title": "x", "cost": 3, "costs": 4, "attr_a": "y", "attr_": "z"}
        assert schema.hidden == {"cost", "attr_*"}
        assert schema.shown(raw) == {"id": "1", "title": "x", "costs": 4}
        assert list(raw) == ["id", "title", "cost", "costs", "attr_a", "attr_"]

    @pytest.mark.parametrize(
        ("field", "problem"),
        [
            (
                {"type": "number", "roles": ["searched", "catalogue"]},
                "fields.x.roles: a number field cannot be 'searched'; accepted are filtered, "
                "shown, catalogue",
            ),
            ({"type": "keyword", "roles": ["filtred", "catalogue"]}, "cannot be 'filtred'"),
            ({"type": "keyword", "roles": ["filtered"]}, "fields.x.roles: lacks 'catalogue'"),
            (
                {"type": "text", "boost": 0, "roles": ["searched", "catalogue"]},
                "fields.x.roles: 'searched' with a boost of 0",
            ),
            (
                {"type": "text", "boost": 2, "roles": ["shown", "catalogue"]},
                "fields.x.roles: a boost of 2 without 'searched'",
            ),
            ({"type": "text", "roles": "shown"}, "fields.x.roles: is 'shown', of the wrong type"),
        ],
    )
    def test_contradictions_are_told(self, field, problem):
        with pytest.raises(ConfigError) as caught:
            parsed({"x": field})
        assert problem in str(caught.value)

    def test_a_schema_whose_texts_are_not_searched_is_refused(self):
        fields = {"title": {"type": "text", "roles": ["catalogue"]}}
        with pytest.raises(ConfigError, match="at least one text field with a boost above 0"):
            parse_schema({"fields": fields}, HERE)


class TestVolatile:
    @pytest.mark.parametrize(
        ("age", "seconds"),
        [("500ms", 0.5), ("60s", 60.0), ("1.5 m", 90.0), ("2h", 7200.0), ("1d", 86400.0)],
    )
    def test_a_volatile_field_says_how_old_it_may_be(self, age, seconds):
        fields = {"stock": {"type": "number", "volatile": True, "max_age": age}}
        assert parsed(fields).by_name["stock"].max_age_s == seconds

    def test_a_field_keeps_unless_it_says_otherwise(self):
        fields = {"stock": {"type": "number"}, "state": {"type": "keyword", "volatile": False}}
        assert [f.max_age_s for f in parsed(fields).fields] == [None, None, None]

    @pytest.mark.parametrize(
        ("field", "problem"),
        [
            ({"type": "number", "volatile": True}, "fields.x.max_age: is missing"),
            ({"type": "number", "max_age": "60s"}, "fields.x.volatile: is missing"),
            (
                {"type": "number", "volatile": True, "max_age": "soon"},
                "fields.x.max_age: is 'soon'; accepted is a time above 0 such as '500ms'",
            ),
            ({"type": "number", "volatile": True, "max_age": "0s"}, "is '0s'; accepted"),
            (
                {"type": "text", "volatile": True, "max_age": "60s"},
                "fields.x.volatile: is for number and keyword fields",
            ),
            ({"type": "number", "volatile": "yes", "max_age": "60s"}, "of the wrong type"),
        ],
    )
    def test_what_does_not_fit_is_told(self, field, problem):
        with pytest.raises(ConfigError) as caught:
            parsed({"x": field})
        assert problem in str(caught.value)
