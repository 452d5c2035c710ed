"""How much of a query stands anywhere in a group of text fields, weighed by idf.

The idf of a term is the lowest among the fields: a term is as common as where it is most at home.
"""

from __future__ import annotations

from dataclasses import dataclass

from cascade.candidates import Float64
from cascade.features.matching import Anywhere, total
from cascade.features.registry import feature_kind
from cascade.features.text import AnyCoverage, share


@feature_kind("any_idf_coverage")
@dataclass(frozen=True, kw_only=True)
class AnyIdfCoverage(AnyCoverage):
    """Return the share of the query's idf that belongs to terms in at least one of the fields.

    Attributes:
        fields: Text fields of the same analyser and synonyms, since a term must mean the same.
    """

    def weighed(self, anywhere: Anywhere) -> Float64:
        """Return float64[n] from 0 to 1."""
        return share(total(anywhere.idf * anywhere.present), anywhere.idf_total)


@feature_kind("any_missing_idf")
@dataclass(frozen=True, kw_only=True)
class AnyMissingIdf(AnyCoverage):
    """Return the idf of the rarest query term that all of the fields lack, 0 if none is lacking.

    Attributes:
        fields: Text fields of the same analyser and synonyms, since a term must mean the same.
    """

    def weighed(self, anywhere: Anywhere) -> Float64:
        """Return float64[n] of 0 or more."""
        lacking: Float64 = (anywhere.idf * ~anywhere.present).max(axis=1)
        return lacking
