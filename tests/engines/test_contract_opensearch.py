"""The engine on a real OpenSearchClient server keeps the contract of all engines."""

import pytest
from contracts.engine import EngineContract, UpdateContract
from rest_engines import Builder

from cascade.engines._rest_host import OPENSEARCH
from cascade.engines.connection import Connection
from cascade.engines.opensearch import OpenSearchClient


@pytest.fixture(scope="class")
def builder(opensearch_server, tmp_path_factory):
    def connect():
        return OpenSearchClient(Connection(urls=(opensearch_server.url,)))

    builder = Builder(connect, OPENSEARCH, tmp_path_factory)
    yield builder
    builder.close()


@pytest.fixture(scope="class")
def make_engine(builder):
    return builder.make


class TestContract(EngineContract):
    pass


class TestUpdates(UpdateContract):
    pass
