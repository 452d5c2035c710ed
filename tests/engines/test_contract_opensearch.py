"""The engine on a real server keeps the contract of all engines, and what is its own."""

import pytest
from contracts.engine import EngineContract, UpdateContract
from rest_engines import Builder, RestEngineContract

from cascade.engines._rest.host import OPENSEARCH
from cascade.engines.opensearch import OpenSearchClient


@pytest.fixture(scope="class")
def builder(opensearch_server, tmp_path_factory):
    builder = Builder(OpenSearchClient, OPENSEARCH, opensearch_server.url, tmp_path_factory)
    yield builder
    builder.close()


@pytest.fixture(scope="class")
def make_engine(builder):
    return builder.make


class TestContract(EngineContract):
    pass


class TestUpdates(UpdateContract):
    pass


class TestRest(RestEngineContract):
    pass
