"""The shop of 200 cups behind a service that logs: two models in a registry, rules and a pin."""

import json
from pathlib import Path

import numpy as np

from cascade.config import Config, features_of, load_config, open_cascades, registry_of, schema_of
from cascade.config.wire import stage_features
from cascade.registry import LIVE, Manifest
from cascade.service import Metrics, Service, Switch, app_of, logger_of
from cascade.training.linear_onnx import LinearModel, linear_to_onnx
from cascade.workflows import build_index
from tests.asgi_client import Client
from tests.small_shop import DOCUMENTS, SCHEMA, document

NOON = 1_700_000_000.0
CONFIG = """
name = "shop"
[index]
schema = "schema.toml"
store = "indexes"
[models]
root = "models"
[retrieval]
size = 120
[log]
path = "log"
salts = "salts"
[[features.add]]
kind = "number"
name = "the_price"
field = "price"
[[features.add]]
kind = "number"
name = "the_stock"
field = "stock"
[[stages]]
name = "cheap"
ranker = "linear"
window = 100
[[stages]]
name = "dear"
ranker = "linear"
window = 30
[business]
window = 20
max_displacement = 5
[[business.objectives]]
name = "stocked"
kind = "stock"
field = "stock"
[[business.rules]]
kind = "pin"
name = "lead"
queries = ["cup red"]
slots = { "d199" = 2 }
[[business.rules]]
kind = "boost"
name = "push"
queries = ["cup blue"]
where = { brand = "elm" }
ranks = 3
"""


def write_logged_shop(folder: Path) -> Config:
    """Write, index and give models to the shop; return its configuration."""
    (folder / "schema.toml").write_text(SCHEMA)
    write_products(folder, DOCUMENTS)
    (folder / "cascade.toml").write_text(CONFIG)
    config = opened_config(folder)
    build_index(config, [folder / "products.ndjson"])
    schema = schema_of(config)
    features = features_of(config, schema)
    rng = np.random.default_rng(5)
    for stage in config.settings.stages:
        save_linear(config, stage, stage_features(config, stage, features, schema), rng)
    return config


def opened_config(folder: Path, *overrides: str) -> Config:
    return load_config(folder / "cascade.toml", overrides)["shop"]


def write_products(folder: Path, documents) -> None:
    (folder / "products.ndjson").write_text("\n".join(map(json.dumps, documents)))


def save_linear(config, stage, features, rng) -> None:
    """Save a linear model of random weights as the live one of a stage."""
    count = len(features.names)
    model = LinearModel(
        weights=rng.normal(size=count),
        bias=0.0,
        mean=np.zeros(count),
        scale=np.full(count, 10.0),
        fill=np.zeros(count),
        limit=1e4,
    )
    name = config.settings.model_name(stage)

    def describe(version, sha256):
        return Manifest(
            name=name,
            version=version,
            kind="linear",
            features=features.definitions(),
            fingerprint=features.fingerprint,
            model_sha256=sha256,
        )

    bundle = registry_of(config).save(linear_to_onnx(model), describe, name)
    registry_of(config).point(name, LIVE, bundle.manifest.version)


class Logging:
    """Ask a service that logs; the log is whole when this is left."""

    def __init__(self, config: Config, **settings):
        self.config = config
        self.metrics = Metrics()
        self.cascades = open_cascades({config.settings.name: config})
        self.logger = logger_of(config, self.metrics.logged)
        self.settings = settings

    def __enter__(self) -> "Logging":
        self.logger.writer.start()
        service = Service(
            Switch(self.cascades),
            self.config.settings.service,
            lambda: NOON,
            self.metrics,
            observers=(self.logger,),
            **self.settings,
        )
        self.client = Client(app_of(service))
        return self

    def __exit__(self, *_: object) -> None:
        self.logger.writer.stop()
        for cascade in self.cascades.values():
            cascade.engine.close()

    def ask(self, route: str = "search", **body) -> dict:
        response = self.client.post(f"/v1/{route}", body)
        assert response.status_code == 200, response.text
        return response.json()


def cheaper(number: int, price: float) -> dict:
    """Return a cup at another price."""
    return {**document(number), "price": price}
