"""The indexes of a real OpenSearch keep the contract of every host."""

import pytest
from contracts.host import corpus_catalogue
from rest_hosts import RecordingClient, RestHostContract

from cascade.engines._rest.host import OPENSEARCH
from cascade.engines.connection import Connection
from cascade.engines.opensearch import OpenSearchClient

__all__ = ["corpus_catalogue"]


@pytest.fixture(scope="class")
def recorder(opensearch_server):
    connection = Connection(urls=(opensearch_server.url,))
    return RecordingClient(lambda: OpenSearchClient(connection))


@pytest.fixture(scope="class")
def dialect():
    return OPENSEARCH


class TestOpenSearchHost(RestHostContract):
    pass
