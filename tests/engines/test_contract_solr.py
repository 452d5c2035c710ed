"""The engine on a real Solr keeps the contract of all engines, and what is its own."""

import uuid

import pytest
from contracts.engine import SCHEMA, EngineContract, UpdateContract, query

from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.engines.connection import Connection, IndexShape, Matching
from cascade.engines.solr import open_host
from cascade.errors import ConfigError, DeadlineError, EngineError
from cascade.hosting import BulkOptions, Place
from cascade.protocols import Asked, Capability, Deadline, Sort
from cascade.schema import Field, Kind, Schema

pytestmark = pytest.mark.full

NEVER_BY_ITSELF = IndexShape(refresh_s=3600.0)
SMALL = BulkOptions(documents=100)


class Builder:
    """Build indexes on a server and open engines over them; `close` removes them."""

    def __init__(self, url, folder, shape=NEVER_BY_ITSELF):
        self.url = url
        self.folder = folder
        self.shape = shape
        self.opened = []

    def __call__(self, documents, schema=SCHEMA, matching=Matching()):
        name = f"contract-{uuid.uuid4().hex[:8]}-000001"
        place = Place(name, self.folder / name)
        host = open_host(Connection((self.url,), pool=4), matching, self.shape)
        self.opened.append((host, place))
        host.create(place, schema, {"generation": name})
        writer = host.open_writer(place, schema, SMALL)
        with CatalogueWriter(place.folder, schema, name) as catalogue:
            for row, raw in enumerate(documents):
                document = schema.document(raw)
                writer.add(row, document, catalogue.add(document))
            catalogue.finish()
        writer.finish()
        return host.engine(place, schema, Catalogue.open(place.folder, schema))

    def close(self):
        for host, place in self.opened:
            host.drop(place)
            host.close()


@pytest.fixture(scope="class")
def make_engine(solr_server, tmp_path_factory):
    builder = Builder(solr_server.url, tmp_path_factory.mktemp("solr"))
    yield builder
    builder.close()


class TestContract(EngineContract):
    pass


class TestUpdates(UpdateContract):
    pass


class TestCloud(EngineContract):
    """The whole contract once more, in cloud mode."""

    @pytest.fixture(scope="class")
    @classmethod
    def make_engine(cls, solr_cloud_server, tmp_path_factory):
        builder = Builder(solr_cloud_server.url, tmp_path_factory.mktemp("cloud"))
        yield builder
        builder.close()


class TestCloudUpdates(UpdateContract):
    """Updates of a collection of two shards."""

    @pytest.fixture(scope="class")
    @classmethod
    def make_engine(cls, solr_cloud_server, tmp_path_factory):
        shape = IndexShape(shards=2, refresh_s=3600.0)
        builder = Builder(solr_cloud_server.url, tmp_path_factory.mktemp("shards"), shape)
        yield builder
        builder.close()
