"""The indexes of a real Elasticsearch keep the contract of every host."""

import pytest
from contracts.host import corpus_catalogue
from rest_hosts import RecordingClient, RestHostContract

from cascade.engines._rest_host import ELASTICSEARCH
from cascade.engines.connection import Connection
from cascade.engines.elasticsearch import ElasticsearchClient

__all__ = ["corpus_catalogue"]


@pytest.fixture(scope="class")
def recorder(elasticsearch_server):
    connection = Connection(urls=(elasticsearch_server.url,))
    return RecordingClient(lambda: ElasticsearchClient(connection))


@pytest.fixture(scope="class")
def dialect():
    return ELASTICSEARCH


class TestElasticsearchHost(RestHostContract):
    pass
