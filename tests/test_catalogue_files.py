import hashlib
import json
import shutil
import tomllib
from pathlib import Path

import pytest
import xxhash

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import ChecksumError, FingerprintError
from cascade.schema import parse_schema

FIELDS = """
[fields.title]
type = "text"
synonyms = "synonyms.txt"
[fields.brand]
type = "keyword"
[fields.price]
type = "number"
[fields.look]
type = "vector"
dims = 2
"""
SYNONYMS = "sofa, couch\n"
# Named by content, so that fields of the same rules share one file.
SYNONYM_FILE = f"{xxhash.xxh3_128_hexdigest(SYNONYMS.encode())}.synonyms"
FILES = [
    *(f"brand.{part}" for part in ("code_offsets", "codes", "term_offsets", "terms")),
    *(f"brand.values.{part}" for part in ("keys", "offsets", "slots", "text")),
    *(f"ids.{part}" for part in ("keys", "offsets", "slots", "text")),
    "look.vectors",
    "manifest.json",
    "numbers",
    SYNONYM_FILE,
    *(f"title.{part}" for part in ("frequency", "token_offsets", "tokens")),
    *(f"vocabulary.{part}" for part in ("keys", "offsets", "slots", "text")),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A catalogue whose larger files have several blocks, and its schema."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "synonyms.txt").write_text(SYNONYMS)
    schema = parse_schema(tomllib.loads(FIELDS), folder / "schema.toml")
    with CatalogueWriter(folder / "c", schema, "g") as writer:
        for i in range(20_000):
            raw = {"id": str(i), "title": f"red {i} couch", "brand": f"b{i % 7}", "price": i}
            writer.add(schema.document({**raw, "look": [1, i]}))
        writer.finish()
    return folder / "c", schema


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "c")
    return tmp_path / "c"


def test_these_are_the_files(made):
    assert sorted(path.name for path in made[0].iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_bit_is_found_by_a_whole_check(made, copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) * 2 // 5] ^= 4
    (copy / name).write_bytes(content)
    with pytest.raises(ChecksumError, match=rf"{name}.* build the index again"):
        Catalogue.open(copy, made[1], verify=True)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("where", [0, -1])
def test_the_ends_of_a_file_are_checked_whenever_it_is_opened(made, copy, name, where):
    content = bytearray((copy / name).read_bytes())
    content[where] ^= 4
    (copy / name).write_bytes(content)
    with pytest.raises(ChecksumError, match=name):
        Catalogue.open(copy, made[1])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bytes_kept", [-1, 0])
def test_a_truncated_file_is_refused(made, copy, name, bytes_kept):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:bytes_kept])
    with pytest.raises(ChecksumError, match=name):
        Catalogue.open(copy, made[1])


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(made, copy, name):
    (copy / name).unlink()
    with pytest.raises(ChecksumError, match=name):
        Catalogue.open(copy, made[1])


def test_a_longer_file_is_refused(made, copy):
    with (copy / "numbers").open("ab") as stream:
        stream.write(b"\0" * 8)
    with pytest.raises(ChecksumError, match=r"numbers has 160,008 bytes, not 160,000"):
        Catalogue.open(copy, made[1])


def sealed(folder, change):
    """Change a manifest and sign it anew, as another release would have written it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["digest"]
    change(manifest)
    plain = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    manifest["digest"] = hashlib.sha256(plain.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_another_format_is_refused(made, copy):
    sealed(copy, lambda manifest: manifest.update(format=99))
    with pytest.raises(ChecksumError, match="is of format 99, this release reads"):
        Catalogue.open(copy, made[1])


def test_the_analyser_of_another_release_is_refused_by_field(made, copy):
    sealed(copy, lambda manifest: manifest["analysis"].update(title="0" * 16))
    with pytest.raises(FingerprintError, match="field 'title' was analysed by 0000"):
        Catalogue.open(copy, made[1])


def test_the_manifest_names_analysers_and_counts(made):
    manifest = json.loads((Path(made[0]) / "manifest.json").read_text())
    assert manifest["documents"] == 20_000
    assert manifest["generation"] == "g"
    assert set(manifest["analysis"]) == {"title", "brand"}
    assert manifest["statistics"]["title"] == {"documents": 20_000, "tokens": 60_000}
    assert set(manifest["files"]) == set(FILES) - {"manifest.json"}


def test_equal_synonym_files_are_kept_once_and_shared(tmp_path):
    (tmp_path / "one.txt").write_text("sofa, couch\n")
    (tmp_path / "two.txt").write_text("sofa, couch\n")
    (tmp_path / "other.txt").write_text("sofa, settee\n")
    fields = {
        name: {"type": "text", "synonyms": f"{file}.txt"}
        for name, file in [("a", "one"), ("b", "two"), ("c", "one"), ("d", "other")]
    }
    schema = parse_schema({"fields": fields}, tmp_path / "schema.toml")
    with CatalogueWriter(tmp_path / "c", schema, "g") as writer:
        writer.add(schema.document({"id": "1", "a": "couch"}))
        writer.finish()
    assert len(list((tmp_path / "c").glob("*.synonyms"))) == 2
    kept = Catalogue.open(tmp_path / "c", schema).schema.by_name
    assert kept["a"].synonyms == kept["b"].synonyms == kept["c"].synonyms
    assert kept["d"].synonyms != kept["a"].synonyms
    assert kept["d"].synonyms.read_text() == "sofa, settee\n"
