import tomllib
from pathlib import Path

import pytest
import xxhash

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import ConfigError, DocumentError, InputError
from cascade.schema import parse_schema

FIELDS = """
[fields.title]
type = "text"
[fields.tags]
type = "text"
[fields.brand]
type = "keyword"
"""
SCHEMA = parse_schema(tomllib.loads(FIELDS), Path("schema.toml"))


def document(doc_id, **fields):
    return SCHEMA.document({"id": doc_id, **fields})


def weak(text, seed):
    """Give some ids one hash under the first seed."""
    same = seed == 0 and text in (b"a", b"b", b"c")
    return 7 if same else xxhash.xxh3_64_intdigest(text, seed)


def test_add_returns_the_tokens_of_the_text_fields_there_are(tmp_path):
    with CatalogueWriter(tmp_path / "c", SCHEMA, "g") as writer:
        assert writer.add(document("1", title="Red shoes", tags=["big deals", "new"])) == {
            "title": ["red", "shoe"],
            "tags": ["big", "deal", "new"],
        }
        assert writer.add(document("2", brand="x")) == {}


def test_an_id_that_comes_twice_is_refused_and_nothing_is_appended(tmp_path):
    with CatalogueWriter(tmp_path / "c", SCHEMA, "g") as writer:
        for doc_id in ("1", "2", "ü"):
            writer.add(document(doc_id, title="first"))
        for doc_id in ("2", "ü"):
            with pytest.raises(DocumentError, match=f"the id '{doc_id}' was given to a document"):
                writer.add(document(doc_id, title="second"))
        writer.add(document("3", title="third"))
        writer.finish()
    catalogue = Catalogue.open(tmp_path / "c", SCHEMA)
    assert catalogue.rows(["1", "2", "ü", "3"]).tolist() == [0, 1, 2, 3]
    assert catalogue.statistics("title").tokens == 4
    assert catalogue.analyse("title", "second")[0] < 0


def test_ids_of_one_hash_are_told_apart(tmp_path):
    with CatalogueWriter(tmp_path / "c", SCHEMA, "g", digest=weak) as writer:
        for doc_id in "abcd":
            writer.add(document(doc_id))
        for doc_id in "abcd":
            with pytest.raises(DocumentError, match=f"the id '{doc_id}'"):
                writer.add(document(doc_id))
        writer.finish()
    catalogue = Catalogue.open(tmp_path / "c", SCHEMA, verify=True)
    assert catalogue.rows(["d", "c", "b", "a", "e"]).tolist() == [3, 2, 1, 0, -1]


def fill_and_fail(folder):
    with CatalogueWriter(folder, SCHEMA, "g") as writer:
        writer.add(document("1", title="red", brand="x"))
        raise RuntimeError("the product file broke off")


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="broke off"):
        fill_and_fail(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_a_build_that_does_not_finish_leaves_nothing_behind(tmp_path):
    with CatalogueWriter(tmp_path / "c", SCHEMA, "g") as writer:
        writer.add(document("1", title="red", brand="x"))
    assert list(tmp_path.iterdir()) == []


def test_the_remains_of_a_killed_build_are_no_catalogue_and_go_with_the_next(tmp_path):
    killed = CatalogueWriter(tmp_path / "c", SCHEMA, "g")
    killed.add(document("1", title="red"))
    assert not (tmp_path / "c").exists()
    with CatalogueWriter(tmp_path / "c", SCHEMA, "g") as writer:
        writer.add(document("2", title="blue"))
        writer.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert Catalogue.open(tmp_path / "c", SCHEMA, verify=True).rows(["1", "2"]).tolist() == [-1, 0]
    killed.__exit__(None, None, None)


def test_a_folder_that_is_there_is_kept(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "letter").write_text("mine")
    with pytest.raises(InputError, match=r"c is there already; remove it, or name another"):
        CatalogueWriter(tmp_path / "c", SCHEMA, "g")
    assert (tmp_path / "c" / "letter").read_text() == "mine"


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [("analyser", "englsh", InputError), ("synonyms", "none.txt", ConfigError)],
)
def test_a_field_that_cannot_be_analysed_leaves_nothing_behind(tmp_path, key, value, error):
    fields = tomllib.loads(FIELDS)["fields"]
    fields["tags"][key] = value
    schema = parse_schema({"fields": fields}, tmp_path / "schema.toml")
    with pytest.raises(error, match=value):
        CatalogueWriter(tmp_path / "c", schema, "g")
    assert list(tmp_path.iterdir()) == []
