"""The holder of indexes on a real Solr keeps the contract of all, and what is its own."""

import uuid

import pytest
from contracts.host import HostContract, corpus_catalogue, fill

from cascade.engines.connection import Connection, IndexShape
from cascade.engines.solr import open_host
from cascade.errors import RefusedError
from cascade.hosting import Place

__all__ = ["corpus_catalogue"]

pytestmark = pytest.mark.full
NEVER_BY_ITSELF = IndexShape(refresh_s=3600.0)


def opened(server, shape=NEVER_BY_ITSELF):
    return open_host(Connection((server.url,), pool=4), shape=shape)


@pytest.fixture(scope="class")
def host(solr_server):
    host = opened(solr_server)
    yield host
    host.close()


@pytest.fixture(scope="class")
def make_place(host, tmp_path_factory):
    prefix, made = f"host{uuid.uuid4().hex[:8]}-", []

    def make(index, number):
        name = f"{prefix}{index}-{number:06}"
        made.append(Place(name, tmp_path_factory.getbasetemp() / name))
        return made[-1]

    yield make
    for place in made:
        host.drop(place)


class TestContract(HostContract):
    def test_one_alias_leaves_the_others_alone(self, host, make_place):
        # A core has one name, so that an index can have one alias.
        place, other = make_place("many", 1), make_place("many", 2)
        fill(host, place, [])
        fill(host, other, [])
        index = place.name[:-7]
        host.point(f"{index}-a", place)
        with pytest.raises(RefusedError, match="has one name"):
            host.point(f"{index}-b", place)
        host.point(f"{index}-b", other)
        assert host.target(f"{index}-a") == place.name
        assert host.target(f"{index}-b") == other.name


class TestCloud(HostContract):
    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, solr_cloud_server):
        host = opened(solr_cloud_server, IndexShape(shards=2, refresh_s=3600.0))
        yield host
        host.close()
