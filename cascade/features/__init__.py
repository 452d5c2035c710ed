"""Features: named float columns from a query and its candidates' documents.

Each kind is one small class; `build_features` makes a set of them from plain definitions,
`standard_features` proposes definitions for a schema. To add a kind, derive a frozen dataclass
from `BaseFeature` and name it in a definition as `my_shop.features:Recency`, or register it with
`@feature_kind`.
"""

from cascade.features.across import AnyIdfCoverage, AnyMissingIdf
from cascade.features.base import BaseFeature, field_of, narrowed, number_of, optional_field_of
from cascade.features.behaviour import Count, Rate, counters_of
from cascade.features.build import build_features
from cascade.features.context import Hour, Surface, Weekday
from cascade.features.crosses import Cross, cross_hash
from cascade.features.earlier import StageScore, stage_column
from cascade.features.engine import Column, EngineRank, EngineScore
from cascade.features.expression import Expression
from cascade.features.formula import Formula, parse_formula
from cascade.features.keyword import KeywordCoverage, KeywordInQuery, KeywordMatch
from cascade.features.letters import LetterCoverage, LetterMatch, LetterOverlap, LettersInQuery
from cascade.features.listing import EngineScoreRatio, MinMax, Percentile, ZScore
from cascade.features.named_number import NumberGap
from cascade.features.numeric import Age, Log, Number
from cascade.features.query import (
    QueryCharacters,
    QueryIdfMax,
    QueryIdfMean,
    QueryIdfMin,
    QueryIdfSum,
    QueryKnown,
    QueryLength,
)
from cascade.features.registry import KINDS, feature_kind
from cascade.features.session import (
    SeenBefore,
    SessionAffinity,
    SessionCloseness,
    SessionSimilarity,
)
from cascade.features.set import Features, difference
from cascade.features.standard import standard_features
from cascade.features.text import (
    AnyCoverage,
    BestField,
    Bm25,
    Coverage,
    FirstPosition,
    IdfCoverage,
    Length,
    MissingIdf,
    OrderedPairs,
    Phrase,
    QueryDensity,
    WholeMatch,
)

__all__ = [
    "KINDS",
    "Age",
    "AnyCoverage",
    "AnyIdfCoverage",
    "AnyMissingIdf",
    "BaseFeature",
    "BestField",
    "Bm25",
    "Column",
    "Count",
    "Coverage",
    "Cross",
    "EngineRank",
    "EngineScore",
    "EngineScoreRatio",
    "Expression",
    "Features",
    "FirstPosition",
    "Formula",
    "Hour",
    "IdfCoverage",
    "KeywordCoverage",
    "KeywordInQuery",
    "KeywordMatch",
    "Length",
    "LetterCoverage",
    "LetterMatch",
    "LetterOverlap",
    "LettersInQuery",
    "Log",
    "MinMax",
    "MissingIdf",
    "Number",
    "NumberGap",
    "OrderedPairs",
    "Percentile",
    "Phrase",
    "QueryCharacters",
    "QueryDensity",
    "QueryIdfMax",
    "QueryIdfMean",
    "QueryIdfMin",
    "QueryIdfSum",
    "QueryKnown",
    "QueryLength",
    "Rate",
    "SeenBefore",
    "SessionAffinity",
    "SessionCloseness",
    "SessionSimilarity",
    "StageScore",
    "Surface",
    "Weekday",
    "WholeMatch",
    "ZScore",
    "build_features",
    "counters_of",
    "cross_hash",
    "difference",
    "feature_kind",
    "field_of",
    "narrowed",
    "number_of",
    "optional_field_of",
    "parse_formula",
    "stage_column",
    "standard_features",
]
