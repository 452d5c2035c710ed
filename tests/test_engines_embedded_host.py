"""The folder of embedded indexes keeps the contract of every host."""

import pytest
from contracts.host import SCHEMA, HostContract, corpus_catalogue, fill

from cascade.engines.embedded_host import EmbeddedHost
from cascade.hosting import Place

__all__ = ["corpus_catalogue"]


@pytest.fixture(scope="class")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("generations")


@pytest.fixture(scope="class")
def host(root):
    host = EmbeddedHost(root, SCHEMA)
    yield host
    host.close()


@pytest.fixture(scope="class")
def make_place(root):
    def make(index, number):
        name = f"{index}-{number:06d}"
        return Place(name, root / name / "engine")

    return make


class TestEmbeddedHost(HostContract):
    pass


def test_two_folders_know_nothing_of_each_other(tmp_path):
    here, there = EmbeddedHost(tmp_path / "a", SCHEMA), EmbeddedHost(tmp_path / "b", SCHEMA)
    place = Place("cups-000001", tmp_path / "a" / "cups-000001" / "engine")
    fill(here, place)
    assert here.names("cups") == ["cups-000001"]
    assert there.names("cups") == []
    assert there.target("cups-000001") is None
