"""A ranking cascade over a search engine.

Read `candidates.py`, then `protocols.py`, then `pipeline/`.
"""

from cascade.candidates import Candidates, Query
from cascade.config import load_config, open_cascade
from cascade.errors import CascadeError, ConfigError, InputError, NotFoundError, RefusedError
from cascade.filters import parse as parse_filters
from cascade.pipeline import Cascade, Page, PageRequest, Stage
from cascade.protocols import Deadline, Engine, Feature, Ranker, Sort

__all__ = [
    "__version__",
    "Candidates",
    "Cascade",
    "CascadeError",
    "ConfigError",
    "Deadline",
    "Engine",
    "Feature",
    "InputError",
    "load_config",
    "NotFoundError",
    "open_cascade",
    "Page",
    "PageRequest",
    "parse_filters",
    "Query",
    "Ranker",
    "RefusedError",
    "Sort",
    "Stage",
]

__version__ = "0.1.0"
