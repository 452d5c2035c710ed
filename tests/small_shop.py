"""A shop of 200 cups, indexed in the embedded engine, whose right order is known by hand.

Every title is `cup` and two words, so BM25 finds all of them equally good for "cup" and leaves them
in the order of the file. The linear model `cheap` puts the cheapest first.
"""

import json
from pathlib import Path

import numpy as np

from cascade.business import build_business
from cascade.config import load_config, open_cascade
from cascade.features import build_features
from cascade.pipeline import Cascade, Stage
from cascade.rankers.onnx import OnnxRanker
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from cascade.workflows import build_index

COUNT = 200
BRANDS = ("ash", "birch", "cedar", "dill", "elm")
COLOURS = ("red", "blue", "green", "white")

SCHEMA = """
id = "id"
[fields.title]
type = "text"
[fields.brand]
type = "keyword"
[fields.price]
type = "number"
[fields.stock]
type = "number"
[fields.margin]
type = "number"
"""
CONFIG = """
name = "plain"
[index]
schema = "schema.toml"
store = "indexes"
[service]
port = 0
[cascades.second.retrieval]
size = 50
"""
BUSINESS = {
    "window": 100,
    "max_displacement": 100,
    "objectives": [{"name": "stocked", "kind": "stock", "field": "stock"}],
    "rules": [
        {
            "kind": "pin",
            "name": "lead",
            "queries": ["cup"],
            "slots": {"d007": 2},
            "surfaces": ["app"],
        }
    ],
}


def document(number):
    """Return the cup of this number: its price is 1 to 200 in an order of its own."""
    return {
        "id": f"d{number:03d}",
        "title": f"cup {COLOURS[number % 4]} w{number}",
        "brand": BRANDS[number % 5],
        "price": float(number * 37 % COUNT + 1),
        "stock": number % 3,
        "margin": 0.5,
    }


DOCUMENTS = [document(number) for number in range(COUNT)]
BY_ID = {d["id"]: d for d in DOCUMENTS}
CHEAPEST = [d["id"] for d in sorted(DOCUMENTS, key=lambda d: d["price"])]


def write_shop(folder: Path) -> Path:
    """Write and index the shop, and return its configuration."""
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "products.ndjson").write_text("\n".join(map(json.dumps, DOCUMENTS)))
    path = folder / "cascade.toml"
    path.write_text(CONFIG)
    build_index(load_config(path)["plain"], [folder / "products.ndjson"])
    return path


def cheap_stage(schema, window=1_000):
    features = build_features([{"kind": "number", "name": "price", "field": "price"}], schema)
    one = np.ones(1)
    model = LinearModel(weights=-one, bias=0.0, mean=0 * one, scale=one, fill=0 * one, limit=1e4)
    ranker = OnnxRanker(linear_to_onnx(model), features)
    return Stage("cheap", ranker, window, model="cheap/1", features=features)


def open_shop(path: Path) -> dict[str, Cascade]:
    """Return two cascades: `shop` with a model and a business layer, `plain` with neither."""
    plain = open_cascade(load_config(path)["plain"])
    schema = plain.documents.schema
    shop = Cascade(
        engine=plain.engine,
        documents=plain.documents,
        stages=(cheap_stage(schema),),
        business=build_business(BUSINESS, schema),
        name="shop",
    )
    return {"shop": shop, "plain": plain}
