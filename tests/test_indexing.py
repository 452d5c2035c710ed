"""Index builds: whole or not at all, bad lines named, generations counted and pruned."""

import gzip
import json
from pathlib import Path

import pytest

from cascade.catalogue import Catalogue
from cascade.engines.embedded import EmbeddedWriter
from cascade.errors import CascadeError, ChecksumError, DocumentError, NotFoundError
from cascade.indexing import BuildReport, OnError, Store, build
from cascade.indexing.build import BuildOptions
from tests.bookshop import books, schema


def lines(folder: Path, *texts: str) -> Path:
    path = folder / "products.ndjson"
    path.write_text("\n".join(texts) + "\n")
    return path


def documents(count: int = 20) -> list[str]:
    return [json.dumps(book) for book in books(count)]


def built(folder: Path, path: Path, **options: object) -> BuildReport:
    fields = schema()
    store = Store(folder / "store", "books")
    return build(
        store, fields, [path], lambda at: EmbeddedWriter(at, fields), BuildOptions(**options)
    )


def left_in(folder: Path) -> list[str]:
    store = folder / "store"
    return sorted(p.name for p in store.iterdir()) if store.is_dir() else []


def test_a_build_makes_a_live_generation(tmp_path):
    report = built(tmp_path, lines(tmp_path, *documents()))
    assert report.generation.name == "books-000001"
    assert report.documents == 20
    store = Store(tmp_path / "store", "books")
    assert store.live().manifest["documents"] == 20
    assert len(Catalogue.open(store.live().catalogue, schema())) == 20
    assert left_in(tmp_path) == ["books-000001", "books.live.json"]


def test_gzipped_files_are_read(tmp_path):
    path = tmp_path / "products.ndjson.gz"
    path.write_bytes(gzip.compress("\n".join(documents()).encode()))
    assert built(tmp_path, path).documents == 20


def test_a_broken_line_refuses_the_build_with_line_and_column(tmp_path):
    path = lines(tmp_path, *documents(2), '{"id": "x", "title": }', *documents(1))
    with pytest.raises(
        DocumentError, match=r"products\.ndjson, line 3, column 22.*Nothing was built"
    ):
        built(tmp_path, path)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"title": "no id"}', "the id field 'id' is None"),
        ('["a", "list"]', "a document is a JSON object, not list"),
        ('{"id": "x", "price": "cheap"}', "field 'price'"),
        ('{"id": "x", "price": [1, 2]}', "2 values; accepted is one"),
        ('{"id": "x", "released": "soon"}', "'soon'; accepted is an ISO 8601 date"),
        ('{"id": "x", "title": {"en": "a"}}', "is dict; accepted is a string"),
        (json.dumps(books(1)[0]), "'b000'"),
    ],
)
def test_a_document_that_cannot_be_used_is_named_or_left_out(tmp_path, line, reason):
    path = lines(tmp_path, *documents(3), line)
    with pytest.raises(DocumentError) as caught:
        built(tmp_path, path)
    assert "line 4" in str(caught.value)
    assert reason in str(caught.value)
    report = built(tmp_path, path, on_error=OnError.SKIP)
    assert (report.documents, report.skipped) == (3, 1)
    assert reason in report.reasons[0]


def test_a_document_without_any_optional_field_is_indexed(tmp_path):
    report = built(tmp_path, lines(tmp_path, '{"id": "bare"}', *documents(1)))
    catalogue = Catalogue.open(report.generation.catalogue, schema())
    (row,) = catalogue.rows(["bare"])
    assert catalogue.tokens("title", catalogue.rows(["bare"])).lengths.tolist() == [0]
    assert row == 0


def test_a_truncated_file_refuses_the_build(tmp_path):
    path = tmp_path / "products.ndjson.gz"
    whole = gzip.compress("\n".join(documents(100)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DocumentError, match="cannot be read after line"):
        built(tmp_path, path)
    assert left_in(tmp_path) == []


def test_a_file_with_damaged_bytes_refuses_the_build(tmp_path):
    path = tmp_path / "products.ndjson.gz"
    content = bytearray(gzip.compress("\n".join(documents(200)).encode()))
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"cannot be read after line|not valid JSON"):
        built(tmp_path, path)
    assert left_in(tmp_path) == []


def test_files_without_a_usable_document_refuse_the_build(tmp_path):
    with pytest.raises(DocumentError, match="no document can be used"):
        built(tmp_path, lines(tmp_path, "{}"), on_error=OnError.SKIP)
    assert left_in(tmp_path) == []


def test_a_failed_build_leaves_the_live_generation(tmp_path):
    built(tmp_path, lines(tmp_path, *documents()))
    with pytest.raises(DocumentError):
        built(tmp_path, lines(tmp_path, "broken"))
    assert Store(tmp_path / "store", "books").live().name == "books-000001"
    assert left_in(tmp_path) == ["books-000001", "books.live.json"]


def test_generations_count_up_and_old_ones_go(tmp_path):
    path = lines(tmp_path, *documents())
    assert [built(tmp_path, path).generation.name for _ in range(2)][-1] == "books-000002"
    assert built(tmp_path, path, keep=2).removed == ("books-000001",)
    assert Store(tmp_path / "store", "books").names() == ["books-000002", "books-000003"]


def test_without_a_swap_the_live_generation_stays(tmp_path):
    path = lines(tmp_path, *documents())
    built(tmp_path, path)
    built(tmp_path, path, swap=False)
    store = Store(tmp_path / "store", "books")
    assert (store.live_name(), store.names()[-1]) == ("books-000001", "books-000002")


def test_indexes_share_a_store_by_name(tmp_path):
    fields, path = schema(), lines(tmp_path, *documents())
    for index in ("a", "b"):
        store = Store(tmp_path / "store", index)
        build(store, fields, [path], lambda at: EmbeddedWriter(at, fields), BuildOptions())
        assert store.live().name == f"{index}-000001"


def test_an_index_that_was_never_built_says_how_to(tmp_path):
    with pytest.raises(NotFoundError, match="cascade index build --input FILE"):
        Store(tmp_path, "books").live()


def test_a_half_written_generation_is_refused(tmp_path):
    report = built(tmp_path, lines(tmp_path, *documents()))
    (report.generation.path / "generation.json").unlink()
    with pytest.raises(ChecksumError, match="missing or half-written; build the index again"):
        Store(tmp_path / "store", "books").live()


def test_every_file_of_a_catalogue_is_missed_when_it_is_gone(tmp_path):
    report = built(tmp_path, lines(tmp_path, *documents()))
    for path in sorted(report.generation.catalogue.iterdir()):
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(CascadeError, match=path.name.replace(".", r"\.")):
            Catalogue.open(report.generation.catalogue, schema())
        path.write_bytes(content)
    Catalogue.open(report.generation.catalogue, schema(), verify=True)
