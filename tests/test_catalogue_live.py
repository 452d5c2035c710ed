"""What is put in and taken away after a build reads like a build of the documents that are left."""

import threading
from pathlib import Path

import numpy as np
import pytest
from memory_documents import candidates
from test_features_catalogue import KINDS, MORE, made

from cascade.candidates import Query
from cascade.catalogue import Catalogue, CatalogueWriter, Entry, LiveCatalogue, Op
from cascade.errors import ChecksumError, QueryError
from cascade.features import build_features, standard_features
from cascade.schema import Field, Kind, Schema

VECTOR = Field("look", Kind.VECTOR, dims=2)
SCHEMA = Schema("id", (*(Field(name, Kind(kind)) for name, kind in KINDS.items()), VECTOR))


def built(folder: Path, documents: list[dict], schema: Schema = SCHEMA) -> Catalogue:
    with CatalogueWriter(folder, schema, "g1") as writer:
        for document in documents:
            writer.add(schema.document(document))
        writer.finish()
    return Catalogue.open(folder, schema)


class Entries:
    """Make the entries of a log, one second apart."""

    def __init__(self, start: int = 0) -> None:
        self.seq = start

    def _next(self, op: Op, doc_id: str, document: dict | None = None) -> Entry:
        self.seq += 1
        return Entry(self.seq, float(self.seq), op, doc_id, document)

    def upsert(self, document: dict) -> Entry:
        return self._next(Op.UPSERT, document["id"], document)

    def delete(self, doc_id: str) -> Entry:
        return self._next(Op.DELETE, doc_id)

    def beat(self) -> Entry:
        return self._next(Op.HEARTBEAT, "")


def rows(*numbers):
    return np.array(numbers, dtype=np.int32)


def lists(ragged):
    pairs = zip(ragged.offsets[:-1], ragged.offsets[1:], strict=True)
    return [ragged.values[a:b].tolist() for a, b in pairs]


def words(documents, name: str, row: int) -> list[str]:
    """Return a text as words, through the terms of words that are known to be in the corpus."""
    pool = ["red", "blue", "big", "shoes", "shirt", "for", "men", "sofa", "lamp", "zebra", "yak"]
    by_term = {int(documents.analyse(name, word)[0]): word for word in pool}
    return [by_term[term] for term in documents.tokens(name, rows(row)).values.tolist()]


@pytest.fixture
def live(tmp_path):
    documents = [
        {"id": "a", "title": "red shoes", "brand": ["red lamp"], "price": 1.0, "look": [1, 2]},
        {"id": "b", "title": "blue shirt", "price": 2.0},
        {"id": "c", "title": "big sofa", "brand": ["sofa men", "red lamp"]},
    ]
    return LiveCatalogue(built(tmp_path / "catalogue", documents))


def test_an_upsert_takes_the_next_row_and_the_old_row_keeps_its_values(live):
    log = Entries()
    live.apply([log.upsert({"id": "b", "title": "zebra shirt", "price": 9.0, "look": [5, 6]})])
    assert len(live) == 4
    assert live.rows(["b", "a", "nope"]).tolist() == [3, 0, -1]
    assert live.ids(rows(3, 1, 0, -1)) == ["b", "b", "a", ""]
    both = live.numbers(["price"], rows(3, 1, -1))[:, 0]
    np.testing.assert_array_equal(both, [9.0, 2.0, np.nan])
    assert words(live, "title", 3) == ["zebra", "shirt"]
    assert words(live, "title", 1) == ["blue", "shirt"]
    looks = live.vectors("look", rows(1, 3, 0))
    np.testing.assert_array_equal(looks, [[np.nan, np.nan], [5, 6], [1, 2]])
    assert live.deleted(rows(0, 1, 2, 3, -1)).tolist() == [False] * 5
    assert live.current().tolist() == [0, 2, 3]


def test_lists_of_both_parts_come_in_the_order_of_the_rows(live):
    log = Entries()
    live.apply([log.upsert({"id": "d", "title": "red zebra red", "brand": ["yak", "red lamp"]})])
    red, zebra, shoe = live.analyse("title", "red zebra shoes").tolist()
    assert live.base.analyse("title", "zebra").tolist() == [-2]
    assert zebra >= live.base.vocabulary_size
    expected = [[red, zebra, red], [red, shoe], [], [red, zebra, red], []]
    assert lists(live.tokens("title", rows(3, 0, -1, 3, 99))) == expected
    yak, lamp = live.keyword_codes("brand", ["yak", "red lamp"]).tolist()
    assert lists(live.keywords("brand", rows(3, 1, 0))) == [[yak, lamp], [], [lamp]]
    assert live.keyword_values("brand", rows(lamp, yak, -1)) == ["red lamp", "yak", ""]
    terms = lists(live.keyword_terms("brand", rows(yak, lamp, -1)))
    assert terms == [live.analyse("brand", "yak").tolist(), [red, terms[1][1]], []]


def test_unknown_terms_stay_below_zero(live):
    live.apply([Entries().upsert({"id": "d", "title": "zebra"})])
    found = live.analyse("title", "wombat zebra gnu wombat red").tolist()
    assert found[0] == found[3] == -2
    assert found[2] == -3
    assert found[1] >= live.base.vocabulary_size > found[4] >= 0


def test_a_deletion_hides_every_row_that_the_document_had(live):
    log = Entries()
    live.apply([log.upsert({"id": "a", "title": "red"}), log.upsert({"id": "a", "title": "big"})])
    live.apply([log.delete("a")])
    assert live.deleted(rows(0, 1, 2, 3, 4)).tolist() == [True, False, False, True, True]
    assert live.rows(["a", "b"]).tolist() == [-1, 1]
    assert live.ids(rows(0, 3)) == ["a", "a"]


def test_what_comes_back_after_a_deletion_is_there_in_its_own_row_alone(live):
    log = Entries()
    live.apply([log.delete("a"), log.upsert({"id": "a", "title": "big"})])
    assert live.rows(["a"]).tolist() == [3]
    assert live.deleted(rows(0, 3)).tolist() == [True, False]
    live.apply([log.delete("a"), log.delete("a"), log.delete("unheard of")])
    assert live.deleted(rows(0, 3)).tolist() == [True, True]
    assert live.rows(["a"]).tolist() == [-1]


def test_entries_that_are_in_already_change_nothing_and_gaps_are_refused(live):
    log = Entries()
    first, second = log.upsert({"id": "d", "title": "red"}), log.delete("b")
    live.apply([first])
    live.apply([first, second])
    assert (len(live), live.position) == (4, 2)
    log.delete("c")
    with pytest.raises(ChecksumError, match=r"after entry 2 .* comes 4"):
        live.apply([log.delete("a")])
    assert not live.deleted(rows(0)).any()


def test_an_upsert_that_the_schema_refuses_takes_a_row_and_nothing_else(live):
    log = Entries()
    entries = [log.upsert({"id": "b", "price": "cheap"}), log.upsert({"id": "e", "price": 5})]
    live.apply(entries)
    assert live.rows(["b", "e"]).tolist() == [1, 4]
    assert (len(live), live.refused) == (5, 1)
    assert live.current().tolist() == [0, 1, 2, 4]


def test_the_row_of_an_upsert_does_not_depend_on_how_the_log_was_read(tmp_path):
    documents, random = made(60), np.random.default_rng(7)
    base = built(tmp_path / "catalogue", documents[:30])
    log = Entries()
    entries = [
        log.delete(documents[int(random.integers(60))]["id"])
        if random.random() < 0.3
        else log.upsert(documents[int(random.integers(60))])
        for _ in range(200)
    ]
    at_once, one_by_one = LiveCatalogue(base), LiveCatalogue(base)
    at_once.apply(entries)
    for entry in entries:
        one_by_one.apply([entry])
    every = np.arange(len(at_once), dtype=np.int32)
    assert len(one_by_one) == len(at_once)
    assert one_by_one.ids(every) == at_once.ids(every)
    np.testing.assert_array_equal(one_by_one.deleted(every), at_once.deleted(every))
    np.testing.assert_array_equal(one_by_one.current(), at_once.current())
    for name in ("title", "body"):
        found, expected = (c.tokens(name, every).values for c in (one_by_one, at_once))
        np.testing.assert_array_equal(found, expected)


def test_features_are_those_of_a_build_of_the_documents_that_are_left(tmp_path):
    """Corpus statistics are frozen, so features that weigh by idf are left out."""
    documents, changed = made(80), made(120)[80:]
    log, random = Entries(), np.random.default_rng(5)
    entries, model = [], {d["id"]: d for d in documents}
    for number, given in enumerate(changed):
        known = {"id": f"d{number}", "look": [1.5, float(number)]}
        document = {**given, **known} if number % 3 == 0 else given
        entries.append(log.upsert(document))
        model[document["id"]] = document
        if number % 5 == 0:
            gone = f"d{int(random.integers(40, 80))}"
            entries.append(log.delete(gone))
            model.pop(gone, None)
    live = LiveCatalogue(built(tmp_path / "old", documents))
    live.apply(entries)
    fresh = built(tmp_path / "new", list(model.values()))
    ids = list(model)
    assert sorted(live.ids(live.current().astype(np.int32))) == sorted(ids)
    queries = [Query("1", "red shoes for men", time=2e9), Query("2", "zebra big sofa lamp")]
    features = build_features([*standard_features(SCHEMA), *MORE], SCHEMA)
    matrices = []
    for catalogue in (live, fresh):
        listing = [int(row) for row in catalogue.rows(ids)]
        batch = candidates(catalogue, *((query, listing) for query in queries))
        matrices.append(features.matrix(features.prepared(batch)))
    weighed = ("bm25", "idf", "best_field")
    compared = [
        i for i, name in enumerate(features.names) if not any(word in name for word in weighed)
    ]
    assert len(compared) > len(features.names) / 2
    for column in compared:
        name = features.names[column]
        np.testing.assert_array_equal(matrices[0][:, column], matrices[1][:, column], name)


def test_features_that_weigh_by_idf_are_equal_where_statistics_are(tmp_path):
    """A listing with an equal document more has the old statistics, whatever the row."""
    documents = made(40)
    base = built(tmp_path / "catalogue", documents)
    live = LiveCatalogue(base)
    log = Entries()
    live.apply([log.upsert(document) for document in reversed(documents)])
    features = build_features(standard_features(SCHEMA), SCHEMA)
    ids = [d["id"] for d in documents]
    assert live.rows(ids).tolist() == list(range(79, 39, -1))
    found, expected = (
        features.matrix(features.prepared(candidates(c, ("red shoes lamp", c.rows(ids).tolist()))))
        for c in (live, base)
    )
    np.testing.assert_array_equal(found, expected)


def test_statistics_stay_those_of_the_build_and_cover_later_terms(live):
    before = live.base.statistics("title")
    live.apply([Entries().upsert({"id": "d", "title": "zebra yak red"})])
    now = live.statistics("title")
    assert (now.documents, now.tokens) == (before.documents, before.tokens)
    assert len(now.document_frequency) == live.vocabulary_size
    zebra, red = live.analyse("title", "zebra red").tolist()
    assert now.document_frequency[[zebra, red]].tolist() == [0, 1]


class Written:
    """Be the log of another process."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def pending(self) -> bool:
        return bool(self.entries)

    def read(self) -> list[Entry]:
        taken, self.entries = self.entries, []
        return taken


def test_a_log_that_fails_does_not_end_a_request(tmp_path):
    class Failing(Written):
        def read(self):
            raise ChecksumError("damaged")

    source = Failing()
    live = LiveCatalogue(built(tmp_path / "catalogue", [{"id": "a"}]), source=source)
    source.entries.append(Entries().delete("a"))
    assert len(live) == 1
    assert live.ids(rows(0, 7)) == ["a", ""]
    with pytest.raises(ChecksumError, match="damaged"):
        live.refresh()


def test_a_row_that_an_engine_has_first_is_read_from_the_log(tmp_path):
    base = built(tmp_path / "catalogue", [{"id": "a", "title": "red"}])
    log, source = Entries(), Written()
    live = LiveCatalogue(base, source=source)
    zebra = [[base.vocabulary_size]]
    for ask, expected in (
        (live.ids, ["x1"]),
        (lambda row: live.numbers(["price"], row).tolist(), [[4.0]]),
        (lambda row: lists(live.tokens("title", row)), zebra),
        (lambda row: live.deleted(row).tolist(), [False]),
    ):
        number = len(live)
        entry = log.upsert({"id": f"x{number}", "title": "zebra", "price": 2 * number})
        source.entries.append(entry)
        assert ask(rows(number)) == expected
    source.entries.append(log.upsert({"id": "last"}))
    assert len(live) == 6
    assert live.deleted(rows(99)).tolist() == [True]


def test_readers_see_whole_documents_while_one_writes(tmp_path):
    base = built(tmp_path / "catalogue", [{"id": "a", "title": "red"}])
    live, log, wrong = LiveCatalogue(base), Entries(), []
    done = threading.Event()

    def read():
        while not done.is_set():
            count = len(live)
            every = np.arange(count, dtype=np.int32)
            lengths = live.tokens("title", every).lengths
            prices = live.numbers(["price"], every)[1:, 0]
            terms = live.analyse("title", f"red w{count - 1} w{count}")
            frequency = live.statistics("title").document_frequency
            if (lengths[1:] != 2).any() or not (prices == np.arange(1, count)).all():
                wrong.append(count)
            if (terms >= len(frequency)).any():
                wrong.append(-count)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(1, 600):
        live.apply([log.upsert({"id": f"x{i}", "title": f"red w{i}", "price": i})])
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert live.ids(rows(599)) == ["x599"]


def test_same_compares_every_column(live):
    document = {"id": "a", "title": "red shoes", "brand": ["red lamp"], "price": 1, "look": [1, 2]}
    assert live.same(SCHEMA.document(document))
    for change in (
        {"title": "red shoe zebra"},
        {"title": "shoes red"},
        {"brand": ["red lamp", "men"]},
        {"brand": None},
        {"price": 1.5},
        {"price": None},
        {"look": [1, 3]},
        {"made": 5.0},
        {"id": "zz"},
    ):
        assert not live.same(SCHEMA.document({**document, **change})), change
    changed = {**document, "title": "zebra", "price": None}
    live.apply([Entries().upsert(changed)])
    assert live.same(SCHEMA.document(changed))
    assert not live.same(SCHEMA.document(document))


def test_an_unknown_field_is_refused_as_by_the_build(live):
    live.apply([Entries().upsert({"id": "d", "title": "zebra"})])
    for ask in (
        lambda: live.numbers(["prize"], rows(3)),
        lambda: live.tokens("titel", rows(3)),
        lambda: live.keywords("brant", rows(3)),
        lambda: live.keyword_values("brant", rows(0)),
        lambda: live.analyse("titel", "red"),
        lambda: live.statistics("titel"),
    ):
        with pytest.raises(QueryError, match="did you mean"):
            ask()
