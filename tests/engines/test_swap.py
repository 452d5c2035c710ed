"""Swaps, rollbacks and removal on real servers, under three services and their readers."""

import os
import secrets
from pathlib import Path

import pytest
from numbered_shop import COUNT, build_number, follow_swaps, number_of, one, write_numbered

from cascade.config import open_host, schema_of, store_of
from cascade.errors import RefusedError
from cascade.hosting import Place
from cascade.workflows.generations import (
    collect_index,
    rollback_index,
    swap_index,
    verify_index,
)

pytestmark = pytest.mark.full
SWAPS = int(os.environ.get("CASCADE_SWAPS", "5"))


@pytest.fixture
def shop(server, tmp_path):
    """A shop on a real server, under a name of its own that is gone afterwards."""
    index = f"swap-{secrets.token_hex(4)}"
    engine = f'kind = "{server.kind}"\nurl = "{server.url}"\nindex = "{index}"'
    path = write_numbered(tmp_path, engine)
    build_number(path, 1)
    yield path
    host = open_host(one(path))
    for name in host.names(index):
        host.drop(Place(name, Path()))
    host.close()


def stands(path):
    config = one(path)
    pointer, host = store_of(config).pointer(), open_host(config)
    try:
        alias = host.target(config.settings.engine.index)
        return number_of(pointer.generation), number_of(alias)
    finally:
        host.close()


def test_three_services_follow_swaps_under_load(shop, tmp_path):
    follow_swaps(shop, tmp_path, SWAPS)


def test_a_rollback_takes_less_than_a_second(shop):
    build_number(shop, 2)
    assert stands(shop) == (2, 2)
    assert rollback_index(one(shop)).seconds <= 1.0
    assert stands(shop) == (1, 1)


def test_a_swap_to_an_index_that_others_wrote_to_is_refused(shop):
    build_number(shop, 2, swap=False)
    config = one(shop)
    host, generation = open_host(config), store_of(config).get(store_of(config).names()[-1])
    host.drop(generation.place)
    host.create(generation.place, schema_of(config), {"made_by": "cascade"})
    with pytest.raises(RefusedError, match="was made anew since the build") as caught:
        swap_index(config)
    assert f"it has 0 documents in its index, not {COUNT}" in str(caught.value)
    host.close()
    assert stands(shop) == (1, 1)


def test_gc_drops_the_index_with_its_generation(shop):
    for number in (2, 3, 4):
        build_number(shop, number, swap=False)
    config = one(shop)
    found = collect_index(config, 1)
    assert [number_of(name) for name in found.removed] == [2, 3]
    host = open_host(config)
    assert [number_of(name) for name in host.names(config.settings.engine.index)] == [1, 4]
    host.close()


def test_an_index_of_ours_is_known_when_its_generation_is_lost(shop):
    """Its folder may go with a disk: then the index is removed, and its alias can be moved."""
    for number in (2, 3):
        build_number(shop, number, swap=False)
    config = one(shop)
    store = store_of(config)
    first, second, _ = store.names()
    store.remove(second)
    assert collect_index(config, 1).orphans == (second,)
    store.remove(first)
    swap_index(config)
    assert stands(shop) == (3, 3)


def test_verify_proves_the_index_equal_to_the_catalogue(shop):
    report = verify_index(one(shop))
    assert (report.engine, report.catalogue, report.sampled) == (COUNT, COUNT, COUNT)
    assert report.differences == {}
