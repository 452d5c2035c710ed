"""The engine on a real ElasticsearchClient server keeps the contract of all engines."""

import pytest
from contracts.engine import EngineContract, UpdateContract
from rest_engines import Builder

from cascade.engines._rest_host import ELASTICSEARCH
from cascade.engines.connection import Connection
from cascade.engines.elasticsearch import ElasticsearchClient


@pytest.fixture(scope="class")
def builder(elasticsearch_server, tmp_path_factory):
    def connect():
        return ElasticsearchClient(Connection(urls=(elasticsearch_server.url,)))

    builder = Builder(connect, ELASTICSEARCH, tmp_path_factory)
    yield builder
    builder.close()


@pytest.fixture(scope="class")
def make_engine(builder):
    return builder.make


class TestContract(EngineContract):
    pass


class TestUpdates(UpdateContract):
    pass
