"""The order of relevance on each part: what a policy starts from, and what the stages have seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cascade.config import Config, registry_of
from cascade.registry import reference_of, text_digest
from cascade.training.evolution.samples import measured
from cascade.workflows.market import Market
from cascade.workflows.split import Part


@dataclass(frozen=True)
class PartBase:
    """Tell what the order of relevance comes to on one part.

    Attributes:
        trained: How many of its requests the models of the stages were trained on, their validation
            included: ranking is better there than on others.
        measures: Market measures of the order of relevance.
    """

    trained: int
    measures: Mapping[str, float]


def bases_of(config: Config, market: Market, texts: Sequence[str]) -> dict[Part, PartBase]:
    """Return the base of each part, by the market measures that are asked for."""
    registry, seen = registry_of(config), set[str]()
    for label in market.models.values():
        seen |= set(registry.load(reference_of(label)).manifest.trained_queries)
    found: dict[Part, PartBase] = {}
    for part, sample in market.parts.items():
        values = measured(sample, sample.scores[:, None], texts)
        found[part] = PartBase(
            sum(text_digest(text) in seen for text in market.texts[part]),
            {text: float(value[0]) for text, value in values.items()},
        )
    return found
