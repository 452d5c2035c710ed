"""Generations: building an index and its catalogue in one pass, and finding the live one."""

from cascade.indexing.build import BuildReport, build
from cascade.indexing.generations import Generation, Store
from cascade.indexing.products import OnError, read_products

__all__ = ["BuildReport", "Generation", "OnError", "Store", "build", "read_products"]
