import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.candidates import Ragged
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import FingerprintError, NotFoundError, QueryError
from cascade.schema import parse_schema
from cascade.text import analyser

FIELDS = """
[fields.title]
type = "text"
[fields.body]
type = "text"
analyser = "german"
[fields.brand]
type = "keyword"
analyser = "plain"
[fields.colour]
type = "keyword"
[fields.price]
type = "number"
[fields.made]
type = "date"
[fields.look]
type = "vector"
dims = 2
"""
SCHEMA = parse_schema(tomllib.loads(FIELDS), Path("schema.toml"))
SHOES = [
    {
        "id": "s1",
        "title": "Red running shoes",
        "body": "Schöne Schuhe",
        "brand": "Acme Sports",
        "colour": ["red", "dark red"],
        "price": 10,
        "made": "1970-01-02",
        "look": [1, 2],
    },
    {"id": "s2", "title": ["Shoe shoes", "for runners"], "brand": "Acme Sports", "price": 20.5},
    {"id": "s3"},
]


def built(folder, documents, schema=SCHEMA):
    with CatalogueWriter(folder, schema, "g1") as writer:
        for raw in documents:
            writer.add(schema.document(raw))
        writer.finish()
    return Catalogue.open(folder, schema, verify=True)


@pytest.fixture(scope="module")
def shoes(tmp_path_factory):
    return built(tmp_path_factory.mktemp("shoes") / "catalogue", SHOES)


def rows(*numbers):
    return np.array(numbers, dtype=np.int32)


def lists(ragged: Ragged):
    assert ragged.offsets.dtype == np.int64
    assert ragged.values.dtype == np.int32
    pairs = zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True)
    return [ragged.values[a:b].tolist() for a, b in pairs]


def terms(catalogue, name, *texts):
    return [catalogue.analyse(name, text).tolist() for text in texts]


def test_numbers_and_dates_stand_in_the_order_asked(shoes):
    found = shoes.numbers(["made", "price"], rows(1, 0, -1, 2))
    expected = [[np.nan, 20.5], [86_400, 10], [np.nan, np.nan], [np.nan, np.nan]]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, expected)


def test_ids_and_rows_lead_to_each_other(shoes):
    assert shoes.rows(["s3", "nope", "s1", ""]).tolist() == [2, -1, 0, -1]
    assert shoes.ids(rows(1, -1, 0)) == ["s2", "", "s1"]
    assert len(shoes) == 3
    assert shoes.generation == "g1"


def test_keywords_are_codes_of_whole_values(shoes):
    codes = shoes.keyword_codes("colour", ["dark red", "red", "blue"])
    assert codes[2] == -1
    assert lists(shoes.keywords("colour", rows(0, 1, -1))) == [[codes[1], codes[0]], [], []]
    assert shoes.keyword_values("colour", codes) == ["dark red", "red", ""]


def test_a_keyword_value_has_terms_of_its_own_analyser(shoes):
    codes = shoes.keyword_codes("brand", ["Acme Sports", "none"])
    sports, nothing = lists(shoes.keyword_terms("brand", codes))
    assert [sports] == terms(shoes, "brand", "ACME sports")
    assert nothing == []
    assert terms(shoes, "title", "sports")[0] != [sports[1]]


def test_tokens_are_terms_in_the_order_of_the_text(shoes):
    red, run, shoe, runner = terms(shoes, "title", "red runs shoe runner")[0]
    (for_,) = terms(shoes, "title", "for")[0]
    assert len({red, run, shoe, runner, for_}) == 5
    found = lists(shoes.tokens("title", rows(1, -1, 0, 2, 1)))
    second = [shoe, shoe, for_, runner]
    assert found == [second, [], [red, run, shoe], [], second]


def test_a_field_is_analysed_in_its_own_language(shoes):
    assert lists(shoes.tokens("body", rows(0))) == terms(shoes, "body", "schoene Schuh")
    assert lists(shoes.tokens("body", rows(0))) != terms(shoes, "title", "schoene Schuh")


def test_unknown_terms_are_below_zero_and_distinct(shoes):
    found = shoes.analyse("title", "zebra red zebras yak zebra")
    assert found[1] >= 0
    assert np.delete(found, 1).tolist() == [-2, -2, -3, -2]
    assert found.dtype == np.int32
    assert shoes.analyse("title", " ?! ").tolist() == []
    assert shoes.analyse("title", "red\ud800shoe").tolist() == terms(shoes, "title", "red shoe")[0]


def test_a_megabyte_is_analysed(shoes):
    assert len(shoes.analyse("title", "zebra shoes " * 90_000)) == 180_000


def test_vectors_are_nan_where_absent(shoes):
    found = shoes.vectors("look", rows(1, 0, -1))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[np.nan] * 2, [1, 2], [np.nan] * 2])


def test_statistics_count_documents_tokens_and_terms(shoes):
    title = shoes.statistics("title")
    assert (title.documents, title.tokens) == (2, 7)
    assert len(title.document_frequency) == shoes.vocabulary_size
    asked = shoes.analyse("title", "shoe red for")
    assert title.document_frequency[asked].tolist() == [2, 1, 1]
    assert title.document_frequency.sum() == 6
    assert shoes.statistics("body").document_frequency[asked].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.numbers(["prise"], rows(0)), "no number or date field 'prise'.*'price'"),
        (lambda c: c.tokens("brand", rows(0)), "no text field 'brand'"),
        (lambda c: c.keywords("colr", rows(0)), "no keyword field 'colr'.*'colour'"),
        (lambda c: c.keyword_terms("title", rows(0)), "no keyword field 'title'"),
        (lambda c: c.vectors("luck", rows(0)), "no vector field 'luck'.*'look'"),
        (lambda c: c.analyse("price", "x"), "no text or keyword field 'price'"),
        (lambda c: c.statistics("brand"), "no text field 'brand'"),
    ],
)
def test_a_field_of_another_kind_is_refused_by_name(shoes, call, message):
    with pytest.raises(QueryError, match=message):
        call(shoes)


def test_stored_columns_are_read_only(shoes):
    with pytest.raises(ValueError, match="read-only"):
        shoes.statistics("title").document_frequency[0] = 1


def test_no_rows_give_nothing(shoes):
    none = rows()
    assert shoes.ids(none) == []
    assert shoes.rows([]).tolist() == []
    assert shoes.numbers(["price"], none).shape == (0, 1)
    assert shoes.vectors("look", none).shape == (0, 2)
    assert lists(shoes.tokens("title", none)) == lists(shoes.keywords("brand", none)) == []


def test_a_catalogue_of_nothing_answers(tmp_path):
    empty = built(tmp_path / "empty", [])
    assert len(empty) == 0
    assert empty.rows(["x"]).tolist() == [-1]
    assert empty.ids(rows(-1)) == [""]
    assert np.isnan(empty.numbers(["price", "made"], rows(-1))).all()
    assert np.isnan(empty.vectors("look", rows(-1))).all()
    assert (
        lists(empty.tokens("title", rows(-1))) == lists(empty.keywords("brand", rows(-1))) == [[]]
    )
    assert empty.analyse("title", "red red").tolist() == [-2, -2]
    assert empty.keyword_codes("brand", ["x"]).tolist() == [-1]


WORDS = st.sampled_from(["red", "Réd", "shoe", "shoes", "o'neill", "3.5", "größe", "日本", "-"])
TEXT = st.lists(WORDS, max_size=70).map(" ".join)
DOCUMENT = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXT | st.lists(TEXT, max_size=3),
        "body": TEXT,
        "brand": st.lists(st.sampled_from(["A", "b c", "é"]), max_size=3),
        "price": st.floats(-1e9, 1e9),
        "look": st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2),
    },
)


@settings(max_examples=20)
@given(st.lists(DOCUMENT, max_size=8), st.lists(st.integers(-1, 7), max_size=12))
def test_columns_are_those_of_a_naive_reading(tmp_path_factory, documents, wanted):
    raws = [{"id": f"é{i}", **raw} for i, raw in enumerate(documents)]
    catalogue = built(tmp_path_factory.mktemp("naive") / "c", raws)
    known = [SCHEMA.document(raw) for raw in raws]
    wanted = [row if row < len(known) else -1 for row in wanted]
    at = rows(*wanted)
    picked = [None if row < 0 else known[row] for row in wanted]
    assert catalogue.ids(at) == [d.id if d else "" for d in picked]
    assert catalogue.rows([d.id if d else "?" for d in picked]).tolist() == wanted
    prices = [[d.numbers.get("price", np.nan) if d else np.nan] for d in picked]
    found = catalogue.numbers(["price"], at)
    np.testing.assert_array_equal(found, np.reshape(prices, (len(at), 1)))
    looks = [d.vectors.get("look", (np.nan,) * 2) if d else (np.nan,) * 2 for d in picked]
    np.testing.assert_array_equal(catalogue.vectors("look", at), np.reshape(looks, (len(at), 2)))
    brands = catalogue.keywords("brand", at)
    values = catalogue.keyword_values("brand", brands.values)
    expected = [list(d.keywords.get("brand", ())) if d else [] for d in picked]
    assert values == [value for given in expected for value in given]
    assert brands.lengths.tolist() == [len(given) for given in expected]
    pairs = set()
    for name, language in (("title", "english"), ("body", "german")):
        words = [analyser(language).tokens_of(d.texts.get(name, ())) if d else [] for d in picked]
        tokens = catalogue.tokens(name, at)
        assert tokens.lengths.tolist() == [len(given) for given in words]
        flat = [word for given in words for word in given]
        pairs |= set(zip(flat, tokens.values.tolist(), strict=True))
        every = [analyser(language).tokens_of(d.texts.get(name, ())) for d in known]
        frequency = Counter(word for given in every for word in set(given))
        statistics = catalogue.statistics(name)
        assert statistics.tokens == sum(map(len, every))
        assert statistics.documents == sum(map(bool, every))
        assert sorted(statistics.document_frequency[statistics.document_frequency > 0]) == sorted(
            frequency.values()
        )
        for word, term in pairs:
            assert statistics.document_frequency[term] == frequency[word]
    # One number for one word, whichever the field.
    assert len({word for word, _ in pairs}) == len({term for _, term in pairs}) == len(pairs)


def test_more_documents_than_one_block_are_kept_in_order(tmp_path):
    count = 9_000
    raws = [{"id": str(i), "title": f"n{i} common", "price": i} for i in range(count)]
    catalogue = built(tmp_path / "c", raws)
    at = rows(0, 4_095, 4_096, 8_191, 8_192, count - 1)
    assert catalogue.numbers(["price"], at)[:, 0].tolist() == at.tolist()
    assert lists(catalogue.tokens("title", at)) == terms(
        catalogue, "title", *(f"n{i} common" for i in at)
    )
    assert catalogue.rows([str(i) for i in range(count)]).tolist() == list(range(count))
    common = catalogue.analyse("title", "common")
    assert catalogue.statistics("title").document_frequency[common] == count


def test_long_texts_are_gathered_as_short_ones_are(tmp_path):
    texts = [" ".join(f"w{i * 7 % 50}" for i in range(count)) for count in (100, 0, 300)]
    raws = [{"id": str(i), "title": text} for i, text in enumerate(texts)]
    catalogue = built(tmp_path / "c", raws)
    first, none, last = terms(catalogue, "title", *texts)
    assert lists(catalogue.tokens("title", rows(2, -1, 0, 1, 2))) == [last, [], first, none, last]
    assert lists(catalogue.tokens("title", rows(0, 1, 1, 1, 1))) == [first, [], [], [], []]


def test_synonyms_are_those_of_the_build(tmp_path):
    synonyms = tmp_path / "synonyms.txt"
    synonyms.write_text("sofa, couch\n")
    fields = tomllib.loads(FIELDS)["fields"]
    fields["title"]["synonyms"] = "synonyms.txt"
    schema = parse_schema({"fields": fields}, tmp_path / "schema.toml")
    made = built(tmp_path / "c", [{"id": "1", "title": "a couch"}], schema)
    synonyms.write_text("sofa, table\n")
    for catalogue in (made, Catalogue.open(tmp_path / "c", schema)):
        assert lists(catalogue.tokens("title", rows(0))) == terms(catalogue, "title", "a sofa")
        assert catalogue.analyse("title", "table")[0] < 0
    synonyms.unlink()
    assert terms(Catalogue.open(tmp_path / "c", schema), "title", "couch")[0][0] >= 0


def changed(**changes):
    return replace(
        SCHEMA, fields=tuple(replace(f, **changes.get(f.name, {})) for f in SCHEMA.fields)
    )


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (replace(SCHEMA, id="sku"), "id field is 'id', the schema says 'sku'"),
        (replace(SCHEMA, fields=SCHEMA.fields[1:]), "field 'title' is not in the schema"),
        (changed(made={"name": "sold"}), "'made' is not in the schema; field 'sold' is not in it"),
        (changed(body={"analyser": "plain"}), "analyser of field 'body' is 'german'.*'plain'"),
        (changed(brand={"analyser": "german"}), "field 'brand' was analysed by"),
        (changed(title={"source": ("name",)}), "source of field 'title'"),
        (changed(look={"dims": 3}), "dims of field 'look' is 2, the schema says 3"),
    ],
)
def test_another_schema_is_refused_by_field(shoes, schema, message):
    with pytest.raises(FingerprintError, match=message):
        Catalogue.open(shoes.path, schema)


def test_the_weight_of_a_field_is_free_to_change(shoes):
    assert len(Catalogue.open(shoes.path, changed(title={"boost": 9.0}))) == 3


def test_a_missing_catalogue_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"no catalogue at .*none.*cascade index build"):
        Catalogue.open(tmp_path / "none", SCHEMA)


ASK = """
import sys
from pathlib import Path
from cascade.catalogue import Catalogue
from cascade.schema import load_schema
catalogue = Catalogue.open(Path(sys.argv[1]), load_schema(Path(sys.argv[2])))
print(catalogue.rows(["s2", "s1"]).tolist(), catalogue.analyse("title", "red shoe").tolist())
sys.stdin.read()
"""


def test_several_processes_read_one_catalogue(shoes, tmp_path):
    (tmp_path / "schema.toml").write_text(FIELDS)
    command = [sys.executable, "-c", ASK, str(shoes.path), str(tmp_path / "schema.toml")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        # Each answers while the other holds the files.
        answers = [one.stdout.readline(), other.stdout.readline()]
        one.communicate("")
        other.communicate("")
    terms_ = shoes.analyse("title", "red shoe").tolist()
    assert answers == [f"[1, 0] {terms_}\n"] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="unsupported: needs /proc")
def test_files_are_mapped_shared_and_read_only(shoes):
    maps = Path("/proc/self/maps").read_text().splitlines()
    modes = [line.split()[1] for line in maps if str(shoes.path) in line]
    assert len(modes) > 20
    assert set(modes) == {"r--s"}
