"""Configuration: TOML, checked whole, and the cascade that it describes."""

from cascade.config.engines import open_engine, open_host, schema_of, store_of
from cascade.config.load import load_config
from cascade.config.settings import CascadeSettings, Config
from cascade.config.wire import (
    business_of,
    business_with,
    features_of,
    judgments_columns,
    measures_of,
    open_cascade,
    open_cascades,
    registry_of,
)

__all__ = [
    "CascadeSettings",
    "Config",
    "business_of",
    "business_with",
    "features_of",
    "judgments_columns",
    "load_config",
    "measures_of",
    "open_cascade",
    "open_cascades",
    "open_engine",
    "open_host",
    "registry_of",
    "schema_of",
    "store_of",
]
