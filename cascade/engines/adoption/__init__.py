"""Reading an index that others made, and the search that a team has, into a schema."""

from cascade.engines.adoption.detect import detect
from cascade.engines.adoption.found import Adoption, FoundAnalysis, FoundField, FoundQuery
from cascade.engines.adoption.read import read_index, read_search

__all__ = [
    "Adoption",
    "FoundAnalysis",
    "FoundField",
    "FoundQuery",
    "detect",
    "read_index",
    "read_search",
]
