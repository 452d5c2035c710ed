"""Canaries: queries that must find about the same in a new index as in the one before."""

from __future__ import annotations

from collections.abc import Sequence

from cascade.candidates import Query
from cascade.protocols import Engine

DEPTHS = (10, 50)


def overlap(first: Sequence[str], second: Sequence[str], depth: int) -> float:
    """Return the share of the longer list's first `depth` ids that both have; 1 if both are empty.

    The order does not count.
    """
    a, b = set(first[:depth]), set(second[:depth])
    return len(a & b) / max(len(a), len(b)) if a or b else 1.0


def overlaps_of(first: Engine, second: Engine, texts: Sequence[str]) -> dict[int, float]:
    """Return the mean overlap of what two engines retrieve for some texts, by depth.

    Raises:
        EngineError: If one of them fails.
    """
    pairs = list(zip(_retrieved(first, texts), _retrieved(second, texts), strict=True))
    return {k: sum(overlap(a, b, k) for a, b in pairs) / len(pairs) for k in DEPTHS}


def _retrieved(engine: Engine, texts: Sequence[str]) -> list[Sequence[str]]:
    queries = [Query(str(i), text) for i, text in enumerate(texts)]
    found = engine.retrieve(queries, max(DEPTHS)).candidates
    ids, offsets = found.ids(), found.offsets
    return [ids[offsets[i] : offsets[i + 1]] for i in range(len(queries))]
