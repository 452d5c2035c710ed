"""How much of a query stands anywhere in a group of text fields, weighed by idf.

The idf of a term is the lowest among the fields: a term is as common as where it is most at home.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade.candidates import Candidates, Float32, Float64
from cascade.features.base import Bool
from cascade.features.matching import Matches
from cascade.features.registry import feature_kind
from cascade.features.text import AnyCoverage


@dataclass(frozen=True, kw_only=True)
class AcrossFields(AnyCoverage):
    """Read which terms stand in at least one of several fields.

    Attributes:
        fields: Text fields of the same analyser and synonyms, since a term must mean the same.
    """

    def values(self, candidates: Candidates) -> Float32:
        """Return float32[n]; NaN for an unknown row and for a query without terms."""
        found = self.matches(candidates)
        present, idf = found[0].frequencies > 0, found[0].idf
        for matches in found[1:]:
            present = present | (matches.frequencies > 0)
            idf = np.minimum(idf, matches.idf)
        return (self.weighed(found[0], present, idf) * found[0].defined).astype(np.float32)

    def weighed(self, matches: Matches, present: Bool, idf: Float64) -> Float64:
        """Return float64[n] of bool[n, T], whether each term is there, and float64[n, T]."""
        raise NotImplementedError


@feature_kind("any_idf_coverage")
@dataclass(frozen=True, kw_only=True)
class AnyIdfCoverage(AcrossFields):
    """Return the share of the query's idf that belongs to terms in at least one of the fields."""

    def weighed(self, matches: Matches, present: Bool, idf: Float64) -> Float64:
        """Return float64[n] from 0 to 1."""
        whole = matches.total(idf)
        share: Float64 = np.full(len(whole), np.nan)
        np.divide(matches.total(idf * present), whole, out=share, where=whole > 0)
        return share


@feature_kind("any_missing_idf")
@dataclass(frozen=True, kw_only=True)
class AnyMissingIdf(AcrossFields):
    """Return the idf of the rarest query term that all of the fields lack, 0 if none is lacking."""

    def weighed(self, matches: Matches, present: Bool, idf: Float64) -> Float64:
        """Return float64[n] of 0 or more."""
        lacking: Float64 = (idf * ~present).max(axis=1)
        return lacking
