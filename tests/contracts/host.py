"""What every holder of indexes must do: subclass `HostContract`, give it `host` and `make_place`.

Both are of class scope. `make_place(index, number)` says where `<prefix><index>-<number>` is, in a
name and a folder that no other test has; whoever gives it removes what was made there.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from contracts.engine import CORPUS, EVERYTHING, SCHEMA, corpus, query

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.errors import CascadeError, NotFoundError, RefusedError
from cascade.hosting import BulkOptions, Change, Place

MakePlace = Callable[[str, int], Place]
SMALL = BulkOptions(documents=50, bytes=100_000)
ODD = [
    {"id": "1", "title": 'Cup — <b>ünïcode</b> 👠\n\t"quoted" \\ \u2028', "price": -0.0},
    {
        "id": 2,
        "title": ["a", "b"],
        "tags": [],
        "extra": {"deep": [1, None, {}, []], "a.b": {"": 0}},
    },
    {"id": "a b/c?d#e%2F&f", "brand": "x", "nothing": None, "": "empty key", "yes": True},
    {"id": "null", "price": "12.5", "big": 2**62, "small": 1e-300, "third": 1 / 3, "float": 1.0},
    {"id": "_source", "added": "2024-02-29T23:59:59.123456+02:00", "cascade_row": "mine"},
]


def index_of(place: Place) -> str:
    """Return the name of a place without its number."""
    return place.name[:-7]


def fill(host, place, documents=CORPUS, about=None, options=SMALL):
    """Make an index and fill it with raw documents, a row each."""
    host.create(place, SCHEMA, about or {"generation": place.name})
    writer = host.open_writer(place, SCHEMA, options)
    add(writer, documents)
    writer.finish()
    return writer


def add(writer, documents, rows=None):
    # The embedded engine is given the terms; a catalogue makes them.
    for row, raw in enumerate(documents):
        document = SCHEMA.document(raw)
        tokens = {name: " ".join(texts).split() for name, texts in document.texts.items()}
        writer.add(row if rows is None else rows[row], document, tokens)


def all_of(batches):
    return [one for batch in batches for one in batch]


def by_id(documents):
    return sorted(documents, key=lambda raw: str(raw["id"]))


@pytest.fixture(scope="session")
def corpus_catalogue(tmp_path_factory):
    """The catalogue of `CORPUS`."""
    folder = tmp_path_factory.mktemp("host") / "catalogue"
    with CatalogueWriter(folder, SCHEMA, "g1") as catalogue:
        for raw in CORPUS:
            catalogue.add(SCHEMA.document(raw))
        catalogue.finish()
    return Catalogue.open(folder, SCHEMA)


class HostContract:
    """Hold the tests; a subclass or its module gives `host` and `make_place`, of class scope."""

    @pytest.fixture(scope="class")
    @classmethod
    def filled(cls, host, make_place: MakePlace) -> Place:
        """An index of `CORPUS` that no test changes."""
        place = make_place("filled", 1)
        fill(host, place, about={"generation": "g-1", "fingerprint": "ab" * 32})
        return place

    def test_a_filled_index_stands_as_it_was_made(self, host, filled):
        state = host.state(filled)
        assert (state.documents, state.failed_shards) == (len(CORPUS), 0)
        assert state.about == {"generation": "g-1", "fingerprint": "ab" * 32}
        assert state.identity
        assert state == host.state(filled)

    def test_a_writer_has_had_everything_answered_when_it_is_finished(self, host, make_place):
        writer = fill(host, make_place("answered", 1))
        assert writer.acknowledged == len(CORPUS)
        assert list(writer.rejected) == []

    def test_there_is_no_index_that_was_not_made(self, host, make_place):
        nowhere = make_place("nowhere", 1)
        with pytest.raises(NotFoundError):
            host.state(nowhere)
        with pytest.raises(NotFoundError):
            all_of(host.documents(nowhere.name))
        with pytest.raises(NotFoundError):
            all_of(host.ids(nowhere.name))
        assert host.target(nowhere.name) is None

    def test_an_index_is_made_once(self, host, filled):
        with pytest.raises(RefusedError):
            host.create(filled, SCHEMA, {"generation": "another"})
        state = host.state(filled)
        assert (state.documents, state.about["generation"]) == (len(CORPUS), "g-1")

    def test_an_index_made_anew_is_another(self, host, make_place):
        place = make_place("anew", 1)
        fill(host, place, CORPUS[:3])
        first = host.state(place)
        host.drop(place)
        fill(host, place, CORPUS[:2])
        again = host.state(place)
        assert (first.documents, again.documents) == (3, 2)
        assert first.identity != again.identity

    def test_dropping_removes_and_twice_is_no_error(self, host, make_place):
        place, other = make_place("dropped", 1), make_place("dropped", 2)
        fill(host, place, CORPUS[:3])
        fill(host, other, CORPUS[:4])
        host.drop(place)
        host.drop(place)
        with pytest.raises(NotFoundError):
            host.state(place)
        assert host.state(other).documents == 4
        assert host.names(index_of(place)) == [other.name]

    def test_names_are_those_of_the_index_alone(self, host, make_place):
        places = [make_place("named", n) for n in (12, 3)]
        for place in [*places, make_place("named-more", 1), make_place("name", 1)]:
            fill(host, place, CORPUS[:1])
        index = index_of(places[0])
        host.point(f"{index}-000099", places[0])  # an alias is no index, whatever it is called
        assert host.names(index) == [f"{index}-000003", f"{index}-000012"]
        assert host.names(f"{index}-not") == []

    def test_documents_come_back_as_they_were_given(self, host, make_place):
        place = make_place("odd", 1)
        writer = fill(host, place, ODD)
        assert list(writer.rejected) == []
        assert by_id(all_of(host.documents(place.name))) == by_id(ODD)
        assert sorted(all_of(host.ids(place.name))) == sorted(str(raw["id"]) for raw in ODD)

    @pytest.mark.parametrize("batch", [1_000_000, 300, 299, 100, 7])
    def test_reading_yields_every_document_once_in_batches(self, host, filled, batch):
        batches = list(host.documents(filled.name, batch))
        assert by_id(all_of(batches)) == by_id(CORPUS)
        ids = list(host.ids(filled.name, batch))
        assert sorted(all_of(ids)) == sorted(str(raw["id"]) for raw in CORPUS)
        assert all(0 < len(one) <= batch for one in [*batches, *ids])
        assert len(batches) >= len(CORPUS) / batch

    def test_reading_may_end_early(self, host, filled):
        reading = host.documents(filled.name, 10)
        assert len(next(reading)) == 10
        reading.close()
        assert len(all_of(host.ids(filled.name))) == len(CORPUS)

    def test_an_empty_index_reads_as_nothing(self, host, make_place):
        place = make_place("empty", 1)
        fill(host, place, [])
        assert host.state(place).documents == 0
        assert all_of(host.documents(place.name)) == []
        assert all_of(host.ids(place.name)) == []

    def test_an_abandoned_writer_can_be_followed_by_another(self, host, make_place):
        place = make_place("abandoned", 1)
        host.create(place, SCHEMA, {})
        first = host.open_writer(place, SCHEMA, SMALL)
        add(first, CORPUS[:120])
        before = threading.active_count()
        first.abandon()
        assert threading.active_count() <= before
        assert 0 <= first.acknowledged <= 120
        if first.acknowledged == 0:
            host.drop(place)
            host.create(place, SCHEMA, {})
        again = host.open_writer(place, SCHEMA, replace(SMALL, skip=first.acknowledged))
        add(again, CORPUS)
        again.finish()
        assert again.acknowledged == len(CORPUS)
        assert by_id(all_of(host.documents(place.name))) == by_id(CORPUS)

    def test_an_engine_finds_what_was_filled_by_row(self, host, filled, corpus_catalogue):
        engine = host.engine(filled, SCHEMA, corpus_catalogue)
        try:
            found = engine.retrieve([query("")], len(CORPUS), EVERYTHING).candidates
            assert found.rows.tolist() == list(range(len(CORPUS)))
            brand = engine.retrieve([query("red", {"brand": "acme"})], 10).candidates
            assert [CORPUS[row]["brand"] for row in brand.rows] == ["acme"] * 10
            page = engine.fetch(query(), [str(CORPUS[7]["id"])])
            assert page[0].fields == CORPUS[7]
        finally:
            engine.close()

    def test_an_alias_points_at_one_index_and_moves(self, host, make_place):
        one, two = make_place("pointed", 1), make_place("pointed", 2)
        alias = index_of(one)
        fill(host, one, CORPUS[:1])
        fill(host, two, CORPUS[:2])
        assert host.target(alias) is None
        for place in (one, one, two, one):
            host.point(alias, place)
            assert host.target(alias) == place.name
        assert host.target(two.name) == two.name
        assert host.names(alias) == [one.name, two.name]
        assert host.state(two).documents == 2

    def test_one_alias_leaves_the_others_alone(self, host, make_place):
        place, other = make_place("many", 1), make_place("many", 2)
        fill(host, place, CORPUS[:1])
        fill(host, other, CORPUS[:1])
        host.point(f"{index_of(place)}-a", place)
        host.point(f"{index_of(place)}-b", place)
        host.point(f"{index_of(place)}-b", other)
        assert host.target(f"{index_of(place)}-a") == place.name
        assert host.target(f"{index_of(place)}-b") == other.name

    def test_the_name_of_an_index_is_no_alias(self, host, make_place):
        one, two = make_place("taken", 1), make_place("taken", 2)
        fill(host, one, CORPUS[:1])
        fill(host, two, CORPUS[:2])
        with pytest.raises(RefusedError, match="is an index"):
            host.point(one.name, two)
        assert host.target(one.name) == one.name
        assert host.state(one).documents == 1

    def test_an_alias_never_points_at_nothing(self, host, make_place):
        place = make_place("something", 1)
        fill(host, place, CORPUS[:1])
        host.point(index_of(place), place)
        with pytest.raises(NotFoundError):
            host.point(index_of(place), make_place("something", 2))
        assert host.target(index_of(place)) == place.name

    def test_changes_are_applied_in_order_the_last_counts(self, host, make_place):
        place = make_place("changed", 1)
        raws = [{"id": f"d{i}", "title": "red cup", "price": i} for i in range(6)]
        fill(host, place, raws)
        new = {"id": "d1", "title": "blue lamp", "extra": {"x": [None]}}
        host.apply(
            place,
            SCHEMA,
            [
                Change("d0"),
                Change("unknown"),
                Change("d1", 1, SCHEMA.document(new)),
                Change("d2", 2, SCHEMA.document(new | {"id": "d2"})),
                Change("d2"),
                Change("d3"),
                Change("d3", 3, SCHEMA.document(raws[3])),
                Change("d9", -1, SCHEMA.document(new | {"id": "d9"})),
                Change("d9", -1, SCHEMA.document(new | {"id": "d9", "title": "last"})),
            ],
        )
        assert host.state(place).documents == 5
        expected = [new, *raws[3:], new | {"id": "d9", "title": "last"}]
        assert by_id(all_of(host.documents(place.name))) == expected
        assert sorted(all_of(host.ids(place.name, 2))) == ["d1", "d3", "d4", "d5", "d9"]

    def test_an_engine_sees_changes_with_their_rows(self, host, make_place, corpus_catalogue):
        place = make_place("seen", 1)
        fill(host, place)
        gone, changed = str(CORPUS[4]["id"]), str(CORPUS[5]["id"])
        document = SCHEMA.document({"id": changed, "title": "zebra"})
        stranger = SCHEMA.document({"id": "stranger", "title": "zebra"})
        changes = [Change(gone), Change(changed, 5, document), Change("stranger", -1, stranger)]
        host.apply(place, SCHEMA, changes)
        engine = host.engine(place, SCHEMA, corpus_catalogue)
        try:
            found = engine.retrieve([query("zebra"), query("")], 1000, EVERYTHING).candidates
            assert engine.retrieve([query("zebra")], 5).candidates.rows.tolist() == [5, -1]
            assert engine.retrieve([query("zebra")], 5).candidates.ids() == [changed, "stranger"]
            rows = [row for row in range(len(CORPUS)) if row != 4]
            assert found.listings(1, 2).rows.tolist() == [*rows, -1]
        finally:
            engine.close()

    def test_no_changes_change_nothing(self, host, filled):
        host.apply(filled, SCHEMA, [])
        assert host.state(filled).documents == len(CORPUS)

    def test_many_changes_arrive(self, host, make_place):
        place = make_place("thousands", 1)
        fill(host, place, [])
        raws = corpus(2_500, seed=9)
        changes = [Change(str(r["id"]), i, SCHEMA.document(r)) for i, r in enumerate(raws)]
        host.apply(place, SCHEMA, changes)
        assert by_id(all_of(host.documents(place.name))) == by_id(raws)
        host.apply(place, SCHEMA, [replace(one, document=None) for one in changes[:2_000]])
        assert by_id(all_of(host.documents(place.name))) == by_id(raws[2_000:])

    def test_threads_work_side_by_side(self, host, make_place):
        places = [make_place("side", n) for n in range(1, 4)]
        failures = []

        def work(place: Place) -> None:
            try:
                fill(host, place, CORPUS[:40])
                host.point(f"{index_of(place)}-{place.name[-1]}", place)
                assert host.state(place).documents == 40
                assert len(all_of(host.ids(place.name, 7))) == 40
            except (CascadeError, AssertionError) as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(place,)) for place in places]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert host.names(index_of(places[0])) == [place.name for place in places]

    def test_kind_is_a_name_of_the_configuration(self, host):
        assert host.kind in ("embedded", "elasticsearch", "opensearch", "solr")
