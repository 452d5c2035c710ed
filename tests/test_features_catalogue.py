"""The same documents give the same features from a catalogue on disk as from plain lists."""

import dataclasses

import numpy as np
from memory_documents import MemoryDocuments, candidates

from cascade.candidates import Query
from cascade.catalogue import Catalogue, CatalogueWriter
from cascade.features import build_features, standard_features
from cascade.schema import Schema

WORDS = ["red", "blue", "big", "shoes", "shirt", "for", "men", "sofa", "lamp"]
KINDS = {"title": "text", "body": "text", "brand": "keyword", "price": "number", "made": "date"}
MORE = [
    {"kind": "cross", "name": "cross", "parts": ["query.last_word", "brand"]},
    {"kind": "keyword_in_query", "name": "named", "field": "brand"},
    {"kind": "zscore", "name": "z", "field": "made"},
]


def made(count: int) -> list[dict[str, object]]:
    random = np.random.default_rng(3)
    documents = []
    for i in range(count):
        document = {
            "id": f"d{i}",
            "title": " ".join(random.choice(WORDS, random.integers(1, 6))),
            "body": " ".join(random.choice(WORDS, random.integers(1, 30))),
            "brand": [" ".join(random.choice(WORDS, 2)) for _ in range(random.integers(1, 3))],
            "price": float(random.integers(1, 100)),
            "made": float(random.integers(1, 10**9)),
        }
        optional = [name for name in KINDS if random.random() < 0.2]
        document["brand"] = list(dict.fromkeys(document["brand"]))
        documents.append({k: v for k, v in document.items() if k not in optional})
    return documents


def test_a_catalogue_gives_the_bits_of_plain_lists(tmp_path):
    documents = made(80)
    memory = MemoryDocuments(KINDS, documents)
    plain = [dataclasses.replace(field, analyser="plain") for field in memory.schema.fields]
    schema = Schema("id", tuple(plain))
    with CatalogueWriter(tmp_path / "catalogue", schema, "g1") as writer:
        for document in documents:
            writer.add(schema.document(document))
        writer.finish()
    catalogue = Catalogue.open(tmp_path / "catalogue", schema)
    features = build_features([*standard_features(schema), *MORE], schema)
    listings = [
        (Query("1", "red shoes for men", time=2e9), [*range(40), -1]),
        (Query("2", "Zebra big sofa sofa lamp", time=1e9), range(79, 20, -1)),
        (Query("3", ""), [3]),
    ]
    of_memory = candidates(memory, *listings)
    of_catalogue = candidates(catalogue, *listings)
    expected = features.matrix(features.prepared(of_memory))
    found = features.matrix(features.prepared(of_catalogue))
    np.testing.assert_array_equal(found, expected)
    assert np.isfinite(expected).mean() > 0.5
