"""The catalogue: documents in memory-mapped columns, one snapshot for each generation."""

from cascade.catalogue.entries import Entry, Op
from cascade.catalogue.live import LiveCatalogue
from cascade.catalogue.reader import Catalogue
from cascade.catalogue.writer import CatalogueWriter

__all__ = ["Catalogue", "CatalogueWriter", "Entry", "LiveCatalogue", "Op"]
