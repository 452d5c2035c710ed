"""The indexes of a real Elasticsearch keep the contract of every host."""

import pytest

from contracts.host import corpus_catalogue
from rest_hosts import RecordingClient, RestHostContract

from cascade.engines._rest_host import ELASTICSEARCH
from cascade.engines.connection import Connection, Matching
from cascade.engines.elasticsearch import ElasticsearchClient

__all__ = ["corpus_catalogue"]


@pytest.fixture(scope="class")
def recorder(elasticsearch_server):
    return RecordingClient(ElasticsearchClient(Connection(urls=(elasticsearch_server.url,))))


@pytest.fixture(scope="class")
def dialect():
    return ELASTICSEARCH


@pytest.fixture(scope="class")
def open_engine(recorder):
    return lambda name, schema, documents: None


class TestElasticsearchHost(RestHostContract):
    pass
