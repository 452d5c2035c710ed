"""Swap, rollback, removal and proof: what fails a check changes nothing."""

import json
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from numbered_shop import COUNT, build_number, cups, one, write_numbered

from cascade.catalogue import Catalogue
from cascade.cli import generations as commands
from cascade.config import load_config, open_host, schema_of, store_of
from cascade.errors import NotFoundError, RefusedError
from cascade.hosting import Change, Place
from cascade.indexing.canaries import overlap
from cascade.indexing.generations import Pointer, Store
from cascade.indexing.holds import Hold, drop_hold, put_hold
from cascade.indexing.swap import Checks, collect, refuse_foreign, repair, rollback, swap
from cascade.indexing.verify import MAX_TOLD, verify
from cascade.workflows.generations import (
    checks_of,
    collect_index,
    rollback_index,
    swap_index,
    verify_index,
)
from cascade.workflows.updates import updater_of

NAMES = ["cups-000001", "cups-000002", "cups-000003", "cups-000004"]


class Shop:
    """A shop of two generations: the first is live, the second waits."""

    def __init__(self, folder):
        self.path = write_numbered(folder)
        build_number(self.path, 1)
        build_number(self.path, 2, swap=False)
        self.config = one(self.path)
        self.store, self.host = store_of(self.config), open_host(self.config)
        self.schema = schema_of(self.config)

    def stands(self):
        """Return what is live, what a rollback goes back to, and what the alias names."""
        pointer = self.store.pointer()
        return pointer.generation, pointer.previous, self.host.target("cups")

    def swap(self, name=NAMES[1], **checks):
        return swap(self.store, self.host, name, self.schema, Checks(**checks))

    def refused(self, name=NAMES[1], **checks):
        """Return why a swap is refused, which leaves everything as it was."""
        before = self.stands()
        with pytest.raises(RefusedError) as caught:
            self.swap(name, **checks)
        assert self.stands() == before
        return str(caught.value)

    def run(self, command, *arguments):
        given = [*arguments, "--config", str(self.path)]
        return CliRunner().invoke(command, given)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_a_swap_moves_the_pointer_and_the_alias(shop):
    assert shop.stands() == (NAMES[0], None, NAMES[0])
    report = shop.swap()
    assert (report.generation, report.previous, report.documents) == (NAMES[1], NAMES[0], COUNT)
    assert shop.stands() == (NAMES[1], NAMES[0], NAMES[1])
    # Once more changes nothing: what a rollback goes back to stays.
    assert shop.swap().previous == NAMES[0]
    assert shop.stands() == (NAMES[1], NAMES[0], NAMES[1])


def test_a_rollback_goes_back_and_forth(shop):
    with pytest.raises(RefusedError, match="none was live before it"):
        rollback(shop.store, shop.host)
    shop.swap()
    report = rollback(shop.store, shop.host)
    assert (report.generation, report.previous, report.documents) == (NAMES[0], NAMES[1], COUNT)
    assert shop.stands() == (NAMES[0], NAMES[1], NAMES[0])
    assert rollback(shop.store, shop.host).generation == NAMES[1]


def test_a_rollback_to_what_was_removed_or_harmed_is_refused(shop):
    shop.swap()
    before = shop.stands()
    place = shop.store.get(NAMES[0]).place
    shop.host.apply(place, shop.schema, [Change("d000")])
    with pytest.raises(RefusedError, match="it has 39 documents in its index, not 40"):
        rollback(shop.store, shop.host)
    shop.host.drop(place)
    with pytest.raises(RefusedError, match="does not become the live generation"):
        rollback(shop.store, shop.host)
    shop.store.remove(NAMES[0])
    with pytest.raises(RefusedError, match=f"cannot go back from {NAMES[1]}: {NAMES[0]} was rem"):
        rollback(shop.store, shop.host)
    assert shop.stands() == before


def test_an_index_of_other_documents_is_refused(shop):
    place = shop.store.get(NAMES[1]).place
    shop.host.apply(place, shop.schema, [Change("d000"), Change("d001")])
    assert "it has 38 documents in its index, not 40" in shop.refused()


def test_an_index_that_is_not_there_is_refused(shop):
    shop.host.drop(shop.store.get(NAMES[1]).place)
    assert NAMES[1] in shop.refused()


def test_a_damaged_catalogue_is_refused(shop):
    path = shop.store.get(NAMES[1]).catalogue / "numbers"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    assert "numbers is not what its manifest promises" in shop.refused()


def test_an_index_that_was_made_anew_is_refused(shop):
    generation = shop.store.get(NAMES[1])
    about = generation.engine.with_name("engine.about.json")
    made = json.loads(about.read_text())
    about.write_text(json.dumps({**made, "identity": "another"}))
    assert "was made anew since the build: its identity is another" in shop.refused()


def test_documents_that_the_server_refused_are_not_missed(shop):
    place = shop.store.get(NAMES[1]).place
    shop.host.apply(place, shop.schema, [Change("d000")])
    path = shop.store.get(NAMES[1]).path / "generation.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "refused_rows": [0]}))
    assert shop.swap().documents == COUNT - 1
    report = verify_index(shop.config)
    assert (report.catalogue, report.differences) == (COUNT - 1, {})


def test_canaries_whose_results_are_others_refuse_a_swap(shop):
    # "cup" finds all in the order of their rows: the first 10 and the first 50 of each.
    kept, fresh = cups(3, 20), cups(3, 60, first=100)
    build_number(shop.path, 3, swap=False, documents=[*fresh, *kept])
    told = shop.refused(NAMES[2], canaries=("cup",), overlap=0.1)
    assert "of the first 10 results of 1 canary query, 0.00 are those" in told
    assert "the floor is 0.10 (index.canary_overlap)" in told
    # Of the first 50 of either none are common: the kept ones come after 60 others.
    build_number(shop.path, 4, swap=False, documents=[*kept, *fresh])
    report = shop.swap(NAMES[3], canaries=("cup", "cup w3"), overlap=0.4)
    # "cup": all of the first 10; 20 of the first 50, of which the live one had 40.
    assert report.overlaps == {10: 1.0, 50: 20 / 50}


def test_a_canary_that_finds_nothing_in_either_is_as_before(shop):
    assert shop.swap(canaries=("teapot",), overlap=1.0).overlaps == {10: 1.0, 50: 1.0}


@pytest.mark.parametrize(
    ("first", "second", "depth", "share"),
    [
        ("abcd", "dcba", 4, 1.0),
        ("abcd", "abxy", 4, 0.5),
        ("abcd", "abxy", 2, 1.0),
        ("ab", "abcd", 4, 0.5),
        ("", "ab", 4, 0.0),
        ("", "", 4, 1.0),
    ],
)
def test_overlap_is_the_share_of_the_longer_list(first, second, depth, share):
    assert overlap(first, second, depth) == share


def test_the_checks_are_those_of_the_configuration(shop):
    overrides = ['index.canaries=["cup", "red cup"]', "index.canary_overlap=0.7"]
    checks = checks_of(one(shop.path, *overrides), shop.host, shop.schema, wait_s=3)
    assert (checks.canaries, checks.overlap, checks.wait_s) == (("cup", "red cup"), 0.7, 3)


def test_a_generation_that_is_not_there_is_named(shop):
    with pytest.raises(NotFoundError, match=f"did you mean '{NAMES[1]}'"):
        shop.swap("cups-000022")


def test_the_alias_waits_for_every_process_that_serves(shop):
    objects = shop.store.objects
    put_hold(objects, "cups", Hold("a", NAMES[0], (NAMES[0],), time.time()))
    put_hold(objects, "cups", Hold("gone", NAMES[0], (NAMES[0],), time.time() - 100))
    told = shop.refused(wait_s=0.2)
    assert "a does not answer from it after 0.2 s" in told
    assert "gone" not in told
    put_hold(objects, "cups", Hold("a", NAMES[1], (NAMES[1],), time.time()))
    assert shop.swap(wait_s=0.2).replicas == 1


def test_gc_keeps_what_is_live_before_it_held_and_newest(shop):
    for number in (3, 4):
        build_number(shop.path, number, swap=False)
    shop.swap(NAMES[2])
    objects = shop.store.objects
    put_hold(objects, "cups", Hold("a", NAMES[1], (NAMES[1],), time.time()))
    found = collect(shop.store, shop.host, 1)
    assert found.removed == ()
    assert found.kept == {
        NAMES[0]: "a rollback goes back to it",
        NAMES[1]: "held by a",
        NAMES[2]: "live",
        NAMES[3]: "one of the newest 1",
    }
    drop_hold(objects, "cups", "a")
    assert collect(shop.store, shop.host, 1).removed == (NAMES[1],)
    assert shop.store.names() == [NAMES[0], NAMES[2], NAMES[3]]
    assert shop.host.names("cups") == shop.store.names()


def test_gc_leaves_a_generation_whose_index_is_in_another_engine(shop):
    """To remove its folder alone would leave an index behind that nobody knows of."""
    build_number(shop.path, 3, swap=False)
    shop.swap()
    shop.swap(NAMES[2])
    manifest = shop.store.root / NAMES[0] / "generation.json"
    told = json.loads(manifest.read_text())
    assert told["index"]["kind"] == shop.host.kind
    told["index"]["kind"] = "solr"
    manifest.write_text(json.dumps(told))
    found = collect(shop.store, shop.host, 1)
    assert found.removed == ()
    assert found.kept[NAMES[0]] == "its index is in solr: `gc` with that engine removes it"
    assert NAMES[0] in shop.store.names()
    told["index"]["kind"] = shop.host.kind
    manifest.write_text(json.dumps(told))
    assert collect(shop.store, shop.host, 1).removed == (NAMES[0],)


def test_gc_drops_what_we_made_and_no_generation_has(shop):
    for number in (3, 4):
        build_number(shop.path, number)
    root = shop.store.root

    def made(name, about):
        shop.host.create(Place(name, root / name / "engine"), shop.schema, about)

    ours = {"made_by": "cascade", "store": shop.store.identity()}
    made(NAMES[0], ours)
    # Made by this system for another store: its generation is there.
    made(NAMES[1], {"made_by": "cascade", "store": "another"})
    made("cups-000009", ours)  # a build elsewhere may be filling it
    for name in NAMES[:2]:
        shop.host.open_writer(Place(name, root / name / "engine"), shop.schema).finish()
    found = collect(shop.store, shop.host, 2)
    assert (found.removed, found.orphans) == ((), (NAMES[0],))
    assert shop.host.names("cups") == [NAMES[1], NAMES[2], NAMES[3], "cups-000009"]


def test_the_alias_of_another_store_is_not_moved(shop):
    class Server:
        """The host as a server is: an index is found by its name, whoever asks."""

        def __getattr__(self, name):
            return getattr(shop.host, name)

        def state(self, place):
            return shop.host.state(shop.store.listed(place.name).place)

    other = Store(shop.path.parent / "another-store", "cups")
    with pytest.raises(RefusedError, match=r"names cups-\d+, which .* built in another store"):
        refuse_foreign(other, Server())
    refuse_foreign(shop.store, Server())
    assert shop.store.identity() == Store(shop.store.root, "cups").identity() != other.identity()


def test_an_alias_of_others_is_not_moved(shop):
    root = shop.store.root
    foreign = Place("theirs", root / "theirs" / "engine")
    shop.host.create(foreign, shop.schema, {"made_by": "another"})
    shop.host.open_writer(foreign, shop.schema).finish()
    shop.host.point("cups", foreign)
    assert "the alias 'cups' names theirs, which others made" in shop.refused()
    shop.store.point(Pointer(NAMES[1], NAMES[0]))
    with pytest.raises(RefusedError, match="which others made"):
        rollback(shop.store, shop.host)
    with pytest.raises(RefusedError, match="which others made"):
        repair(shop.store, shop.host)
    assert shop.host.target("cups") == "theirs"


def test_a_name_that_is_an_index_can_be_no_alias(shop):
    (shop.store.root / "cups" / "engine").mkdir(parents=True)
    assert "is an index on the server and can be no alias" in shop.refused()


def test_an_index_that_others_own_is_neither_swapped_nor_removed(shop):
    (shop.path.parent / "other.toml").write_text(
        '[engine]\nkind = "elasticsearch"\nurl = "http://127.0.0.1:1"\nindex = "cups"\n'
        'owned = false\n[index]\nschema = "schema.toml"\nstore = "store"\n'
    )
    config = load_config(shop.path.parent / "other.toml")["default"]
    for act in (swap_index, rollback_index, collect_index):
        with pytest.raises(RefusedError, match=r"'cups' is not ours \(engine\.owned = false\)"):
            act(config)
    assert shop.stands() == (NAMES[0], None, NAMES[0])


KILLED = """
import os, signal, sys
from pathlib import Path
from cascade.config import load_config, open_host, schema_of, store_of
from cascade.indexing.swap import swap

config = load_config(Path(sys.argv[1]))["shop"]

class Dying:
    def __init__(self, host):
        self.host = host
    def __getattr__(self, name):
        return getattr(self.host, name)
    def point(self, alias, place):
        os.kill(os.getpid(), signal.SIGKILL)

swap(store_of(config), Dying(open_host(config)), "cups-000002", schema_of(config))
"""


@pytest.mark.parametrize("by", ["repair", "swap", "rollback"])
def test_a_kill_between_the_pointer_and_the_alias_is_repaired(shop, by):
    done = subprocess.run([sys.executable, "-c", KILLED, str(shop.path)], check=False)
    assert done.returncode == -9
    assert shop.stands() == (NAMES[1], NAMES[0], NAMES[0])
    if by == "repair":
        assert repair(shop.store, shop.host) == NAMES[1]
        assert repair(shop.store, shop.host) is None
    elif by == "swap":
        shop.swap()
    else:
        rollback(shop.store, shop.host)
        assert shop.stands() == (NAMES[0], NAMES[1], NAMES[0])
        return
    assert shop.stands() == (NAMES[1], NAMES[0], NAMES[1])


def test_verify_proves_both_equal(shop):
    report = verify_index(shop.config)
    assert (report.engine, report.catalogue, report.sampled) == (COUNT, COUNT, COUNT)
    assert report.differences == {}
    assert verify_index(shop.config, NAMES[1], sample=7).sampled == 7
    assert verify_index(shop.config, sample=0).sampled == 0


def test_verify_finds_each_difference(shop):
    live = shop.store.live()
    read = shop.schema.document
    changes = [
        Change("d000"),  # only in the catalogue
        Change("new", -1, read({"id": "new", "title": "cup"})),  # only in the engine
        Change("d003", 3, read({"id": "d003", "title": "cup w3", "build": 7})),  # another number
        Change("d004", 4, read({"id": "d004", "title": "mug w4", "build": 1})),  # another text
        Change("d005", 6, read({"id": "d005", "title": "cup w5", "build": 1})),  # another row
    ]
    shop.host.apply(live.place, shop.schema, changes)
    report = verify(
        live, shop.host, shop.schema, Catalogue.open(live.catalogue, shop.schema), COUNT
    )
    assert report.differences == {
        "only in the catalogue": 1,
        "only in the engine": 1,
        "another row": 1,
        "another value": 2,
    }
    assert sorted(report.told) == [
        "another row: 'd005' is row 5 of the catalogue and 6 of the engine",
        "another value: field 'build' of 'd003'",
        "another value: field 'title' of 'd004'",
        "only in the catalogue: 'd000'",
        "only in the engine: 'new'",
    ]


def test_updates_since_the_build_are_counted_and_verified(shop):
    updater = updater_of(shop.config, shop.host, shop.schema)
    cup = {"id": "fresh", "title": "cup w90", "build": 2}
    updater.update([shop.schema.document(cup)], ["d000", "d001"])
    # Both generations have it: none is refused, in either direction.
    assert swap_index(shop.config).documents == COUNT - 1
    report = verify_index(shop.config)
    assert (report.engine, report.catalogue) == (COUNT - 1, COUNT - 1)
    assert report.differences == {}
    assert rollback_index(shop.config).documents == COUNT - 1
    # What goes by the log is no update: it is found.
    shop.host.apply(shop.store.live().place, shop.schema, [Change("fresh")])
    assert verify_index(shop.config).differences == {"only in the catalogue": 1}
    with pytest.raises(RefusedError, match="it has 38 documents in its index, not 39"):
        shop.store.point(Pointer(NAMES[1], NAMES[0]))
        rollback_index(shop.config)


def test_verify_counts_all_and_tells_the_first_of_many(shop):
    live = shop.store.live()
    shop.host.apply(live.place, shop.schema, [Change(f"d{i:03d}") for i in range(30)])
    report = verify_index(shop.config)
    assert report.differences == {"only in the catalogue": 30}
    assert len(report.told) == MAX_TOLD


def test_the_commands_tell_and_end_with_their_codes(shop):
    done = shop.run(commands.swap)
    assert done.exit_code == 0
    assert done.output.startswith(f"{NAMES[1]} is live: 40 documents, ")
    done = shop.run(commands.rollback, "--json")
    assert json.loads(done.output)["generation"] == NAMES[0]
    done = shop.run(commands.verify)
    assert (done.exit_code, "both are equal" in done.output) == (0, True)
    shop.host.apply(shop.store.live().place, shop.schema, [Change("d009")])
    done = shop.run(commands.verify, "--json")
    assert done.exit_code == 4
    assert json.loads(done.output)["differences"] == {"only in the catalogue": 1}
    done = shop.run(commands.verify)
    assert (done.exit_code, "only in the catalogue: 'd009'" in done.output) == (4, True)
    shop.host.apply(shop.store.get(NAMES[1]).place, shop.schema, [Change("d009")])
    done = shop.run(commands.swap, NAMES[1])
    assert (done.exit_code, "nothing changed" in done.output) == (4, True)
    assert shop.stands() == (NAMES[0], NAMES[1], NAMES[0])
    build_number(shop.path, 3)
    done = shop.run(commands.gc, "--keep", "1")
    assert done.output.splitlines() == [
        f"removed {NAMES[1]}",
        f"kept {NAMES[0]}: a rollback goes back to it",
        f"kept {NAMES[2]}: live",
    ]
    assert json.loads(shop.run(commands.gc, "--json").output)["removed"] == []


def test_the_command_of_a_rollback_takes_less_than_a_second_of_its_own(shop):
    shop.swap()
    done = shop.run(commands.rollback, "--json")
    assert json.loads(done.output)["seconds"] <= 1.0
