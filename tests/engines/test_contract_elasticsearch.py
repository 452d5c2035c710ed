"""The engine on a real server keeps the contract of all engines, and what is its own."""

import math

import pytest
from contracts.engine import EngineContract, UpdateContract, query
from rest_engines import Builder, RestEngineContract

from cascade.candidates import Query
from cascade.engines._rest.host import ELASTICSEARCH
from cascade.engines._rest.search import View
from cascade.engines.connection import Matching
from cascade.engines.elasticsearch import ElasticsearchClient
from cascade.filters import parse
from cascade.protocols import Asked, Capability
from cascade.schema import Field, Kind, Schema


@pytest.fixture(scope="class")
def builder(elasticsearch_server, tmp_path_factory):
    builder = Builder(
        ElasticsearchClient, ELASTICSEARCH, elasticsearch_server.url, tmp_path_factory
    )
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


VECTORS = Schema(
    "id",
    (
        Field("title", Kind.TEXT),
        Field("brand", Kind.KEYWORD),
        Field("place", Kind.VECTOR, dims=2),
    ),
)


def test_the_nearest_vectors_are_fused_with_the_matches(builder):
    # Degrees from the query's direction; the text finds d0 and d1, the vector d2, d3, d0.
    degrees = {"d0": 30, "d1": 90, "d2": 0, "d3": 10, "d4": 180}
    name, catalogue = builder.build(
        [
            {
                "id": doc_id,
                "title": "cup" if doc_id in ("d0", "d1") else "mug",
                "brand": "b" if doc_id == "d3" else "a",
                "place": [math.cos(math.radians(angle)), math.sin(math.radians(angle))],
            }
            for doc_id, angle in degrees.items()
        ],
        VECTORS,
    )
    matching = Matching(vector_field="place")
    assert Capability.VECTORS not in builder.open(name, catalogue, VECTORS, matching).capabilities
    view = View(encoder=lambda text: [1.0, 0.0])
    engine = builder.open(name, catalogue, VECTORS, matching, view=view)
    assert Capability.VECTORS in engine.capabilities
    found = engine.retrieve([query("cup")], 3, Asked(facets=("brand",)))
    # d0: 1/61 + 1/63, d2: 1/61, d3 and d1: 1/62
    assert found.candidates.ids() == ["d0", "d2", "d1"]
    expected = [1 / 61 + 1 / 63, 1 / 61, 1 / 62]
    assert found.candidates.scores.tolist() == pytest.approx(expected)
    assert found.totals[0].value == 2
    filtered = Query("q", "cup", parse({"brand": "b"}, VECTORS))
    assert engine.retrieve([filtered], 3).candidates.ids() == ["d3"]
    assert len(engine.retrieve([query("")], 3).candidates) == 0
