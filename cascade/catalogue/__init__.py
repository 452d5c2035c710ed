"""The catalogue: documents in memory-mapped columns, one snapshot for each generation."""

from cascade.catalogue.reader import Catalogue
from cascade.catalogue.writer import CatalogueWriter

__all__ = ["Catalogue", "CatalogueWriter"]
