"""What engines on Elasticsearch and OpenSearch must do beyond the contract of all.

`Builder` makes indexes through the host, each under a name of its own, and takes them away.
"""

import secrets
from pathlib import Path

from contracts.engine import SCHEMA

from cascade.candidates import Documents
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.engines._rest_engine import RestEngine
from cascade.engines._rest_host import RestHost
from cascade.engines.connection import IndexShape, Matching
from cascade.hosting import BulkOptions, Place


class Builder:
    """Build indexes and their catalogues on one server."""

    def __init__(self, connect, dialect, tmp_path_factory):
        self.connect = connect
        self.client = connect()
        self.dialect = dialect
        self.folders = tmp_path_factory
        self.prefix = f"engine-{secrets.token_hex(4)}"
        self.count = 0
        self.engines = []

    def host(self, **shape):
        return RestHost(self.client, self.dialect, IndexShape(refresh_s=3600, **shape), None)

    def build(self, documents, schema=SCHEMA, **shape) -> tuple[str, Documents]:
        """Return the name of a new index and its catalogue."""
        self.count += 1
        place = Place(f"{self.prefix}-{self.count:06d}", Path())
        host = self.host(**shape)
        host.create(place, schema, {})
        writer = host.open_writer(place, schema, BulkOptions())
        folder = self.folders.mktemp("catalogue") / "catalogue"
        with CatalogueWriter(folder, schema, "g1") as catalogue:
            for row, raw in enumerate(documents):
                document = schema.document(raw)
                writer.add(row, document, catalogue.add(document))
            catalogue.finish()
            writer.finish()
        return place.name, Catalogue.open(folder, schema)

    def open(self, name, catalogue, schema=SCHEMA, matching=Matching(), **view):
        more = {"view": view["view"]} if view else {}
        engine = RestEngine(
            self.connect(), name, schema, catalogue, matching, owns_client=True, **more
        )
        self.engines.append(engine)
        return engine

    def make(self, documents, schema=SCHEMA, **shape):
        return self.open(*self.build(documents, schema, **shape), schema)

    def close(self):
        for engine in self.engines:
            engine.close()
        for number in range(1, self.count + 1):
            self.client.request("DELETE", f"/{self.prefix}-{number:06d}", allow=frozenset({404}))
        self.client.close()
