"""A small policy over documents in memory, as training leaves it: what tests save and serve."""

import numpy as np
from memory_documents import MemoryDocuments, candidates

from cascade.business.build import build_shape
from cascade.business.guard import SurrogateGain
from cascade.business.learned import Bounds
from cascade.business.objectives import NewSeller, Revenue
from cascade.candidates import Query
from cascade.training.policy_onnx import TrainedPolicy

DOCUMENTS = MemoryDocuments(
    {"price": "number", "age": "number", "seller": "keyword"},
    [{"id": f"d{i}", "price": float((i * 37) % 101), "age": float(i * 11 % 60)} for i in range(59)]
    + [{"id": "d59"}],
)
OBJECTIVES = (
    Revenue(name="revenue", price="price"),
    NewSeller(name="new", field="age", days=30),
)
BUSINESS = {
    "objectives": [
        {"name": "revenue", "kind": "revenue", "price": "price"},
        {"name": "new", "kind": "new_seller", "field": "age", "days": 30},
    ],
    "policy": {"inputs": ["score", "z(price)", "head(p_buy)", "revenue", "new"]},
}
POINTS = {"balanced": {"relevance": 0.6, "revenue": 0.2, "new": 0.2}, "growth": {"new": 1.0}}


def trained(hidden=0, scale=1.5, seed=3, **changes):
    """Return a policy with drawn weights; with scale 0 it is the order of relevance."""
    raw = {**BUSINESS, "policy": {**BUSINESS["policy"], "hidden": hidden}}
    inputs, shape = build_shape(raw, DOCUMENTS.schema)
    weights = shape.start(seed) * 2
    weights[0] = scale
    settings = {
        "shape": shape,
        "weights": weights,
        "inputs": inputs,
        "objectives": OBJECTIVES,
        "bounds": Bounds(window=50, max_displacement=12, max_loss=0.1, guard_top=5),
        "gain": SurrogateGain(None, (-1.0, 0.0, 2.0), (0.0, 0.1, 1.0)),
        "points": POINTS,
    }
    return TrainedPolicy(**{**settings, **changes})


def rows(count=300, seed=0):
    """Return scores and inputs of training rows, float32[n] and float32[n, 5]."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal(count).astype(np.float32),
        rng.standard_normal((count, 5)).astype(np.float32),
    )


def listing(wanted, **query):
    """Return one listing of the documents at these positions, with a head `p_buy`."""
    heads = {"p_buy": np.linspace(0.5, 0.0, len(wanted))}
    return candidates(DOCUMENTS, (Query("1", "ring", **query), wanted), columns=heads)
