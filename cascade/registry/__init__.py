"""The model registry: immutable bundles on disk, and the aliases that say which one is live."""

from cascade.registry.bundles import FORMAT, REFERENCE, Bundle, Manifest
from cascade.registry.promotions import Decision, read_decisions, record_decision
from cascade.registry.registry import (
    CANDIDATE,
    LIVE,
    PREVIOUS,
    Models,
    Registry,
    reference_of,
    text_digest,
)

__all__ = [
    "CANDIDATE",
    "FORMAT",
    "LIVE",
    "PREVIOUS",
    "REFERENCE",
    "Bundle",
    "Decision",
    "Manifest",
    "Models",
    "Registry",
    "read_decisions",
    "record_decision",
    "reference_of",
    "text_digest",
]
