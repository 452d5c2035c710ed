"""Bundles over the shop of cups, of planted worth: it is right that the cheapest come first."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cascade.candidates import Query
from cascade.config import Config, load_config, open_cascade, registry_of, schema_of
from cascade.drift import Reference, reference_of
from cascade.features import build_features
from cascade.rankers import OnnxRanker
from cascade.registry import REFERENCE, Bundle, Manifest
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from tests.small_shop import CHEAPEST

FEATURES = [
    {"kind": "number", "name": "price", "field": "price"},
    {"kind": "number", "name": "stock", "field": "stock"},
]
STAGE = """
[[stages]]
name = "cheap"
ranker = "linear"
window = 200
[evaluation]
measures = ["nDCG@10"]
resamples = 2000
"""
MODEL = "plain-cheap"
QUERIES = [f"cup w{i} w{199 - i}" for i in range(40)]


def queries_of(count: int = 40) -> list[Query]:
    return [Query(text, text) for text in QUERIES[:count]]


def write_judgments(path: Path) -> Path:
    """Grade the 20 cheapest cups 2 and the next 30 ones 1, for every query."""
    rows = ["query\tdoc_id\tgrade"]
    for text in QUERIES:
        rows += [
            f"{text}\t{doc_id}\t{2 if i < 20 else 1}" for i, doc_id in enumerate(CHEAPEST[:50])
        ]
    path.write_text("\n".join(rows) + "\n")
    return path


def configured(path: Path, root: Path, *overrides: str) -> Config:
    """Return the shop's configuration with one stage, whose models lie under `root`."""
    text = path.read_text()
    staged = path.with_name("staged.toml")
    staged.write_text(text.replace("[cascades", STAGE + "\n[cascades"))
    return load_config(staged, [f"models.root={json.dumps(str(root))}", *overrides])["plain"]


def linear(price: float, stock: float = 0.0) -> bytes:
    zero = np.zeros(2)
    weights = np.array([price, stock])
    return linear_to_onnx(LinearModel(weights, 0.0, zero, zero + 1, zero, limit=1e4))


def slowed(model: bytes, wide: int = 512, deep: int = 2_048) -> bytes:
    """Return a graph with the same scores that multiplies large matrices on the way."""
    graph = onnx.load_from_string(model)
    for node in graph.graph.node:
        for at, output in enumerate(node.output):
            if output == "score":
                node.output[at] = "quick"
    weights = {
        "first": np.ones((2, wide)),
        "second": np.ones((wide, deep)),
        "none": np.zeros((deep, 1)),
        "flat": np.array([-1], dtype=np.int64),
    }
    for name, values in weights.items():
        typed = values if name == "flat" else values.astype(np.float32)
        graph.graph.initializer.append(numpy_helper.from_array(typed, name))
    graph.graph.node.extend(
        [
            helper.make_node("MatMul", ["features", "first"], ["one"]),
            helper.make_node("MatMul", ["one", "second"], ["two"]),
            helper.make_node("MatMul", ["two", "none"], ["three"]),
            helper.make_node("Reshape", ["three", "flat"], ["four"]),
            helper.make_node("Add", ["quick", "four"], ["score"]),
        ]
    )
    return graph.SerializeToString()


@functools.cache
def served_rows(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of all rows of the queries as serving computes them."""
    cascade = open_cascade(load_config(path)["plain"], with_models=False)
    features = build_features(FEATURES, cascade.documents.schema)
    found = [cascade.ranked(query).listing for query in queries_of()]
    cascade.engine.close()
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in found])])
    return np.concatenate([features.matrix(each) for each in found]), offsets


def save(
    config: Config,
    model: bytes,
    *,
    alias: str = "candidate",
    trained: list[str] | None = None,
    parity_rows: int = 10_000,
    definitions: list[dict] | None = None,
    fingerprint: str | None = None,
    reference: Callable[[Reference], Reference] | None = lambda given: given,
) -> Bundle:
    """Write a bundle and let an alias name it."""
    features = build_features(definitions or FEATURES, schema_of(config))
    files = {}
    if reference is not None:
        matrix, offsets = served_rows(config.path)
        scores = OnnxRanker(model, features).score_matrix(matrix).order
        told = reference_of(matrix, scores, features.names, offsets)
        files = {REFERENCE: reference(told).encoded()}

    def describe(version: int, sha256: str) -> Manifest:
        return Manifest(
            name=MODEL,
            version=version,
            kind="linear",
            features=features.definitions(),
            fingerprint=fingerprint or features.fingerprint,
            model_sha256=sha256,
            parity={"rows": parity_rows},
            trained_queries=trained or [],
        )

    registry = registry_of(config)
    bundle = registry.save(model, describe, MODEL, files)
    registry.point(MODEL, alias, bundle.manifest.version)
    return bundle
