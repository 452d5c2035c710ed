"""A ranking cascade over a search engine.

Read `candidates.py`, then `protocols.py`, then `pipeline/`.
"""

import typing

if typing.TYPE_CHECKING:
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

# Loaded when it is asked for: `import cascade` alone must not load a model runtime or an engine.
_HOMES = {
    "Candidates": "cascade.candidates",
    "Cascade": "cascade.pipeline",
    "CascadeError": "cascade.errors",
    "ConfigError": "cascade.errors",
    "Deadline": "cascade.protocols",
    "Engine": "cascade.protocols",
    "Feature": "cascade.protocols",
    "InputError": "cascade.errors",
    "load_config": "cascade.config",
    "NotFoundError": "cascade.errors",
    "open_cascade": "cascade.config",
    "Page": "cascade.pipeline",
    "PageRequest": "cascade.pipeline",
    "parse_filters": "cascade.filters",
    "Query": "cascade.candidates",
    "Ranker": "cascade.protocols",
    "RefusedError": "cascade.errors",
    "Sort": "cascade.protocols",
    "Stage": "cascade.pipeline",
}


def __getattr__(name: str) -> object:
    """Return a name of `__all__` from the module where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = import_module(_HOMES[name])
    value: object = getattr(home, "parse" if name == "parse_filters" else name)
    globals()[name] = value
    return value
