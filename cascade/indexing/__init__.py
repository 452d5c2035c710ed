"""Generations: building an index and its catalogue in one pass, and finding the live one."""

from cascade.indexing.build import BuildReport, build
from cascade.indexing.dead_letters import OnError
from cascade.indexing.generations import Generation, Store
from cascade.indexing.sources import Files, IndexSource, read_products

__all__ = [
    "BuildReport",
    "Files",
    "Generation",
    "IndexSource",
    "OnError",
    "Store",
    "build",
    "read_products",
]
