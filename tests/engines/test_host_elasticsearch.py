"""The indexes of a real Elasticsearch keep the contract of every host."""

import orjson
import pytest
from contracts.host import all_of, corpus_catalogue
from rest_hosts import RecordingClient, RestHostContract

from cascade.engines._rest.host import ELASTICSEARCH
from cascade.engines.connection import Connection
from cascade.engines.elasticsearch import ElasticsearchClient
from cascade.schema import Field, Kind, Schema

__all__ = ["corpus_catalogue"]


@pytest.fixture(scope="class")
def recorder(elasticsearch_server):
    connection = Connection(urls=(elasticsearch_server.url,))
    return RecordingClient(lambda: ElasticsearchClient(connection))


@pytest.fixture(scope="class")
def dialect():
    return ELASTICSEARCH


class TestElasticsearchHost(RestHostContract):
    def test_vectors_of_an_index_of_others_are_read(self, host, recorder, make_place):
        place = make_place("vectors", 1)
        vector = {"type": "dense_vector", "dims": 3}
        body = {"mappings": {"properties": {"v": vector}}}
        recorder.request("PUT", f"/{place.name}", body=orjson.dumps(body))
        path, params = f"/{place.name}/_doc/1", {"refresh": "true"}
        recorder.request("PUT", path, params=params, body=b'{"v": [1.0, 0.5, -2.0], "x": 1}')
        assert all_of(host.documents(place.name)) == [{"_id": "1", "v": [1.0, 0.5, -2.0], "x": 1}]

    def test_a_vector_of_another_length_is_refused(self, host, make_place):
        place = make_place("lengths", 1)
        three, two = (Schema("id", (Field("v", Kind.VECTOR, dims=dims),)) for dims in (3, 2))
        host.create(place, three, {})
        writer = host.open_writer(place, three)
        writer.add(0, three.document({"id": "a", "v": [1, 2, 3]}), {})
        writer.add(1, two.document({"id": "b", "v": [1, 2]}), {})
        writer.add(2, three.document({"id": "c"}), {})
        writer.finish()
        assert [(one.doc_id, one.row) for one in writer.rejected] == [("b", 1)]
        assert sorted(all_of(host.ids(place.name))) == ["a", "c"]
